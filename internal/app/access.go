package app

import (
	"context"
	"fmt"
	"net"

	"github.com/spanlake/spanlake/internal/apikey"
	"github.com/spanlake/spanlake/internal/otlp"
)

// ExposedError says that an HTTP server would let others read, since no key is needed.
type ExposedError struct {
	// Setting is what the address is set by.
	Address, Setting string
}

func (e *ExposedError) Error() string {
	return fmt.Sprintf("%s (%s) can be reached from other machines, and everybody there could read and operate: make a key with "+
		"`spanlake keys create NAME --may read` or set SPANLAKE_READ_API_KEYS, listen on 127.0.0.1, or say --insecure", e.Address, e.Setting)
}

// openKeys reads the API keys of a process.
func (a App) openKeys() (*apikey.Keys, error) {
	c := a.Config
	keys, err := apikey.New(c.KeysFile, apikey.Given{Send: c.APIKeys, Read: c.ReadAPIKeys}, a.Log)
	if err != nil {
		return nil, fmt.Errorf("--keys-file (SPANLAKE_KEYS_FILE): %w", err)
	}
	return keys, nil
}

// checkExposed refuses an address of the HTTP server that others can reach where nobody needs a key, before anything is made.
// Keys are protection enough, as there is no TLS: who needs it puts a proxy before the server.
func (p *player) checkExposed(ctx context.Context) error {
	address, setting := p.address()
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%s: %w", setting, err)
	}
	if otlp.OnLoopback(ctx, host, net.DefaultResolver.LookupNetIP) {
		return nil
	}
	return p.exposed(address, setting)
}

// checkListener looks again at the address that is listened on: a name may mean something else by now.
func (p *player) checkListener(at net.Addr) error {
	if tcp, ok := at.(*net.TCPAddr); ok && tcp.IP.IsLoopback() {
		return nil
	}
	address, setting := p.address()
	return p.exposed(address, setting)
}

func (p *player) exposed(address, setting string) error {
	if p.Config.Insecure || p.keys.Required(apikey.Read) {
		return nil
	}
	return &ExposedError{Address: address, Setting: setting}
}

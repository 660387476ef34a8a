package otlp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configtls"

	"github.com/spanlake/spanlake/internal/apikey"
	"github.com/spanlake/spanlake/internal/otlpwire"
)

const (
	// DefaultMaxRequestBytes is the most a request may have after decompression.
	DefaultMaxRequestBytes = 64 << 20
	// DefaultInFlightBytes is the most memory for requests that are received and stored.
	DefaultInFlightBytes = 160 << 20
	// DefaultReadTimeout is how long a request may take to arrive.
	DefaultReadTimeout = 30 * time.Second
	// minInFlight is the least of InFlightBytes.
	minInFlight = 16 << 20
)

// TLS are the files of a certificate, in PEM. All are empty for a server without TLS.
type TLS struct {
	CertFile, KeyFile string
	// ClientCAFile has clients show a certificate that one of these authorities signed; "" asks for none.
	ClientCAFile string
}

// Options say how spans are received.
type Options struct {
	// GRPC and HTTP are the addresses to listen on, host:port; "" listens on none.
	GRPC, HTTP string
	TLS        TLS
	// Insecure listens on any address, also without keys and TLS.
	Insecure bool
	// Keys may be nil: then no key is needed.
	Keys apikey.Verifier
	// CORSOrigins are the origins whose pages may send spans over HTTP; "*" stands for any part of one.
	CORSOrigins []string
	// MaxRequestBytes bounds a request after decompression. InFlightBytes bounds the memory of all requests together, from
	// their first byte until they are stored; it must be 2.5 times as much as the largest request at least, since a request
	// that has to be repaired is in memory twice. The Go runtime may need as much again until it has collected garbage,
	// unless it has a memory limit. 0 stands for the default of each.
	MaxRequestBytes, InFlightBytes int64
	// ReadTimeout is how long a request may take to arrive; 0 stands for the default.
	ReadTimeout time.Duration
	// Limits bound what one span may bring.
	Limits otlpwire.Limits
	// Observer may be nil.
	Observer Observer
	// Log may be nil.
	Log *slog.Logger
}

// Observer counts what happens. Its methods may be called at the same time.
type Observer interface {
	// Accepted: a request was stored with this many spans. It had so many bytes of protobuf. Transport is "grpc" or "http".
	Accepted(transport string, spans, bytes int)
	// Refused: a request was refused for a reason (docs/ingest.md lists them), or with the reason "invalid" some spans of
	// it. Spans is 0 where they were not counted, since the request was not read.
	Refused(reason string, spans int)
	// Repaired: n things of a kind were changed in spans that were accepted: "strings", "long_values", "deep_values",
	// "attributes", "events" or "links".
	Repaired(what string, n int64)
}

// ExposedError says that a server would be open to others without keys or without TLS.
type ExposedError struct {
	Address string
	// Keys and TLS tell which of them is missing.
	Keys, TLS bool
}

func (e *ExposedError) Error() string {
	var missing, do []string
	if e.Keys {
		missing, do = append(missing, "API keys"), append(do, "make a key with `spanlake keys create` or set SPANLAKE_API_KEYS")
	}
	if e.TLS {
		missing, do = append(missing, "TLS"), append(do, "set --tls-cert and --tls-key")
	}
	return fmt.Sprintf("%s can be reached from other machines, and there is no protection by %s: %s, listen on 127.0.0.1, or say --insecure",
		e.Address, strings.Join(missing, " and "), strings.Join(do, ", "))
}

// Resolver finds the addresses of a host, as net.Resolver does.
type Resolver func(ctx context.Context, network, host string) ([]netip.Addr, error)

// Validate tells what is wrong with the options. A server that would be open to others is an *ExposedError.
func (o *Options) Validate(ctx context.Context, resolve Resolver) error {
	o = new(o.withDefaults())
	switch {
	case o.GRPC == "" && o.HTTP == "":
		return errors.New("OTLP needs an address for gRPC (--otlp-grpc) or HTTP (--otlp-http)")
	case (o.TLS.CertFile == "") != (o.TLS.KeyFile == ""):
		return errors.New("TLS needs both a certificate (--tls-cert) and its key (--tls-key)")
	case o.TLS.ClientCAFile != "" && o.TLS.CertFile == "":
		return errors.New("client certificates (--tls-client-ca) need TLS: set --tls-cert and --tls-key")
	case o.MaxRequestBytes < 0 || o.InFlightBytes < max(minInFlight, o.MaxRequestBytes*5/2):
		return fmt.Errorf("requests of up to %s need at least %s of memory for requests in flight, not %s", humanize.IBytes(uint64(max(o.MaxRequestBytes, 0))),
			humanize.IBytes(uint64(max(minInFlight, o.MaxRequestBytes*5/2))), humanize.IBytes(uint64(max(o.InFlightBytes, 0))))
	}
	for _, address := range []string{o.GRPC, o.HTTP} {
		if address == "" {
			continue
		}
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return fmt.Errorf("OTLP address %q is not host:port: %w", address, err)
		}
		if !OnLoopback(ctx, host, resolve) {
			if err := o.exposed(address); err != nil {
				return err
			}
		}
	}
	return nil
}

// exposed tells what protection is missing at an address that others can reach.
func (o *Options) exposed(address string) error {
	// Client certificates say who somebody is as keys do.
	keys := (o.Keys == nil || !o.Keys.Required(apikey.Send)) && o.TLS.ClientCAFile == ""
	tls := o.TLS.CertFile == ""
	if o.Insecure || !keys && !tls {
		return nil
	}
	return &ExposedError{Address: address, Keys: keys, TLS: tls}
}

// OnLoopback tells whether all addresses of a host can be reached from this machine only. An empty host is all of them, and
// one that cannot be found might be any.
func OnLoopback(ctx context.Context, host string, resolve Resolver) bool {
	if address, err := netip.ParseAddr(host); err == nil {
		return address.Unmap().IsLoopback()
	}
	if host == "" {
		return false
	}
	addresses, err := resolve(ctx, "ip", host)
	for _, address := range addresses {
		if !address.Unmap().IsLoopback() {
			return false
		}
	}
	return err == nil && len(addresses) > 0
}

// tls is nothing without a certificate.
func (o *Options) tls() configoptional.Optional[configtls.ServerConfig] {
	if o.TLS.CertFile == "" {
		return configoptional.None[configtls.ServerConfig]()
	}
	config := configtls.NewDefaultServerConfig()
	config.CertFile, config.KeyFile, config.ClientCAFile = o.TLS.CertFile, o.TLS.KeyFile, o.TLS.ClientCAFile
	config.ReloadClientCAFile = o.TLS.ClientCAFile != ""
	config.ReloadInterval = certificateReload
	return configoptional.Some(config)
}

// certificateReload is how long a certificate is used until its files are read again.
const certificateReload = time.Minute

func (o *Options) withDefaults() Options {
	d := *o
	if d.MaxRequestBytes == 0 {
		d.MaxRequestBytes = DefaultMaxRequestBytes
	}
	if d.InFlightBytes == 0 {
		d.InFlightBytes = DefaultInFlightBytes
	}
	if d.ReadTimeout <= 0 {
		d.ReadTimeout = DefaultReadTimeout
	}
	if d.Observer == nil {
		d.Observer = nobody{}
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	return d
}

// nobody counts nothing.
type nobody struct{}

// Accepted does nothing.
func (nobody) Accepted(string, int, int) {}

// Refused does nothing.
func (nobody) Refused(string, int) {}

// Repaired does nothing.
func (nobody) Repaired(string, int64) {}

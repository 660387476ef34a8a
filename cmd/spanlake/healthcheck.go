package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// healthTime is how long a server may take to say that it is well.
const healthTime = 5 * time.Second

func newHealthcheckCommand() *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask a running server whether it is well",
		Long: "Healthcheck asks /healthz of a server and ends with exit code 0 if it answers well, 1 if not. It is for containers,\n" +
			"whose images have no curl.",
		Example: "  spanlake healthcheck                               # of serve or backend, on --listen\n" +
			"  spanlake healthcheck --url http://127.0.0.1:1324   # of ingest",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := newSession(cmd)
			if err != nil {
				return err
			}
			return s.health(cmd.Context(), cmp.Or(url, s.Config.Server, "http://"+dialable(s.Config.Listen)))
		},
	}
	cmd.Flags().StringVar(&url, "url", "", "the server to ask (default the address of --listen)")
	return cmd
}

// dialable is where a listener on all interfaces is reached.
func dialable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}

func (s *session) health(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(url, "/")+"/healthz", nil)
	if err != nil {
		return fmt.Errorf("--url %s: %w", url, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("not well: %w", err)
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	if err != nil {
		return fmt.Errorf("not well: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("not well: %s answers %s: %s", url, response.Status, strings.TrimSpace(string(text)))
	}
	_, err = s.stdout.Write(text)
	return err
}

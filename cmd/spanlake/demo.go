package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/spanlake/spanlake/internal/api/client"
	"github.com/spanlake/spanlake/internal/app"
	"github.com/spanlake/spanlake/internal/config"
	"github.com/spanlake/spanlake/internal/demo"
)

// demoCommand shows Spanlake with made-up traffic.
type demoCommand struct {
	printer  *printer
	stderr   *printer
	keep     bool
	open     bool
	duration time.Duration
	// anyPort: free ports are used, whatever the usual ones are.
	anyPort bool
	// given are the flags of settings on the command line.
	given map[string]string
	log   *slog.Logger
}

func newDemoCommand() *cobra.Command {
	d := &demoCommand{}
	var noOpen bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show Spanlake with made-up live traffic, in a temporary folder",
		Long: "Demo runs `spanlake serve` in a temporary folder, fills it with the traces of the last day of a made-up company that runs AI\n" +
			"assistants, and goes on to send new ones over OTLP. It prints one URL, where its pages are. Your own programs can send to it as well.\n" +
			"No setting of the environment or of .env counts. Ctrl-C ends it and deletes the folder.",
		Example: "  spanlake demo\n  spanlake demo --keep --no-open",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := d.configure(cmd); err != nil {
				return err
			}
			d.open = !noOpen && isTerminal(cmd.OutOrStdout())
			if err := d.run(cmd.Context()); err != nil {
				return &serverError{err}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&noOpen, "no-open", false, "do not open a browser; it is opened only where a terminal and a desktop are")
	cmd.Flags().BoolVar(&d.keep, "keep", false, "keep the folder, and print where it is")
	cmd.Flags().DurationVar(&d.duration, "duration", 0, "end after this time, such as 10s; 0 is never")
	addIngestSettings(cmd.Flags(), "insecure")
	return cmd
}

// configure takes what was given on the command line, and refuses settings that would have the demo touch anything but its folder.
func (d *demoCommand) configure(cmd *cobra.Command) error {
	d.given = make(map[string]string)
	var refused error
	cmd.Flags().Visit(func(flag *pflag.Flag) {
		switch flag.Name {
		case "no-open", "keep", "duration", "verbose":
		case "listen", "memory", "insecure":
			d.given[flag.Name] = flag.Value.String()
		default:
			refused = fmt.Errorf("the demo has a folder and ports of its own, so leave --%s out: %w", flag.Name, helpError{cmd})
		}
	})
	if refused == nil && d.duration < 0 {
		refused = fmt.Errorf("--duration %s is not allowed: must be a time such as 10s, or 0: %w", d.duration, helpError{cmd})
	}
	level := slog.LevelWarn
	if verbose, err := cmd.Flags().GetBool("verbose"); err == nil && verbose {
		level = slog.LevelDebug
	}
	d.printer, d.stderr = &printer{w: cmd.OutOrStdout()}, &printer{w: cmd.ErrOrStderr()}
	d.log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
	return refused
}

// settings are those of the server of a demo in a folder.
func (d *demoCommand) settings(ctx context.Context, folder string) (config.Config, error) {
	flags := map[string]string{
		"lake": filepath.Join(folder, "spans"), "db": filepath.Join(folder, "index.duckdb"), "wal": filepath.Join(folder, "wal.db"),
		"keys-file": filepath.Join(folder, "keys.json"), "memory": "384MB", "internal-listen": "off", "internal-server": "off",
		"max-request-size": "32MiB", // as much as this memory allows
		// It may run for days, and on a small disk for temporary files.
		"retain-bytes": "1GB", "min-free-disk": "32MB",
		// What is lost when the power fails is no loss here.
		"wal-sync": "normal",
		// Files come often enough for somebody who watches the index for a minute.
		"flush-max-age": "30s", "flush-interval": "5s", "flush-min-rows": "1", "poll-interval": "10s",
		"otlp-grpc": d.freePort(ctx, "OTLP over gRPC", 4317), "otlp-http": d.freePort(ctx, "OTLP over HTTP", 4318),
	}
	maps.Copy(flags, d.given)
	if flags["listen"] == "" {
		flags["listen"] = d.freePort(ctx, "the pages", 1323)
	}
	none := func(string) (string, bool) { return "", false }
	return config.Load(flags, none, filepath.Join(folder, "no.env"))
}

// freePort is an address of this machine with the port, or, if another program has that, with any.
func (d *demoCommand) freePort(ctx context.Context, what string, port int) string {
	if d.anyPort {
		return "127.0.0.1:0"
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		d.stderr.printf("Port %d is taken by another program: a free one is used for %s.\n", port, what)
		return "127.0.0.1:0"
	}
	if err == nil {
		_ = listener.Close() // it only tried
	}
	return address // whatever is wrong, the server says it
}

// run runs the demo until ctx ends, which is no error.
func (d *demoCommand) run(ctx context.Context) (err error) {
	for _, path := range demo.RemoveLeftovers("") {
		d.stderr.printf("Deleted %s, which a demo that was killed had left.\n", path)
	}
	folder, err := demo.MakeFolder("", d.keep)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	settings, err := d.settings(ctx, folder.Path)
	if err != nil {
		return err
	}
	if d.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.duration)
		defer cancel()
	}
	history, err := demo.NewHistory(settings.Lake, 1, time.Now())
	if err != nil {
		return err
	}
	if _, err := history.Next(); err != nil { // the rest comes when the pages are there
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	at, ended, err := d.serve(ctx, settings)
	if errors.Is(err, syscall.EADDRINUSE) {
		// Another program, such as a second demo, has taken a port since freePort looked. One that was asked for stays.
		d.anyPort = true
		if settings, err = d.settings(ctx, folder.Path); err != nil {
			return err
		}
		at, ended, err = d.serve(ctx, settings)
	}
	if err != nil || at.URL == "" {
		return err
	}
	traffic := d.traffic(ctx, cancel, history, at, folder)
	err = <-ended
	cancel()
	return errors.Join(err, traffic())
}

// serve starts the server and waits until it listens. Its end is told by ended; if it ends before, by the error, nil if ctx has ended.
func (d *demoCommand) serve(ctx context.Context, settings config.Config) (at app.Addresses, ended <-chan error, err error) {
	listening, done := make(chan app.Addresses, 1), make(chan error, 1)
	go func() {
		done <- app.New(settings, d.log).Run(ctx, app.Serve, version(), func(at app.Addresses) { listening <- at })
	}()
	select {
	case err := <-done:
		return app.Addresses{}, nil, err
	case at := <-listening:
		return at, done, nil
	}
}

// traffic sends live traces, says where the pages are once they show something, and writes the rest of the history. If one of these fails the
// demo ends. The result waits for them.
func (d *demoCommand) traffic(ctx context.Context, cancel func(), history *demo.History, at app.Addresses, folder *demo.Folder) func() error {
	var running sync.WaitGroup
	var sending, telling error
	running.Go(func() {
		live, err := demo.NewLive(uint64(time.Now().UnixNano()), time.Now(), history.Running())
		if err == nil {
			err = live.Send(ctx, at.OTLPHTTP)
		}
		if sending = err; err != nil {
			cancel()
		}
	})
	running.Go(func() {
		err := d.tell(ctx, at, folder)
		if err == nil {
			err = history.Rest(ctx)
		}
		if telling = err; err != nil {
			cancel()
		}
	})
	return func() error {
		running.Wait()
		return errors.Join(sending, telling)
	}
}

// readyTime is how long the first traces may take until they are indexed, before the URL is printed all the same.
const readyTime = 20 * time.Second

// tell prints the URL, and opens it.
func (d *demoCommand) tell(ctx context.Context, at app.Addresses, folder *demo.Folder) error {
	c, err := client.New(at.URL, "")
	if err != nil {
		return err
	}
	defer c.Close()
	waiting, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	if _, err := c.IndexNow(waiting, false); err != nil && waiting.Err() == nil {
		return fmt.Errorf("index the first traces: %w", err)
	}
	if ctx.Err() != nil {
		return nil
	}
	hint := "Ctrl-C ends it and deletes the data"
	if d.keep {
		hint = "Ctrl-C ends it, the data stays in " + folder.Path
	}
	d.printer.printf("Spanlake demo: %s/  (%s)\n", at.URL, hint)
	d.printer.printf("Your own programs can send to it as well: OTLP over gRPC on %s, over HTTP on %s\n", at.OTLPGRPC, at.OTLPHTTP)
	if d.printer.err != nil {
		return fmt.Errorf("print the address: %w", d.printer.err)
	}
	if d.open {
		d.openBrowser(at.URL + "/")
	}
	return nil
}

// opener is the command that opens a URL on the desktop, nil if there is none.
func opener(system string, getenv func(string) string) []string {
	switch system {
	case "darwin":
		return []string{"open"}
	case "windows":
		return []string{"rundll32", "url.dll,FileProtocolHandler"}
	}
	if getenv("DISPLAY") == "" && getenv("WAYLAND_DISPLAY") == "" {
		return nil
	}
	return []string{"xdg-open"}
}

// openBrowser opens a URL if it can. The URL is printed in any case.
func (d *demoCommand) openBrowser(url string) {
	command := opener(runtime.GOOS, os.Getenv)
	if command == nil {
		return
	}
	path, err := exec.LookPath(command[0])
	if err != nil {
		d.log.Debug("no browser is opened", "error", err)
		return
	}
	// It outlives the demo, as a browser does.
	browser := exec.Command(path, slices.Concat(command[1:], []string{url})...) //nolint:gosec,noctx // a command of opener, and the server's own URL
	if err := browser.Start(); err != nil {
		d.log.Debug("no browser is opened", "error", err)
		return
	}
	go func() { _ = browser.Wait() }() // what it says is not about the demo
}

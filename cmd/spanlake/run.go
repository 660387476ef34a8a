package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/spanlake/spanlake/internal/app"
	"github.com/spanlake/spanlake/internal/config"
	"github.com/spanlake/spanlake/internal/index"
	"github.com/spanlake/spanlake/internal/otlp"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/wal"
)

// Exit codes, as docs/cli.md lists them.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitLocked      = 3
	exitUnusable    = 4
	exitInterrupted = 130
)

// errUsage marks errors of the command line itself.
var errUsage = errors.New("see --help")

// helpError is errUsage that says which help.
type helpError struct{ command *cobra.Command }

func (e helpError) Error() string { return "see `" + e.command.CommandPath() + " --help`" }

func (e helpError) Unwrap() error { return errUsage }

// errGoesOn says what an interrupted index leaves.
var errGoesOn = errors.New("what was committed stays, run it again to go on")

// errDifferences says that verify found the index and the lake to differ.
var errDifferences = errors.New("the index differs from the lake")

func exitCode(err error) int {
	var (
		wrong    *config.Error
		query    *span.QueryError
		locked   *index.LockedError
		unusable *index.UnusableError
		exposed  *otlp.ExposedError
		open     *app.ExposedError
		invalid  *span.InvalidError
		held     *wal.LockedError
		noLog    *wal.UnusableError
	)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &wrong), errors.As(err, &query), errors.As(err, &exposed), errors.As(err, &open), errors.As(err, &invalid), errors.Is(err, errUsage):
		return exitUsage
	case errors.As(err, &locked), errors.As(err, &held):
		return exitLocked
	case errors.As(err, &unusable), errors.As(err, &noLog):
		return exitUnusable
	default:
		return exitFailure
	}
}

// Run runs one command line. args are without the name of the program.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	if err := root.ExecuteContext(ctx); err != nil {
		// A server is meant to be stopped: what it says then is about something else.
		if stopped := (*serverError)(nil); ctx.Err() != nil && !errors.As(err, &stopped) {
			hint := ""
			if errors.Is(err, errGoesOn) {
				hint = errGoesOn.Error() + ": "
			}
			return fmt.Errorf("interrupted: %s%w", hint, ctx.Err())
		}
		return err
	}
	return nil
}

// serverError is an error of a command that runs until it is stopped.
type serverError struct{ error }

func (e *serverError) Unwrap() error { return e.error }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "spanlake",
		Short: "Keep OpenTelemetry traces in Parquet files and find them in milliseconds",
		Long: "Spanlake takes OpenTelemetry spans in over OTLP, keeps them in Parquet files that anything can read, and indexes these\n" +
			"in DuckDB, so that services, traces and spans are listed in milliseconds. Settings come from flags, the environment\n" +
			"or a .env file, in this order.",
		Example: "  spanlake demo       # look at it first: made-up traffic, in a temporary folder\n" +
			"  spanlake serve      # take spans in on ports 4317 and 4318, index them, answer on 1323\n" +
			"  spanlake flush      # move what has arrived into the lake now\n" +
			"  spanlake services   # look at it\n" +
			"  spanlake traces     # the latest traces\n" +
			"  spanlake sample     # write made-up traces to play with",
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		// cobra checks it as well, but its error could not be told from one of the command.
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := cmd.ValidateFlagGroups(); err != nil {
				return fmt.Errorf("%w: %w", err, helpError{cmd})
			}
			return nil
		},
	}
	root.PersistentFlags().BoolP("verbose", "v", false, "log more")
	addSettings(root.PersistentFlags())
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return fmt.Errorf("%w: %w", err, helpError{cmd}) })
	root.AddCommand(
		newDemoCommand(), newServeCommand(), newIngestCommand(), newBackendCommand(), newFlushCommand(), newKeysCommand(), newHealthcheckCommand(),
		newTracesCommand(), newTraceCommand(), newSpanCommand(), newTailCommand(), newExportCommand(),
		newIndexCommand(), newSQLCommand(), newServicesCommand(), newFilesCommand(), newFailedCommand(),
		newRetryCommand(), newRebuildCommand(), newVerifyCommand(), newRetainCommand(), newSampleCommand(), newBenchCommand(),
	)
	usageErrors(root)
	return root
}

// addSettings adds the flags of the settings that every command has.
func addSettings(flags *pflag.FlagSet) {
	for _, s := range config.Settings() {
		if !s.Ingest {
			addSetting(flags, s)
		}
	}
}

// addIngestSettings adds the flags of settings that are about taking spans in: those that are named, or all.
func addIngestSettings(flags *pflag.FlagSet, only ...string) {
	for _, s := range config.Settings() {
		if s.Ingest && (len(only) == 0 || slices.Contains(only, s.Flag)) {
			addSetting(flags, s)
		}
	}
}

func addSetting(flags *pflag.FlagSet, s config.Setting) {
	standard := "default " + s.Default
	if s.Default == "" {
		standard = "default none"
	}
	flags.String(s.Flag, "", fmt.Sprintf("%s: %s (%s, %s)", s.Usage, s.Allowed, s.Env, standard))
	if s.Switch {
		flags.Lookup(s.Flag).NoOptDefVal = "true"
	}
}

// version is what the binary was built from, as Go notes it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return info.Main.Version + " (" + setting.Value + ")"
		}
	}
	return info.Main.Version
}

// noCommand refuses a word that is not a command, and guesses which one was meant.
func noCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	hint := ""
	if meant := cmd.SuggestionsFor(args[0]); len(meant) > 0 {
		hint = " (did you mean " + strings.Join(meant, " or ") + "?)"
	}
	return fmt.Errorf("unknown command %q%s", args[0], hint)
}

// usageErrors makes wrong arguments errors of usage.
func usageErrors(command *cobra.Command) {
	if check := command.Args; check != nil {
		command.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return fmt.Errorf("%w: %w", err, helpError{cmd})
			}
			return nil
		}
	}
	for _, child := range command.Commands() {
		usageErrors(child)
	}
}

// session is what a command works with.
type session struct {
	app.App
	stdout, stderr io.Writer
	json           bool
	// log is where the log goes: stderr, around the progress bar.
	log *logWriter
}

// newSession reads the settings of a command that ends by itself: it logs what is wrong.
func newSession(cmd *cobra.Command) (*session, error) { return newSessionAt(cmd, slog.LevelWarn) }

// newServerSession reads the settings of a command that runs until it is stopped: it logs what an operator wants to know.
func newServerSession(cmd *cobra.Command) (*session, error) { return newSessionAt(cmd, slog.LevelInfo) }

func newSessionAt(cmd *cobra.Command, level slog.Level) (*session, error) {
	given := make(map[string]string)
	cmd.Flags().Visit(func(flag *pflag.Flag) { given[flag.Name] = flag.Value.String() })
	settings, err := config.Load(given, os.LookupEnv, ".env")
	if err != nil {
		return nil, err
	}
	if verbose, err := cmd.Flags().GetBool("verbose"); err == nil && verbose {
		level = slog.LevelDebug
	}
	s := &session{stdout: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr()}
	s.log = &logWriter{w: s.stderr}
	if flag := cmd.Flags().Lookup("json"); flag != nil {
		s.json = flag.Value.String() == "true"
	}
	s.App = app.New(settings, slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: level})))
	return s, nil
}

// withIndex opens the index, runs work and closes the index.
func (s *session) withIndex(ctx context.Context, readOnly bool, work func(*index.Index) error) error {
	x, err := s.OpenIndex(ctx, readOnly)
	if err != nil {
		return err
	}
	return errors.Join(work(x), x.Close())
}

// isTerminal tells whether people read what is written to w.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

func addJSONFlag(cmd *cobra.Command, usage string) {
	cmd.Flags().Bool("json", false, usage)
}

// Package config turns flags, environment variables and a .env file into the settings of the program.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/joho/godotenv"
)

// Config is all that can be set. Sizes are in bytes.
type Config struct {
	// Lake is the root folder of the Parquet files.
	Lake string
	// DB is the DuckDB file of the index.
	DB string
	// BatchSize is how many files one transaction takes in.
	BatchSize int
	// PollInterval is how often the lake is looked through.
	PollInterval time.Duration
	// Memory is the budget of the whole process.
	Memory int64
	// Listen is the address of the backend's HTTP server.
	Listen string
	// Hosts are further names under which it is reached, in lower case.
	Hosts []string
	// Server is the URL of a running backend that is asked instead of opening DB; "" finds the one that holds DB.
	Server string
	// APIKey is what Server is sent; "" is none.
	APIKey string
	// RetainDays is after how many days files are deleted, RetainBytes how large the lake may become; 0 is without bound.
	RetainDays  int
	RetainBytes int64

	// Ingest is what taking spans in needs.
	Ingest

	// Limits of one file of the lake; see index.Limits.
	MaxFileRows, MaxFileRowGroups, MaxFileFooter, MaxFilePage int64
	MaxFileTime                                               time.Duration
}

// Error says that a setting has a value that is not allowed.
type Error struct {
	// Source is where the value stands: the flag, or the variable and what set it.
	Source, Value, Allowed string
	Err                    error
}

func (e *Error) Error() string {
	text := fmt.Sprintf("%s: %q is not allowed: must be %s", e.Source, e.Value, e.Allowed)
	if e.Err != nil {
		text += fmt.Sprintf(" (%v)", e.Err)
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// Load makes the settings. A flag that was given beats the environment, which beats the .env file, which beats the
// default; a variable that is empty counts as not set.
//
// flags are the values of the flags that were given, by name; lookupEnv is os.LookupEnv; dotEnv is the path of a file
// that need not exist. Errors are of type *Error.
func Load(flags map[string]string, lookupEnv func(string) (string, bool), dotEnv string) (Config, error) {
	file, err := godotenv.Read(dotEnv)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Config{}, &Error{Source: "the file " + dotEnv, Value: dotEnv, Allowed: "lines of NAME=value", Err: err}
	}
	var config Config
	for _, s := range Settings() {
		value, source := s.Default, "the default of --"+s.Flag
		// A name that is looked at later beats the ones before it.
		for _, name := range s.names() {
			if fromFile := file[name]; fromFile != "" {
				value, source = fromFile, fmt.Sprintf("%s in %s (--%s)", name, dotEnv, s.Flag)
			}
		}
		for _, name := range s.names() {
			if fromEnv, ok := lookupEnv(name); ok && fromEnv != "" {
				value, source = fromEnv, fmt.Sprintf("%s in the environment (--%s)", name, s.Flag)
			}
		}
		if fromFlag, ok := flags[s.Flag]; ok {
			value, source = fromFlag, fmt.Sprintf("--%s (%s)", s.Flag, s.Env)
		}
		if err := s.set(&config, strings.TrimSpace(value)); err != nil {
			if errors.Is(err, errNotAllowed) {
				err = nil // Allowed says it all
			}
			if s.Secret {
				value = "(not shown)"
			}
			return Config{}, &Error{Source: source, Value: value, Allowed: s.Allowed, Err: err}
		}
	}
	err = config.validate()
	return config, err
}

// Package config turns flags, environment variables and a .env file into the settings of the program.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
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
	// Server is the URL of a running backend that is asked instead of opening DB; "" finds the one that holds DB.
	Server string
	// RetainDays is after how many days files are deleted, RetainBytes how large the lake may become; 0 is without bound.
	RetainDays  int
	RetainBytes int64

	// Limits of one file of the lake; see index.Limits.
	MaxFileRows, MaxFileRowGroups, MaxFileFooter, MaxFilePage int64
	MaxFileTime                                               time.Duration
}

// Setting is one of the values of Config, as people set it.
type Setting struct {
	// Flag is without its dashes, Env the environment variable.
	Flag, Env string
	Default   string
	// Usage is a line of help; Allowed says which values are.
	Usage, Allowed string
	set            func(*Config, string) error
}

// Settings are all there are, in the order in which help shows them.
func Settings() []Setting {
	return []Setting{
		{"lake", "JUNJO_SPAN_STORAGE_PATH", "./.dbdata/spans", "root folder of the Parquet span files", "a path",
			path(func(c *Config) *string { return &c.Lake })},
		{"db", "JUNJO_DUCKDB_PATH", "./.dbdata/duckdb/spanlake.duckdb", "DuckDB file of the index", "a path",
			path(func(c *Config) *string { return &c.DB })},
		{"batch-size", "INDEXER_BATCH_SIZE", "10", "files in one transaction", "a whole number from 1 to 100",
			func(c *Config, value string) (err error) { c.BatchSize, err = wholeNumber(value, 1, 100); return err }},
		{"poll-interval", "INDEXER_POLL_INTERVAL", "30s", "how often the lake is looked through",
			"a duration from 5s to 1h; plain numbers are seconds",
			duration(func(c *Config) *time.Duration { return &c.PollInterval }, 5*time.Second, time.Hour)},
		{"memory", "SPANLAKE_MEMORY", "512MB", "memory budget of the whole process", "a size of at least 192MB, such as 512MB or 1GiB",
			size(func(c *Config) *int64 { return &c.Memory }, 192*humanize.MByte)},
		{"listen", "SPANLAKE_LISTEN", "127.0.0.1:1323", "address of the backend's HTTP server", "HOST:PORT; port 0 takes a free one",
			hostPort(func(c *Config) *string { return &c.Listen })},
		{"server", "SPANLAKE_SERVER", "", "running backend to ask, instead of the one that holds the index", "a URL such as http://127.0.0.1:1323",
			serverURL(func(c *Config) *string { return &c.Server })},
		{"retain-days", "SPANLAKE_RETAIN_DAYS", "0", "files of days that ended longer ago are deleted by backend and retain", "a whole number of days from 0 (for ever) to 36500",
			func(c *Config, value string) (err error) {
				c.RetainDays, err = wholeNumber(value, 0, 36500)
				return err
			}},
		{"retain-bytes", "SPANLAKE_RETAIN_BYTES", "0", "the oldest files of a larger lake are deleted by backend and retain", "a size, such as 50GB; 0 is without bound",
			size(func(c *Config) *int64 { return &c.RetainBytes }, 0)},
		{"max-file-rows", "SPANLAKE_MAX_FILE_ROWS", "20000000", "most rows of a Parquet file that is indexed", "a whole number of at least 1",
			count(func(c *Config) *int64 { return &c.MaxFileRows })},
		{"max-file-row-groups", "SPANLAKE_MAX_FILE_ROW_GROUPS", "5000", "most row groups of a Parquet file that is indexed",
			"a whole number of at least 1", count(func(c *Config) *int64 { return &c.MaxFileRowGroups })},
		{"max-file-footer", "SPANLAKE_MAX_FILE_FOOTER", "4MiB", "largest footer of a Parquet file that is indexed", "a size, such as 4MiB",
			size(func(c *Config) *int64 { return &c.MaxFileFooter }, 1)},
		{"max-file-page", "SPANLAKE_MAX_FILE_PAGE", "256MiB",
			"largest uncompressed column of a row group, and so page, of a Parquet file that is indexed", "a size, such as 256MiB",
			size(func(c *Config) *int64 { return &c.MaxFilePage }, 1)},
		{"max-file-time", "SPANLAKE_MAX_FILE_TIME", "2m", "longest that reading one Parquet file may take",
			"a duration from 1s to 1h; plain numbers are seconds",
			duration(func(c *Config) *time.Duration { return &c.MaxFileTime }, time.Second, time.Hour)},
	}
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
		if fromFile := file[s.Env]; fromFile != "" {
			value, source = fromFile, fmt.Sprintf("%s in %s (--%s)", s.Env, dotEnv, s.Flag)
		}
		if fromEnv, ok := lookupEnv(s.Env); ok && fromEnv != "" {
			value, source = fromEnv, fmt.Sprintf("%s in the environment (--%s)", s.Env, s.Flag)
		}
		if fromFlag, ok := flags[s.Flag]; ok {
			value, source = fromFlag, fmt.Sprintf("--%s (%s)", s.Flag, s.Env)
		}
		if err := s.set(&config, strings.TrimSpace(value)); err != nil {
			if errors.Is(err, errNotAllowed) {
				err = nil // Allowed says it all
			}
			return Config{}, &Error{Source: source, Value: value, Allowed: s.Allowed, Err: err}
		}
	}
	return config, nil
}

var errNotAllowed = errors.New("not allowed")

func path(field func(*Config) *string) func(*Config, string) error {
	return func(c *Config, value string) error {
		if value == "" || strings.ContainsRune(value, 0) {
			return errNotAllowed
		}
		*field(c) = value
		return nil
	}
}

func hostPort(field func(*Config) *string) func(*Config, string) error {
	return func(c *Config, value string) error {
		_, port, err := net.SplitHostPort(value)
		if err != nil {
			return errNotAllowed
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return errNotAllowed
		}
		*field(c) = value
		return nil
	}
}

func serverURL(field func(*Config) *string) func(*Config, string) error {
	return func(c *Config, value string) error {
		if value == "" {
			*field(c) = ""
			return nil
		}
		u, err := url.Parse(value)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return errNotAllowed
		}
		*field(c) = value
		return nil
	}
}

func wholeNumber(value string, least, most int) (int, error) {
	number, err := strconv.Atoi(value)
	if err != nil || number < least || number > most {
		return 0, errNotAllowed
	}
	return number, nil
}

func count(field func(*Config) *int64) func(*Config, string) error {
	return func(c *Config, value string) error {
		number, err := strconv.ParseInt(value, 10, 64)
		if err != nil || number < 1 {
			return errNotAllowed
		}
		*field(c) = number
		return nil
	}
}

func size(field func(*Config) *int64, least uint64) func(*Config, string) error {
	return func(c *Config, value string) error {
		bytes, err := humanize.ParseBytes(value)
		if err != nil || bytes < least || bytes > 1<<62 {
			return errNotAllowed
		}
		*field(c) = int64(bytes)
		return nil
	}
}

func duration(field func(*Config) *time.Duration, least, most time.Duration) func(*Config, string) error {
	return func(c *Config, value string) error {
		parsed, err := time.ParseDuration(value)
		if seconds, numberErr := strconv.ParseInt(value, 10, 32); numberErr == nil {
			parsed, err = time.Duration(seconds)*time.Second, nil
		}
		if err != nil || parsed < least || parsed > most {
			return errNotAllowed
		}
		*field(c) = parsed
		return nil
	}
}

package config

import (
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// Setting is one of the values of Config, as people set it.
type Setting struct {
	// Flag is without its dashes, Env the environment variable.
	Flag, Env string
	Default   string
	// Usage is a line of help; Allowed says which values are.
	Usage, Allowed string
	// AlsoEnv is another variable of the same meaning, "" if there is none; Env beats it.
	AlsoEnv string
	// Ingest: only commands that take spans in, or ask who does, have the flag.
	Ingest bool
	// Switch: the flag alone means true.
	Switch bool
	// Secret values are never shown.
	Secret bool
	set    func(*Config, string) error
}

// names are the variables in the order in which the later one holds.
func (s *Setting) names() []string {
	if s.AlsoEnv == "" {
		return []string{s.Env}
	}
	return []string{s.AlsoEnv, s.Env}
}

// Settings are all there are, in the order in which help shows them.
func Settings() []Setting { return append(generalSettings(), ingestSettings()...) }

func generalSettings() []Setting {
	return []Setting{
		{Flag: "lake", Env: "JUNJO_SPAN_STORAGE_PATH", AlsoEnv: "SPAN_STORAGE_PATH", Default: "./.dbdata/spans",
			Usage: "root folder of the Parquet span files", Allowed: "a path",
			set: path(func(c *Config) *string { return &c.Lake })},
		{Flag: "db", Env: "JUNJO_DUCKDB_PATH", Default: "./.dbdata/duckdb/spanlake.duckdb",
			Usage: "DuckDB file of the index", Allowed: "a path",
			set: path(func(c *Config) *string { return &c.DB })},
		{Flag: "batch-size", Env: "INDEXER_BATCH_SIZE", Default: "10",
			Usage: "files in one transaction", Allowed: "a whole number from 1 to 100",
			set: func(c *Config, value string) (err error) { c.BatchSize, err = wholeNumber(value, 1, 100); return err }},
		{Flag: "poll-interval", Env: "INDEXER_POLL_INTERVAL", Default: "30s",
			Usage: "how often the lake is looked through", Allowed: "a duration from 5s to 1h; plain numbers are seconds",
			set: duration(func(c *Config) *time.Duration { return &c.PollInterval }, 5*time.Second, time.Hour)},
		{Flag: "memory", Env: "SPANLAKE_MEMORY", Default: "512MB",
			Usage: "memory budget of the whole process", Allowed: "a size of at least 192MB, such as 512MB or 1GiB",
			set: size(func(c *Config) *int64 { return &c.Memory }, 192*humanize.MByte)},
		{Flag: "listen", Env: "SPANLAKE_LISTEN", Default: "127.0.0.1:1323",
			Usage: "address of the backend's HTTP server", Allowed: "HOST:PORT; port 0 takes a free one",
			set: hostPort(func(c *Config) *string { return &c.Listen })},
		{Flag: "hosts", Env: "SPANLAKE_HOSTS", Default: "",
			Usage: "further names under which the HTTP server is reached, such as that of a reverse proxy", Allowed: "names without ports, separated by commas",
			set: hostNames(func(c *Config) *[]string { return &c.Hosts })},
		{Flag: "server", Env: "SPANLAKE_SERVER", Default: "",
			Usage: "running backend to ask, instead of the one that holds the index", Allowed: "a URL such as http://127.0.0.1:1323",
			set: serverURL(func(c *Config) *string { return &c.Server })},
		{Flag: "api-key", Env: "SPANLAKE_API_KEY", Default: "", Secret: true,
			Usage: "API key for the server that --server names; better in the environment than as a flag", Allowed: "a key of at least 16 characters, without spaces",
			set: func(c *Config, value string) error {
				if value != "" && (len(value) < minKey || strings.ContainsFunc(value, notInHeader)) {
					return errNotAllowed
				}
				c.APIKey = value
				return nil
			}},
		{Flag: "retain-days", Env: "SPANLAKE_RETAIN_DAYS", Default: "0",
			Usage: "files of days that ended longer ago are deleted by backend and retain", Allowed: "a whole number of days from 0 (for ever) to 36500",
			set: func(c *Config, value string) (err error) {
				c.RetainDays, err = wholeNumber(value, 0, 36500)
				return err
			}},
		{Flag: "retain-bytes", Env: "SPANLAKE_RETAIN_BYTES", Default: "0",
			Usage: "the oldest files of a larger lake are deleted by backend and retain", Allowed: "a size, such as 50GB; 0 is without bound",
			set: size(func(c *Config) *int64 { return &c.RetainBytes }, 0)},
		{Flag: "max-file-rows", Env: "SPANLAKE_MAX_FILE_ROWS", Default: "20000000",
			Usage: "most rows of a Parquet file that is indexed", Allowed: "a whole number of at least 1",
			set: count(func(c *Config) *int64 { return &c.MaxFileRows })},
		{Flag: "max-file-row-groups", Env: "SPANLAKE_MAX_FILE_ROW_GROUPS", Default: "5000",
			Usage: "most row groups of a Parquet file that is indexed", Allowed: "a whole number of at least 1",
			set: count(func(c *Config) *int64 { return &c.MaxFileRowGroups })},
		{Flag: "max-file-footer", Env: "SPANLAKE_MAX_FILE_FOOTER", Default: "4MiB",
			Usage: "largest footer of a Parquet file that is indexed", Allowed: "a size, such as 4MiB",
			set: size(func(c *Config) *int64 { return &c.MaxFileFooter }, 1)},
		{Flag: "max-file-page", Env: "SPANLAKE_MAX_FILE_PAGE", Default: "256MiB",
			Usage:   "largest uncompressed column of a row group, and so page, of a Parquet file that is indexed",
			Allowed: "a size, such as 256MiB",
			set:     size(func(c *Config) *int64 { return &c.MaxFilePage }, 1)},
		{Flag: "max-file-time", Env: "SPANLAKE_MAX_FILE_TIME", Default: "2m",
			Usage: "longest that reading one Parquet file may take", Allowed: "a duration from 1s to 1h; plain numbers are seconds",
			set: duration(func(c *Config) *time.Duration { return &c.MaxFileTime }, time.Second, time.Hour)},
	}
}

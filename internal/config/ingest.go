package config

import (
	"errors"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// Ingest is what taking spans in needs. Addresses are HOST:PORT; "" is off.
type Ingest struct {
	// OTLPGRPC and OTLPHTTP are where clients send spans.
	OTLPGRPC, OTLPHTTP string
	// IngestListen is the HTTP server of the role ingest: health, metrics, flush.
	IngestListen string
	// InternalListen is where the role ingest shows unflushed spans, InternalServer where the role backend looks for them.
	InternalListen, InternalServer string

	// WAL is the SQLite file of what was acknowledged and is in no file of the lake.
	WAL string
	// WALNormal: what was acknowledged may be lost when the power fails, though never when the process does.
	WALNormal bool
	// MaxWALSize and MinFreeDisk are where requests begin to be refused.
	MaxWALSize, MinFreeDisk int64

	// KeysFile has the API keys that `spanlake keys` made; APIKeys are further ones that may send, ReadAPIKeys further ones that
	// may read, as clients send them.
	KeysFile             string
	APIKeys, ReadAPIKeys []string
	// Insecure allows to listen for everybody without keys or TLS.
	Insecure                     bool
	TLSCert, TLSKey, TLSClientCA string
	// CORSOrigins are web pages that may send spans.
	CORSOrigins []string

	// MaxRequestBytes bounds one request, uncompressed.
	MaxRequestBytes int64
	// MaxAttributeBytes bounds one value, MaxAttributes those of one span, event, link, scope or resource, MaxAttributeDepth
	// how deep values are nested.
	MaxAttributeBytes                int64
	MaxAttributes, MaxAttributeDepth int

	// FlushMaxRows, FlushMaxBytes and FlushMaxAge are when unflushed spans go into a file, FlushMinRows how many there must
	// be for age to count, FlushInterval how often age is looked at.
	FlushMaxRows, FlushMinRows int
	FlushMaxBytes              int64
	FlushMaxAge, FlushInterval time.Duration
}

func ingestSettings() []Setting {
	settings := append(receiverSettings(), append(walSettings(), securitySettings()...)...)
	for i := range settings {
		settings[i].Ingest = true
	}
	return settings
}

func receiverSettings() []Setting {
	const address = "HOST:PORT, or off; port 0 takes a free one"
	return []Setting{
		{Flag: "otlp-grpc", Env: "SPANLAKE_OTLP_GRPC", Default: "127.0.0.1:4317",
			Usage: "address for OTLP over gRPC", Allowed: address,
			set: hostPortOrOff(func(c *Config) *string { return &c.OTLPGRPC })},
		{Flag: "otlp-http", Env: "SPANLAKE_OTLP_HTTP", Default: "127.0.0.1:4318",
			Usage: "address for OTLP over HTTP", Allowed: address,
			set: hostPortOrOff(func(c *Config) *string { return &c.OTLPHTTP })},
		{Flag: "ingest-listen", Env: "SPANLAKE_INGEST_LISTEN", Default: "127.0.0.1:1324",
			Usage: "address of the HTTP server of `spanlake ingest`", Allowed: "HOST:PORT; port 0 takes a free one",
			set: hostPort(func(c *Config) *string { return &c.IngestListen })},
		{Flag: "internal-listen", Env: "SPANLAKE_INTERNAL_LISTEN", Default: "127.0.0.1:50052",
			Usage: "address where `spanlake ingest` shows unflushed spans to a backend", Allowed: address,
			set: hostPortOrOff(func(c *Config) *string { return &c.InternalListen })},
		{Flag: "internal-server", Env: "SPANLAKE_INTERNAL_SERVER", Default: "127.0.0.1:50052",
			Usage: "where `spanlake backend` finds unflushed spans", Allowed: "HOST:PORT, or off",
			set: hostPortOrOff(func(c *Config) *string { return &c.InternalServer })},
		{Flag: "max-request-size", Env: "SPANLAKE_MAX_REQUEST_SIZE", Default: "64MiB",
			Usage: "largest OTLP request, uncompressed", Allowed: "a size from 64KiB to 1GiB",
			set: sizeBetween(func(c *Config) *int64 { return &c.MaxRequestBytes }, 64*humanize.KiByte, humanize.GiByte)},
		{Flag: "max-attribute-size", Env: "SPANLAKE_MAX_ATTRIBUTE_SIZE", Default: "8MiB",
			Usage: "longest attribute value; longer ones are cut", Allowed: "a size from 128B to 1GiB",
			set: sizeBetween(func(c *Config) *int64 { return &c.MaxAttributeBytes }, 128, humanize.GiByte)},
		{Flag: "max-attributes", Env: "SPANLAKE_MAX_ATTRIBUTES", Default: "1024",
			Usage: "most attributes of a span, event, link, scope or resource; further ones are dropped", Allowed: "a whole number from 1 to 1000000",
			set: func(c *Config, value string) (err error) {
				c.MaxAttributes, err = wholeNumber(value, 1, 1_000_000)
				return err
			}},
		{Flag: "max-attribute-depth", Env: "SPANLAKE_MAX_ATTRIBUTE_DEPTH", Default: "32",
			Usage: "deepest nesting of an attribute value; what is deeper is dropped", Allowed: "a whole number from 1 to 64",
			set: func(c *Config, value string) (err error) {
				c.MaxAttributeDepth, err = wholeNumber(value, 1, 64)
				return err
			}},
	}
}

func walSettings() []Setting {
	return []Setting{
		{Flag: "wal", Env: "JUNJO_WAL_SQLITE_PATH", Default: "./.dbdata/sqlite/wal.db",
			Usage: "SQLite file of spans that are in no Parquet file yet", Allowed: "a path",
			set: path(func(c *Config) *string { return &c.WAL })},
		{Flag: "wal-sync", Env: "SPANLAKE_WAL_SYNC", Default: "full",
			Usage: "what an acknowledged span survives: full is power loss, normal the end of the process only", Allowed: "full or normal",
			set: func(c *Config, value string) error {
				if value != "full" && value != "normal" {
					return errNotAllowed
				}
				c.WALNormal = value == "normal"
				return nil
			}},
		{Flag: "max-wal-size", Env: "SPANLAKE_MAX_WAL_SIZE", Default: "2GB",
			Usage: "size of the WAL from which on clients are told to try again later", Allowed: "a size of at least 16MB",
			set: size(func(c *Config) *int64 { return &c.MaxWALSize }, 16*humanize.MByte)},
		{Flag: "min-free-disk", Env: "SPANLAKE_MIN_FREE_DISK", Default: "256MB",
			Usage: "free disk space below which clients are told to try again later", Allowed: "a size, such as 256MB; 0 is none",
			set: size(func(c *Config) *int64 { return &c.MinFreeDisk }, 0)},
		{Flag: "flush-max-rows", Env: "FLUSH_MAX_ROWS", Default: "100000",
			Usage: "spans that are flushed at once, and rows of a file at most", Allowed: "a whole number from 1 to 10000000",
			set: func(c *Config, value string) (err error) {
				c.FlushMaxRows, err = wholeNumber(value, 1, 10_000_000)
				return err
			}},
		{Flag: "flush-max-mb", Env: "FLUSH_MAX_MB", Default: "64",
			Usage: "MB of uncompressed OTLP that are flushed at once", Allowed: "a whole number from 1 to 4096",
			set: func(c *Config, value string) error {
				megabytes, err := wholeNumber(value, 1, 4096)
				c.FlushMaxBytes = int64(megabytes) * humanize.MByte
				return err
			}},
		{Flag: "flush-max-age", Env: "FLUSH_MAX_AGE", Default: "1h",
			Usage: "age of the oldest span at which all are flushed", Allowed: "a duration from 1s to 168h; plain numbers are seconds",
			set: duration(func(c *Config) *time.Duration { return &c.FlushMaxAge }, time.Second, 168*time.Hour)},
		{Flag: "flush-min-rows", Env: "FLUSH_MIN_ROWS", Default: "1000",
			Usage: "spans below which age does not flush until it is ten times as high", Allowed: "a whole number from 0 to 10000000",
			set: func(c *Config, value string) (err error) {
				c.FlushMinRows, err = wholeNumber(value, 0, 10_000_000)
				return err
			}},
		{Flag: "flush-interval", Env: "FLUSH_INTERVAL", Default: "30s",
			Usage: "how often the age is looked at", Allowed: "a duration from 1s to 1h; plain numbers are seconds",
			set: duration(func(c *Config) *time.Duration { return &c.FlushInterval }, time.Second, time.Hour)},
	}
}

func securitySettings() []Setting {
	return []Setting{
		{Flag: "keys-file", Env: "SPANLAKE_KEYS_FILE", Default: "./.dbdata/keys.json",
			Usage: "API keys that `spanlake keys` made", Allowed: "a path",
			set: path(func(c *Config) *string { return &c.KeysFile })},
		{Flag: "api-keys", Env: "SPANLAKE_API_KEYS", Default: "", Secret: true,
			Usage: "further API keys that may send spans; better in the environment than as a flag", Allowed: "keys of at least 16 characters, separated by commas",
			set: keys(func(c *Config) *[]string { return &c.APIKeys })},
		{Flag: "read-api-keys", Env: "SPANLAKE_READ_API_KEYS", Default: "", Secret: true,
			Usage: "further API keys that may read; better in the environment than as a flag", Allowed: "keys of at least 16 characters, separated by commas",
			set: keys(func(c *Config) *[]string { return &c.ReadAPIKeys })},
		{Flag: "insecure", Env: "SPANLAKE_INSECURE", Default: "false", Switch: true,
			Usage: "listen on other than loopback addresses without API keys or TLS", Allowed: "true or false",
			set: func(c *Config, value string) (err error) { c.Insecure, err = boolean(value); return err }},
		{Flag: "tls-cert", Env: "SPANLAKE_TLS_CERT", Default: "",
			Usage: "certificate of the OTLP servers, PEM", Allowed: "a path",
			set: optional(func(c *Config) *string { return &c.TLSCert })},
		{Flag: "tls-key", Env: "SPANLAKE_TLS_KEY", Default: "",
			Usage: "private key of the certificate, PEM", Allowed: "a path",
			set: optional(func(c *Config) *string { return &c.TLSKey })},
		{Flag: "tls-client-ca", Env: "SPANLAKE_TLS_CLIENT_CA", Default: "",
			Usage: "certificates by which clients must be signed, PEM", Allowed: "a path",
			set: optional(func(c *Config) *string { return &c.TLSClientCA })},
		{Flag: "cors-origins", Env: "SPANLAKE_CORS_ORIGINS", Default: "",
			Usage: "web pages that may send spans over HTTP", Allowed: "origins such as https://*.example.com, or *, separated by commas",
			set: func(c *Config, value string) error {
				c.CORSOrigins = list(value)
				for _, origin := range c.CORSOrigins {
					if origin != "*" && !strings.Contains(origin, "://") {
						return errNotAllowed
					}
				}
				return nil
			}},
	}
}

var errTLSPair = errors.New("both are needed, or neither")

// validate looks at settings that only make sense together.
func (c *Config) validate() error {
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return &Error{Source: "--tls-cert (SPANLAKE_TLS_CERT) and --tls-key (SPANLAKE_TLS_KEY)", Value: c.TLSCert + c.TLSKey,
			Allowed: "the paths of a certificate and of its key", Err: errTLSPair}
	}
	if c.TLSClientCA != "" && c.TLSCert == "" {
		return &Error{Source: "--tls-client-ca (SPANLAKE_TLS_CLIENT_CA)", Value: c.TLSClientCA,
			Allowed: "given together with --tls-cert and --tls-key"}
	}
	return nil
}

// list splits a value at commas.
func list(value string) (items []string) {
	for item := range strings.SplitSeq(value, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

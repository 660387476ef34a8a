package config

import (
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

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

// hostNames are names of hosts as they stand in a Host header, without a port.
func hostNames(field func(*Config) *[]string) func(*Config, string) error {
	return func(c *Config, value string) error {
		names := list(strings.ToLower(value))
		for _, name := range names {
			if strings.ContainsFunc(name, func(r rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789-_.", r) }) {
				return errNotAllowed
			}
		}
		*field(c) = names
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

// optional is a path that may be empty.
func optional(field func(*Config) *string) func(*Config, string) error {
	return func(c *Config, value string) error {
		*field(c) = value
		if value == "" {
			return nil
		}
		return path(field)(c, value)
	}
}

func hostPortOrOff(field func(*Config) *string) func(*Config, string) error {
	return func(c *Config, value string) error {
		if value == "off" {
			*field(c) = ""
			return nil
		}
		return hostPort(field)(c, value)
	}
}

func sizeBetween(field func(*Config) *int64, least, most uint64) func(*Config, string) error {
	return func(c *Config, value string) error {
		bytes, err := humanize.ParseBytes(value)
		if err != nil || bytes < least || bytes > most {
			return errNotAllowed
		}
		*field(c) = int64(bytes)
		return nil
	}
}

func boolean(value string) (bool, error) {
	switch value {
	case "true", "1", "yes", "on":
		return true, nil
	case "false", "0", "no", "off":
		return false, nil
	}
	return false, errNotAllowed
}

// minKey is the least length of an API key.
const minKey = 16

// keys are API keys, separated by commas.
func keys(field func(*Config) *[]string) func(*Config, string) error {
	return func(c *Config, value string) error {
		*field(c) = list(value)
		for _, key := range *field(c) {
			if len(key) < minKey {
				return errNotAllowed
			}
		}
		return nil
	}
}

// notInHeader tells whether a character has no place in a key that is sent in a header.
func notInHeader(r rune) bool { return r <= ' ' || r > '~' }

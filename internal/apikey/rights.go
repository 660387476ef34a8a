package apikey

import (
	"errors"
	"fmt"
	"strings"
)

// Rights are what a key may do.
type Rights uint8

// What there is to do.
const (
	// Send is to send spans.
	Send Rights = 1 << iota
	// Read is to ask for spans and for what the server does.
	Read
	// operate is what Operate is beyond Read.
	operate

	// Operate is to have the server flush, index and try again, and to read as well.
	Operate = operate | Read
	// everything is all of it.
	everything = Send | Operate
)

// errNoRights says that a key would be of no use.
var errNoRights = errors.New("a key must be allowed something: " + words)

// words are those of ParseRights.
const words = "send, read, operate, or several of them"

// ParseRights reads what a key may do, in words: "send", "read", "operate". There must be one at least.
func ParseRights(may []string) (Rights, error) {
	var rights Rights
	for _, word := range may {
		switch word {
		case "send":
			rights |= Send
		case "read":
			rights |= Read
		case "operate":
			rights |= Operate
		default:
			return 0, fmt.Errorf("%q is nothing that a key may do: %s", word, words)
		}
	}
	if rights == 0 {
		return 0, errNoRights
	}
	return rights, nil
}

// Allow tells whether everything that is needed is among the rights.
func (r Rights) Allow(needed Rights) bool { return r&needed == needed }

// Words are what ParseRights reads: the fewest, in the order in which it names them.
func (r Rights) Words() (may []string) {
	if r.Allow(Send) {
		may = append(may, "send")
	}
	switch {
	case r.Allow(Operate):
		may = append(may, "operate")
	case r.Allow(Read):
		may = append(may, "read")
	}
	return may
}

func (r Rights) String() string { return strings.Join(r.Words(), " and ") }

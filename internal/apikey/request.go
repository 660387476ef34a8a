package apikey

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/textproto"
	"strings"
)

const (
	// BearerHeader has "Bearer KEY".
	BearerHeader = "authorization"
	// KeyHeader has only the key.
	KeyHeader = "x-junjo-api-key"
	// maxTried is how many keys of a request are looked at.
	maxTried = 4
)

var (
	// ErrMissing says that a request has no key.
	ErrMissing = errors.New("an API key is needed: send the header \"" + BearerHeader + ": Bearer KEY\" or \"" + KeyHeader + ": KEY\"")
	// ErrUnknown says that no key of a request is accepted.
	ErrUnknown = errors.New("the API key is not accepted: it was revoked, or is not one of this server")
)

// NotAllowedError says that the key of a request is good, but not for this.
type NotAllowedError struct {
	// Name is of the key, May what it may do, Needed what it would have to.
	Name        string
	May, Needed Rights
}

func (e *NotAllowedError) Error() string {
	needed := e.Needed.Words()[0]
	return fmt.Sprintf("the API key %q may only %s: this takes one made with `spanlake keys create NAME --may %s`", e.Name, e.May, needed)
}

// Verifier knows which keys are accepted, as Keys do.
type Verifier interface {
	// Required tells whether it takes a key to do something.
	Required(do Rights) bool
	// Verify tells whether a key is accepted, its name, and what it may do.
	Verify(key string) (name string, may Rights, ok bool)
}

// Check looks for a key in the headers of a request that needs rights; nil means that it may be answered. Whether any key is
// required is for the caller to ask. Errors are ErrMissing, ErrUnknown, or a *NotAllowedError; none has a key in it.
func Check(known Verifier, headers map[string][]string, needed Rights) error {
	keys := inHeaders(headers)
	if len(keys) == 0 {
		return ErrMissing
	}
	refused := ErrUnknown
	for _, key := range keys[:min(len(keys), maxTried)] {
		name, may, ok := known.Verify(key)
		switch {
		case ok && may.Allow(needed):
			return nil
		case ok:
			refused = &NotAllowedError{Name: name, May: may, Needed: needed}
		}
	}
	return refused
}

// inHeaders finds the keys in headers, whose names gRPC writes in lower case and net/http in its own.
func inHeaders(headers map[string][]string) (keys []string) {
	for _, value := range valuesOf(headers, BearerHeader) {
		scheme, key, _ := strings.Cut(value, " ")
		if key = strings.TrimSpace(key); strings.EqualFold(scheme, "Bearer") && key != "" {
			keys = append(keys, key)
		}
	}
	for _, value := range valuesOf(headers, KeyHeader) {
		if key := strings.TrimSpace(value); key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}

func valuesOf(headers map[string][]string, name string) []string {
	if values, ok := headers[name]; ok {
		return values
	}
	return headers[textproto.CanonicalMIMEHeaderKey(name)]
}

// WithSecret accepts, beside the keys of another, a secret that a process made for itself and those it trusts. That there is
// one has nobody need a key who needed none.
func WithSecret(others Verifier, name, secret string, may Rights) Verifier {
	return &withSecret{Verifier: others, secret: accepted{name: name, may: may, hash: sha256.Sum256([]byte(secret))}}
}

type withSecret struct {
	Verifier
	secret accepted
}

// Verify implements Verifier.
func (w *withSecret) Verify(key string) (string, Rights, bool) {
	hash := sha256.Sum256([]byte(key))
	if subtle.ConstantTimeCompare(hash[:], w.secret.hash[:]) == 1 {
		return w.secret.name, w.secret.may, true
	}
	return w.Verifier.Verify(key)
}

package otlp

import (
	"context"
	"net/textproto"
	"strings"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/extensionauth"
	"google.golang.org/grpc/status"
)

// Keys are the API keys that open the server.
type Keys interface {
	// Required tells whether a request needs a key.
	Required() bool
	// Verify tells whether a key is accepted, and its name.
	Verify(key string) (name string, ok bool)
}

const (
	// bearerHeader has "Bearer KEY", keyHeader only the key.
	bearerHeader = "authorization"
	keyHeader    = "x-junjo-api-key"
	// maxTried is how many keys of a request are looked at.
	maxTried = 4
)

// authenticator is what the Collector's servers ask before they read a request, and the id by which they find it.
func (s *Server) authenticator() (map[component.ID]component.Component, component.ID) {
	id := component.MustNewID("apikey")
	return map[component.ID]component.Component{id: &keyCheck{server: s}}, id
}

// keyCheck is an authenticator in the form of an extension of the Collector.
type keyCheck struct {
	component.StartFunc
	component.ShutdownFunc
	server *Server
}

var _ extensionauth.Server = (*keyCheck)(nil)

// Authenticate looks for a key in the headers of a request, on either transport.
func (k *keyCheck) Authenticate(ctx context.Context, headers map[string][]string) (context.Context, error) {
	refused := k.server.checkKey(headers)
	if refused == nil {
		return ctx, nil
	}
	k.server.refuse(refused)
	return ctx, status.ErrorProto(refused.status())
}

func (s *Server) checkKey(headers map[string][]string) *refusal {
	if s.options.Keys == nil || !s.options.Keys.Required() {
		return nil
	}
	keys := keysOf(headers)
	for _, key := range keys[:min(len(keys), maxTried)] {
		if _, ok := s.options.Keys.Verify(key); ok {
			return nil
		}
	}
	if len(keys) == 0 {
		return errUnauthenticated("an API key is needed: send the header \"" + bearerHeader + ": Bearer KEY\" or \"" + keyHeader + ": KEY\"")
	}
	return errUnauthenticated("the API key is not accepted: it was revoked, or is not one of this server")
}

// keysOf finds the keys in headers, whose names gRPC writes in lower case and net/http in its own.
func keysOf(headers map[string][]string) (keys []string) {
	for _, value := range valuesOf(headers, bearerHeader) {
		scheme, key, _ := strings.Cut(value, " ")
		if key = strings.TrimSpace(key); strings.EqualFold(scheme, "Bearer") && key != "" {
			keys = append(keys, key)
		}
	}
	for _, value := range valuesOf(headers, keyHeader) {
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

package otlp

import (
	"context"
	"errors"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/extensionauth"
	"google.golang.org/grpc/status"

	"github.com/spanlake/spanlake/internal/apikey"
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
	if s.options.Keys == nil || !s.options.Keys.Required(apikey.Send) {
		return nil
	}
	err := apikey.Check(s.options.Keys, headers, apikey.Send)
	if notAllowed, ok := errors.AsType[*apikey.NotAllowedError](err); ok {
		return errNotAllowed(notAllowed)
	}
	if err != nil {
		return errUnauthenticated(err)
	}
	return nil
}

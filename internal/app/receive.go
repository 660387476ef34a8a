package app

import (
	"context"

	"github.com/spanlake/spanlake/internal/apikey"
	"github.com/spanlake/spanlake/internal/otlp"
	"github.com/spanlake/spanlake/internal/otlpwire"
)

// newReceiver makes the servers for OTLP. They listen when they are started.
func (a App) newReceiver(ctx context.Context, role Role, keys apikey.Verifier, sink otlp.Sink, observer otlp.Observer) (*otlp.Server, error) {
	c, split := a.Config, a.split(role)
	if split.MaxRequest < c.MaxRequestBytes {
		a.Log.Warn("requests may not be as large as --max-request-size allows: that takes more --memory, or a larger --max-wal-size", "max_request_size",
			split.MaxRequest, "allowed", c.MaxRequestBytes, "memory", c.Memory)
	}
	return otlp.New(ctx, otlp.Options{
		GRPC: c.OTLPGRPC, HTTP: c.OTLPHTTP, Insecure: c.Insecure, Keys: keys, CORSOrigins: c.CORSOrigins,
		TLS:             otlp.TLS{CertFile: c.TLSCert, KeyFile: c.TLSKey, ClientCAFile: c.TLSClientCA},
		MaxRequestBytes: split.MaxRequest, InFlightBytes: split.Requests,
		Limits:   otlpwire.Limits{AttributeBytes: int(c.MaxAttributeBytes), Attributes: c.MaxAttributes, Depth: c.MaxAttributeDepth},
		Observer: observer, Log: a.Log,
	}, sink)
}

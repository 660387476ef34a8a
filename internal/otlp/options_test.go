package otlp

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
)

// names are hosts as a test resolves them.
func names(hosts map[string][]string) Resolver {
	return func(_ context.Context, _, host string) (addresses []netip.Addr, err error) {
		texts, ok := hosts[host]
		if !ok {
			return nil, errors.New("no such host")
		}
		for _, text := range texts {
			addresses = append(addresses, netip.MustParseAddr(text))
		}
		return addresses, nil
	}
}

// TestWhoMayReachTheServer is the rule that a server for others has keys and TLS, or says that it is insecure.
func TestWhoMayReachTheServer(t *testing.T) {
	resolve := names(map[string][]string{"localhost": {"127.0.0.1", "::1"}, "here": {"127.0.1.1"}, "both": {"127.0.0.1", "10.0.0.7"},
		"elsewhere": {"10.0.0.7"}, "nowhere": {}})
	certificate := TLS{CertFile: "cert.pem", KeyFile: "key.pem"}
	for name, tc := range map[string]struct {
		options   Options
		keys, tls bool // what is said to be missing
	}{
		"loopback":                    {Options{GRPC: "127.0.0.1:4317", HTTP: "127.0.0.1:4318"}, false, false},
		"another address of loopback": {Options{GRPC: "127.8.8.8:4317"}, false, false},
		"IPv6":                        {Options{GRPC: "[::1]:4317"}, false, false},
		"IPv4 in IPv6":                {Options{GRPC: "[::ffff:127.0.0.1]:4317"}, false, false},
		"localhost":                   {Options{HTTP: "localhost:4318"}, false, false},
		"a name of loopback":          {Options{HTTP: "here:4318"}, false, false},
		"all addresses":               {Options{GRPC: "0.0.0.0:4317"}, true, true},
		"no host":                     {Options{GRPC: ":4317"}, true, true},
		"all of IPv6":                 {Options{GRPC: "[::]:4317"}, true, true},
		"the second address only":     {Options{GRPC: "127.0.0.1:4317", HTTP: "0.0.0.0:4318"}, true, true},
		"one network":                 {Options{GRPC: "192.168.1.5:4317"}, true, true},
		"IPv4 in IPv6, of others":     {Options{GRPC: "[::ffff:10.0.0.7]:4317"}, true, true},
		"a name of both":              {Options{GRPC: "both:4317"}, true, true},
		"a name of others":            {Options{GRPC: "elsewhere:4317"}, true, true},
		"a name of nothing":           {Options{GRPC: "nowhere:4317"}, true, true},
		"an unknown name":             {Options{GRPC: "unknown:4317"}, true, true},
		"with keys":                   {Options{GRPC: "0.0.0.0:4317", Keys: oneKey("a key")}, false, true},
		"with a set of no keys":       {Options{GRPC: "0.0.0.0:4317", Keys: oneKey("")}, true, true},
		"with TLS":                    {Options{GRPC: "0.0.0.0:4317", TLS: certificate}, true, false},
		"with both":                   {Options{GRPC: "0.0.0.0:4317", TLS: certificate, Keys: oneKey("a key")}, false, false},
		"with client certificates": {Options{GRPC: "0.0.0.0:4317", TLS: TLS{CertFile: "c", KeyFile: "k", ClientCAFile: "ca"}},
			false, false},
		"insecure": {Options{GRPC: "0.0.0.0:4317", HTTP: "0.0.0.0:4318", Insecure: true}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := tc.options.Validate(t.Context(), resolve)
			exposed, ok := errors.AsType[*ExposedError](err)
			if ok != (tc.keys || tc.tls) || err != nil && !ok {
				t.Fatalf("got %v", err)
			}
			if !ok {
				return
			}
			if exposed.Keys != tc.keys || exposed.TLS != tc.tls {
				t.Errorf("missing: keys %v, TLS %v", exposed.Keys, exposed.TLS)
			}
			for _, setting := range []struct {
				text string
				want bool
			}{{"spanlake keys create", tc.keys}, {"SPANLAKE_API_KEYS", tc.keys}, {"--tls-cert", tc.tls}, {"--insecure", true}, {"127.0.0.1", true}} {
				if strings.Contains(err.Error(), setting.text) != setting.want {
					t.Errorf("names %q: %v, want %v: %v", setting.text, !setting.want, setting.want, err)
				}
			}
		})
	}
}

func TestOptionsThatCannotBe(t *testing.T) {
	for name, tc := range map[string]struct {
		options Options
		want    string
	}{
		"no address":             {Options{}, "--otlp-grpc"},
		"no port":                {Options{GRPC: "127.0.0.1"}, "host:port"},
		"a certificate alone":    {Options{GRPC: "127.0.0.1:0", TLS: TLS{CertFile: "c"}}, "--tls-key"},
		"a key alone":            {Options{GRPC: "127.0.0.1:0", TLS: TLS{KeyFile: "k"}}, "--tls-cert"},
		"client CA without TLS":  {Options{GRPC: "127.0.0.1:0", TLS: TLS{ClientCAFile: "ca"}}, "--tls-client-ca"},
		"no room for a request":  {Options{GRPC: "127.0.0.1:0", MaxRequestBytes: 100 << 20}, "250 MiB"},
		"no room at all":         {Options{GRPC: "127.0.0.1:0", MaxRequestBytes: 1, InFlightBytes: 1}, "16 MiB"},
		"requests of minus one":  {Options{GRPC: "127.0.0.1:0", MaxRequestBytes: -1}, "requests of up to"},
		"a negative memory size": {Options{GRPC: "127.0.0.1:0", InFlightBytes: -1}, "at least"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := tc.options.Validate(t.Context(), names(nil)); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want something with %q", err, tc.want)
			}
		})
	}
}

// TestTheSocketIsCheckedAgain has a name mean loopback while options are validated, and something else afterwards.
func TestTheSocketIsCheckedAgain(t *testing.T) {
	server, err := New(t.Context(), Options{GRPC: "127.0.0.1:0"}, &shelf{})
	if err != nil {
		t.Fatal(err)
	}
	server.options.GRPC = "0.0.0.0:0"
	if exposed, ok := errors.AsType[*ExposedError](server.Start(t.Context())); !ok {
		t.Errorf("got %v, want an ExposedError", exposed)
	}
}

func TestStartSaysWhatIsInTheWay(t *testing.T) {
	r := start(t, nil)
	for name, options := range map[string]Options{
		"gRPC": {GRPC: r.GRPCAddr().String()},
		"HTTP": {GRPC: "127.0.0.1:0", HTTP: r.HTTPAddr().String()},
	} {
		server, err := New(t.Context(), options, &shelf{})
		if err != nil {
			t.Fatal(err)
		}
		if err := server.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "address already in use") ||
			!strings.Contains(err.Error(), "OTLP") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

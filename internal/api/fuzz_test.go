package api_test

import (
	"mime"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/spanlake/spanlake/internal/api"
)

// FuzzHost: what a browser can be made to send with a name of a stranger is never accepted.
func FuzzHost(f *testing.F) {
	for _, seed := range []string{"", "localhost:80", "evil.example", "127.0.0.1", "[::1]:80", "[::1", "::1", "a:b:c", "spanlake.", "traces.example.com:443",
		"127.0.0.1.evil.example", "localhost.evil.example", "[evil.example]:80", "evil.example:", "..", "[]", ":80", "127.0.0.1:80:80"} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, hostport string, reachable bool) {
		if !api.Knows([]string{"traces.example.com"}, reachable, hostport) {
			return
		}
		// The name that is accepted, found in another way than the server does.
		name := strings.ToLower(hostport)
		if i := strings.LastIndexByte(name, ':'); i >= 0 && (strings.Count(name, ":") == 1 || strings.HasSuffix(name[:i], "]")) {
			name = name[:i]
		}
		name = strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(name, "["), "]"), ".")
		if _, err := netip.ParseAddr(name); err == nil || name == "localhost" || name == "traces.example.com" {
			return
		}
		if !reachable || strings.ContainsAny(name, ".") {
			t.Errorf("%q is accepted, reachable: %v", hostport, reachable)
		}
	})
}

// FuzzCall: what is taken for a call of gRPC is no type that the API takes, and a message survives being sent in a header.
func FuzzCall(f *testing.F) {
	for _, seed := range []string{"application/grpc", "application/grpc+proto", "Application/GRPC; x=y", "application/grpc-web", "application/json",
		" application/grpc", "application/grpcx", "100% of \u00fc\r\n\xff~\x7f", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if api.IsCall(text) {
			media, _, err := mime.ParseMediaType(text)
			if media == "application/json" || err == nil && media != "application/grpc" && !strings.HasPrefix(media, "application/grpc+") {
				t.Errorf("%q is taken for a call", text)
			}
		}
		sent := api.PercentEncoded(text)
		for _, c := range []byte(sent) {
			if c < ' ' || c > '~' {
				t.Errorf("%q has a byte that a header may not have", sent)
			}
		}
		if got, err := url.PathUnescape(sent); err != nil || got != text {
			t.Errorf("%q becomes %q, which is read as %q, %v", text, sent, got, err)
		}
	})
}

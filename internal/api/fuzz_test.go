package api_test

import (
	"net/netip"
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

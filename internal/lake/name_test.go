package lake

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestPath(t *testing.T) {
	at := time.Date(2026, 3, 9, 23, 59, 59, 999, time.UTC)
	for name, tc := range map[string]struct {
		service string
		at      time.Time
		suffix  uint32
		want    string
	}{
		"day folder, service, seconds and suffix": {
			"chat-api", at, 0x37bd156f, "year=2026/month=03/day=09/chat-api_1773100799_37bd156f.parquet"},
		"the suffix always has 8 digits": {
			"chat-api", at, 0xa, "year=2026/month=03/day=09/chat-api_1773100799_0000000a.parquet"},
		"the day is that of UTC": {
			"chat-api", at.In(time.FixedZone("", 7200)), 1, "year=2026/month=03/day=09/chat-api_1773100799_00000001.parquet"},
		"the service is made safe": {
			"tool runner/é", at, 1, "year=2026/month=03/day=09/tool_runner_é_1773100799_00000001.parquet"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Path(tc.service, tc.at, tc.suffix); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestSafeService(t *testing.T) {
	for service, want := range map[string]string{
		"chat-api":              "chat-api",
		"v1.2_final":            "v1.2_final",
		"東京-service2":           "東京-service2",
		"a b/c\\d:e*f":          "a_b_c_d_e_f",
		"line\nbreak\x00null":   "line_break_null",
		"not\xff\xfeutf8":       "not__utf8",
		"../../etc/passwd":      "etc_passwd",
		".hidden":               "hidden",
		"_internal":             "internal",
		"/api":                  "api",
		"":                      "unknown_service",
		"...":                   "unknown_service",
		"🚀":                     "unknown_service",
		strings.Repeat("x", 99): strings.Repeat("x", 99),
		// 2 bytes each: the cap never cuts one in two.
		"x" + strings.Repeat("é", 80): "x" + strings.Repeat("é", 49),
		strings.Repeat("z", 5_000):    strings.Repeat("z", 100),
	} {
		if got := safeService(service); got != want {
			t.Errorf("safeService(%.40q) = %q, want %q", service, got, want)
		}
	}
}

func FuzzSafeService(f *testing.F) {
	f.Add("tool runner/é")
	f.Add("\xff.\x00/..")
	f.Fuzz(func(t *testing.T, service string) {
		got := safeService(service)
		if got == "" || len(got) > maxServiceBytes || !utf8.ValidString(got) ||
			strings.ContainsAny(got, "/\\\x00\n ") || got[0] == '.' || got[0] == '_' {
			t.Errorf("safeService(%q) = %q", service, got)
		}
		if safeService(got) != got {
			t.Errorf("%q is not safe in the eyes of safeService", got)
		}
	})
}

package otlp

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/spanlake/spanlake/internal/apikey"
)

func TestKeysOverGRPC(t *testing.T) {
	const key = "sl_correcthorsebatterystaple"
	r := start(t, func(o *Options) { o.Keys = oneKey(key) })
	conn := r.dial(t)
	for name, tc := range map[string]struct {
		headers []string
		want    codes.Code
	}{
		"no key":                 {nil, codes.Unauthenticated},
		"bearer":                 {[]string{"authorization", "Bearer " + key}, codes.OK},
		"bearer in other letter": {[]string{"Authorization", "bearer " + key}, codes.OK},
		"own header":             {[]string{"x-junjo-api-key", key}, codes.OK},
		"wrong, and right":       {[]string{"authorization", "Bearer wrong", "x-junjo-api-key", key}, codes.OK},
		"wrong":                  {[]string{"authorization", "Bearer " + key + "x"}, codes.Unauthenticated},
		"another scheme":         {[]string{"authorization", "Basic " + key}, codes.Unauthenticated},
		"no scheme":              {[]string{"authorization", key}, codes.Unauthenticated},
		"a dictionary": {slices.Concat(slices.Repeat([]string{"x-junjo-api-key", "guess"}, 10), []string{"x-junjo-api-key", key}),
			codes.Unauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := metadata.AppendToOutgoingContext(t.Context(), tc.headers...)
			_, err := ptraceotlp.NewGRPCClient(conn).Export(ctx, spansOf(1))
			if status.Code(err) != tc.want {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), key) {
				t.Errorf("the error has the key: %v", err)
			}
		})
	}
	// Before anything of the body: this call never sends one.
	if err := rawCall(t, r, "", nil, true); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a body: %v", err)
	}
	if strings.Contains(r.logged.String(), key) {
		t.Error("the key is logged")
	}
}

// TestRevokingAKey is about the keys of a file, which a command changes while the server runs.
func TestRevokingAKey(t *testing.T) {
	keys, err := apikey.New(filepath.Join(t.TempDir(), "keys.json"), apikey.Given{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := keys.Create("ci", apikey.Send)
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, func(o *Options) { o.Keys = keys })
	client := ptraceotlp.NewGRPCClient(r.dial(t))
	export := func() error {
		_, err := client.Export(metadata.AppendToOutgoingContext(t.Context(), "x-junjo-api-key", key), spansOf(1))
		return err
	}
	if err := export(); err != nil {
		t.Fatal(err)
	}
	if err := keys.Revoke("ci"); err != nil {
		t.Fatal(err)
	}
	if err := export(); status.Code(err) != codes.Unauthenticated || strings.Contains(err.Error(), key) || strings.Contains(r.logged.String(), key) {
		t.Errorf("got %v, want UNAUTHENTICATED, without the key", err)
	}
}

// TestAKeyThatMayNotSend is of both transports: a key for reading is no key for writing, and the other way round says it
// that there is another reason than a wrong key.
func TestAKeyThatMayNotSend(t *testing.T) {
	keys, err := apikey.New("", apikey.Given{Send: []string{"a-key-that-may-send"}, Read: []string{"a-key-that-may-read"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, func(o *Options) { o.Keys = keys })
	client, body := ptraceotlp.NewGRPCClient(r.dial(t)), encoded(t, spansOf(1))
	for key, want := range map[string]struct {
		code codes.Code
		http int
	}{
		"a-key-that-may-send": {codes.OK, 200}, "a-key-that-may-read": {codes.PermissionDenied, 403}, "a-key-of-nobody-else": {codes.Unauthenticated, 401},
	} {
		_, err := client.Export(metadata.AppendToOutgoingContext(t.Context(), "x-junjo-api-key", key), spansOf(1))
		if status.Code(err) != want.code || want.http == 403 && !strings.Contains(err.Error(), "--may send") {
			t.Errorf("%s: %v, want %v", key, err, want.code)
		}
		got := export(t, r, contentProtobuf, body, "x-junjo-api-key", key)
		if got.code != want.http || (got.header.Get("WWW-Authenticate") != "") != (want.http == 401) {
			t.Errorf("%s: HTTP status %d %v, want %d", key, got.code, got.header, want.http)
		}
		if want.http != 200 && codes.Code(got.status(t).GetCode()) != want.code {
			t.Errorf("%s: %v over HTTP, want %v", key, got.status(t), want.code)
		}
		if strings.Contains(string(got.body), key) || err != nil && strings.Contains(err.Error(), key) {
			t.Errorf("the answer has the key %s", key)
		}
	}
	only, err := apikey.New("", apikey.Given{Read: []string{"a-key-that-may-read"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	open := start(t, func(o *Options) { o.Keys = only })
	if got := export(t, open, contentProtobuf, body); got.code != 200 {
		t.Errorf("a key for reading has senders need one: %d", got.code)
	}
}

// oneKey is a set of keys that has one.
type oneKey string

func (k oneKey) Required(apikey.Rights) bool { return k != "" }

func (k oneKey) Verify(key string) (string, apikey.Rights, bool) {
	return "ci", apikey.Send, key == string(k)
}

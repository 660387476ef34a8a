package apikey

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestRights(t *testing.T) {
	for _, tc := range []struct {
		words  string
		want   string // in the fewest words, "" if they are none
		allows Rights
	}{
		{"send", "send", Send},
		{"read", "read", Read},
		{"operate", "operate", Operate},
		{"read,operate", "operate", Operate},
		{"read,send,read", "send and read", Send | Read},
		{"operate,send", "send and operate", everything},
		{"", "", 0},
		{"Read", "", 0},
		{"send,all", "", 0},
	} {
		var words []string
		if tc.words != "" {
			words = strings.Split(tc.words, ",")
		}
		got, err := ParseRights(words)
		if (err == nil) != (tc.want != "") || got.String() != tc.want || got != tc.allows {
			t.Errorf("ParseRights(%q) = %s, %v, want %q", words, got, err, tc.want)
		}
		if err != nil && !strings.Contains(err.Error(), "send, read, operate") {
			t.Errorf("%q does not say what is allowed", err)
		}
		for _, needed := range []Rights{Send, Read, Operate} {
			if want := tc.allows&needed == needed; got.Allow(needed) != want {
				t.Errorf("%q allows %s: %v", tc.words, needed, !want)
			}
		}
	}
}

// TestWhatTakesAKey: a right that some key has cannot be used without one, and others as before.
func TestWhatTakesAKey(t *testing.T) {
	for name, tc := range map[string]struct {
		given         Given
		made          Rights
		revoked       bool
		sending, read bool
	}{
		"no key":                {},
		"one given to send":     {given: Given{Send: []string{given}}, sending: true},
		"one given to read":     {given: Given{Read: []string{given}}, read: true},
		"one made to send":      {made: Send, sending: true},
		"one made to read":      {made: Read, read: true},
		"one made to operate":   {made: Operate, read: true},
		"one made for all":      {made: everything, sending: true, read: true},
		"one that was revoked":  {made: Read, revoked: true, read: true},
		"one given and another": {given: Given{Read: []string{given}}, made: Send, sending: true, read: true},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keys.json")
			running, second, _ := server(t, path)
			k, err := New(path, tc.given, nil)
			if err != nil {
				t.Fatal(err)
			}
			if tc.made != 0 {
				if _, err := k.Create("ci", tc.made); err != nil {
					t.Fatal(err)
				}
			}
			if tc.revoked {
				if err := k.Revoke("ci"); err != nil {
					t.Fatal(err)
				}
			}
			if k.Required(Send) != tc.sending || k.Required(Read) != tc.read || k.Required(Operate) != tc.read {
				t.Errorf("to send %v, to read %v, to operate %v: want %v, %v and %v", k.Required(Send), k.Required(Read), k.Required(Operate), tc.sending, tc.read, tc.read)
			}
			second()
			if made := tc.made != 0; made && (running.Required(Read) != tc.made.Allow(Read) || running.Required(Send) != tc.made.Allow(Send)) {
				t.Error("a server that runs does not see it")
			}
		})
	}
}

// TestFilesOfKeysThatMaySend are those of versions that knew no others, and are written as they were.
func TestFilesOfKeysThatMaySend(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	text := []byte(`{"version":1,"keys":[{"name":"ci","prefix":"sl_","created_at":"2026-11-24T00:00:00Z","revoked_at":null,"sha256":"` +
		strings.Repeat("ab", 32) + `"}]}`)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	k := newKeys(t, path)
	create(t, k, "another")
	if _, err := k.Create("viewer", Read|Send); err != nil {
		t.Fatal(err)
	}
	infos, err := k.List()
	if err != nil || len(infos) != 3 || !slices.Equal(infos[0].May, []string{"send"}) || !slices.Equal(infos[1].May, []string{"send"}) ||
		!slices.Equal(infos[2].May, []string{"send", "read"}) {
		t.Errorf("List = %+v, %v", infos, err)
	}
	written, err := os.ReadFile(path)
	if err != nil || strings.Count(string(written), `"may"`) != 1 {
		t.Errorf("%v: what a key may do is to be there once in %s", err, written)
	}
	for _, may := range []string{`[]`, `["read","all"]`, `"read"`, `[null]`} {
		wrong := strings.Replace(string(text), `"sha256"`, `"may":`+may+`,"sha256"`, 1)
		if _, err := parse([]byte(wrong)); err == nil {
			t.Errorf("a key that may %s is accepted", may)
		}
	}
}

func TestCreateOfAKeyThatMayDoNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	if _, err := newKeys(t, path).Create("ci", 0); err == nil {
		t.Error("no error")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a file was made")
	}
}

func TestAKeyThatIsGivenTwice(t *testing.T) {
	k, err := New("", Given{Send: []string{given}, Read: []string{given}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, may, ok := k.Verify(given); !ok || may != Send|Read {
		t.Errorf("it may %s, %v", may, ok)
	}
	if _, err := New("", Given{Read: []string{"hunter2"}}, nil); err == nil || !strings.Contains(err.Error(), "place 1") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a short key: %v", err)
	}
}

func TestCheck(t *testing.T) {
	k, err := New("", Given{Send: []string{"a-key-that-may-send"}, Read: []string{"a-key-that-may-read"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	known := WithSecret(k, "this machine", "a-secret", Operate)
	const send, read = "Bearer a-key-that-may-send", "Bearer a-key-that-may-read"
	for name, tc := range map[string]struct {
		bearer, own []string
		needed      Rights
		want        error // nil if it is allowed, errOther for a *NotAllowedError
	}{
		"no key":                   {nil, nil, Read, ErrMissing},
		"an empty one":             {[]string{"Bearer ", "Bearer"}, []string{" "}, Read, ErrMissing},
		"a password":               {[]string{"Basic a-key-that-may-read"}, nil, Read, ErrMissing},
		"one that may":             {[]string{read}, nil, Read, nil},
		"in other letters":         {[]string{"bEARER  a-key-that-may-read "}, nil, Read, nil},
		"in the other header":      {nil, []string{"a-key-that-may-read"}, Read, nil},
		"wrong":                    {[]string{read + "x"}, nil, Read, ErrUnknown},
		"one that may not":         {[]string{send}, nil, Read, errOther},
		"that may read only":       {[]string{read}, nil, Operate, errOther},
		"one that may and others":  {[]string{"Bearer x", send, read}, nil, Read, nil},
		"wrong and one that may":   {[]string{"Bearer x"}, []string{"a-key-that-may-send"}, Send, nil},
		"a dictionary":             {[]string{"Bearer 1", "Bearer 2", "Bearer 3", "Bearer 4", read}, nil, Read, ErrUnknown},
		"the secret":               {[]string{"Bearer a-secret"}, nil, Operate, nil},
		"the secret does not send": {[]string{"Bearer a-secret"}, nil, Send, errOther},
	} {
		t.Run(name, func(t *testing.T) {
			headers := http.Header{"Authorization": tc.bearer}
			if tc.own != nil {
				headers[KeyHeader] = tc.own // as gRPC writes it
			}
			err := Check(known, headers, tc.needed)
			if notAllowed, ok := errors.AsType[*NotAllowedError](err); ok {
				if !errors.Is(tc.want, errOther) || notAllowed.Needed != tc.needed || !strings.Contains(err.Error(), "--may "+tc.needed.Words()[0]) {
					t.Errorf("%v, want %v", err, tc.want)
				}
			} else if !errors.Is(err, tc.want) {
				t.Errorf("%v, want %v", err, tc.want)
			}
			if err != nil && (strings.Contains(err.Error(), "a-key") || strings.Contains(err.Error(), "a-secret")) {
				t.Errorf("the error has a key: %v", err)
			}
		})
	}
	none, err := New("", Given{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if WithSecret(none, "this machine", "a-secret", Operate).Required(Read) {
		t.Error("the secret has others need a key")
	}
}

// errOther stands for a *NotAllowedError.
var errOther = errors.New("not allowed")

// FuzzCheck: whatever is sent, what is let in has a key that may do it, whole and where a key is looked for.
func FuzzCheck(f *testing.F) {
	f.Add("Bearer a-key-that-may-send", "a-key-that-may-read", true)
	f.Add("Bearer\ta-key-that-may-read", "", false)
	f.Add("Basic a-key-that-may-read", " a-key-that-may-send ", true)
	f.Add("Bearer Bearer a-key-that-may-read", "Bearer a-key-that-may-read", false)
	k, err := New("", Given{Send: []string{"a-key-that-may-send"}, Read: []string{"a-key-that-may-read"}}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, bearer, own string, send bool) {
		needed, key := Read, "a-key-that-may-read"
		if send {
			needed, key = Send, "a-key-that-may-send"
		}
		scheme, rest, found := strings.Cut(bearer, " ")
		want := found && strings.ToLower(scheme) == "bearer" && strings.TrimSpace(rest) == key || strings.TrimSpace(own) == key
		err := Check(k, http.Header{"Authorization": {bearer}, "X-Junjo-Api-Key": {own}}, needed)
		if (err == nil) != want {
			t.Errorf("%q, %q to %s: %v", bearer, own, needed, err)
		}
		if err != nil && strings.Contains(err.Error(), key) {
			t.Errorf("the error has a key: %v", err)
		}
	})
}

func FuzzParseRights(f *testing.F) {
	for _, seed := range []string{"", "send", "read,operate", "send,,read", "operate,send,operate", "SEND", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		rights, err := ParseRights(strings.Split(list, ","))
		if err != nil {
			if rights != 0 {
				t.Errorf("%q: an error, and may %s", list, rights)
			}
			return
		}
		again, err := ParseRights(rights.Words())
		if err != nil || again != rights {
			t.Errorf("%q may %s, which is read as %s, %v", list, rights, again, err)
		}
		for _, word := range []string{"send", "read"} {
			one, err := ParseRights([]string{word})
			if err != nil {
				t.Fatal(err)
			}
			if named := strings.Contains(list, word) || word == "read" && strings.Contains(list, "operate"); rights.Allow(one) != named {
				t.Errorf("%q allows to %s: %v", list, word, !named)
			}
		}
	})
}

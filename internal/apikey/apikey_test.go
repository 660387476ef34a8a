package apikey

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/testkit/output"
)

// given is a key that somebody else chose.
const given = "0123456789abcdef-chosen"

func newKeys(t *testing.T, path string, plain ...string) *Keys {
	t.Helper()
	k, err := New(path, Given{Send: plain}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func create(t *testing.T, k *Keys, name string) string {
	t.Helper()
	key, err := k.Create(name, Send)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// expect wants a key to be accepted under a name, or refused if the name is "".
func expect(t *testing.T, k *Keys, key, want string) {
	t.Helper()
	name, may, ok := k.Verify(key)
	if name != want || ok != (want != "") || ok && may != Send {
		t.Errorf("Verify = %q, %s, %v, want %q", name, may, ok, want)
	}
}

func TestAKeyIsShownOnceAndStoredAsAHash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "keys.json")
	k := newKeys(t, path)
	if k.Required(Send) {
		t.Error("a key is required before there is one")
	}
	key := create(t, k, "ci")
	if len(key) != len("sl_")+52 || !strings.HasPrefix(key, "sl_") {
		t.Errorf("the key has %d characters and begins with %.3s, want sl_ and 256 bits in base32", len(key), key)
	}
	if another := create(t, k, "collector"); another == key {
		t.Error("two keys are equal")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), key) || strings.Contains(string(text), key[12:]) {
		t.Error("the file has the key")
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("the file has mode %o, want 600", mode)
	}
	for name, k := range map[string]*Keys{"the process that made it": k, "another": newKeys(t, path)} {
		t.Run(name, func(t *testing.T) {
			if !k.Required(Send) {
				t.Error("no key is required")
			}
			expect(t, k, key, "ci")
			for _, wrong := range []string{"", "sl_", key[:len(key)-1], key + "a", strings.ToUpper(key), " " + key} {
				expect(t, k, wrong, "")
			}
		})
	}
	infos, err := k.List()
	if err != nil || len(infos) != 2 || infos[0].Name != "ci" || infos[0].Prefix != key[:11] || infos[0].CreatedAt.IsZero() || infos[0].RevokedAt != nil {
		t.Errorf("List = %+v, %v", infos, err)
	}
}

func TestNames(t *testing.T) {
	k := newKeys(t, filepath.Join(t.TempDir(), "keys.json"))
	first := create(t, k, "ci")
	if _, err := k.Create("ci", Send); !errors.Is(err, ErrExists) {
		t.Errorf("a second key of the name: %v, want ErrExists", err)
	}
	if err := k.Revoke("nobody"); !errors.Is(err, ErrNotFound) {
		t.Errorf("revoke what is not there: %v, want ErrNotFound", err)
	}
	if err := k.Revoke("ci"); err != nil {
		t.Fatal(err)
	}
	if err := k.Revoke("ci"); !errors.Is(err, ErrNotFound) {
		t.Errorf("revoke twice: %v, want ErrNotFound", err)
	}
	expect(t, k, create(t, k, "ci"), "ci") // the name is free again
	expect(t, k, first, "")
	for _, name := range []string{"", " ci", "a\nb", "\x1b[2J", "\xff", strings.Repeat("a", maxName+1)} {
		if _, err := k.Create(name, Send); err == nil {
			t.Errorf("Create(%q) is no error", name)
		}
	}
	if _, err := newKeys(t, "").Create("ci", Send); !errors.Is(err, ErrNoFile) {
		t.Errorf("Create without a file: %v, want ErrNoFile", err)
	}
	if infos, err := newKeys(t, "").List(); err != nil || len(infos) != 0 {
		t.Errorf("List without a file = %v, %v", infos, err)
	}
}

func TestGivenKeys(t *testing.T) {
	k := newKeys(t, "", given, " "+given+"-2 ")
	if !k.Required(Send) {
		t.Error("no key is required")
	}
	expect(t, k, given, "given-1")
	expect(t, k, given+"-2", "given-2")
	expect(t, k, "", "")
	for _, short := range []string{"", "hunter2"} {
		_, err := New("", Given{Send: []string{given, short}}, nil)
		if err == nil || !strings.Contains(err.Error(), "place 2") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("a short key: %v, want an error that says which without showing it", err)
		}
	}
}

// server is Keys whose clock the test turns, and what it logged.
func server(t *testing.T, path string, plain ...string) (k *Keys, second func(), logged *output.Buffer) {
	t.Helper()
	logged = &output.Buffer{}
	k, err := New(path, Given{Send: plain}, slog.New(slog.NewTextHandler(logged, nil)))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	k.now = func() time.Time { return now }
	return k, func() { now = now.Add(lookEvery) }, logged
}

func TestARunningServerSeesChangesWithinASecond(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	k, second, _ := server(t, path)
	commands := newKeys(t, path)
	key := create(t, commands, "ci")
	other := create(t, commands, "other")
	second()
	if !k.Required(Send) {
		t.Error("no key is required after one was made")
	}
	expect(t, k, key, "ci")
	if err := commands.Revoke("ci"); err != nil {
		t.Fatal(err)
	}
	second()
	expect(t, k, key, "")
	expect(t, k, other, "other")
	if err := commands.Revoke("other"); err != nil {
		t.Fatal(err)
	}
	second()
	expect(t, k, other, "")
	if !k.Required(Send) || !newKeys(t, path).Required(Send) {
		t.Error("revoking the last key lets everybody in")
	}
}

func TestAFileThatCannotBeUsedLetsNobodyIn(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"removed":         os.Remove,
		"empty":           func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"no JSON":         func(path string) error { return os.WriteFile(path, []byte("keys"), 0o600) },
		"cut":             func(path string) error { return os.Truncate(path, 100) },
		"of another kind": func(path string) error { return os.WriteFile(path, []byte("{}"), 0o600) },
		"newer":           func(path string) error { return os.WriteFile(path, []byte(`{"version":2,"keys":[]}`), 0o600) },
		"not known": func(path string) error {
			return os.WriteFile(path, []byte(`{"version":1,"keys":[],"only_from":"10.0.0.0/8"}`), 0o600)
		},
		"two documents": func(path string) error { return os.WriteFile(path, []byte(`{"version":1,"keys":[]}{}`), 0o600) },
		"no hash": func(path string) error {
			return os.WriteFile(path, []byte(`{"version":1,"keys":[{"name":"ci","sha256":""}]}`), 0o600)
		},
		"a folder": func(path string) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.Mkdir(path, 0o700)
		},
		"emptied of keys": func(path string) error { return os.WriteFile(path, []byte(`{"version":1,"keys":[]}`), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keys.json")
			key := create(t, newKeys(t, path), "ci")
			sound, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			k, second, logged := server(t, path, given)
			expect(t, k, key, "ci")
			if err := spoil(path); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				second()
				expect(t, k, key, "")
				expect(t, k, "", "")
				expect(t, k, given, "given-1") // this one is known to be good
				if !k.Required(Send) {
					t.Error("everybody is let in")
				}
			}
			damaged := name != "removed" && name != "emptied of keys"
			if lines := strings.Count(logged.String(), "\n"); damaged && lines != 1 || !damaged && lines != 0 {
				t.Errorf("logged %d lines, want it said once: %s", lines, logged)
			}
			_, err = New(path, Given{}, nil)
			if wrong := new(FileError); damaged != errors.As(err, &wrong) {
				t.Errorf("a server that starts: %v, want a FileError only if the file is damaged", err)
			}
			if damaged {
				if _, err := newKeysOf(path).Create("more", Send); err == nil {
					t.Error("a damaged file is written over")
				}
			}
			if strings.Contains(logged.String(), key) || strings.Contains(logged.String(), given) {
				t.Error("a key is logged")
			}
			if name == "a folder" {
				return
			}
			if err := os.WriteFile(path, sound, 0o600); err != nil { // mended
				t.Fatal(err)
			}
			second()
			expect(t, k, key, "ci")
		})
	}
}

// newKeysOf is for a file that New refuses.
func newKeysOf(path string) *Keys {
	return &Keys{path: path, log: slog.New(slog.DiscardHandler), now: time.Now}
}

// TestProcessesDoNotLoseEachOthersKeys starts processes that make keys in one file at the same time, each with goroutines that
// do so too.
func TestProcessesDoNotLoseEachOthersKeys(t *testing.T) {
	const processes, each = 4, 5
	if os.Getenv("SPANLAKE_TEST_KEYS") != "" {
		k := newKeys(t, "keys.json")
		var making sync.WaitGroup
		for i := range each {
			making.Go(func() {
				if _, err := k.Create(fmt.Sprintf("%d-%d", os.Getpid(), i), Send); err != nil {
					t.Error(err)
				}
			})
		}
		making.Wait()
		return
	}
	path := filepath.Join(t.TempDir(), "keys.json")
	var running sync.WaitGroup
	for range processes {
		running.Go(func() {
			child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
			child.Dir = filepath.Dir(path)
			child.Env = append(os.Environ(), "SPANLAKE_TEST_KEYS=1")
			if out, err := child.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	running.Wait()
	infos, err := newKeys(t, path).List()
	if err != nil || len(infos) != processes*each {
		t.Errorf("%d keys are there, %v, want %d", len(infos), err, processes*each)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*.tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("temporary files stay: %v, %v", left, err)
	}
}

func TestConcurrentUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	k := newKeys(t, path)
	key := create(t, k, "first")
	var running sync.WaitGroup
	for i := range 4 {
		running.Go(func() {
			if _, err := k.Create(fmt.Sprint("more", i), Send); err != nil {
				t.Error(err)
			}
		})
		running.Go(func() {
			for range 100 {
				expect(t, k, key, "first")
			}
		})
	}
	running.Wait()
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"version":1,"keys":[{"name":"ci","prefix":"sl_","created_at":"2026-11-24T00:00:00Z","revoked_at":null,"sha256":"` +
		strings.Repeat("ab", 32) + `"}]}`))
	f.Add([]byte(`{"version":1,"keys":[{"name":"ci","may":["read","operate"],"sha256":"` + strings.Repeat("ab", 32) + `"}]}`))
	f.Add([]byte(`{"version":1,"keys":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		stored, err := parse(text)
		if err != nil {
			return
		}
		// What is accepted survives being written.
		path := filepath.Join(t.TempDir(), "keys.json")
		if err := write(path, stored); err != nil {
			t.Fatal(err)
		}
		again, _, err := read(path)
		if err != nil || len(again.Keys) != len(stored.Keys) {
			t.Fatalf("%d keys became %v, %v", len(stored.Keys), again, err)
		}
		for i := range again.Keys {
			if !bytes.Equal(again.Keys[i].sum[:], stored.Keys[i].sum[:]) {
				t.Fatalf("key %d has another hash", i)
			}
			if again.Keys[i].may != stored.Keys[i].may || again.Keys[i].may == 0 {
				t.Fatalf("key %d may %s, and after it was written %s", i, stored.Keys[i].may, again.Keys[i].may)
			}
		}
	})
}

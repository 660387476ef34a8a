// Package apikey keeps the API keys of a server: shown once, stored as hashes, revocable while the server runs.
package apikey

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// keyMark is how a key begins, so that people and scanners of secrets know what it is.
	keyMark = "sl_"
	// keyBytes are the random bytes of a key: 256 bits, which nobody guesses, so that the hash needs neither salt nor slowness.
	keyBytes = 32
	// shownDigits are shown of a key in listings: 40 bits, which leaves 216 that are not known.
	shownDigits = 8
	// minPlain is the least length of a key that somebody else chose.
	minPlain = 16
	// maxName is the greatest length of a name, in bytes.
	maxName = 100
	// lookEvery is how often a running server looks whether the file has changed: a revoked key works no longer than this.
	lookEvery = time.Second
)

var (
	// ErrExists says that an active key has the name already.
	ErrExists = errors.New("a key of this name exists: revoke it first, or choose another name")
	// ErrNotFound says that no active key has the name.
	ErrNotFound = errors.New("no active key has this name: see `spanlake keys list`")
	// ErrNoFile says that keys cannot be made or revoked, since no file was given for them.
	ErrNoFile = errors.New("no file is set for API keys")
)

// FileError says that the file of keys cannot be used. As long as it is so, none of its keys is accepted.
type FileError struct {
	Path string
	Err  error
}

func (e *FileError) Error() string {
	return fmt.Sprintf("API keys in %s: %v: mend the file, or remove it and make new keys with `spanlake keys create`", e.Path, e.Err)
}

func (e *FileError) Unwrap() error { return e.Err }

// Info is what may be shown of a key.
type Info struct {
	Name string `json:"name"`
	// Prefix is how the key begins.
	Prefix    string    `json:"prefix"`
	CreatedAt time.Time `json:"created_at"`
	// RevokedAt is nil while the key is accepted.
	RevokedAt *time.Time `json:"revoked_at"`
	// May says in words what the key may do (ParseRights). A file leaves it out for keys that may send and nothing else, as all
	// did once: so programs that know no others still read it, and refuse one with keys that they would take for those.
	May []string `json:"may,omitempty"`
}

// Keys are those of a file and those that were given. Make them with New; all methods may be called at the same time, and
// any number of processes may use the same file.
type Keys struct {
	path  string
	log   *slog.Logger
	given []accepted

	mu     sync.Mutex
	looked time.Time
	seen   fs.FileInfo // of the file that was read last, nil if there was none
	active []accepted  // of the file
	// required is what takes a key. It stays once it is set: a file that was emptied or removed while the server runs must not
	// open the server.
	required Rights
	// problem is what was logged last of the file, so that it is said once.
	problem string
	now     func() time.Time
}

// accepted is a key that opens the server.
type accepted struct {
	name string
	may  Rights
	hash [sha256.Size]byte
}

// Given are keys in plain text that are not stored, by what they may do.
type Given struct{ Send, Read []string }

// New reads the keys of the file at path, which need not exist; "" means that there is no file. A file that cannot be used is
// a *FileError. Log is told when the file changes so that it cannot be used anymore; it may be nil.
func New(path string, given Given, log *slog.Logger) (*Keys, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	k := &Keys{path: path, log: log, now: time.Now}
	if err := errors.Join(k.take("given", Send, given.Send), k.take("given-read", Read, given.Read)); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.look(); err != nil {
		return nil, err
	}
	return k, nil
}

// take accepts keys that were given.
func (k *Keys) take(kind string, may Rights, plain []string) error {
	for i, key := range plain {
		// The text of the error must not have the key.
		if key = strings.TrimSpace(key); len(key) < minPlain {
			return fmt.Errorf("the API key at place %d of those given that may %s has fewer than %d characters: make one with `spanlake keys create`",
				i+1, may, minPlain)
		}
		k.given = append(k.given, accepted{name: fmt.Sprintf("%s-%d", kind, i+1), may: may, hash: sha256.Sum256([]byte(key))})
		k.required |= may
	}
	return nil
}

// Required tells whether it takes a key to do something: as soon as one that may do it was given or is in the file, even a
// revoked one. Revoking the last key, or removing the file while the server runs, lets nobody in rather than everybody.
func (k *Keys) Required(do Rights) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lookNowAndThen()
	return k.required&do != 0
}

// Verify tells whether a key is accepted, its name, and what it may do.
func (k *Keys) Verify(key string) (name string, may Rights, ok bool) {
	// Hashes are compared, and all of them, so that the time it takes says nothing of any key.
	hash := sha256.Sum256([]byte(key))
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lookNowAndThen()
	for _, keys := range [][]accepted{k.given, k.active} {
		for i := range keys {
			if subtle.ConstantTimeCompare(hash[:], keys[i].hash[:]) == 1 {
				name, may, ok = keys[i].name, may|keys[i].may, true
			}
		}
	}
	return name, may, ok
}

// Create makes a key that may do something and returns it. It is not stored and cannot be shown again.
func (k *Keys) Create(name string, may Rights) (string, error) {
	if err := CheckName(name); err != nil {
		return "", err
	}
	if may == 0 {
		return "", errNoRights
	}
	random := make([]byte, keyBytes)
	if _, err := rand.Read(random); err != nil {
		return "", fmt.Errorf("make an API key: %w", err)
	}
	key := keyMark + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(random))
	err := k.change(func(stored *document) error {
		if stored.active(name) != nil {
			return fmt.Errorf("%q: %w", name, ErrExists)
		}
		made := record{
			Info: Info{Name: name, Prefix: key[:len(keyMark)+shownDigits], CreatedAt: k.now().UTC().Truncate(time.Second)},
			Hash: hashText(sha256.Sum256([]byte(key))),
		}
		if may != Send {
			made.May = may.Words()
		}
		stored.Keys = append(stored.Keys, made)
		return nil
	})
	if err != nil {
		return "", err
	}
	return key, nil
}

// List shows the keys of the file in the order in which they were made, revoked ones as well.
func (k *Keys) List() ([]Info, error) {
	if k.path == "" {
		return nil, nil
	}
	stored, _, err := read(k.path)
	if err != nil {
		return nil, err
	}
	infos := make([]Info, len(stored.Keys))
	for i := range stored.Keys {
		infos[i] = stored.Keys[i].Info
		infos[i].May = stored.Keys[i].may.Words()
	}
	return infos, nil
}

// Revoke ends a key. Running servers refuse it within a second.
func (k *Keys) Revoke(name string) error {
	return k.change(func(stored *document) error {
		found := stored.active(name)
		if found == nil {
			return fmt.Errorf("%q: %w", name, ErrNotFound)
		}
		now := k.now().UTC().Truncate(time.Second)
		found.RevokedAt = &now
		return nil
	})
}

// change rewrites the file while no other process does.
func (k *Keys) change(edit func(*document) error) error {
	if k.path == "" {
		return ErrNoFile
	}
	if err := makeFolder(k.path); err != nil {
		return err
	}
	unlock, err := lock(k.path + ".lock")
	if err != nil {
		return fmt.Errorf("lock the API keys in %s: %w", k.path, err)
	}
	defer unlock()
	stored, _, err := read(k.path)
	if err != nil {
		return err
	}
	if err := edit(stored); err != nil {
		return err
	}
	if err := write(k.path, stored); err != nil {
		return fmt.Errorf("write API keys: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.look()
}

// lookNowAndThen reads the file again if it may have changed. mu must be held.
func (k *Keys) lookNowAndThen() {
	if k.path == "" || k.now().Sub(k.looked) < lookEvery {
		return
	}
	err := k.look()
	switch {
	case err == nil:
		k.problem = ""
	case err.Error() != k.problem:
		k.problem = err.Error()
		k.log.Error("the API keys cannot be read: those of the file are refused until it is mended", "error", err)
	}
}

// look reads the file if it is another one than last time. mu must be held.
func (k *Keys) look() error {
	k.looked = k.now()
	if k.path == "" {
		return nil
	}
	info, err := os.Stat(k.path)
	if err == nil && k.seen != nil && os.SameFile(info, k.seen) && info.Size() == k.seen.Size() && info.ModTime().Equal(k.seen.ModTime()) {
		return nil
	}
	// Nothing of the file is accepted until it has been read.
	k.active, k.seen = nil, nil
	stored, info, err := read(k.path)
	if err != nil {
		k.required = everything
		return err
	}
	k.seen = info
	for i := range stored.Keys {
		one := &stored.Keys[i]
		k.required |= one.may
		if one.RevokedAt == nil {
			k.active = append(k.active, accepted{name: one.Name, may: one.may, hash: one.sum})
		}
	}
	return nil
}

// CheckName refuses names of keys that a terminal or a log would not show as they are.
func CheckName(name string) error {
	strange := func(r rune) bool { return !unicode.IsPrint(r) }
	if name == "" || len(name) > maxName || !utf8.ValidString(name) || strings.TrimSpace(name) != name || strings.ContainsFunc(name, strange) {
		return fmt.Errorf("the name of a key has 1 to %d bytes, all of them printable, and no space at its ends", maxName)
	}
	return nil
}

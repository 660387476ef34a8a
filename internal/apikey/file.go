package apikey

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	// fileVersion is that of the form of the file.
	fileVersion = 1
	// maxFile bounds what is read of a file: 10,000 keys take 2 MB.
	maxFile = 16 << 20
)

// document is the file of keys.
type document struct {
	Version int      `json:"version"`
	Keys    []record `json:"keys"`
}

// record is a key in the file.
type record struct {
	Info
	// Hash is the SHA-256 of the key in hex.
	Hash string `json:"sha256"`
	sum  [sha256.Size]byte
	may  Rights
}

func hashText(sum [sha256.Size]byte) string { return hex.EncodeToString(sum[:]) }

// active finds the key of a name that is not revoked, or nil.
func (d *document) active(name string) *record {
	for i := range d.Keys {
		if d.Keys[i].Name == name && d.Keys[i].RevokedAt == nil {
			return &d.Keys[i]
		}
	}
	return nil
}

// read reads the file at path. One that does not exist has no keys; one that is not sound is a *FileError. The description
// is that of the file that was read, nil if there is none.
func read(path string) (*document, fs.FileInfo, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &document{Version: fileVersion}, nil, nil
	}
	if err != nil {
		return nil, nil, &FileError{Path: path, Err: err}
	}
	defer func() { _ = file.Close() }() // nothing was written
	info, err := file.Stat()
	if err != nil {
		return nil, nil, &FileError{Path: path, Err: err}
	}
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, nil, &FileError{Path: path, Err: err}
	}
	stored, err := parse(text)
	if err != nil {
		return nil, nil, &FileError{Path: path, Err: err}
	}
	return stored, info, nil
}

// parse reads the text of a file of keys and refuses everything that a server would have to guess about.
func parse(text []byte) (*document, error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("is larger than %d bytes", maxFile)
	}
	stored := &document{}
	decoder := json.NewDecoder(bytes.NewReader(text))
	// A field that is not known might be one that limits a key.
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(stored); err != nil {
		return nil, fmt.Errorf("is damaged: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("is damaged: something follows the end")
	}
	if stored.Version != fileVersion {
		return nil, fmt.Errorf("has version %d, this program knows version %d", stored.Version, fileVersion)
	}
	names := map[string]bool{}
	for i := range stored.Keys {
		one := &stored.Keys[i]
		if err := CheckName(one.Name); err != nil {
			return nil, fmt.Errorf("is damaged: key %d: %w", i+1, err)
		}
		if n, err := hex.Decode(one.sum[:], []byte(one.Hash)); len(one.Hash) != hex.EncodedLen(sha256.Size) || err != nil || n != sha256.Size {
			return nil, fmt.Errorf("is damaged: key %q has no SHA-256 of 64 hex digits", one.Name)
		}
		one.may = Send
		if one.May != nil {
			may, err := ParseRights(one.May)
			if err != nil {
				return nil, fmt.Errorf("is damaged: key %q: %w", one.Name, err)
			}
			one.may = may
		}
		if one.RevokedAt == nil && names[one.Name] {
			return nil, fmt.Errorf("is damaged: two active keys are named %q", one.Name)
		}
		names[one.Name] = names[one.Name] || one.RevokedAt == nil
	}
	return stored, nil
}

// makeFolder makes the folder of the file, which only the owner may look into.
func makeFolder(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make the folder for API keys: %w", err)
	}
	return nil
}

// write replaces the file at path as a whole: a reader, and a crash, finds the old or the new one.
func write(path string, stored *document) (err error) {
	text, err := json.MarshalIndent(stored, "", "  ")
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	temporary, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*.tmp") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = temporary.Close()           // closing a second time fails and does not matter
			_ = os.Remove(temporary.Name()) // after the rename it is gone
		}
	}()
	if _, err := temporary.Write(append(text, '\n')); err != nil {
		return err
	}
	if err := temporary.Sync(); err != nil {
		return err
	}
	if err := temporary.Close(); err != nil {
		return err
	}
	if err := os.Rename(temporary.Name(), path); err != nil {
		return err
	}
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = folder.Close() }() // nothing was written
	return folder.Sync()
}

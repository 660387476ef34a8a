package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// serverSuffix marks the file beside an index, or a write-ahead log, that says where the server which holds it is reached.
const serverSuffix = ".server"

// Server is where a running server is reached.
type Server struct {
	URL string `json:"url"`
	// Instance is what every answer of the process carries, so that nobody takes another process for it.
	Instance string `json:"instance"`
	// PID is for people: in a container it is another one than outside.
	PID int `json:"pid"`
	// Secret is an API key of the process for whoever may read the note, so that commands of the user who runs it need none.
	Secret string `json:"secret,omitempty"`
}

// NoteError says that the note of a server is there and cannot be read.
type NoteError struct {
	Path string
	Err  error
}

func (e *NoteError) Error() string {
	if errors.Is(e.Err, fs.ErrPermission) {
		return fmt.Sprintf("only the user who runs the server may read %s: ask it with --server URL (SPANLAKE_SERVER), and --api-key "+
			"(SPANLAKE_API_KEY) if it takes a key", e.Path)
	}
	return fmt.Sprintf("find the server by %s: %v", e.Path, e.Err)
}

func (e *NoteError) Unwrap() error { return e.Err }

// serverFile is the path beside the index itself, and not beside a link to it.
func serverFile(db string) string {
	if target, err := filepath.EvalSymlinks(db); err == nil {
		db = target
	}
	return db + serverSuffix
}

// advertise notes where the server of an index or of a write-ahead log is reached, until forget is called. A process that is killed leaves the
// note behind; whoever reads it asks for the instance, and the next server replaces it.
func advertise(db string, server Server) (forget func(), err error) {
	path := serverFile(db)
	content, err := json.Marshal(server) //nolint:gosec // G117: the note is where the secret belongs, and only its user may read that
	if err != nil {
		return func() {}, fmt.Errorf("note the address of the server: %w", err)
	}
	if err := replaceSecret(path, append(content, '\n')); err != nil {
		return func() {}, fmt.Errorf("note the address of the server: %w", err)
	}
	return func() { _ = os.Remove(path) }, nil // what is left behind is harmless, see above
}

// replaceSecret writes a file that only its owner may read, as a whole. What a process that was killed has left of the temporary
// one, or somebody has put there, is not written to: it might be open to others.
func replaceSecret(path string, content []byte) error {
	temporary := path + ".tmp"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// advertise notes where the process is reached, beside the files that it holds.
func (a App) advertise(role Role, server Server) (forget func()) {
	var held []string
	if role.Indexes() {
		held = append(held, a.Config.DB)
	}
	if role.TakesIn() {
		held = append(held, a.Config.WAL)
	}
	var notes []func()
	for _, path := range held {
		note, err := advertise(path, server)
		if err != nil {
			a.Log.Warn("commands will not find this server by themselves, they need --server", "url", server.URL, "error", err)
		}
		notes = append(notes, note)
	}
	return func() {
		for _, note := range notes {
			note()
		}
	}
}

// FindServer says where the server that holds an index or a write-ahead log is reached; ok is false if none has noted it. Errors
// are of type *NoteError.
func FindServer(db string) (server Server, ok bool, err error) {
	path := serverFile(db)
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Server{}, false, nil
	}
	if err == nil {
		err = json.Unmarshal(content, &server)
	}
	if err != nil {
		return Server{}, false, &NoteError{Path: path, Err: err}
	}
	return server, true, nil
}

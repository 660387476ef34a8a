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
}

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
	content, err := json.Marshal(server)
	if err != nil {
		return func() {}, fmt.Errorf("note the address of the server: %w", err)
	}
	temporary := path + ".tmp"
	// Others on this machine may ask as well.
	if err := os.WriteFile(temporary, append(content, '\n'), 0o644); err != nil {
		return func() {}, fmt.Errorf("note the address of the server: %w", err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return func() {}, fmt.Errorf("note the address of the server: %w", err)
	}
	return func() { _ = os.Remove(path) }, nil // what is left behind is harmless, see above
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

// FindServer says where the server that holds an index or a write-ahead log is reached; ok is false if none has noted it.
func FindServer(db string) (server Server, ok bool, err error) {
	content, err := os.ReadFile(serverFile(db))
	if errors.Is(err, fs.ErrNotExist) {
		return Server{}, false, nil
	}
	if err == nil {
		err = json.Unmarshal(content, &server)
	}
	if err != nil {
		return Server{}, false, fmt.Errorf("find the server of %s: %w", db, err)
	}
	return server, true, nil
}

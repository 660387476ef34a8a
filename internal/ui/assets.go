package ui

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"time"
)

//go:embed assets pages
var files embed.FS

// assets are the styles, modules and pictures of the pages.
type assets struct {
	content map[string][]byte
	// hash is of all of them and part of their addresses, so that browsers keep them until the program changes.
	hash string
}

func loadAssets() (*assets, error) {
	a := &assets{content: make(map[string][]byte)}
	all := sha256.New()
	err := fs.WalkDir(files, "assets", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		a.content[name[len("assets/"):]] = text
		all.Write([]byte(name))
		all.Write(text)
		return nil
	})
	a.hash = hex.EncodeToString(all.Sum(nil))[:12]
	return a, err
}

// url is where an asset is served.
func (a *assets) url(name string) string { return "/assets/" + a.hash + "/" + name }

func (a *assets) serve(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	text, ok := a.content[name]
	if !ok || r.PathValue("hash") != a.hash {
		// A page of an older program must not go on with parts of this one.
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	kind := mime.TypeByExtension(path.Ext(name))
	switch path.Ext(name) { // the tables of the machine may say otherwise
	case ".js":
		kind = "text/javascript; charset=utf-8"
	case ".css":
		kind = "text/css; charset=utf-8"
	case ".svg":
		kind = "image/svg+xml"
	}
	w.Header().Set("Content-Type", kind)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(text))
}

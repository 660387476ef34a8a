// Package deploy checks the files with which Spanlake is deployed: the image, the services of Docker Compose, the unit of systemd.
package deploy

import (
	"os"
	"path/filepath"
	"testing"
)

// root is the folder of the project.
func root() string { return filepath.Join("..", "..") }

// read reads a file of the project.
func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root(), filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

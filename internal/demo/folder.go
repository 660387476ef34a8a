package demo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	folderPrefix = "spanlake-demo-"
	// markName is a file in the folder of a demo, locked as long as the demo runs, and markText what it says.
	markName = "spanlake-demo.lock"
	markText = "The folder of a running `spanlake demo`. It is deleted when the demo ends, or by the next one.\n"
)

// Folder is where a demo keeps its data.
type Folder struct {
	Path string
	// mark is locked by this process; nil: the folder is kept.
	mark *os.File
}

// MakeFolder makes a folder for temporary files, below parent or, if that is "", where the system has them. Unless it is kept,
// Close deletes it, or, should the process be killed, RemoveLeftovers of a later one.
func MakeFolder(parent string, keep bool) (*Folder, error) {
	path, err := os.MkdirTemp(parent, folderPrefix)
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	f := &Folder{Path: path}
	if keep {
		return f, nil
	}
	if f.mark, err = makeMark(path); err != nil {
		return nil, fmt.Errorf("demo: mark %s: %w", path, errors.Join(err, os.RemoveAll(path)))
	}
	return f, nil
}

// makeMark makes the mark under another name and renames it once it is locked: a mark that nobody has locked is that of a dead process.
func makeMark(folder string) (*os.File, error) {
	temporary := filepath.Join(folder, "."+markName)
	mark, err := os.OpenFile(temporary, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = mark.WriteString(markText)
	if err == nil {
		_, err = lock(mark)
	}
	if err == nil {
		err = os.Rename(temporary, filepath.Join(folder, markName))
	}
	if err != nil {
		return nil, errors.Join(err, mark.Close())
	}
	return mark, nil
}

// Close deletes the folder, unless it is kept.
func (f *Folder) Close() error {
	if f.mark == nil {
		return nil
	}
	defer func() { _ = f.mark.Close() }() // nothing is written anymore
	return removeMarked(f.Path)
}

// removeMarked deletes a folder, its mark last: whatever ends this process in between, the next demo goes on.
func removeMarked(folder string) (err error) {
	const tries = 20 // what was ended late may still write
	for range tries {
		if err = removeOnce(folder); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("demo: delete %s: %w", folder, err)
}

func removeOnce(folder string) error {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		if entry.Name() != markName {
			err = errors.Join(err, os.RemoveAll(filepath.Join(folder, entry.Name())))
		}
	}
	if err != nil {
		return err
	}
	return os.RemoveAll(folder)
}

// RemoveLeftovers deletes the folders of demos that were killed, and returns their paths. A folder is one if it has the name and the
// mark of a demo, belongs to this user, and nobody has locked the mark. All others stay, whatever they are.
func RemoveLeftovers(parent string) (removed []string) {
	if parent == "" {
		parent = os.TempDir()
	}
	entries, err := os.ReadDir(parent)
	if err != nil {
		return nil
	}
	for _, entry := range entries {
		path := filepath.Join(parent, entry.Name())
		if !strings.HasPrefix(entry.Name(), folderPrefix) || !entry.IsDir() {
			continue // a link is no folder
		}
		mark, ok := takeMark(path)
		if !ok {
			continue
		}
		if removeMarked(path) == nil {
			removed = append(removed, path)
		}
		_ = mark.Close() // nothing was written
	}
	return removed
}

// takeMark locks the mark of a folder, if it is that of a dead demo of this user.
func takeMark(folder string) (*os.File, bool) {
	path := filepath.Join(folder, markName)
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || !ours(info) {
		return nil, false
	}
	mark, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, false
	}
	text := make([]byte, len(markText)+1)
	n, _ := mark.Read(text) // what is not all of it is none
	opened, err := mark.Stat()
	if err == nil && os.SameFile(info, opened) && string(text[:n]) == markText {
		if locked, err := lock(mark); err == nil && locked {
			// Another demo may have deleted the folder between.
			if again, err := os.Lstat(path); err == nil && os.SameFile(again, opened) {
				return mark, true
			}
		}
	}
	_ = mark.Close() // nothing was written
	return nil, false
}

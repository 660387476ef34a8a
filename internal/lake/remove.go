package lake

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"github.com/spanlake/spanlake/internal/span"
)

// Remove deletes a file of the lake at root, and the folders that are empty without it. A file that is not there any more,
// or that has changed since file was listed, is left alone, and that is no error: whoever changed it wants to keep it. The
// deletion goes through os.Root, so that a folder swapped for a link does not lead out of the lake.
func Remove(root string, file span.File) error {
	dir, err := os.OpenRoot(root)
	if err != nil {
		return fmt.Errorf("remove %s: %w", file.Path, err)
	}
	defer func() { _ = dir.Close() }() // what was removed does not depend on it
	info, err := dir.Lstat(file.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", file.Path, err)
	}
	if !info.Mode().IsRegular() || info.Size() != file.Size || info.ModTime().UnixMicro() != file.ModTime.UnixMicro() {
		return nil
	}
	if err := dir.Remove(file.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", file.Path, err)
	}
	// A folder that is not empty refuses to go, which is all we need to know of it.
	for folder := path.Dir(file.Path); folder != "."; folder = path.Dir(folder) {
		if dir.Remove(folder) != nil {
			break
		}
	}
	return nil
}

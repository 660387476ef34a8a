// Package export writes spans into files for other programs: OTLP in lines of JSON, or Parquet as in a lake. A file is whole or not there.
package export

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spanlake/spanlake/internal/span"
)

// Format is how spans are written.
type Format string

const (
	// OTLPJSON has a TracesData message of OTLP in JSON on each line, with spans of one trace, which may have several lines.
	OTLPJSON Format = "otlp-json"
	// Parquet has the columns of a lake, and is one of its files if it is put there.
	Parquet Format = "parquet"
)

// FormatOf is the format that the name of a file asks for.
func FormatOf(path string) (f Format, ok bool) {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".json", ".jsonl", ".ndjson":
		return OTLPJSON, true
	case ".parquet":
		return Parquet, true
	}
	return "", false
}

// ErrNoSpans says that there was nothing to write, and so there is no file.
var ErrNoSpans = errors.New("no span to export")

// Written is what was written.
type Written struct {
	Spans, Bytes int64
	// Left counts the spans that OTLP cannot say; Why is why one of them. Parquet holds everything.
	Left int64
	Why  error
}

// Writer takes spans in whatever order they come. Finish writes the last ones.
type Writer interface {
	Add(s span.Span) error
	Finish() (Written, error)
}

// File is a file that is being written. It is there, under its name, once Finish has returned without an error.
type File struct {
	Writer
	path      string
	overwrite bool
	// folder has what is not finished, and is beside the file: on the same disk.
	folder string
	// lines is where OTLPJSON goes, nil for Parquet.
	lines *os.File
}

// Create begins a file. Without overwrite one that is there is an error, which wraps fs.ErrExist.
func Create(path string, format Format, overwrite bool) (*File, error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	f := &File{path: path, overwrite: overwrite}
	if err := f.free(); err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp(filepath.Dir(path), "."+filepath.Base(path)+".export-*")
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	f.folder = folder
	if format == Parquet {
		f.Writer, err = newTable(folder)
	} else if f.lines, err = os.Create(f.temporary()); err == nil {
		f.Writer = NewLines(f.lines)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("export: %w", err), f.Close())
	}
	return f, nil
}

// Name is the path of the file.
func (f *File) Name() string { return f.path }

// temporary is where the file is until it is whole.
func (f *File) temporary() string { return filepath.Join(f.folder, temporaryName) }

// temporaryName is a name that a file of a lake may have.
const temporaryName = "spans.parquet"

// free is nil if the file may be made. What is no file, such as a folder or a device, is never replaced.
func (f *File) free() error {
	info, err := os.Stat(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("export: %w", err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("export: %s is no file", f.path)
	case !f.overwrite:
		return &fs.PathError{Op: "export to", Path: f.path, Err: fs.ErrExist}
	}
	return nil
}

// Finish makes the file durable and gives it its name. The error is ErrNoSpans if it would be empty.
func (f *File) Finish() (Written, error) {
	written, err := f.Writer.Finish()
	if err == nil && written.Spans == 0 {
		err = ErrNoSpans
	}
	if err == nil && f.lines != nil {
		err = f.lines.Sync()
	}
	if err == nil && f.lines != nil {
		err = f.lines.Close()
	}
	if err == nil {
		err = f.free() // somebody may have made it meanwhile
	}
	if err == nil {
		err = os.Rename(f.temporary(), f.path)
	}
	return written, errors.Join(err, f.Close())
}

// Close removes what is not finished. It may be called again, and after Finish.
func (f *File) Close() error {
	if f.lines != nil {
		_ = f.lines.Close() // it is closed already, or thrown away
	}
	if table, ok := f.Writer.(*table); ok {
		table.close()
	}
	return os.RemoveAll(f.folder)
}

// counter counts bytes on their way.
type counter struct {
	w     io.Writer
	bytes int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.bytes += int64(n)
	return n, err
}

const bufferBytes = 256 << 10

// NewLines writes OTLP in JSON to w.
func NewLines(w io.Writer) Writer {
	l := &lines{count: &counter{w: w}}
	l.out = bufio.NewWriterSize(l.count, bufferBytes)
	return l
}

package index

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// badFile is a file that cannot be indexed.
type badFile struct {
	want ErrorType
	// says is a part of the message.
	says string
	make func(t *testing.T, l testkit.Lake, path string)
}

// badTable is a Parquet file that is sound but holds no spans.
func badTable(want ErrorType, says string, table *testkit.Table) badFile {
	return badFile{want, says, func(t *testing.T, l testkit.Lake, path string) { t.Helper(); l.Table(t, path, table) }}
}

// badBytes is a sound file after damage.
func badBytes(want ErrorType, says string, damage func(file []byte) []byte) badFile {
	return badFile{want, says, func(t *testing.T, l testkit.Lake, path string) {
		t.Helper()
		l.Table(t, path, plainTable(100))
		l.Put(t, path, damage(l.Read(t, path)))
	}}
}

// plainTable has neither compression nor dictionaries, so that its bytes can be found.
func plainTable(rows int) *testkit.Table {
	return testkit.SpanTable(rows).Options("CODEC uncompressed, DICTIONARY_SIZE_LIMIT 0, STRING_DICTIONARY_PAGE_SIZE_LIMIT 1")
}

func badArrow(want ErrorType, says string, columns ...testkit.Column) badFile {
	return badFile{want, says, func(t *testing.T, l testkit.Lake, path string) { t.Helper(); l.Arrow(t, path, 2, columns...) }}
}

func badFiles() map[string]badFile {
	noise := make([]byte, 5000)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	noise[0] = 'X'
	put := func(content []byte) func([]byte) []byte { return func([]byte) []byte { return content } }
	cut := func(n int) func([]byte) []byte { return func(file []byte) []byte { return file[:len(file)-n] } }
	minimal := testkit.MinimalColumns()
	return map[string]badFile{
		"random bytes":            badBytes(NotParquet, "begins with", put(noise)),
		"a text":                  badBytes(NotParquet, `begins with "trac"`, put([]byte("trace_id,span_id\n1,2\n"))),
		"JSON":                    badBytes(NotParquet, `begins with "{\"tr"`, put([]byte(`{"trace_id": "1", "span_id": "2"}`))),
		"zeros":                   badBytes(NotParquet, "", put(make([]byte, 100))),
		"an empty file":           badBytes(Truncated, "only 0 bytes", put(nil)),
		"three bytes":             badBytes(Truncated, "only 3 bytes", put([]byte("PAR"))),
		"the magic alone":         badBytes(Truncated, "only 4 bytes", put([]byte("PAR1"))),
		"both magics alone":       badBytes(Truncated, "only 8 bytes", put([]byte("PAR1PAR1"))),
		"eleven bytes":            badBytes(Truncated, "only 11 bytes", put([]byte("PAR1xxxPAR1"))),
		"a footer without length": badBytes(Unreadable, "", put([]byte("PAR1\x00\x00\x00\x00PAR1"))),
		"the head cut off":        badBytes(NotParquet, "begins with", func(file []byte) []byte { return file[7:] }),
		"the last byte cut off":   badBytes(Truncated, "the end is missing", cut(1)),
		"the magic cut off":       badBytes(Truncated, "the end is missing", cut(4)),
		"the footer cut off":      badBytes(Truncated, "the end is missing", func(file []byte) []byte { return file[:len(file)-8-testkit.FooterLength(file)] }),
		"half of it":              badBytes(Truncated, "the end is missing", func(file []byte) []byte { return file[:len(file)/2] }),
		"a footer that is too long": badBytes(Truncated, "has a footer of", func(file []byte) []byte {
			copy(file[len(file)-8:], []byte{0xff, 0xff, 0xff, 0x7f})
			return file
		}),
		"a footer as long as the file": badBytes(Truncated, "has a footer of", func(file []byte) []byte {
			size := len(file) - 11
			copy(file[len(file)-8:], []byte{byte(size), byte(size >> 8), byte(size >> 16), 0})
			return file
		}),
		"a footer that is too short": badBytes(Unreadable, "", func(file []byte) []byte {
			copy(file[len(file)-8:], []byte{10, 0, 0, 0})
			return file
		}),
		"the footer flipped": badBytes(Unreadable, "", func(file []byte) []byte {
			return testkit.Flip(file, -8-testkit.FooterLength(file), testkit.FooterLength(file))
		}),
		"the beginning of the footer flipped": badBytes(Unreadable, "", func(file []byte) []byte {
			return testkit.Flip(file, -8-testkit.FooterLength(file), 16)
		}),
		"the first pages flipped": badBytes(Unreadable, "", func(file []byte) []byte { return testkit.Flip(file, 4, 500) }),
		"the first pages zero":    badBytes(Unreadable, "", func(file []byte) []byte { clear(file[4:3000]); return file }),
		"pages moved by one byte": badBytes(Unreadable, "", func(file []byte) []byte { return slices.Insert(file, 4, 0) }),
		"a name that is not UTF-8": badBytes(Unreadable, "", func(file []byte) []byte {
			return bytes.ReplaceAll(file, []byte("op 5"), []byte("op\xff5"))
		}),
		"encrypted": badBytes(Unreadable, "encrypted", func(file []byte) []byte {
			copy(file, "PARE")
			copy(file[len(file)-4:], "PARE")
			return file
		}),
		"a footer with more rows than there are": {Unreadable, "claims", func(t *testing.T, l testkit.Lake, path string) {
			l.Table(t, path, testkit.SpanTable(1234))
			file := l.Read(t, path)
			footer := bytes.Replace(testkit.Footer(file), testkit.Varint(1234), testkit.Varint(4321), 1)
			l.Put(t, path, testkit.WithFooter(file, footer))
		}},
		"more rows than the pages have": {Unreadable, "", func(t *testing.T, l testkit.Lake, path string) {
			l.Table(t, path, testkit.SpanTable(1234))
			l.Put(t, path, testkit.PatchFooter(t, l.Read(t, path), 1234, 1_000_000))
		}},
		"a negative number of rows": {Unreadable, "", func(t *testing.T, l testkit.Lake, path string) {
			l.Table(t, path, testkit.SpanTable(1234))
			l.Put(t, path, testkit.PatchFooter(t, l.Read(t, path), 1234, -1))
		}},

		"no trace_id":   badTable(MissingColumn, "has no column trace_id", testkit.SpanTable(2).Without("trace_id")),
		"no span_id":    badTable(MissingColumn, "has no column span_id", testkit.SpanTable(2).Without("span_id")),
		"no start_time": badTable(MissingColumn, "has no column start_time", testkit.SpanTable(2).Without("start_time")),
		"not spans":     badTable(MissingColumn, "has no column", testkit.SpanTable(0).Without("trace_id", "span_id", "start_time").With("price", "1")),
		"trace_id only inside of another column": badTable(MissingColumn, "has no column trace_id",
			testkit.SpanTable(2).Without("trace_id").With("resource", "{'trace_id': 'x'}")),

		"trace_id a number":          badTable(WrongType, "has column trace_id as BIGINT, which cannot be read as text", testkit.SpanTable(2).With("trace_id", "i")),
		"trace_id a UUID":            badTable(WrongType, "trace_id as UUID", testkit.SpanTable(2).With("trace_id", "uuid()")),
		"trace_id bytes":             badTable(WrongType, "trace_id as BLOB", testkit.SpanTable(2).With("trace_id", "'x'::BLOB")),
		"span_id a boolean":          badTable(WrongType, "span_id as BOOLEAN", testkit.SpanTable(2).With("span_id", "true")),
		"service_name a number":      badTable(WrongType, "service_name as", testkit.SpanTable(2).With("service_name", "1")),
		"name nested":                badTable(WrongType, "name as a nested column", testkit.SpanTable(2).With("name", "{'text': 'x'}")),
		"name a list":                badTable(WrongType, "name as", testkit.SpanTable(2).With("name", "['x']")),
		"start_time a text":          badTable(WrongType, "start_time as VARCHAR, which cannot be read as a timestamp", testkit.SpanTable(2).With("start_time", "'2026-11-23'")),
		"start_time a number":        badTable(WrongType, "start_time as BIGINT", testkit.SpanTable(2).With("start_time", "i")),
		"start_time a day":           badTable(WrongType, "start_time as DATE", testkit.SpanTable(2).With("start_time", "DATE '2026-11-23'")),
		"start_time a time of day":   badTable(WrongType, "start_time as TIME", testkit.SpanTable(2).With("start_time", "TIME '12:00:00'")),
		"end_time a number":          badTable(WrongType, "end_time as BIGINT", testkit.SpanTable(2).With("end_time", "i")),
		"duration_ns a float":        badTable(WrongType, "duration_ns as DOUBLE, which cannot be read as an integer", testkit.SpanTable(2).With("duration_ns", "1.5::DOUBLE")),
		"duration_ns a decimal":      badTable(WrongType, "duration_ns as DECIMAL", testkit.SpanTable(2).With("duration_ns", "1.5::DECIMAL(18,3)")),
		"span_kind a text":           badTable(WrongType, "span_kind as VARCHAR", testkit.SpanTable(2).With("span_kind", "'SPAN_KIND_SERVER'")),
		"status_code a text":         badTable(WrongType, "status_code as VARCHAR", testkit.SpanTable(2).With("status_code", "'OK'")),
		"trace_id of the type null":  badArrow(WrongType, "trace_id as", append(slices.Clone(minimal[1:]), testkit.Null("trace_id"))...),
		"text without an annotation": badArrow(WrongType, "name as BLOB", append(slices.Clone(minimal), binaryColumn("name"))...),
		"a list without a group":     badArrow(WrongType, "name as", append(slices.Clone(minimal), listColumn("name"))...),
	}
}

func binaryColumn(name string) testkit.Column {
	return testkit.Column{Name: name, Type: arrow.BinaryTypes.Binary, Append: func(b array.Builder, _ int) {
		b.(*array.BinaryBuilder).Append([]byte("text"))
	}}
}

func listColumn(name string) testkit.Column {
	return testkit.Column{Name: name, Type: arrow.ListOf(arrow.BinaryTypes.String), Append: func(b array.Builder, _ int) {
		list := b.(*array.ListBuilder)
		list.Append(true)
		list.ValueBuilder().(*array.StringBuilder).Append("text")
	}}
}

// One bad file costs one file: it is recorded, and all others of its batch are indexed.
func TestABadFileCostsOneFile(t *testing.T) {
	t.Parallel()
	for name, bad := range badFiles() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.lake.Spans(t, "a.parquet", testkit.Spans(500, 5)...)
			bad.make(t, f.lake, "bad.parquet")
			f.lake.Spans(t, "c.parquet", testkit.Spans(503, 5)...)
			if summary := f.sync(); summary.FilesIndexed != 2 || summary.FilesFailed != 1 || summary.SpansIndexed != 8 || summary.FilesWaiting != 0 {
				t.Errorf("Sync() = %+v", summary)
			}
			failed := f.failure()
			if failed.Path != "bad.parquet" || ErrorType(failed.ErrorType) != bad.want || !strings.Contains(failed.Message, bad.says) || failed.Message == "" ||
				failed.Size != int64(len(f.lake.Read(t, "bad.parquet"))) || failed.RetryCount != 0 || failed.Due {
				t.Errorf("Failed() = %+v, want %s: ...%s", failed, bad.want, bad.says)
			}
			if strings.Contains(failed.Message, f.lake.Root) && bad.want != Unreadable {
				t.Errorf("the message tells where the lake is: %s", failed.Message)
			}
			if since := time.Since(failed.FailedAt); since < -time.Minute || since > time.Minute {
				t.Errorf("it failed at %s", failed.FailedAt)
			}
		})
	}
}

// All bad files at once, in one batch and in many, do not cost a sound one.
func TestManyBadFilesAtOnce(t *testing.T) {
	t.Parallel()
	for _, batch := range []int{7, 100} {
		t.Run(fmt.Sprint(batch), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, batchSize(batch))
			bad := badFiles()
			i := 0
			for _, b := range bad {
				i++
				b.make(t, f.lake, fmt.Sprintf("%03d-bad.parquet", i))
				if i%10 == 0 {
					f.lake.Spans(t, fmt.Sprintf("%03d-sound.parquet", i), testkit.Span(i, i))
				}
			}
			if summary := f.sync(); summary.FilesFailed != int64(len(bad)) || summary.FilesIndexed != int64(len(bad))/10 {
				t.Errorf("Sync() = %+v", summary)
			}
			// They have not changed, so they wait, and nobody tries them again.
			if summary := f.sync(); summary.FilesWaiting != int64(len(bad)) || summary.FilesFailed != int64(len(bad)) || summary.FilesUnchanged != int64(len(bad)/10) {
				t.Errorf("the second Sync() = %+v", summary)
			}
			f.expect("SELECT DISTINCT retry_count FROM failed_parquet_files", "0")
		})
	}
}

// Damage in columns that the index does not read is no matter here.
func TestDamageInHeavyColumnsIsNotSeen(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.lake.Table(t, "a.parquet", plainTable(50))
	file := f.lake.Read(t, "a.parquet")
	damaged := bytes.ReplaceAll(file, []byte(`{"n": `), []byte("\xff\xff\xff\xff\xff\xff"))
	if bytes.Equal(file, damaged) {
		t.Fatal("the file does not have the attributes as they are")
	}
	f.lake.Put(t, "a.parquet", damaged)
	if summary := f.sync(); summary.SpansIndexed != 50 {
		t.Errorf("Sync() = %+v\n%s", summary, f.logs)
	}
}

// What is no file has a name of one.
func TestWhatIsNotARegularFile(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.lake.Spans(t, "sound.parquet", testkit.Spans(1, 3)...)
	if err := os.Mkdir(f.lake.Path("folder.parquet"), 0o755); err != nil {
		t.Fatal(err)
	}
	mkfifo(t, f.lake.Path("pipe.parquet"))
	if err := os.Symlink(f.lake.Path("sound.parquet"), f.lake.Path("link.parquet")); err != nil {
		t.Fatal(err)
	}
	if summary := f.sync(); summary.FilesFound != 1 || summary.FilesIndexed != 1 {
		t.Errorf("Sync() = %+v", summary)
	}
}

// A folder may come where a file was listed.
func TestAFolderInThePlaceOfAListedFile(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.lake.Spans(t, "a.parquet", testkit.Span(1, 1))
	f.lake.Spans(t, "b.parquet", testkit.Span(2, 2))
	listed := f.listed()
	f.lake.Remove(t, "a.parquet")
	if err := os.Mkdir(f.lake.Path("a.parquet"), 0o755); err != nil {
		t.Fatal(err)
	}
	summary, err := f.Sync(t.Context(), listing(listed...), SyncOptions{})
	if err != nil || summary.FilesIndexed != 1 || summary.FilesFailed != 1 || ErrorType(f.failure().ErrorType) != Unreadable {
		t.Errorf("Sync() = %+v, %v", summary, err)
	}
}

// A file that vanishes between listing and reading is no failure.
func TestAFileThatVanishesIsNoFailure(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for i := range 5 {
		f.lake.Spans(t, fmt.Sprintf("%d.parquet", i), testkit.Span(i, i))
	}
	listed := f.listed()
	f.lake.Remove(t, "1.parquet")
	f.lake.Remove(t, "3.parquet")
	summary, err := f.Sync(t.Context(), listing(listed...), SyncOptions{})
	if err != nil || summary.FilesIndexed != 3 || summary.FilesFailed != 0 {
		t.Errorf("Sync() = %+v, %v", summary, err)
	}
	f.sync()
	// Vanished files that are in the index keep their rows until a listing is without them.
	listed = f.listed()
	f.lake.Remove(t, "0.parquet")
	for i := range listed {
		listed[i].Size++ // as if they had changed
	}
	if _, err := f.Sync(t.Context(), listing(listed...), SyncOptions{}); err != nil {
		t.Fatal(err)
	}
	f.expectSpans(3)
	f.sync()
	f.expectSpans(2)
}

func TestAFailedFileIsTriedAgainWhenItChanges(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.lake.Put(t, "a.parquet", []byte("no Parquet"))
	f.sync()
	f.lake.Put(t, "a.parquet", []byte("PAR1, but not for long"))
	if summary := f.sync(); summary.FilesWaiting != 0 || summary.FilesFailed != 1 {
		t.Errorf("Sync() = %+v", summary)
	}
	if failed := f.failure(); failed.RetryCount != 1 || ErrorType(failed.ErrorType) != Truncated || failed.Size != 22 {
		t.Errorf("Failed() = %+v", failed)
	}
	f.lake.Spans(t, "a.parquet", testkit.Span(1, 1))
	f.sync()
	f.expectSpans(1)
	f.expect("SELECT file_path FROM failed_parquet_files")
}

func TestAFailedFileIsTriedAgainOnDemand(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.lake.Put(t, "a.parquet", []byte("no Parquet"))
	f.lake.Put(t, "b.parquet", []byte("no Parquet"))
	f.sync()
	if err := f.Retry(t.Context(), "a.parquet"); err != nil {
		t.Fatal(err)
	}
	if err := f.Retry(t.Context(), "other.parquet"); err == nil || !strings.Contains(err.Error(), "other.parquet is not among the failed files") {
		t.Errorf("Retry(other.parquet) = %v", err)
	}
	f.expect("SELECT file_path || ' ' || (file_mtime IS NULL) FROM failed_parquet_files ORDER BY 1", "a.parquet true", "b.parquet false")
	if summary := f.sync(); summary.FilesWaiting != 1 || summary.FilesFailed != 2 {
		t.Errorf("Sync() = %+v", summary)
	}
	f.expect("SELECT file_path || ' ' || retry_count FROM failed_parquet_files ORDER BY 1", "a.parquet 1", "b.parquet 0")
	if n, err := f.RetryAll(t.Context()); n != 2 || err != nil {
		t.Errorf("RetryAll() = %d, %v", n, err)
	}
	f.sync()
	f.expect("SELECT file_path || ' ' || retry_count FROM failed_parquet_files ORDER BY 1", "a.parquet 2", "b.parquet 1")
}

func TestAnIndexedFileThatTurnsBadLeavesTheIndex(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.lake.Spans(t, "a.parquet", testkit.Spans(1, 5)...)
	f.lake.Spans(t, "b.parquet", testkit.Spans(6, 5)...)
	f.sync()
	f.lake.Put(t, "a.parquet", f.lake.Read(t, "a.parquet")[:200])
	if summary := f.sync(); summary.FilesFailed != 1 || summary.FilesUnchanged != 1 || summary.FilesRemoved != 0 {
		t.Errorf("Sync() = %+v", summary)
	}
	f.expectSpans(5)
	f.lake.Remove(t, "a.parquet")
	f.sync()
	f.expect("SELECT file_path FROM failed_parquet_files")
}

// Each limit, set so low that a sound file exceeds it.
func TestLimits(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		limit func(*Limits)
		says  string
	}{
		"rows":       {func(l *Limits) { l.Rows = 4999 }, "row count of 5000 rows, more than the limit of 4999: raise --max-file-rows"},
		"row groups": {func(l *Limits) { l.RowGroups = 1 }, "row group count of 3 row groups, more than the limit of 1: raise --max-file-row-groups"},
		"footer":     {func(l *Limits) { l.FooterBytes = 2500 }, "raise --max-file-footer"},
		"page":       {func(l *Limits) { l.PageBytes = 50_000 }, "raise --max-file-page"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, limits(tc.limit))
			f.lake.Table(t, "large.parquet", plainTable(5000).Options("ROW_GROUP_SIZE 2048"))
			f.lake.Table(t, "small.parquet", testkit.SpanTable(10))
			if summary := f.sync(); summary.FilesIndexed != 1 || summary.FilesFailed != 1 {
				t.Errorf("Sync() = %+v\n%s", summary, f.logs)
			}
			if failed := f.failure(); failed.Path != "large.parquet" || ErrorType(failed.ErrorType) != TooLarge || !strings.Contains(failed.Message, tc.says) {
				t.Errorf("Failed() = %+v", failed)
			}
		})
	}
	t.Run("a heavy column may be large", func(t *testing.T) {
		t.Parallel()
		f := newFixture(t, limits(func(l *Limits) { l.PageBytes = 200_000 }))
		f.lake.Table(t, "a.parquet", plainTable(1000).With("attributes", "repeat('x', 1000)"))
		if summary := f.sync(); summary.FilesIndexed != 1 {
			t.Errorf("Sync() = %+v\n%s", summary, f.logs)
		}
	})
	t.Run("time", func(t *testing.T) {
		t.Parallel()
		f := newFixture(t, limits(func(l *Limits) { l.Time = time.Nanosecond }))
		f.lake.Table(t, "a.parquet", testkit.SpanTable(10))
		if summary := f.sync(); summary.FilesFailed != 1 {
			t.Errorf("Sync() = %+v\n%s", summary, f.logs)
		}
		if failed := f.failure(); ErrorType(failed.ErrorType) != TooLarge || !strings.Contains(failed.Message, "raise --max-file-time") {
			t.Errorf("Failed() = %+v", failed)
		}
	})
}

// After a limit was raised, the file goes in.
func TestALimitThatWasRaised(t *testing.T) {
	t.Parallel()
	f := newFixture(t, limits(func(l *Limits) { l.Rows = 5 }))
	f.lake.Table(t, "a.parquet", testkit.SpanTable(10))
	f.sync()
	f.opts.Limits.Rows = 10
	if _, err := f.RetryAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.sync()
	f.expectSpans(10)
}

// listed is the lake as it is now.
func (f *fixture) listed() (files []span.File) {
	f.t.Helper()
	for file, err := range f.scan() {
		if err != nil {
			f.t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// Symbolic links are not listed, but one may take the place of a folder while a pass runs: what is read must stay in the lake.
func TestAFolderSwappedForALinkOutOfTheLake(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	outside := testkit.Lake{Root: filepath.Join(t.TempDir(), "outside")}
	outside.Spans(t, "a.parquet", testkit.Span(666, 666))
	f.lake.Spans(t, "day/a.parquet", testkit.Span(1, 1))
	listed := f.listed()
	f.lake.Remove(t, "day")
	if err := os.Symlink(outside.Root, f.lake.Path("day")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Sync(t.Context(), listing(listed...), SyncOptions{}); err != nil {
		t.Fatal(err)
	}
	f.expect("SELECT trace_id FROM span_metadata")
}

// A pipe in the place of a listed file would let whoever opens it wait for a writer, for ever.
func TestAPipeInThePlaceOfAListedFile(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.lake.Spans(t, "a.parquet", testkit.Span(1, 1))
	f.lake.Spans(t, "b.parquet", testkit.Span(2, 2))
	listed := f.listed()
	f.lake.Remove(t, "a.parquet")
	mkfifo(t, f.lake.Path("a.parquet"))
	// Opened at both ends, the pipe lets go of a process that waits for it, so that the test fails rather than hangs.
	release := time.AfterFunc(5*time.Second, func() {
		if pipe, err := os.OpenFile(f.lake.Path("a.parquet"), os.O_RDWR, 0); err == nil {
			time.Sleep(time.Second)
			_ = pipe.Close()
		}
	})
	defer release.Stop()
	start := time.Now()
	summary, err := f.Sync(t.Context(), listing(listed...), SyncOptions{})
	if err != nil || summary.FilesIndexed != 1 || summary.FilesFailed != 1 || ErrorType(f.failure().ErrorType) != Unreadable {
		t.Errorf("Sync() = %+v, %v", summary, err)
	}
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("Sync() took %s", took)
	}
}

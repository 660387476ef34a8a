package export

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
	"github.com/spanlake/spanlake/internal/testkit/otlpgen"
)

// shuffled are n spans of traces of ten, in any order.
func shuffled(n int) []span.Span {
	random := rand.New(rand.NewPCG(uint64(n), 1))
	spans := make([]span.Span, n)
	for i := range spans {
		spans[i] = testkit.Span(i/10, i, func(s *span.Span) {
			s.Attributes, s.Events, s.ResourceAttributes = fmt.Sprintf(`{"n":%d}`, i), "[]", `{"service.name":"svc"}`
		})
	}
	random.Shuffle(n, func(i, j int) { spans[i], spans[j] = spans[j], spans[i] })
	return spans
}

// write exports spans to a file.
func write(t testing.TB, path string, format Format, spans []span.Span) Written {
	t.Helper()
	f, err := Create(path, format, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range spans {
		if err := f.Add(s); err != nil {
			t.Fatal(err)
		}
	}
	written, err := f.Finish()
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() != written.Bytes {
		t.Errorf("it has %d bytes, but written were %d: %v", info.Size(), written.Bytes, err)
	}
	only(t, path)
	return written
}

// only checks that a folder has only these files.
func only(t testing.TB, paths ...string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(paths[0]))
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, entry := range entries {
		left = append(left, filepath.Join(filepath.Dir(paths[0]), entry.Name()))
	}
	if !slices.Equal(left, paths) {
		t.Errorf("in the folder are %q, want %q", left, paths)
	}
}

func sorted(spans []span.Span) []span.Span {
	spans = slices.Clone(spans)
	slices.SortFunc(spans, func(a, b span.Span) int { return compare(&a, &b) })
	return spans
}

// readLines reads what an export in OTLP has, each line by itself.
func readLines(t rapid.TB, text []byte) (spans []span.Span) {
	t.Helper()
	for line := range bytes.Lines(text) {
		traces, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(line)
		if err != nil {
			t.Fatalf("%v in %.200q", err, line)
		}
		data, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(traces)
		if err != nil {
			t.Fatal(err)
		}
		var converter otlpwire.Converter
		for s, err := range otlpwire.Spans(data) {
			if err != nil {
				t.Fatal(err)
			}
			spans = append(spans, converter.Span(s))
		}
	}
	return spans
}

// Whatever the format, the file has every span with all that it has.
func TestFilesHaveAllSpans(t *testing.T) {
	spans := shuffled(1_234)
	for format, name := range map[Format]string{Parquet: "spans of today.parquet", OTLPJSON: "spans.jsonl"} {
		path := filepath.Join(t.TempDir(), name)
		if written := write(t, path, format, spans); written.Spans != 1_234 || written.Left != 0 {
			t.Errorf("%s: %+v", format, written)
		}
		var got []span.Span
		if format == Parquet {
			got = testkit.ReadSpans(t, path)
			if !slices.IsSortedFunc(got, func(a, b span.Span) int { return compare(&a, &b) }) {
				t.Error("it is not in the order of a lake")
			}
		} else {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got = readLines(t, text)
			for i := range got {
				got[i].Links, got[i].ScopeAttributes = "", "" // "[]" and "{}", which is the same
			}
		}
		if want := sorted(spans); !slices.Equal(sorted(got), want) {
			t.Errorf("%s: %d spans that differ, such as %+v", format, len(got), got[0])
		}
	}
}

// Spans that come one trace after the other share a line and what they have in common, however odd they are.
func TestLinesHaveSpansExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		request := otlpgen.Request(t)
		raw, err := proto.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		var converter otlpwire.Converter
		var out bytes.Buffer
		writer := NewLines(&out)
		var want []span.Span
		for s, err := range otlpwire.Spans(raw) {
			if err != nil {
				t.Fatal(err)
			}
			one := converter.Span(s)
			want = append(want, one)
			if err := writer.Add(one); err != nil {
				t.Fatal(err)
			}
		}
		written, err := writer.Finish()
		if err != nil || written.Spans != int64(len(want)) || written.Bytes != int64(out.Len()) {
			t.Fatalf("%+v, %v", written, err)
		}
		ids := func(spans []span.Span) (all []string) {
			for i := range spans {
				all = append(all, spans[i].SpanID+" "+spans[i].Name+" "+spans[i].ServiceName)
			}
			slices.Sort(all)
			return all
		}
		if got := ids(readLines(t, out.Bytes())); !slices.Equal(got, ids(want)) {
			t.Fatalf("got %q, want %q", got, ids(want))
		}
	})
}

// A line has spans of one trace, and an end.
func TestLinesEnd(t *testing.T) {
	var out bytes.Buffer
	writer := NewLines(&out)
	long := strings.Repeat("x", windowBytes/4)
	for i := range 2*windowSpans + 10 {
		trace := min(i/windowSpans, 2)
		if err := writer.Add(testkit.Span(trace, i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 5 {
		if err := writer.Add(testkit.Span(9, i, func(s *span.Span) { s.Attributes = `{"long":"` + long + `"}` })); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := writer.Finish(); err != nil {
		t.Fatal(err)
	}
	var counts []int
	for line := range bytes.Lines(out.Bytes()) {
		spans := readLines(t, line)
		for i := range spans {
			if spans[i].TraceID != spans[0].TraceID {
				t.Errorf("a line has spans of traces %s and %s", spans[0].TraceID, spans[i].TraceID)
			}
		}
		counts = append(counts, len(spans))
	}
	if want := []int{windowSpans, windowSpans, 10, 4, 1}; !slices.Equal(counts, want) {
		t.Errorf("lines have %d spans, want %d", counts, want)
	}
}

// What OTLP cannot say is left out of lines and told; Parquet has it.
func TestSpansThatOTLPCannotSay(t *testing.T) {
	spans := []span.Span{testkit.Span(1, 1), testkit.Span(1, 2, func(s *span.Span) { s.SpanID = "no id" })}
	for i := range spans {
		spans[i].Attributes, spans[i].Events, spans[i].ResourceAttributes = "{}", "[]", "{}"
	}
	written := write(t, filepath.Join(t.TempDir(), "a.jsonl"), OTLPJSON, spans)
	if wrong := (*otlpwire.ColumnError)(nil); written.Spans != 1 || written.Left != 1 || !errors.As(written.Why, &wrong) || wrong.SpanID != "no id" {
		t.Errorf("in lines: %+v", written)
	}
	path := filepath.Join(t.TempDir(), "a.parquet")
	if written := write(t, path, Parquet, spans); written.Spans != 2 || written.Left != 0 {
		t.Errorf("in Parquet: %+v", written)
	}
	if got := testkit.ReadSpans(t, path); !slices.Equal(got, sorted(spans)) {
		t.Errorf("read back: %+v", got)
	}
}

// What is there is not touched unless it is to be replaced, and what is no file never.
func TestWhatIsThereAlready(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "spans.jsonl")
	write(t, path, OTLPJSON, shuffled(1))
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Create(path, OTLPJSON, false); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("a file is there: %v", err)
	}
	if _, err := Create(folder, OTLPJSON, true); err == nil || errors.Is(err, fs.ErrExist) {
		t.Errorf("a folder is there: %v", err)
	}
	if _, err := Create(filepath.Join(folder, "missing", "a.jsonl"), OTLPJSON, true); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is no such folder: %v", err)
	}
	link := filepath.Join(folder, "link.jsonl")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	f, err := Create(link, OTLPJSON, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Add(testkit.Span(7, 7)); err != nil {
		t.Fatal(err)
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, before) {
		t.Errorf("the file has changed before the new one is whole: %v", err)
	}
	if _, err := f.Finish(); err != nil {
		t.Fatal(err)
	}
	if now, err := os.ReadFile(path); err != nil || len(readLines(t, now)) != 1 || bytes.Equal(now, before) {
		t.Errorf("the file is not the new one: %v", err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode().Type() != fs.ModeSymlink {
		t.Errorf("the link was replaced: %v", err)
	}
	only(t, link, path)
}

// Somebody makes the file while it is written: it is theirs.
func TestAFileThatIsMadeMeanwhile(t *testing.T) {
	for _, format := range []Format{OTLPJSON, Parquet} {
		path := filepath.Join(t.TempDir(), "spans")
		f, err := Create(path, format, false)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Add(testkit.Span(1, 1)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("theirs"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Finish(); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: %v", format, err)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != "theirs" {
			t.Errorf("%s: the file has %q: %v", format, text, err)
		}
		only(t, path)
	}
}

// Nothing is left of an export that fails, is given up, or has nothing to write.
func TestNothingIsLeftOfWhatIsNotWhole(t *testing.T) {
	year2300 := func(s *span.Span) { s.EndTime = time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC) }
	for name, test := range map[string]struct {
		format Format
		spans  []span.Span
		want   string
	}{
		"a span that Parquet cannot hold": {Parquet, []span.Span{testkit.Span(1, 1), testkit.Span(1, 2, year2300)}, "2300-01-01"},
		"nothing, in Parquet":             {Parquet, nil, ErrNoSpans.Error()},
		"nothing, in lines":               {OTLPJSON, nil, ErrNoSpans.Error()},
		"nothing that OTLP can say":       {OTLPJSON, []span.Span{{TraceID: "x"}}, ErrNoSpans.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			f, err := Create(filepath.Join(folder, "spans"), test.format, false)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range test.spans {
				if err := f.Add(s); err != nil {
					t.Fatal(err)
				}
			}
			_, err = f.Finish()
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Finish() = %v, want %v", err, test.want)
			}
			if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
				t.Errorf("left is %v, %v", left, err)
			}
		})
	}
	for _, format := range []Format{OTLPJSON, Parquet} {
		folder := t.TempDir()
		f, err := Create(filepath.Join(folder, "spans"), format, false)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Add(testkit.Span(1, 1)); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.Close(), f.Close()); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
			t.Errorf("left of %s that was given up is %v, %v", format, left, err)
		}
	}
}

func TestFormats(t *testing.T) {
	for path, want := range map[string]Format{"a.json": OTLPJSON, "b/A.JSONL": OTLPJSON, "a.ndjson": OTLPJSON, "a.parquet": Parquet, "a": "", "a.csv": "", "parquet": ""} {
		if got, ok := FormatOf(path); got != want || ok != (want != "") {
			t.Errorf("FormatOf(%s) = %q, %v", path, got, ok)
		}
	}
}

package export

import (
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/spanlake/spanlake/internal/lake"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// sort sorts spans with so much memory, and returns how many runs it took.
func sortIn(t rapid.TB, folder string, most int, spans []span.Span) (parts [][]span.Span, runs int) {
	t.Helper()
	s := newSorter(folder)
	s.most = most
	defer s.close()
	for _, one := range spans {
		if err := s.add(one); err != nil {
			t.Fatal(err)
		}
	}
	for part, err := range s.parts() {
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, slices.Clone(part))
	}
	return parts, len(s.runs)
}

// However little fits into memory, all spans come in order, and nothing of them is lost on the way.
func TestSortingIsTheSameInAnyMemory(t *testing.T) {
	folder := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		// Different ids, so that there is one order only.
		spans := shuffled(rapid.IntRange(0, 300).Draw(t, "spans"))
		for i := range spans {
			spans[i].Name = rapid.SampledFrom([]string{"", "a", "汉\x00"}).Draw(t, "name")
			spans[i].Flags = rapid.Uint32Range(0, 2).Draw(t, "flags")
			spans[i].Kind = span.Kind(rapid.Int8().Draw(t, "kind"))
			spans[i].OTLP = string(rapid.SliceOfN(rapid.Byte(), 0, 4).Draw(t, "otlp"))
		}
		most := rapid.SampledFrom([]int{1, 1_000, 10_000, 1 << 30}).Draw(t, "memory")
		parts, _ := sortIn(t, folder, most, spans)
		if got, want := slices.Concat(parts...), sorted(spans); !slices.Equal(got, want) {
			t.Fatalf("%d spans, want %d, or they differ", len(got), len(want))
		}
	})
}

// Parts are row groups: a trace is in one of them, unless it is as large.
func TestPartsEndBetweenTraces(t *testing.T) {
	spans := shuffled(3*lake.RowGroupRows + 5)
	parts, runs := sortIn(t, t.TempDir(), 4<<20, spans)
	if runs < 2 {
		t.Fatalf("it took %d runs: make more spans", runs)
	}
	if len(parts) != 4 {
		t.Errorf("there are %d parts", len(parts))
	}
	for i, part := range parts[1:] {
		if before := parts[i]; before[len(before)-1].TraceID == part[0].TraceID || len(before) < lake.RowGroupRows || len(before) > lake.RowGroupRows+9 {
			t.Errorf("part %d has %d spans, and its last trace is %s, that of the next one %s", i, len(before), before[len(before)-1].TraceID, part[0].TraceID)
		}
	}
	var one []span.Span
	for i := range maxPartSpans + 1 {
		one = append(one, testkit.Span(1, i))
	}
	if parts, _ := sortIn(t, t.TempDir(), runBytes, one); len(parts) != 2 || len(parts[0]) != maxPartSpans {
		t.Errorf("a large trace has %d parts, the first one of %d spans", len(parts), len(parts[0]))
	}
}

// A file that was cut meanwhile is an error, and not the end.
func TestRunsThatAreDamaged(t *testing.T) {
	s := newSorter(t.TempDir())
	s.most = 100_000
	defer s.close()
	for _, one := range shuffled(2_000) {
		if err := s.add(one); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(s.file.Name(), s.runs[1].offset+s.runs[1].length/2); err != nil {
		t.Fatal(err)
	}
	for _, err := range s.parts() {
		if err != nil {
			return
		}
	}
	t.Error("nobody has noticed")
}

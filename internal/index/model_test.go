package index

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

// seedEnv repeats a random test that failed.
const seedEnv = "SPANLAKE_TEST_SEED"

func randomSeed(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv(seedEnv); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("repeat with %s=%d", seedEnv, seed)
	return seed
}

// model is what a lake holds, told in the simplest way.
type model struct {
	random *rand.Rand
	// files has the spans of each sound file, damaged the files that cannot be read.
	files   map[string][]span.Span
	damaged map[string]bool
}

// distinct are the spans that the index must have, as text, sorted.
func (m *model) distinct() []string {
	seen := make(map[string]bool)
	for _, spans := range m.files {
		for _, s := range spans {
			seen[fmt.Sprintf("%s %s %s %d %d %t", s.TraceID, s.SpanID, s.Name, s.Kind, s.StatusCode, s.EndTime.IsZero())] = true
		}
	}
	var all []string
	for key := range seen {
		all = append(all, key)
	}
	slices.Sort(all)
	return all
}

// modelSQL is the same from the index. In a model the start follows from the ids.
const modelSQL = `
SELECT trace_id || ' ' || span_id || ' ' || name || ' ' || span_kind || ' ' || status_code || ' ' || (end_time IS NULL)
FROM span_metadata`

// daily is what daily_stats must count: the spans of a model are all of one service and day.
func (m *model) daily(distinct []string) []string {
	if len(distinct) == 0 {
		return nil
	}
	errors := 0
	for _, key := range distinct {
		if strings.Fields(key)[4] == fmt.Sprint(int(span.StatusError)) {
			errors++
		}
	}
	return []string{fmt.Sprintf("svc %s %d %d", testkit.Start.Format(time.DateOnly), len(distinct), errors)}
}

const modelDailySQL = `SELECT concat_ws(' ', service_name, day, span_count, error_count) FROM daily_stats`

// spans makes a few spans out of a small set, so that most of them repeat others.
func (m *model) spans() []span.Span {
	spans := make([]span.Span, m.random.IntN(8))
	for i := range spans {
		spans[i] = testkit.Span(m.random.IntN(4), m.random.IntN(5), parent(fmt.Sprint(m.random.IntN(3))), func(s *span.Span) {
			s.Name = []string{"x", "y"}[m.random.IntN(2)]
			s.StatusCode = span.StatusCode(m.random.IntN(3))
			if m.random.IntN(4) == 0 {
				noEnd(s)
			}
		})
	}
	return spans
}

// step changes one file of the lake and says what it did.
func (m *model) step(t *testing.T, l testkit.Lake) string {
	path := fmt.Sprintf("day=%d/%d.parquet", m.random.IntN(2), m.random.IntN(5))
	delete(m.damaged, path)
	delete(m.files, path)
	switch m.random.IntN(10) {
	case 0, 1:
		l.Remove(t, path)
		return "remove " + path
	case 2:
		l.Put(t, path, []byte("PAR1 and then nothing"))
		m.damaged[path] = true
		return "damage " + path
	case 3:
		l.Spans(t, path)
		m.files[path] = nil
		return "empty " + path
	default:
		spans := m.spans()
		l.Spans(t, path, spans...)
		m.files[path] = spans
		return fmt.Sprintf("write %s with %d spans", path, len(spans))
	}
}

// Whatever becomes of the files of a lake, after each pass the index has each distinct span of the sound files once.
func TestTheIndexIsWhatTheLakeHolds(t *testing.T) {
	t.Parallel()
	seed := randomSeed(t)
	for world := range uint64(6) {
		t.Run(fmt.Sprint(world), func(t *testing.T) {
			t.Parallel()
			m := &model{random: rand.New(rand.NewPCG(seed, world)), files: make(map[string][]span.Span), damaged: make(map[string]bool)}
			f := newFixture(t, batchSize(1+m.random.IntN(10)))
			f.dailyTail = m.random.Int64N(20)
			f.lake.Put(t, "not a lake file.txt", nil) // a lake without files is there, too
			var history []string
			for range 15 {
				for range 1 + m.random.IntN(4) {
					history = append(history, m.step(t, f.lake))
				}
				summary := f.sync()
				history = append(history, fmt.Sprintf("sync: %+v", summary))
				if summary.FilesFailed != int64(len(m.damaged)) || int(summary.FilesFound) != len(m.damaged)+len(m.files) {
					t.Errorf("Sync() = %+v, but the lake has %d sound and %d damaged files", summary, len(m.files), len(m.damaged))
				}
				got, want := f.column(modelSQL), m.distinct()
				slices.Sort(got)
				if !slices.Equal(got, want) {
					t.Errorf("the index has %d spans\n%s\nthe lake has %d\n%s", len(got), strings.Join(got, "\n"), len(want), strings.Join(want, "\n"))
				}
				f.expect(modelDailySQL, m.daily(want)...)
				if t.Failed() {
					t.Fatalf("after these steps with batches of %d:\n%s", f.opts.BatchSize, strings.Join(history, "\n"))
				}
			}
		})
	}
}

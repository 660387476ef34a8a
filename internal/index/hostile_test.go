package index

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/lake"
	"github.com/spanlake/spanlake/internal/testkit"
)

// seeds are sound files of several shapes, to be damaged.
func seeds(t testing.TB) [][]byte {
	t.Helper()
	l := testkit.NewLake(t)
	l.Table(t, "a.parquet", testkit.SpanTable(12))
	l.Table(t, "b.parquet", plainTable(1234).Without("attributes", "events"))
	l.Table(t, "c.parquet", testkit.SpanTable(5000).Options("ROW_GROUP_SIZE 2048, PARQUET_VERSION v2").With("x", "{'name': [i]}"))
	l.Arrow(t, "d.parquet", 50, testkit.MinimalColumns()...)
	own := writeWithLake(t, l, testkit.Spans(1, 500)...)
	var all [][]byte
	for _, name := range []string{"a.parquet", "b.parquet", "c.parquet", "d.parquet", own.Path} {
		all = append(all, l.Read(t, name))
	}
	return all
}

// assertSurvives indexes hostile files beside a sound one, and checks what must hold whatever they contain.
func assertSurvives(t *testing.T, f *fixture, hostile map[string][]byte) {
	t.Helper()
	for path, content := range hostile {
		f.lake.Put(t, path, content)
	}
	f.lake.Spans(t, "sound.parquet", testkit.Spans(1_000_000, 5)...)
	summary := f.sync()
	if summary.FilesIndexed+summary.FilesFailed != int64(len(hostile)+1) {
		t.Errorf("Sync() = %+v of %d hostile files and a sound one", summary, len(hostile))
	}
	// Its spans are there, whoever had them first: nobody else's have such ids.
	f.expect("SELECT count(*) FROM span_metadata WHERE trace_id >= '"+testkit.TraceID(1_000_000)+"' AND trace_id <= '"+testkit.TraceID(1_000_004)+"'", "5")
	f.expect("SELECT file_path FROM failed_parquet_files WHERE file_path = 'sound.parquet'")
	// And all of it goes again.
	for path := range hostile {
		f.lake.Remove(t, path)
	}
	f.sync()
	f.expectSpans(5)
}

// Files with numbers in them that promise more than a process can hold, each with sound ends.
func TestFilesThatPromiseTooMuch(t *testing.T) {
	t.Parallel()
	l := testkit.NewLake(t)
	l.Table(t, "a.parquet", plainTable(1234))
	file := l.Read(t, "a.parquet")
	for name, content := range map[string][]byte{
		"a billion rows in footer and row groups":  testkit.PatchFooter(t, file, 1234, 1_000_000_000),
		"more rows than a number of rows can have": testkit.PatchFooter(t, file, 1234, 1<<62),
		"negative rows":                    testkit.PatchFooter(t, file, 1234, -1<<62),
		"as many rows as the limit allows": testkit.PatchFooter(t, file, 1234, DefaultLimits().Rows),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			start := time.Now()
			assertSurvives(t, f, map[string][]byte{"hostile.parquet": content})
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// Random damage: the process lives, sound files are indexed, the index agrees with itself.
func TestMutatedFilesCostThemselvesOnly(t *testing.T) {
	t.Parallel()
	seed := randomSeed(t)
	sound := seeds(t)
	for world := range uint64(6) {
		t.Run(fmt.Sprint(world), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, world))
			hostile := make(map[string][]byte)
			for i := range 12 {
				hostile[fmt.Sprintf("%02d.parquet", i)] = testkit.Mutate(random, sound[random.IntN(len(sound))])
			}
			assertSurvives(t, newFixture(t, batchSize(1+random.IntN(10))), hostile)
		})
	}
}

// FuzzIndexMutatedParquet feeds damaged Parquet files to the indexer:
//
//	go test -fuzz=FuzzIndexMutatedParquet -parallel=2 ./internal/index
func FuzzIndexMutatedParquet(f *testing.F) {
	for i, seed := range seeds(f) {
		f.Add(seed, uint64(i))
	}
	// One index for all inputs of a process: making one takes longer than indexing a small file.
	x := newFixture(f, quiet, limits(func(l *Limits) { l.Time = 20 * time.Second }))
	f.Fuzz(func(t *testing.T, content []byte, mutation uint64) {
		hostile := map[string][]byte{"itself.parquet": content}
		// Go's own mutations rarely keep both ends sound: these do.
		if footer := testkit.FooterLength(append(make([]byte, 8), content...)); len(content) > 16 && 0 < footer && footer < len(content)-16 {
			random := rand.New(rand.NewPCG(mutation, 0))
			for i := range 8 {
				hostile[fmt.Sprintf("%d.parquet", i)] = testkit.Mutate(random, content)
			}
		}
		x.t = t
		assertSurvives(t, x, hostile)
	})
}

// How much memory a corpus of hostile files takes, with SPANLAKE_TEST_HOSTILE=300 files.
func TestHostileCorpusMemory(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("SPANLAKE_TEST_HOSTILE"))
	if err != nil {
		t.Skip("set SPANLAKE_TEST_HOSTILE to a number of files")
	}
	sound := seeds(t)
	random := rand.New(rand.NewPCG(randomSeed(t), 0))
	l := testkit.NewLake(t)
	for i := range n {
		l.Put(t, fmt.Sprintf("%04d.parquet", i), testkit.Mutate(random, sound[i%len(sound)]))
	}
	o := testOptions(t, l, quiet)
	start := time.Now()
	cmd := command(t.Context(), childSync, o)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Logf("%d files in %s, peak of the process: %s", n, time.Since(start), peakOf(cmd.ProcessState.SysUsage()))
	f := &fixture{t: t, lake: l}
	if f.Index, err = Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Sync(t.Context(), lake.Scan(t.Context(), l.Root), SyncOptions{}); err != nil {
		t.Fatal(err)
	}
	f.assertSound()
	t.Log(strings.Join(f.column("SELECT error_type || ' ' || count(*) FROM failed_parquet_files GROUP BY error_type ORDER BY 1"), ", "))
	t.Log(strings.Join(f.column("SELECT left(error_message, 300) FROM failed_parquet_files WHERE error_type = 'internal'"), "\n"))
}

package index

import (
	"fmt"
	"slices"
	"testing"

	"github.com/spanlake/spanlake/internal/testkit"
)

func TestIndexedAreTheRegisteredFiles(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const odd = "it's $1, é/'); DROP TABLE parquet_files; --.parquet"
	f.lake.Spans(t, "a/one.parquet", testkit.Span(1, 1))
	f.lake.Spans(t, odd, testkit.Span(2, 2))
	f.lake.Spans(t, "changed.parquet", testkit.Span(3, 3))
	f.lake.Put(t, "failed.parquet", []byte("not Parquet at all"))
	expect := func(when string, asked []string, want ...string) {
		t.Helper()
		got, err := f.Indexed(t.Context(), asked)
		slices.Sort(got)
		slices.Sort(want)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: Indexed() = %q, %v, want %q", when, got, err, want)
		}
	}
	asked := []string{"a/one.parquet", odd, "changed.parquet", "failed.parquet", "never/there.parquet", ""}
	expect("before the first pass", asked)
	f.sync()
	expect("nothing asked", nil)
	expect("all asked", asked, "a/one.parquet", odd, "changed.parquet")
	expect("one asked", []string{"failed.parquet", odd}, odd)

	// More than one query takes.
	many := make([]string, 0, 3*pathsPerQuery)
	for i := range 2*pathsPerQuery + 1 {
		many = append(many, fmt.Sprintf("not/%d.parquet", i))
	}
	expect("many asked", append(append([]string{odd}, many...), "a/one.parquet"), "a/one.parquet", odd)

	// An indexed file that changes into one that cannot be read is failed.
	f.lake.Put(t, "changed.parquet", []byte("not Parquet anymore"))
	f.lake.Remove(t, "a/one.parquet")
	f.sync()
	expect("after changes", asked, odd)
}

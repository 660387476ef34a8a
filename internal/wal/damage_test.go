package wal

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spanlake/spanlake/internal/span"
)

// flip damages a closed file: it changes one byte some bytes after the first place where text stands.
func (f *fixture) flip(text []byte, after int) {
	f.t.Helper()
	content, err := os.ReadFile(f.path)
	f.must(err)
	at := bytes.Index(content, text)
	if at < 0 {
		f.t.Fatalf("%q is not in the file", text)
	}
	content[at+after] ^= 0x55
	f.must(os.WriteFile(f.path, content, 0o644))
}

// damagedLog has requests 1 to 5, of which damage has made something of 3.
func damagedLog(t *testing.T, size int, damage func(f *fixture, third span.RequestID)) *fixture {
	f := newFixture(t)
	f.append(1, 5, size)
	var ids []span.RequestID
	for r, err := range f.Requests(t.Context(), span.RequestID{}, lastID) {
		f.must(err)
		ids = append(ids, r.ID)
	}
	f.close()
	damage(f, ids[2])
	return openFixture(t, f.path)
}

func TestADamagedRequestCostsItself(t *testing.T) {
	for name, tc := range map[string]struct {
		size   int
		damage func(f *fixture, third span.RequestID)
		want   []int
	}{
		"data": {1000, func(f *fixture, _ span.RequestID) { f.flip([]byte("request 3 "), 2) }, []int{1, 2, -3, 4, 5}},
		"data on other pages": {300_000, func(f *fixture, _ span.RequestID) {
			f.exec("UPDATE requests SET data = CAST(substr(data, 1, 90000) || x'0102' || substr(data, 90003) AS BLOB) WHERE spans = 3")
		}, []int{1, 2, -3, 4, 5}},
		"missing data": {1000, func(f *fixture, _ span.RequestID) {
			f.exec("UPDATE requests SET data = x'' WHERE spans = 3")
		}, []int{1, 2, -3, 4, 5}},
		"the length": {1000, func(f *fixture, _ span.RequestID) {
			f.exec("UPDATE requests SET raw_bytes = 999 WHERE spans = 3")
		}, []int{1, 2, -3, 4, 5}},
		// Its key says what it was.
		"the id": {1000, func(f *fixture, third span.RequestID) { f.flip(third[:], 1) }, []int{1, 2, 3, 4, 5}},
		"the header of the row": {1000, func(f *fixture, third span.RequestID) {
			f.flip(third[:], -4) // the type of a column
		}, []int{1, 2, 0, 4, 5}},
		"a page of the data": {300_000, func(f *fixture, _ span.RequestID) {
			// The next page of the row is none: SQLite itself finds that.
			f.breakOverflow()
		}, []int{1, 2, 0, 4, 5}},
	} {
		t.Run(name, func(t *testing.T) {
			f := damagedLog(t, tc.size, tc.damage)
			flush := f.begin(1000, manyBytes)
			if got := f.spans(); !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
			var rest []int
			for _, n := range tc.want {
				if n > 0 {
					rest = append(rest, n)
				}
			}
			if got := f.spans(); !slices.Equal(got, rest) {
				t.Errorf("got %v when read again, want %v", got, rest)
			}
			damaged := 5 - len(rest)
			if got := strings.Count(f.logs.String(), "is damaged and set aside"); got != damaged {
				t.Errorf("the log says it %d times: %s", got, f.logs.String())
			}
			f = f.reopen()
			f.publish(flush, "a")
			f.must(f.Release(t.Context(), []string{"a"}))
			f = f.reopen()
			if s := f.stats(); s.Damaged != int64(damaged) || s.Requests != 0 {
				t.Errorf("stats %+v", s)
			}
			// It is still there for people, and in nobody's way.
			var left int
			f.must(f.reader.QueryRowContext(t.Context(), "SELECT count(*) FROM requests JOIN damaged USING (key)").Scan(&left))
			if left != damaged {
				t.Errorf("%d damaged requests are left", left)
			}
			if _, ok, err := f.BeginFlush(t.Context(), 1, 1); ok || err != nil {
				t.Errorf("a flush of nothing but damage: %v, %v", ok, err)
			}
		})
	}
}

// exec changes a closed log as anybody might.
func (f *fixture) exec(statement string, args ...any) {
	f.t.Helper()
	db := openDB(f.path, Full, false, 0, 1)
	_, err := db.ExecContext(f.t.Context(), statement, args...)
	f.must(errors.Join(err, db.Close()))
}

// breakOverflow makes the second page of the data of request 3 say that the next one is far beyond the end of the file. It is
// the page after the one where the data begins, in a file that was only appended to.
func (f *fixture) breakOverflow() {
	f.t.Helper()
	content, err := os.ReadFile(f.path)
	f.must(err)
	var packed []byte
	db := openDB(f.path, Full, true, 0, 1)
	err = db.QueryRowContext(f.t.Context(), "SELECT data FROM requests WHERE spans = 3").Scan(&packed)
	f.must(errors.Join(err, db.Close()))
	// An overflow page is the number of the next one, and then data.
	for at := pageSize; at+pageSize <= len(content); at += pageSize {
		if bytes.Contains(packed, content[at+4:at+pageSize]) {
			copy(content[at:], []byte{0x7f, 0xff, 0xff, 0xf0})
			f.must(os.WriteFile(f.path, content, 0o644))
			return
		}
	}
	f.t.Fatal("the data of request 3 has no page of its own")
}

func TestADamagedRequestThatIsNotInAFlush(t *testing.T) {
	f := damagedLog(t, 1000, func(f *fixture, _ span.RequestID) { f.flip([]byte("request 3 "), 2) })
	f.spans()
	if s := f.stats(); s.Requests != 4 || s.Spans != 1+2+4+5 || s.Bytes != 4000 || s.Damaged != 1 {
		t.Errorf("stats %+v", s)
	}
	if flush := f.begin(1000, manyBytes); flush.Requests != 4 || flush.Spans != 12 {
		t.Errorf("flush %+v", flush)
	}
}

func TestOneDamagedRequestAskedFor(t *testing.T) {
	var third span.RequestID
	f := damagedLog(t, 1000, func(f *fixture, id span.RequestID) {
		third = id
		f.flip([]byte("request 3 "), 2)
	})
	var damaged *DamagedError
	if _, err := f.Request(t.Context(), third); !errors.As(err, &damaged) || damaged.ID != third || damaged.Spans != 3 {
		t.Errorf("got %v", err)
	}
}

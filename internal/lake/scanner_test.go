package lake

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// listed is what a listing tells.
type listed struct {
	whole  bool
	files  []string
	scope  []string // sorted
	unread []*span.ScanError
	err    error // that ended it
}

func readListing(t *testing.T, listing span.Listing) listed {
	t.Helper()
	got := listed{whole: listing.Whole}
	for file, err := range listing.Files {
		var place *span.ScanError
		switch {
		case errors.As(err, &place):
			got.unread = append(got.unread, place)
		case err != nil:
			got.err = err
		default:
			got.files = append(got.files, file.Path)
		}
	}
	if !listing.Whole {
		got.scope = slices.Clone(listing.Scope())
		slices.Sort(got.scope)
	}
	return got
}

// expectPart is for a listing of parts of a lake that can be read throughout.
func expectPart(t *testing.T, listing span.Listing, files, scope []string) {
	t.Helper()
	got := readListing(t, listing)
	slices.Sort(scope)
	if got.whole || got.err != nil || len(got.unread) > 0 || !slices.Equal(got.files, files) || !slices.Equal(got.scope, scope) {
		t.Errorf("got %+v\nwant files %q, scope %q", got, files, scope)
	}
}

func expectWhole(t *testing.T, listing span.Listing, files ...string) {
	t.Helper()
	got := readListing(t, listing)
	if !got.whole || got.err != nil || len(got.unread) > 0 || !slices.Equal(got.files, files) {
		t.Errorf("got %+v\nwant the whole: %q", got, files)
	}
}

// lakeWithScanner is a lake that a Scanner has listed, whose clock is so far ahead that nothing changed just now.
func lakeWithScanner(t *testing.T, files ...string) (root string, s *Scanner) {
	t.Helper()
	root = filepath.Join(t.TempDir(), "lake")
	for _, file := range files {
		put(t, root, file, "x")
	}
	s = NewScanner(root)
	s.now = func() time.Time { return time.Now().Add(time.Hour) }
	slices.Sort(files)
	expectWhole(t, s.Whole(t.Context()), files...)
	return root, s
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func setTime(t *testing.T, path string, at time.Time) {
	t.Helper()
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func TestChangedListsFoldersThatChanged(t *testing.T) {
	for name, tc := range map[string]struct {
		change       func(t *testing.T, root string)
		files, scope []string
	}{
		"nothing":     {func(*testing.T, string) {}, nil, nil},
		"a new file":  {func(t *testing.T, root string) { put(t, root, "y/m/d2/c.parquet", "x") }, []string{"y/m/d2/b.parquet", "y/m/d2/c.parquet"}, []string{"y/m/d2"}},
		"a file less": {func(t *testing.T, root string) { remove(t, root+"/y/m/d2/b.parquet") }, nil, []string{"y/m/d2"}},
		"a file of the root": {func(t *testing.T, root string) { put(t, root, "z.parquet", "x") }, []string{"top.parquet", "z.parquet"},
			[]string{"."}},
		"a file that is renamed into another folder": {func(t *testing.T, root string) { rename(t, root+"/y/m/d1/a.parquet", root+"/y/n/d1/a.parquet") },
			[]string{"y/n/d1/a.parquet", "y/n/d1/d.parquet"}, []string{"y/m/d1", "y/n/d1"}},
		"a new folder":              {func(t *testing.T, root string) { put(t, root, "y/m/d3/c.parquet", "x") }, []string{"y/m/d3/c.parquet"}, []string{"y/m", "y/m/d3"}},
		"new folders in each other": {func(t *testing.T, root string) { put(t, root, "y2/m/d/c.parquet", "x") }, []string{"top.parquet", "y2/m/d/c.parquet"}, []string{".", "y2", "y2/m", "y2/m/d"}},
		"a folder less":             {func(t *testing.T, root string) { remove(t, root+"/y/m/d2") }, nil, []string{"y/m", "y/m/d2"}},
		"folders less":              {func(t *testing.T, root string) { remove(t, root+"/y") }, []string{"top.parquet"}, []string{".", "y", "y/m", "y/m/d1", "y/m/d2", "y/n", "y/n/d1"}},
		"a folder that is renamed": {func(t *testing.T, root string) { rename(t, root+"/y/m", root+"/y/o") },
			[]string{"y/o/d1/a.parquet", "y/o/d2/b.parquet"}, []string{"y", "y/m", "y/m/d1", "y/m/d2", "y/o", "y/o/d1", "y/o/d2"}},
		"a folder replaced by another": {func(t *testing.T, root string) {
			info, err := os.Stat(root + "/y/m")
			if err != nil {
				t.Fatal(err)
			}
			rename(t, root+"/y/m", root+"/../away")
			put(t, root, "y/m/d1/new.parquet", "x")
			setTime(t, root+"/y/m", info.ModTime())
		}, []string{"y/m/d1/new.parquet"}, []string{"y", "y/m", "y/m/d1", "y/m/d2"}},
		"a folder replaced by a link": {func(t *testing.T, root string) {
			remove(t, root+"/y/m/d2")
			symlink(t, "d1", root+"/y/m/d2")
		}, nil, []string{"y/m", "y/m/d2"}},
		"a folder replaced by a file": {func(t *testing.T, root string) {
			remove(t, root+"/y/m/d2")
			put(t, root, "y/m/d2", "x")
		}, nil, []string{"y/m", "y/m/d2"}},
		"what is passed over": {func(t *testing.T, root string) {
			put(t, root, "tmp/a.parquet", "x")
			put(t, root, ".git/a.parquet", "x")
		}, []string{"top.parquet"}, []string{"."}},
		"names that are not UTF-8": {func(t *testing.T, root string) {
			if err := os.Mkdir(root+"/y/m/\xff", 0o755); err != nil {
				t.Fatal(err)
			}
		}, nil, []string{"y/m"}},
	} {
		t.Run(name, func(t *testing.T) {
			root, s := lakeWithScanner(t, "top.parquet", "y/m/d1/a.parquet", "y/m/d2/b.parquet", "y/n/d1/d.parquet")
			tc.change(t, root)
			expectPart(t, s.Changed(t.Context()), tc.files, tc.scope)
			expectPart(t, s.Changed(t.Context()), nil, nil)
		})
	}
}

// A change in the tick of the clock in which the folder was read does not show in its time.
func TestAFolderThatJustChangedIsReadAgain(t *testing.T) {
	root, s := lakeWithScanner(t, "d/a.parquet", "e/b.parquet")
	at := time.Now()
	now := at
	s.now = func() time.Time { return now }
	setTime(t, root+"/d", at)
	expectPart(t, s.Changed(t.Context()), []string{"d/a.parquet"}, []string{"d"})
	put(t, root, "d/b.parquet", "x")
	setTime(t, root+"/d", at)
	expectPart(t, s.Changed(t.Context()), []string{"d/a.parquet", "d/b.parquet"}, []string{"d"})
	now = at.Add(settleTime - 1)
	expectPart(t, s.Changed(t.Context()), []string{"d/a.parquet", "d/b.parquet"}, []string{"d"})
	now = at.Add(settleTime)
	expectPart(t, s.Changed(t.Context()), []string{"d/a.parquet", "d/b.parquet"}, []string{"d"})
	expectPart(t, s.Changed(t.Context()), nil, nil)
}

func TestATimeInTheFutureIsTrustedWhenItStandsStill(t *testing.T) {
	root, s := lakeWithScanner(t, "d/a.parquet")
	now := time.Now()
	s.now = func() time.Time { return now }
	future := now.Add(1000 * time.Hour)
	setTime(t, root+"/d", future)
	for range 3 {
		expectPart(t, s.Changed(t.Context()), []string{"d/a.parquet"}, []string{"d"})
		now = now.Add(settleTime / 2)
	}
	expectPart(t, s.Changed(t.Context()), nil, nil)
	setTime(t, root+"/d", future.Add(time.Millisecond)) // it moves again
	for range 3 {
		expectPart(t, s.Changed(t.Context()), []string{"d/a.parquet"}, []string{"d"})
		now = now.Add(settleTime / 2)
	}
	expectPart(t, s.Changed(t.Context()), nil, nil)
}

func TestChangedListsEverythingIfNothingIsRemembered(t *testing.T) {
	root, s := lakeWithScanner(t, "a.parquet", "d/b.parquet")
	expectWhole(t, NewScanner(root).Changed(t.Context()), "a.parquet", "d/b.parquet")
	expectPart(t, s.Changed(t.Context()), nil, nil)
	s.Forget()
	expectWhole(t, s.Changed(t.Context()), "a.parquet", "d/b.parquet")
}

func TestAnotherRootIsListedWhole(t *testing.T) {
	root, s := lakeWithScanner(t, "d/a.parquet")
	rename(t, root, root+".away")
	for range 2 {
		got := readListing(t, s.Changed(t.Context()))
		if len(got.files) > 0 || len(got.scope) > 0 || len(got.unread) != 1 || got.unread[0].Path != "." || !errors.Is(got.unread[0], fs.ErrNotExist) {
			t.Errorf("without the root: %+v", got)
		}
	}
	rename(t, root+".away", root)
	expectPart(t, s.Changed(t.Context()), nil, nil)
	rename(t, root, root+".away")
	put(t, root, "d/b.parquet", "x")
	expectWhole(t, s.Changed(t.Context()), "d/b.parquet")
	expectPart(t, s.Changed(t.Context()), nil, nil)

	listing := s.Changed(t.Context())
	rename(t, root, root+".away2")
	put(t, root, "d/c.parquet", "x")
	got := readListing(t, listing)
	if len(got.files) > 0 || len(got.scope) > 0 || len(got.unread) != 1 || got.unread[0].Path != "." {
		t.Errorf("replaced between the call and the reading: %+v", got)
	}
	expectWhole(t, s.Changed(t.Context()), "d/c.parquet")

	remove(t, root)
	put(t, filepath.Dir(root), filepath.Base(root), "a file")
	if got := readListing(t, s.Changed(t.Context())); !errors.Is(got.err, ErrNotFolder) {
		t.Errorf("a file as root: %+v", got)
	}
}

// What the caller did not take in must be listed again.
func TestAListingThatStopsIsNotRemembered(t *testing.T) {
	for name, stop := range map[string]func(t *testing.T, s *Scanner, list func(context.Context) span.Listing){
		"the caller": func(t *testing.T, _ *Scanner, list func(context.Context) span.Listing) {
			for _, err := range list(t.Context()).Files {
				if err != nil {
					t.Error(err)
				}
				break
			}
		},
		"its context": func(t *testing.T, _ *Scanner, list func(context.Context) span.Listing) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var last error
			for _, err := range list(ctx).Files {
				cancel()
				last = err
			}
			if !errors.Is(last, context.Canceled) {
				t.Errorf("it ended with %v", last)
			}
		},
		"a panic": func(t *testing.T, _ *Scanner, list func(context.Context) span.Listing) {
			defer func() { _ = recover() }()
			for _, err := range list(t.Context()).Files {
				panic(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			root, s := lakeWithScanner(t, "d/a.parquet", "e/b.parquet")
			stop(t, s, s.Whole)
			expectWhole(t, s.Changed(t.Context()), "d/a.parquet", "e/b.parquet")
			put(t, root, "d/c.parquet", "x")
			stop(t, s, s.Changed)
			expectWhole(t, s.Changed(t.Context()), "d/a.parquet", "d/c.parquet", "e/b.parquet")
			stop(t, s, func(ctx context.Context) span.Listing { return s.Paths(ctx, []string{"d", "e"}) })
			expectWhole(t, s.Changed(t.Context()), "d/a.parquet", "d/c.parquet", "e/b.parquet")
		})
	}
}

// Nothing is known of what is in it, and so it is not in the scope.
func TestAnUnreadableFolderIsReadAgain(t *testing.T) {
	root, s := lakeWithScanner(t, "d/e/a.parquet", "f/b.parquet")
	if err := os.Chmod(root+"/d", 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(root+"/d", 0o755) })
	if _, err := os.ReadDir(root + "/d"); err == nil {
		t.Skip("this user may read everything")
	}
	for range 2 {
		setTime(t, root+"/d", time.Unix(1, 0))
		got := readListing(t, s.Changed(t.Context()))
		if len(got.files) > 0 || len(got.scope) > 0 || len(got.unread) != 1 || got.unread[0].Path != "d" {
			t.Errorf("Changed() = %+v", got)
		}
	}
	if err := os.Chmod(root+"/d", 0o755); err != nil {
		t.Fatal(err)
	}
	expectPart(t, s.Changed(t.Context()), nil, []string{"d"})
}

func TestFoldersAreInTheOrderInWhichToWatchThem(t *testing.T) {
	root, s := lakeWithScanner(t, "year=2025/month=12/day=31/a.parquet", "year=2026/month=01/day=01/a.parquet", "year=2026/month=01/day=02/a.parquet",
		"year=2026/month=02/day=01/a.parquet")
	want := []string{
		".", "year=2026", "year=2026/month=02", "year=2026/month=02/day=01", "year=2026/month=01", "year=2026/month=01/day=02",
		"year=2026/month=01/day=01", "year=2025", "year=2025/month=12", "year=2025/month=12/day=31",
	}
	if got := s.Folders(); !slices.Equal(got, want) {
		t.Errorf("Folders() = %q\nwant %q", got, want)
	}
	remove(t, root+"/year=2026")
	readListing(t, s.Changed(t.Context()))
	if got, want := s.Folders(), []string{".", "year=2025", "year=2025/month=12", "year=2025/month=12/day=31"}; !slices.Equal(got, want) {
		t.Errorf("Folders() = %q\nwant %q", got, want)
	}
	s.Forget()
	if got := s.Folders(); len(got) > 0 {
		t.Errorf("Folders() = %q after Forget", got)
	}
}

func TestPathsListsNamedPlaces(t *testing.T) {
	long := strings.Repeat("x", 300) + ".parquet"
	for name, tc := range map[string]struct {
		paths, files, scope []string
	}{
		"nothing":                    {nil, nil, nil},
		"a file":                     {[]string{"y/d/a.parquet"}, []string{"y/d/a.parquet"}, []string{"y/d/a.parquet"}},
		"a file twice":               {[]string{"y/d/a.parquet", "y/d/a.parquet"}, []string{"y/d/a.parquet"}, []string{"y/d/a.parquet"}},
		"files here and there":       {[]string{"z/e.parquet", "top.parquet", "y/d/b.parquet", "y/d/a.parquet"}, []string{"top.parquet", "y/d/a.parquet", "y/d/b.parquet", "z/e.parquet"}, []string{"z/e.parquet", "top.parquet", "y/d/b.parquet", "y/d/a.parquet"}},
		"a file that is not there":   {[]string{"y/d/x.parquet", "no/x.parquet", "top.parquet/x.parquet"}, nil, []string{"y/d/x.parquet", "no/x.parquet", "top.parquet/x.parquet"}},
		"a folder":                   {[]string{"y"}, []string{"y/d/a.parquet", "y/d/b.parquet"}, []string{"y", "y/d"}},
		"the root":                   {[]string{"."}, []string{"top.parquet", "y/d/a.parquet", "y/d/b.parquet", "z/e.parquet"}, []string{".", "y", "y/d", "z"}},
		"a folder and what is in it": {[]string{"y/d/a.parquet", "y-x.parquet", "y", "y/d"}, []string{"y/d/a.parquet", "y/d/b.parquet"}, []string{"y", "y/d", "y-x.parquet"}},
		"a folder that is not there": {[]string{"none"}, nil, nil},
		"links":                      {[]string{"link", "link/a.parquet", "link.parquet", "out/secret.parquet"}, nil, []string{"link/a.parquet", "link.parquet", "out/secret.parquet"}},
		"a pipe":                     {[]string{"pipe.parquet"}, nil, []string{"pipe.parquet"}},
		"what is passed over":        {[]string{"y/d/.a.parquet", "y/_d/a.parquet", "tmp/a.parquet", "tmp", "y/tmp/a.parquet", "a.txt", "y/d/a.parquet.tmp", ".git"}, nil, nil},
		"hostile":                    {[]string{"", "/", "..", "../outside/secret.parquet", "y/../../outside/secret.parquet", "/etc/x.parquet", "y//d/a.parquet", "y/d/a.parquet/", "./y", "y/\x00.parquet", "\x00"}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			root, s := lakeWithScanner(t, "top.parquet", "y/d/a.parquet", "y/d/b.parquet", "z/e.parquet")
			put(t, root, "../outside/secret.parquet", "x")
			put(t, root, "y/_d/a.parquet", "x")
			put(t, root, "tmp/a.parquet", "x")
			put(t, root, "a.txt", "x")
			symlink(t, "y/d", root+"/link")
			symlink(t, "top.parquet", root+"/link.parquet")
			symlink(t, "../outside", root+"/out")
			mkfifo(t, root+"/pipe.parquet")
			expectPart(t, s.Paths(t.Context(), tc.paths), tc.files, tc.scope)
			expectPart(t, NewScanner(root).Paths(t.Context(), tc.paths), tc.files, tc.scope)
		})
	}
	t.Run("a name that the system cannot have", func(t *testing.T) {
		_, s := lakeWithScanner(t, "a.parquet")
		if got := readListing(t, s.Paths(t.Context(), []string{long, "a.parquet"})); !slices.Equal(got.files, []string{"a.parquet"}) || got.err != nil {
			t.Errorf("Paths() = %+v", got)
		}
	})
	t.Run("names that are not UTF-8", func(t *testing.T) {
		root, s := lakeWithScanner(t, "a.parquet")
		for _, name := range []string{"\xff.parquet", "\xfe/a.parquet"} {
			put(t, root, name, "x")
		}
		got := readListing(t, s.Paths(t.Context(), []string{"\xff.parquet", "\xfe", "\xfd.parquet"}))
		if len(got.files) > 0 || len(got.scope) > 0 || len(got.unread) != 2 || !got.unread[0].Unindexable || !got.unread[1].Unindexable {
			t.Errorf("Paths() = %+v", got)
		}
	})
}

func TestPathsRemembersFolders(t *testing.T) {
	root, s := lakeWithScanner(t, "y/d/a.parquet")
	put(t, root, "y2/m/d/b.parquet", "x")
	expectPart(t, s.Paths(t.Context(), []string{"y2"}), []string{"y2/m/d/b.parquet"}, []string{"y2", "y2/m", "y2/m/d"})
	if got, want := s.Folders(), []string{".", "y2", "y2/m", "y2/m/d", "y", "y/d"}; !slices.Equal(got, want) {
		t.Errorf("Folders() = %q, want %q", got, want)
	}
	expectPart(t, s.Changed(t.Context()), nil, []string{"."})
	remove(t, root+"/y2/m")
	expectPart(t, s.Paths(t.Context(), []string{"y2/m"}), nil, []string{"y2/m", "y2/m/d"})
	expectPart(t, s.Changed(t.Context()), nil, []string{"y2"})

	// A folder of which only a part was named has not been read.
	put(t, root, "z/m/d/c.parquet", "x")
	put(t, root, "z/m/other.parquet", "x")
	expectPart(t, s.Paths(t.Context(), []string{"z/m/d"}), []string{"z/m/d/c.parquet"}, []string{"z/m/d"})
	expectPart(t, s.Changed(t.Context()), []string{"z/m/other.parquet"}, []string{".", "z", "z/m"})
}

// A lake that is not mounted has not lost its files.
func TestPathsOfALakeThatIsNotThere(t *testing.T) {
	root, s := lakeWithScanner(t, "d/a.parquet")
	rename(t, root, root+".away")
	for range 2 {
		got := readListing(t, s.Paths(t.Context(), []string{"d/a.parquet", "d"}))
		if len(got.files) > 0 || len(got.scope) > 0 || len(got.unread) != 1 || got.unread[0].Path != "." {
			t.Errorf("Paths() = %+v", got)
		}
		if err := os.MkdirAll(root, 0o755); err != nil { // the second time, it is another folder
			t.Fatal(err)
		}
	}
	expectWhole(t, s.Changed(t.Context()))
}

func TestAScannerKeepsUpWithALakeThatGrows(t *testing.T) {
	root, s := lakeWithScanner(t, "d/a.parquet")
	for i := range 20 {
		put(t, root, fmt.Sprintf("d/%d/e/%d.parquet", i%7, i), "x")
		put(t, root, fmt.Sprintf("d/_%d/e/%d.parquet", i%7, i), "x")
		remove(t, fmt.Sprintf("%s/d/%d/e/%d.parquet", root, i%7, i-7))
		readListing(t, s.Changed(t.Context()))
	}
	want, _ := scanned(t, root)
	expectWhole(t, s.Whole(t.Context()), want...)
}

package lake

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/testkit"
)

func TestRecover(t *testing.T) {
	whole := wholeFile(t)
	for name, tc := range map[string]struct {
		leftovers map[string]string
		published bool
	}{
		"nothing was begun":                        {nil, false},
		"the folder was made":                      {map[string]string{testDay + "/other_0_00000001.parquet": whole}, false},
		"the file was begun":                       {map[string]string{testTemp: ""}, false},
		"the file was whole but not renamed":       {map[string]string{testTemp: whole}, false},
		"the file was renamed":                     {map[string]string{testFile: whole}, true},
		"the next try began when it was there":     {map[string]string{testFile: whole, testTemp: ""}, true},
		"what others write at the same time":       {map[string]string{testDay + "/.svc_0_00000002.parquet.tmp": "PAR1"}, false},
		"what others write, and the file is there": {map[string]string{testDay + "/.svc_0_00000002.parquet.tmp": "PAR1", testFile: whole}, true},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for path, content := range tc.leftovers {
				put(t, root, path, content)
			}
			writer := newWriter(t, root)
			for range 2 { // the first recovery may itself be cut short
				size, published, err := writer.Recover(testFile)
				if err != nil || published != tc.published || published != (size == int64(len(whole))) {
					t.Fatalf("Recover() = %d, %v, %v", size, published, err)
				}
			}
			delete(tc.leftovers, testTemp)
			left := filesIn(t, root)
			if len(left) != len(tc.leftovers) {
				t.Errorf("the lake holds %v", left)
			}
			_, err := writer.Write(testFile, makeSpans(2, 2))
			if tc.published != errors.Is(err, fs.ErrExist) || !tc.published && err != nil {
				t.Errorf("then Write() = %v", err)
			}
			if got := len(testkit.ReadSpans(t, filepath.Join(root, testFile))); got != 4 {
				t.Errorf("the file has %d spans", got)
			}
		})
	}
}

// TestAWriterThatWasKilled has another process killed after each step of writing a file, and writes the same file again.
func TestAWriterThatWasKilled(t *testing.T) {
	parts := slices.Collect(slices.Chunk(makeSpans(6, 2), 4))
	if killAfter, child := os.LookupEnv("KILL_THE_WRITER_AFTER"); child {
		die := func() {
			self, _ := os.FindProcess(os.Getpid())
			_ = self.Kill()
			select {}
		}
		_, _ = newWriter(t, ".").WriteSorted(testFile, func(yield func([]span.Span, error) bool) {
			for i, part := range parts {
				if killAfter == strconv.Itoa(i) {
					die()
				}
				yield(part, nil)
			}
		})
		die()
	}
	for after := range len(parts) + 1 {
		root := t.TempDir()
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAWriterThatWasKilled$")
		child.Dir, child.Env = root, append(os.Environ(), "KILL_THE_WRITER_AFTER="+strconv.Itoa(after))
		if output, err := child.CombinedOutput(); err == nil {
			t.Fatalf("the writer was not killed: %s", output)
		}
		want := testTemp
		if after == len(parts) {
			want = testFile
		}
		if files := filesIn(t, root); !slices.Equal(files, []string{want}) {
			t.Fatalf("killed after %d parts: it left %v", after, files)
		}

		writer := newWriter(t, root)
		_, published, err := writer.Recover(testFile)
		if err != nil || published != (after == len(parts)) {
			t.Fatalf("killed after %d parts: Recover() = %v, %v", after, published, err)
		}
		if !published {
			if _, err := writer.WriteSorted(testFile, partsOf(nil, parts...)); err != nil {
				t.Fatal(err)
			}
		}
		if got := testkit.ReadSpans(t, filepath.Join(root, testFile)); !slices.Equal(got, slices.Concat(parts...)) {
			t.Errorf("killed after %d parts: the file has %d spans", after, len(got))
		}
	}
}

func TestRecoverDoesNotTrustADamagedFile(t *testing.T) {
	whole := wholeFile(t)
	for _, content := range []string{"", "P", "PAR1", "PAR1PAR1", whole[:len(whole)-1], whole[:len(whole)/2], whole[len(whole)-40:], whole + "\n"} {
		root := t.TempDir()
		put(t, root, testFile, content)
		_, published, err := newWriter(t, root).Recover(testFile)
		if !errors.Is(err, ErrNotWhole) || published || !strings.Contains(err.Error(), testFile) {
			t.Errorf("Recover() of %d bytes = %v, %v", len(content), published, err)
		}
		if left, err := os.ReadFile(filepath.Join(root, testFile)); err != nil || string(left) != content {
			t.Errorf("the file is now %q, %v", left, err)
		}
	}
	t.Run("a folder", func(t *testing.T) {
		root := t.TempDir()
		put(t, root, testFile+"/x", "")
		if _, published, err := newWriter(t, root).Recover(testFile); err == nil || published {
			t.Errorf("Recover() = %v, %v", published, err)
		}
	})
}

func TestPathsThatNoSpanFileCanHave(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "lake")
	outside := []string{".lake.tmp", ".x.parquet.tmp", "lake/tmp/.x.parquet.tmp", "lake/..hidden.parquet.tmp", "lake/.x.csv.tmp"}
	for _, file := range outside {
		put(t, dir, file, "somebody else's")
	}
	writer := newWriter(t, root)
	for _, path := range []string{
		"", ".", "..", "../x.parquet", "day=01/../../x.parquet", filepath.ToSlash(filepath.Join(dir, "x.parquet")), "./x.parquet", "x\x00.parquet",
		"tmp/x.parquet", "_work/x.parquet", ".hidden.parquet", "x.csv", "x\xff.parquet",
	} {
		if _, _, err := writer.Recover(path); err == nil {
			t.Errorf("Recover(%q) succeeded", path)
		}
		if _, err := writer.Write(path, makeSpans(1, 1)); err == nil {
			t.Errorf("Write(%q) succeeded", path)
		}
	}
	slices.Sort(outside)
	if files := filesIn(t, dir); !slices.Equal(files, outside) {
		t.Errorf("there is now %v", files)
	}
}

// wholeFile is the content of a file of four spans.
func wholeFile(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	content, err := os.ReadFile(filepath.Join(root, write(t, root, makeSpans(2, 2))))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

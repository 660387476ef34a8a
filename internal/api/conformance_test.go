package api_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/spanlake/spanlake/internal/api"
	"github.com/spanlake/spanlake/internal/api/client"
	"github.com/spanlake/spanlake/internal/span"
)

// index is what a command works with, in its own process or another one.
type index interface {
	api.Catalog
	api.Indexer
}

// TestTheClientIsAsGoodAsTheIndex holds the client to what the index itself does.
func TestTheClientIsAsGoodAsTheIndex(t *testing.T) {
	for name, connect := range map[string]func(*testing.T, *memory) index{
		"direct": func(_ *testing.T, m *memory) index { return m },
		"remote": func(t *testing.T, m *memory) index { return start(t, m, api.Options{Instance: "one"}).client(t, "one") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Run("lists", func(t *testing.T) { conformLists(t, connect) })
			t.Run("retry", func(t *testing.T) { conformRetry(t, connect) })
			t.Run("select", func(t *testing.T) { conformSelect(t, connect) })
			t.Run("verify", func(t *testing.T) { conformVerify(t, connect) })
			t.Run("indexer", func(t *testing.T) { conformIndexer(t, connect) })
			t.Run("cancelled", func(t *testing.T) { conformCancelled(t, connect) })
		})
	}
}

type connector func(*testing.T, *memory) index

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func conformLists(t *testing.T, connect connector) {
	m := newMemory()
	x := connect(t, m)
	ctx := t.Context()
	same(t, "services", must[[]span.Service](t)(x.Services(ctx)), m.services)
	same(t, "files", must[[]span.IndexedFile](t)(x.Files(ctx, 100)), m.files)
	same(t, "one file", must[[]span.IndexedFile](t)(x.Files(ctx, 1)), m.files[:1])
	same(t, "failed", must[[]span.FailedFile](t)(x.Failed(ctx)), []span.FailedFile{m.failed["a/bad.parquet"]})
	policy := span.RetentionPolicy{Days: 30, Bytes: 1 << 50}
	same(t, "expired", must[[]span.RetiredFile](t)(x.Expired(ctx, policy)), m.expired)
	same(t, "policy", m.policy, policy)
	same(t, "size", must[span.IndexSize](t)(x.Size(ctx)), m.size)

	m = &memory{}
	x = connect(t, m)
	same(t, "no services", must[[]span.Service](t)(x.Services(ctx)), []span.Service{})
	same(t, "no files", must[[]span.IndexedFile](t)(x.Files(ctx, 1)), []span.IndexedFile{})
	same(t, "none failed", must[[]span.FailedFile](t)(x.Failed(ctx)), []span.FailedFile{})
	same(t, "none expired", must[[]span.RetiredFile](t)(x.Expired(ctx, span.RetentionPolicy{})), []span.RetiredFile{})

	m.onList = func(context.Context) error { return errors.New("the disk is on fire") }
	if _, err := x.Services(ctx); err == nil || err.Error() != "the disk is on fire" {
		t.Errorf("an error of the index became %v", err)
	}
}

func conformRetry(t *testing.T, connect connector) {
	m := newMemory()
	x := connect(t, m)
	ctx := t.Context()
	if err := x.Retry(ctx, "a/bad.parquet"); err != nil || !m.failed["a/bad.parquet"].Due {
		t.Errorf("retry: %v, due %v", err, m.failed)
	}
	for _, path := range []string{"other.parquet", "", "<&>\n"} {
		want := m.Retry(ctx, path)
		if err := x.Retry(ctx, path); !errors.Is(err, span.ErrNotFailed) || err.Error() != want.Error() {
			t.Errorf("retry of %q: %v, want %v", path, err, want)
		}
	}
	same(t, "retry all", must[int64](t)(x.RetryAll(ctx)), int64(1))
}

// collect runs a query and copies what it gives.
func collect(ctx context.Context, x index, query string, form span.Form) (columns []string, rows [][]string, err error) {
	err = x.Select(ctx, query, form, func(header []string) error {
		columns = append(columns, header...)
		return nil
	}, func(row []*string) error {
		var values []string
		for _, v := range row {
			if v == nil {
				values = append(values, "NULL")
				continue
			}
			values = append(values, *v)
		}
		rows = append(rows, values)
		return nil
	})
	return columns, rows, err
}

func conformSelect(t *testing.T, connect connector) {
	m := newMemory()
	x := connect(t, m)
	ctx := t.Context()
	for _, form := range []span.Form{span.FormText, span.FormJSON} {
		for _, query := range []string{"n 0", "n 1", "n 2", "n 5000"} {
			wantColumns, wantRows, _ := collect(ctx, m, query, form)
			columns, rows, err := collect(ctx, x, query, form)
			if err != nil {
				t.Fatalf("%s: %v", query, err)
			}
			same(t, query+": columns", columns, wantColumns)
			same(t, query+": rows", rows, wantRows)
		}
		for _, query := range []string{"wrong", "fail 0", "fail 3", "fail 5000"} {
			_, wantRows, want := collect(ctx, m, query, form)
			_, rows, err := collect(ctx, x, query, form)
			var wrong *span.QueryError
			if !errors.As(err, &wrong) || err.Error() != want.Error() {
				t.Errorf("%s: %v, want %v", query, err, want)
			}
			same(t, query+": rows", rows, wantRows)
		}
	}
	stop := errors.New("enough")
	pass := func([]string) error { return nil }
	if err := x.Select(ctx, "n 100000", span.FormText, func([]string) error { return stop }, nil); !errors.Is(err, stop) {
		t.Errorf("header's error became %v", err)
	}
	if err := x.Select(ctx, "n 100000", span.FormText, pass, func([]*string) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("row's error became %v", err)
	}
}

func conformVerify(t *testing.T, connect connector) {
	m := newMemory()
	x := connect(t, m)
	var found []span.Difference
	n, err := x.Verify(t.Context(), func(d span.Difference) { found = append(found, d) })
	if err != nil || n != 2 {
		t.Errorf("verify: %d, %v", n, err)
	}
	same(t, "differences", found, m.differences)
	m.onVerify = func(context.Context) error { return errors.New("a footer cannot be read") }
	if _, err := x.Verify(t.Context(), func(span.Difference) {}); err == nil || err.Error() != "a footer cannot be read" {
		t.Errorf("verify failed with %v", err)
	}
	m.differences, m.onVerify = nil, nil
	if n, err := x.Verify(t.Context(), func(span.Difference) {}); err != nil || n != 0 {
		t.Errorf("verify of a good index: %d, %v", n, err)
	}
}

func conformIndexer(t *testing.T, connect connector) {
	m := newMemory()
	x := connect(t, m)
	same(t, "status", must[span.IndexerStatus](t)(x.Status(t.Context())), m.status)
	same(t, "summary", must[span.Summary](t)(x.IndexNow(t.Context(), true)), m.summary)
	same(t, "summary", must[span.Summary](t)(x.IndexNow(t.Context(), false)), m.summary)
	same(t, "accept missing", m.acceptMissing, []bool{true, false})
	m.status = span.IndexerStatus{State: span.IndexerStarting, StartedAt: at(1)}
	same(t, "status of the beginning", must[span.IndexerStatus](t)(x.Status(t.Context())), m.status)
}

// conformCancelled: each method ends with the error of its context, before and during its work.
func conformCancelled(t *testing.T, connect connector) {
	for name, call := range map[string]func(context.Context, index) error{
		"services": func(ctx context.Context, x index) error { _, err := x.Services(ctx); return err },
		"index":    func(ctx context.Context, x index) error { _, err := x.IndexNow(ctx, false); return err },
		"verify": func(ctx context.Context, x index) error {
			_, err := x.Verify(ctx, func(span.Difference) {})
			return err
		},
		"select": func(ctx context.Context, x index) error {
			_, _, err := collect(ctx, x, "n 1", span.FormText)
			return err
		},
		"select that has begun": func(ctx context.Context, x index) error {
			_, _, err := collect(ctx, x, "begin", span.FormText)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory()
			begun := make(chan struct{}, 1)
			ended := make(chan struct{}, 1)
			hang := func(ctx context.Context) error {
				begun <- struct{}{}
				<-ctx.Done()
				ended <- struct{}{}
				return ctx.Err()
			}
			m.onList, m.onVerify = hang, hang
			m.onIndex = func(ctx context.Context, _ bool) error { return hang(ctx) }
			m.onSelect = func(ctx context.Context, query string, row func([]*string) error) error {
				if query == "begin" {
					if err := row([]*string{nil, nil}); err != nil {
						return err
					}
				}
				return hang(ctx)
			}
			x := connect(t, m)
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				<-begun
				cancel()
			}()
			if err := call(ctx, x); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: %v", err)
			}
			<-ended // the index was told
		})
	}
}

func TestAnotherInstanceDoesNothing(t *testing.T) {
	m := newMemory()
	s := start(t, m, api.Options{Instance: "one"})
	other := s.client(t, "two")
	if _, err := other.IndexNow(t.Context(), true); !errors.Is(err, client.ErrOtherInstance) {
		t.Errorf("index: %v", err)
	}
	if _, _, err := collect(t.Context(), other, "n 1", span.FormText); !errors.Is(err, client.ErrOtherInstance) {
		t.Errorf("select: %v", err)
	}
	if len(m.acceptMissing) > 0 {
		t.Error("the request for another instance was done")
	}
	if _, err := s.client(t, "").Services(t.Context()); err != nil {
		t.Errorf("a client that does not care: %v", err)
	}
}

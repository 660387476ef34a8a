package api_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spanlake/spanlake/internal/api"
	"github.com/spanlake/spanlake/internal/span"
)

// memory is a Catalog and an Indexer that has no index. Fields that are functions replace what it does.
type memory struct {
	mu     sync.Mutex
	failed map[string]span.FailedFile

	services    []span.Service
	files       []span.IndexedFile
	differences []span.Difference
	expired     []span.RetiredFile
	size        span.IndexSize
	status      span.IndexerStatus
	summary     span.Summary

	onSelect func(ctx context.Context, query string, row func([]*string) error) error
	onVerify func(ctx context.Context) error
	onStatus func(ctx context.Context) (span.IndexerStatus, error)
	onSize   func(ctx context.Context) (span.IndexSize, error)
	onIndex  func(ctx context.Context, acceptMissing bool) error
	onList   func(ctx context.Context) error

	policy        span.RetentionPolicy
	acceptMissing []bool
}

var (
	_ api.Catalog = (*memory)(nil)
	_ api.Indexer = (*memory)(nil)
)

func at(seconds int64) time.Time { return time.Unix(seconds, 123456000).UTC() }

func newMemory() *memory {
	first, last, retry := at(1_700_000_000), at(1_700_000_100), at(1_700_009_000)
	return &memory{
		failed: map[string]span.FailedFile{
			"a/bad.parquet": {Path: "a/bad.parquet", ErrorType: "truncated", Message: "no <footer> \u2028", Size: 7, FailedAt: last, RetryCount: 2, RetryAt: &retry},
		},
		services: []span.Service{{Name: "chat <&> \"api\"", FirstSeen: first, LastSeen: last, TotalSpans: 1 << 60}, {Name: ""}},
		files: []span.IndexedFile{
			{ID: 2, Path: "b.parquet", ServiceName: "chat", MinTime: &first, MaxTime: &last, RowCount: 5, SizeBytes: 1 << 40, IndexedAt: last, DuplicateCount: 1, SkippedCount: 2},
			{ID: 1, Path: "empty.parquet", IndexedAt: first},
		},
		differences: []span.Difference{{Check: "lake", Subject: "b.parquet", Problem: "is <gone>"}, {Check: "rows", Subject: "c", Problem: "p"}},
		expired:     []span.RetiredFile{{Path: "old.parquet", Day: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), SizeBytes: 9, RowCount: 3}},
		size:        span.IndexSize{FileBytes: 1, WALBytes: 2, MemoryBytes: 3, SpilledBytes: 4, MemoryWaits: 5},
		status: span.IndexerStatus{
			State: span.IndexerIdle, Lake: "/lake", Index: "/index", CurrentFiles: []string{"x"}, PendingFiles: 1, PendingBytes: 2, OldestPending: &first,
			UnfinishedFiles: 3, WithheldFiles: 4, FailedFiles: map[string]int64{"truncated": 1}, IndexedFiles: 2, IndexedSpans: 5, Watermark: &last,
			Watching: true, LastError: "e", LastErrorAt: &last, Failures: 1, StartedAt: first,
		},
		summary: span.Summary{FilesFound: 1, FilesIndexed: 2, FilesUnchanged: 3, FilesUnfinished: 4, FilesFailed: 5, FilesWaiting: 6, FilesRemoved: 7,
			FilesWithheld: 8, LakeAbsent: true, SpansIndexed: 9, Duplicates: 10, RowsSkipped: 11, LongestSort: 1234567, Elapsed: 3*time.Hour + 1},
	}
}

func (m *memory) list(ctx context.Context) error {
	if m.onList != nil {
		return m.onList(ctx)
	}
	return ctx.Err()
}

func (m *memory) Services(ctx context.Context) ([]span.Service, error) {
	return m.services, m.list(ctx)
}

func (m *memory) Files(ctx context.Context, limit int) ([]span.IndexedFile, error) {
	return m.files[:min(limit, len(m.files))], m.list(ctx)
}

func (m *memory) Failed(ctx context.Context) ([]span.FailedFile, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var files []span.FailedFile
	for _, f := range m.failed {
		files = append(files, f)
	}
	return files, m.list(ctx)
}

func (m *memory) Retry(ctx context.Context, path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.failed[path]; !ok {
		return fmt.Errorf("%q %w", path, span.ErrNotFailed)
	}
	f := m.failed[path]
	f.Due = true
	m.failed[path] = f
	return ctx.Err()
}

func (m *memory) RetryAll(ctx context.Context) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return int64(len(m.failed)), ctx.Err()
}

// Select knows "n N": N rows; "fail N": an error after N rows; "wrong": an error of the query; "empty".
func (m *memory) Select(ctx context.Context, query string, form span.Form, header func([]string) error, row func([]*string) error) error {
	what, count, _ := strings.Cut(query, " ")
	n, _ := strconv.Atoi(count)
	if what == "wrong" {
		return &span.QueryError{Err: errors.New("Parser Error: syntax error at \"wrong\"")}
	}
	columns := []string{"number", "text <&>"}
	if form == span.FormJSON {
		columns = []string{"json"}
	}
	if err := header(columns); err != nil {
		return err
	}
	if m.onSelect != nil {
		return m.onSelect(ctx, query, row)
	}
	values := make([]*string, 2)
	for i := range n {
		number, text := strconv.Itoa(i), "<&>\n\"\u2028"
		values[0], values[1] = &number, &text
		if i%2 == 1 {
			values[1] = nil
		}
		given := values
		if form == span.FormJSON {
			object := `{"number":` + number + `,"big":12345678901234567890.10,"text":"<&>\n"}`
			given = []*string{&object}
		}
		if err := row(given); err != nil {
			return err
		}
	}
	if what == "fail" {
		return &span.QueryError{Err: errors.New("Conversion Error: row " + count)}
	}
	return ctx.Err()
}

func (m *memory) Verify(ctx context.Context, found func(span.Difference)) (int, error) {
	for _, d := range m.differences {
		found(d)
	}
	if m.onVerify != nil {
		return len(m.differences), m.onVerify(ctx)
	}
	return len(m.differences), ctx.Err()
}

func (m *memory) Expired(ctx context.Context, policy span.RetentionPolicy) ([]span.RetiredFile, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.policy = policy
	return m.expired, m.list(ctx)
}

func (m *memory) Size(ctx context.Context) (span.IndexSize, error) {
	if m.onSize != nil {
		return m.onSize(ctx)
	}
	return m.size, ctx.Err()
}

func (m *memory) Status(ctx context.Context) (span.IndexerStatus, error) {
	if m.onStatus != nil {
		return m.onStatus(ctx)
	}
	return m.status, ctx.Err()
}

func (m *memory) IndexNow(ctx context.Context, acceptMissing bool) (span.Summary, error) {
	m.mu.Lock()
	m.acceptMissing = append(m.acceptMissing, acceptMissing)
	m.mu.Unlock()
	if m.onIndex != nil {
		if err := m.onIndex(ctx, acceptMissing); err != nil {
			return span.Summary{}, err
		}
	}
	return m.summary, ctx.Err()
}

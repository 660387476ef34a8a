package hot

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// Log is the write-ahead log, which has the spans whose light fields are kept here.
type Log interface {
	// Request reads a request. The error is span.ErrReleased if it has left the log.
	Request(ctx context.Context, id span.RequestID) (span.Request, error)
	// Release deletes the requests that are published in these files. Files that it does not know are not an error.
	Release(ctx context.Context, paths []string) error
}

// Options are the bounds of a Store. A bound that is zero is the default.
type Options struct {
	// KeepPublished is how long spans stay after their file was published if nobody says that it is indexed. Default: 10 minutes.
	KeepPublished time.Duration
	// KeepSpans and KeepBytes bound how many published spans, and how many bytes of their requests in the write-ahead log, wait for
	// that. Defaults: 1,000,000 spans (some 70 MB of memory) and 1 GiB.
	KeepSpans, KeepBytes int64
	// Grace is how long spans stay after their file was published whatever their number: an index that follows has it by then.
	// Default: 5 seconds.
	Grace time.Duration
	// Logger is where it says what an operator wants to know; nil for nowhere.
	Logger *slog.Logger
}

func (o Options) orDefaults() Options {
	o.KeepPublished = cmp.Or(o.KeepPublished, 10*time.Minute)
	o.KeepSpans = cmp.Or(o.KeepSpans, 1_000_000)
	o.KeepBytes = cmp.Or(o.KeepBytes, 1<<30)
	o.Grace = cmp.Or(o.Grace, 5*time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Store holds the light fields of hot spans in memory, and reads whole spans from the log. It is empty at first: at start, whoever
// owns it calls Add for all requests of the log, and Publish for those that are published.
type Store struct {
	log    Log
	opts   Options
	logger *slog.Logger

	mu     sync.RWMutex
	blocks []block // all but the tail
	tail   *tail
	files  []*file // those published first before others
	// generation is that of span.HotStats: instance is random, and changes counts.
	instance string
	changes  int64
	// expired is how many spans went by a bound.
	expired int64
	// told is when it was last logged.
	told time.Time

	// releasing holds a token while files are being released.
	releasing chan struct{}
	// published wakes Run.
	published chan struct{}
}

// file is a published file.
type file struct {
	path string
	at   time.Time // when it was published, or when the store was rebuilt if that was later
}

var _ Spans = (*Store)(nil)

// NewStore makes an empty store over a log.
func NewStore(log Log, opts Options) *Store {
	opts = opts.orDefaults()
	return &Store{
		log: log, opts: opts, logger: opts.Logger, tail: newTail(),
		releasing: make(chan struct{}, 1), published: make(chan struct{}, 1), instance: rand.Text(),
	}
}

// Add makes the spans of requests visible, all at once. It is called after they are durable and before they are acknowledged.
// The data is read, not kept.
func (s *Store) Add(requests []span.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range requests {
		r := &requests[i]
		if err := s.tail.add(r); err != nil {
			// It was checked before it was appended, so the disk or the program is at fault. What can be read is visible.
			s.logger.Error("an acknowledged request cannot be read: its spans are not all visible until they are flushed",
				"request", fmt.Sprintf("%x", r.ID), "error", err)
		}
		if s.tail.full() {
			s.seal()
		}
	}
}

// seal ends the tail and begins a new one.
func (s *Store) seal() {
	if s.tail.empty() {
		return
	}
	s.blocks = append(s.blocks, s.tail.seal())
	s.tail = newTail()
}

// Publish says that the spans of the requests from first to last are in a file now. They stay until the file is released, by
// Release or by a bound.
func (s *Store) Publish(first, last span.RequestID, path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.assign(first, last, path, s.fileAt(path))
	select {
	case s.published <- struct{}{}:
	default:
	}
}

// Assign says that the spans of the requests from first to last will be in a file. It is called when that is durable, before the file can
// be seen in the lake, so that whoever counts spans here and there can leave out those that are in both (internal/query).
func (s *Store) Assign(first, last span.RequestID, path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.assign(first, last, path, nil)
}

// assign does what Assign says, and what Publish says if there is a published file.
func (s *Store) assign(first, last span.RequestID, path string, published *file) {
	known := true
	edit := func(b *block) {
		if published != nil {
			b.file = published
		}
		known = known && b.assigned == path
		b.assigned = path
	}
	inRange := func(r *request) bool {
		return bytes.Compare(first[:], r.id[:]) <= 0 && bytes.Compare(r.id[:], last[:]) <= 0
	}
	if s.tail.count(inRange) > 0 {
		s.seal()
	}
	blocks := make([]block, 0, len(s.blocks)+2)
	for i := range s.blocks {
		switch b := s.blocks[i]; b.count(inRange) {
		case 0:
			blocks = append(blocks, b)
		case len(b.requests):
			edit(&b)
			blocks = append(blocks, b)
		default:
			in, out := b.split(inRange)
			edit(&in)
			blocks = append(blocks, in, out)
		}
	}
	s.blocks = blocks
	if !known {
		s.changes++
	}
}

// fileAt is the file with a path, a new one if there is none.
func (s *Store) fileAt(path string) *file {
	if i := slices.IndexFunc(s.files, func(f *file) bool { return f.path == path }); i >= 0 {
		return s.files[i]
	}
	f := &file{path: path, at: time.Now()}
	s.files = append(s.files, f)
	return f
}

// Published lists the files that are not released.
func (s *Store) Published(ctx context.Context) ([]string, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	paths := make([]string, len(s.files))
	for i, f := range s.files {
		paths[i] = f.path
	}
	return paths, ctx.Err()
}

// Release lets the spans of files go: first out of the log, then out of memory. If the log fails, or the process dies in between, the
// files are still listed as published, now or after the restart, and released again. The other way round, a failure of the
// log would leave requests in it that nobody asks for before the next start. A reader in between finds spans listed whose
// requests are gone, which it passes over as it would if it had come a moment later.
func (s *Store) Release(ctx context.Context, paths []string) error {
	select {
	case s.releasing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.releasing }()
	leaving := s.chosen(paths)
	if len(leaving) == 0 {
		return ctx.Err()
	}
	known := make([]string, len(leaving))
	for i, f := range leaving {
		known[i] = f.path
	}
	if err := s.log.Release(ctx, known); err != nil {
		return fmt.Errorf("release %d files: %w", len(known), err)
	}
	s.drop(leaving)
	return nil
}

// chosen are the files at these paths that are not released.
func (s *Store) chosen(paths []string) []*file {
	wanted := make(map[string]bool, len(paths))
	for _, path := range paths {
		wanted[path] = true
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.DeleteFunc(slices.Clone(s.files), func(f *file) bool { return !wanted[f.path] })
}

// drop forgets files and the spans in them.
func (s *Store) drop(files []*file) {
	gone := make(map[*file]bool, len(files))
	for _, f := range files {
		gone[f] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blocks = slices.DeleteFunc(s.blocks, func(b block) bool { return gone[b.file] })
	s.files = slices.DeleteFunc(s.files, func(f *file) bool { return gone[f] })
}

// snapshot is what there is in this moment.
func (s *Store) snapshot() []block {
	blocks, _ := s.moment()
	return blocks
}

// moment is what there is in this moment, and the generation.
func (s *Store) moment() (blocks []block, generation string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	blocks = make([]block, len(s.blocks), len(s.blocks)+1)
	copy(blocks, s.blocks)
	return append(blocks, s.tail.block), s.instance + "-" + strconv.FormatInt(s.changes, 10)
}

package hot

import (
	"context"
	"time"
)

// retryRelease is how long Run waits after the log could not release files.
const retryRelease = 5 * time.Second

// Run releases files that nobody has said to be indexed when a bound is reached, the oldest first, until ctx ends. They can be read
// in the lake, so nothing is lost; queries take longer that have to look there.
func (s *Store) Run(ctx context.Context) {
	failing := false
	for ctx.Err() == nil {
		wait, err := s.expire(ctx)
		if err != nil && ctx.Err() == nil {
			if !failing {
				s.logger.Error("published spans cannot be let go, trying again every 5 seconds", "error", err)
			}
			wait = retryRelease
		}
		failing = err != nil
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-s.published:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// Expired counts the spans that went by a bound since the start.
func (s *Store) Expired() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.expired
}

// MemoryBytes is about how much memory the store takes: some 70 bytes a span. It is for whoever has to stop taking spans in, since
// spans that are not flushed stay, whatever their number.
func (s *Store) MemoryBytes() int64 {
	var n int64
	blocks := s.snapshot()
	for i := range blocks {
		n += blocks[i].memory()
	}
	return n
}

// tellEvery is how often it is logged that spans are let go: where no backend runs, each file is.
const tellEvery = 10 * time.Minute

// size is what is held for a file.
type size struct{ spans, bytes int64 }

// expire releases what is over the bounds. It says how long to wait until the next file is too old.
func (s *Store) expire(ctx context.Context) (time.Duration, error) {
	paths, left, next := s.overdue(time.Now())
	if len(paths) == 0 {
		return next, nil
	}
	if err := s.Release(ctx, paths); err != nil {
		return 0, err
	}
	s.mu.Lock()
	s.expired += left.spans
	tell := time.Since(s.told) > tellEvery
	if tell {
		s.told = time.Now()
	}
	s.mu.Unlock()
	if !tell {
		return next, nil
	}
	s.logger.Warn("let go of published spans that nobody has said to be indexed: is a backend running?",
		"files", len(paths), "spans", left.spans, "kept_for", s.opts.KeepPublished, "bound_spans", s.opts.KeepSpans, "bound_bytes", s.opts.KeepBytes)
	return next, nil
}

// overdue are the files over the bounds, what is held for them, and how long it takes until the next one is too old.
func (s *Store) overdue(now time.Time) (paths []string, held size, next time.Duration) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	sizes, all := make(map[*file]size, len(s.files)), size{}
	for i := range s.blocks {
		if b := &s.blocks[i]; b.file != nil {
			of := sizes[b.file]
			sizes[b.file] = size{of.spans + int64(len(b.rows)), of.bytes + b.bytes}
			all = size{all.spans + int64(len(b.rows)), all.bytes + b.bytes}
		}
	}
	next = s.opts.KeepPublished
	for _, f := range s.files {
		age := now.Sub(f.at)
		switch many := all.spans-held.spans > s.opts.KeepSpans || all.bytes-held.bytes > s.opts.KeepBytes; {
		case many && age < s.opts.Grace:
			return paths, held, s.opts.Grace - age
		case !many && age < s.opts.KeepPublished:
			return paths, held, s.opts.KeepPublished - age
		}
		paths = append(paths, f.path)
		held = size{held.spans + sizes[f].spans, held.bytes + sizes[f].bytes}
	}
	return paths, held, next
}

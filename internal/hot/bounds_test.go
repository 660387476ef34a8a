package hot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// A store with bounds, which runs until the test ends. Each of its files has one request of two spans.
func runBounded(t *testing.T, opts Options) *fixture {
	f := newFixture(t, opts)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); f.store.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return f
}

func (f *fixture) publishOne() {
	n := f.add("svc", otlpSpan(f.next, 1), otlpSpan(f.next, 2))
	f.publish(n, n, fmt.Sprint(n, ".parquet"))
}

func (f *fixture) expectPublished(want ...string) {
	f.t.Helper()
	synctest.Wait()
	got, err := f.store.Published(f.t.Context())
	if err != nil || !slices.Equal(got, want) {
		f.t.Errorf("Published() = %q, %v, want %q", got, err, want)
	}
}

func TestPublishedSpansGoWhenTheyAreTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runBounded(t, Options{})
		f.publishOne()
		time.Sleep(4 * time.Minute)
		f.publishOne()
		f.add("svc", otlpSpan(1, 1))
		time.Sleep(6*time.Minute - time.Nanosecond)
		f.expectPublished("1.parquet", "2.parquet")
		time.Sleep(time.Nanosecond)
		f.expectPublished("2.parquet")
		time.Sleep(4 * time.Minute)
		f.expectPublished()
		time.Sleep(1000 * time.Hour)
		f.expectPublished()
		if stats, err := f.store.Stats(t.Context()); err != nil || stats.Spans != 1 {
			t.Errorf("Stats() = %+v, %v, want the span that is not published", stats, err)
		}
		if got := f.store.Expired(); got != 4 {
			t.Errorf("Expired() = %d, want 4", got)
		}
		if logs := f.logs.all(); len(logs) != 1 || !strings.Contains(logs[0], "files=1 spans=2") {
			t.Errorf("logged %q, want one line in ten minutes", logs)
		}
		if got := fmt.Sprint(f.log.released()); got != "[[1.parquet] [2.parquet]]" {
			t.Errorf("the log released %s", got)
		}
	})
}

func TestPublishedSpansGoWhenTheyAreTooMany(t *testing.T) {
	one := newFixture(t, Options{})
	one.publishOne()
	bytes := one.wantStats().Bytes
	for name, opts := range map[string]Options{"spans": {KeepSpans: 5}, "bytes": {KeepBytes: 2*bytes + bytes/2}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := runBounded(t, opts)
				for range 20 {
					f.add("svc", otlpSpan(1, 1)) // spans that are not published do not count
				}
				f.next = 1000
				f.publishOne()
				f.publishOne()
				f.expectPublished("1000.parquet", "1001.parquet")
				f.publishOne()
				f.expectPublished("1000.parquet", "1001.parquet", "1002.parquet") // an index may be about to take them
				time.Sleep(5 * time.Second)
				f.expectPublished("1001.parquet", "1002.parquet")
				f.publishOne()
				time.Sleep(5 * time.Second)
				f.expectPublished("1002.parquet", "1003.parquet")
			})
		})
	}
}

func TestABoundIsTriedAgainWhenTheLogFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runBounded(t, Options{KeepPublished: time.Minute})
		f.publishOne()
		f.log.fail(errors.New("disk on fire"))
		time.Sleep(2 * time.Minute)
		f.expectPublished("1.parquet")
		f.log.fail(nil)
		time.Sleep(retryRelease)
		f.expectPublished()
		if logs := f.logs.all(); len(logs) != 2 || !strings.Contains(logs[0], "disk on fire") {
			t.Errorf("logged %q, want one line for the failure and one for the end", logs)
		}
	})
}

// A block with damaged data shows what can be read of it, and says so.
func TestDamagedRequestsAreLogged(t *testing.T) {
	f := newFixture(t, Options{})
	r := newRequest(t, 1, "svc", otlpSpan(1, 1), otlpSpan(1, 2))
	r.Data = append(r.Data, 0xff)
	f.log.append(r)
	f.store.Add([]span.Request{r})
	whole, err := untruncated(f.store.Trace(t.Context(), traceID(1), plenty))
	if err != nil || len(whole) != 2 {
		t.Errorf("Trace() = %d spans, %v, want those before the damage", len(whole), err)
	}
	if logs := f.logs.all(); len(logs) != 1 || !strings.Contains(logs[0], "cannot be read") {
		t.Errorf("logged %q", logs)
	}
}

// A request that is not what it was in memory is an error, not other spans.
func TestOtherDataIsNotShown(t *testing.T) {
	for name, other := range map[string]func(*fixture) []byte{
		"other spans": func(f *fixture) []byte { return newRequest(f.t, 1, "svc", otlpSpan(8, 1), otlpSpan(8, 2)).Data },
		"fewer spans": func(f *fixture) []byte { return newRequest(f.t, 1, "svc", otlpSpan(1, 1)).Data },
		"no protobuf": func(*fixture) []byte { return []byte{0xff} },
	} {
		f := newFixture(t, Options{})
		f.add("svc", otlpSpan(1, 1), otlpSpan(1, 2))
		r := f.list[0].request
		r.Data = other(f)
		f.log.append(r)
		if whole, _, err := f.store.Trace(t.Context(), traceID(1), plenty); err == nil {
			t.Errorf("%s: Trace() = %v", name, whole)
		}
	}
}

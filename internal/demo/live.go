package demo

import (
	"bytes"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
)

// Live is traffic as it happens: each span is sent soon after it has ended, as the exporter of an SDK does.
type Live struct {
	traffic *Traffic
	now     time.Time
	// ahead are spans that have not ended yet, the one that ends first before all others.
	ahead byEnd
	next  time.Time
	join  otlpwire.Joiner
}

// NewLive makes live traffic that begins now, with the spans that are under way already.
func NewLive(seed uint64, now time.Time, running []span.Span) (*Live, error) {
	traffic, err := NewTraffic(seed, now)
	if err != nil {
		return nil, err
	}
	l := &Live{traffic: traffic, now: now, ahead: append(byEnd{}, running...), next: now}
	heap.Init(&l.ahead)
	return l, nil
}

// longestGap is how long nobody may ask until what would have begun meanwhile is left out.
const longestGap = 10 * time.Second

// Until has the spans that ended until then, and were not returned before.
func (l *Live) Until(then time.Time) (ended []span.Span) {
	if then.Sub(l.next) > longestGap {
		l.next = then // the machine has slept, and nobody has traffic meanwhile
	}
	for !l.next.After(then) {
		begun := l.traffic.Trace(l.next)
		for i := range begun {
			heap.Push(&l.ahead, begun[i])
		}
		l.next = l.next.Add(l.traffic.wait(rate(l.next, l.now)))
	}
	for len(l.ahead) > 0 && !l.ahead[0].EndTime.After(then) {
		s, _ := heap.Pop(&l.ahead).(span.Span)
		ended = append(ended, s)
	}
	return ended
}

const (
	// exportEvery is how often spans are sent.
	exportEvery = 500 * time.Millisecond
	// exportTime is how long sending may take, and exportTries how often it is tried while the server has no room.
	exportTime  = 10 * time.Second
	exportTries = 5
)

// Send sends to an OTLP server at HOST:PORT until ctx ends, which is no error.
func (l *Live) Send(ctx context.Context, address string) error {
	// A transport of its own: proxies of the environment have no business here.
	client := &http.Client{Transport: &http.Transport{}, Timeout: exportTime}
	defer client.CloseIdleConnections()
	ticks := time.NewTicker(exportEvery)
	defer ticks.Stop()
	for {
		if spans := l.Until(time.Now()); len(spans) > 0 {
			data, left := l.join.Join(spans)
			if len(left) > 0 {
				return fmt.Errorf("demo: %w", errors.Join(left...))
			}
			if err := export(ctx, client, "http://"+address+"/v1/traces", data); err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return fmt.Errorf("demo: send traces: %w", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
	}
}

// export sends one request, and again if the server says that it has no room now.
func export(ctx context.Context, client *http.Client, url string, data []byte) error {
	for try := 1; ; try++ {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(data))
		if err != nil {
			return err
		}
		request.Header.Set("Content-Type", "application/x-protobuf")
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10)) // for the message only
		_ = response.Body.Close()                                   // it was only read
		switch {
		case response.StatusCode == http.StatusOK:
			return nil
		case response.StatusCode != http.StatusServiceUnavailable && response.StatusCode != http.StatusTooManyRequests, try == exportTries:
			return fmt.Errorf("%s: %q", response.Status, text)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(try) * time.Second):
		}
	}
}

// byEnd is a heap of spans.
type byEnd []span.Span

// Len, Less and Swap are for package heap.
func (h *byEnd) Len() int           { return len(*h) }
func (h *byEnd) Less(i, j int) bool { return (*h)[i].EndTime.Before((*h)[j].EndTime) }
func (h *byEnd) Swap(i, j int)      { (*h)[i], (*h)[j] = (*h)[j], (*h)[i] }

// Push is for package heap.
func (h *byEnd) Push(s any) { *h = append(*h, s.(span.Span)) } //nolint:forcetypeassert // only spans are pushed

// Pop is for package heap.
func (h *byEnd) Pop() any {
	last := len(*h) - 1
	s := (*h)[last]
	(*h)[last] = span.Span{}
	*h = (*h)[:last]
	return s
}

// Package otlpbench sends made-up spans to an OTLP server, as fast as it takes them or at a rate, and says how long it took to acknowledge them.
package otlpbench

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spanlake/spanlake/internal/sample"
)

// Load makes the requests that are sent. It costs little while it sends, since requests are made beforehand.
type Load struct{ free chan *request }

const (
	// distinct is how many requests are made at most. Their texts come again after so many, which are more than go into one file
	// of the lake: repeats would compress better than what people write.
	distinct = 128
	// age is how old the first span of a request is: its last one has ended by then.
	age = 8 * time.Second
)

// NewLoad makes requests for a number of spans; more can be sent.
func NewLoad(spans int64) (*Load, error) {
	n := int(min(distinct, max(1, spans/SpansPerRequest)))
	l := &Load{free: make(chan *request, n)}
	calls := sample.NewCalls(1)
	for range n {
		r, err := newRequest(calls)
		if err != nil {
			return nil, err
		}
		l.free <- r
	}
	return l, nil
}

// Options say what is sent where.
type Options struct {
	// Target is HOST:PORT of an OTLP server that speaks gRPC without TLS.
	Target string
	// Requests is how many are sent, of SpansPerRequest spans each.
	Requests int64
	// Clients is how many connections there are, each with one request at a time.
	Clients int
	// Gzip compresses requests.
	Gzip bool
	// Interval is between two requests, over all clients; 0 is as fast as they are acknowledged.
	Interval time.Duration
	// Progress is called after each acknowledgement, at the same time by several clients, with the spans acknowledged so far.
	Progress func(spans int64)
}

// Result is what came of it.
type Result struct {
	// Spans were acknowledged in Elapsed.
	Spans   int64
	Elapsed time.Duration
	// Retries is how many times a request was sent again, since the server asked for it.
	Retries int64
	// Acknowledged is how long each request took: from when it was sent, or was to be sent if there is an Interval, so that a server
	// which holds its clients up is not spared what waits meanwhile.
	Acknowledged []time.Duration
}

// Send sends and waits for all acknowledgements. It ends at the first request that fails for good.
func (l *Load) Send(ctx context.Context, o Options) (Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		running        sync.WaitGroup
		next, acked, r atomic.Int64
		start          = time.Now()
		took           = make([][]time.Duration, o.Clients)
	)
	for i := range o.Clients {
		running.Go(func() {
			c, err := newClient(o.Target, o.Gzip)
			if err != nil {
				cancel(err)
				return
			}
			defer func() { _ = c.connection.Close() }() // all is acknowledged
			for n := next.Add(1) - 1; n < o.Requests && ctx.Err() == nil; n = next.Add(1) - 1 {
				due := time.Now()
				if o.Interval > 0 {
					due = start.Add(time.Duration(n) * o.Interval)
				}
				retries, err := l.sendAt(ctx, c, due)
				r.Add(int64(retries))
				if err != nil {
					cancel(err)
					return
				}
				took[i] = append(took[i], time.Since(due))
				if spans := acked.Add(SpansPerRequest); o.Progress != nil {
					o.Progress(spans)
				}
			}
		})
	}
	running.Wait()
	result := Result{Spans: acked.Load(), Elapsed: time.Since(start), Retries: r.Load()}
	for _, t := range took {
		result.Acknowledged = append(result.Acknowledged, t...)
	}
	if err := context.Cause(ctx); err != nil {
		return result, err
	}
	if result.Spans != o.Requests*SpansPerRequest {
		return result, errors.New("not all requests were sent")
	}
	return result, nil
}

// sendAt sends one request when it is due.
func (l *Load) sendAt(ctx context.Context, c client, due time.Time) (retries int, err error) {
	r := <-l.free // with fewer requests than clients, some wait for others
	defer func() { l.free <- r }()
	r.stamp(due.Add(-age))
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-timer.C:
	}
	return c.send(ctx, r.data)
}

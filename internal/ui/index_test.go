package ui

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

func TestVerdict(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	long, short := now.Add(-time.Hour), now.Add(-time.Second)
	const gb = int64(1e9)
	disk := func(free int64) Machine {
		return Machine{MinFreeDisk: gb, Disks: []Disk{{Holds: []string{"lake"}, Free: free, Total: 100 * gb}}}
	}
	for name, tc := range map[string]struct {
		body     indexBody
		failures []error
		severity severity
		want     string // of the first reason
	}{
		"all is well": {indexBody{Status: &span.IndexerStatus{State: span.IndexerIndexing, PendingFiles: 3, OldestPending: &short},
			Ingest: &span.IngestStatus{UnflushedSpans: 9, WALBytes: 1}, Machine: disk(50 * gb)}, nil, fine, ""},
		"a source":    {indexBody{}, []error{errors.New("the state of the indexer: it hangs")}, broken, "it hangs"},
		"refusing":    {indexBody{Ingest: &span.IngestStatus{Refusing: "the disk is full"}}, nil, broken, "refused: the disk is full"},
		"flushing":    {indexBody{Ingest: &span.IngestStatus{FlushFailures: 3, LastFlushError: "read-only"}}, nil, broken, "3 attempts in a row: read-only"},
		"damaged":     {indexBody{Ingest: &span.IngestStatus{DamagedRequests: 1}}, nil, notable, "1 request of the write-ahead log"},
		"failing":     {indexBody{Status: &span.IndexerStatus{State: span.IndexerFailing, Failures: 2, LastError: "no space"}}, nil, broken, "2 times in a row: no space"},
		"starting":    {indexBody{Status: &span.IndexerStatus{State: span.IndexerStarting}}, nil, notable, "has not yet looked"},
		"withholding": {indexBody{Status: &span.IndexerStatus{State: span.IndexerWithholding, WithheldFiles: 7}}, nil, notable, "7 files gone"},
		"unreachable": {indexBody{Status: &span.IndexerStatus{Hot: span.HotSource{State: span.HotUnreachable, Address: "ingest:50052", Error: "refused"}}}, nil,
			broken, "at ingest:50052, does not answer: refused"},
		"unread":   {indexBody{Status: &span.IndexerStatus{UnreadPlaces: []string{"a", "b", "c", "d", "e"}}}, nil, notable, "a, b, c and 2 more"},
		"lag":      {indexBody{Status: &span.IndexerStatus{PendingFiles: 9, OldestPending: &long}}, nil, notable, "9 files, the oldest written 1h00m ago"},
		"failed":   {indexBody{FailedCount: 1}, nil, notable, "1 file could not be indexed"},
		"low disk": {indexBody{Machine: disk(2 * gb)}, nil, notable, "The disk of the lake is nearly full: 2.0 GB"},
		"no disk":  {indexBody{Machine: disk(gb / 2)}, nil, broken, "500 MB are free"},
		"full log": {indexBody{Ingest: &span.IngestStatus{WALBytes: 9 * gb}, Machine: Machine{MaxWAL: 10 * gb}}, nil, notable, "9.0 GB of the 10 GB"},
		"memory":   {indexBody{Memory: gb, Machine: Machine{Resident: 2 * gb}}, nil, notable, "2.0 GB of memory"},
		"the worst comes first": {indexBody{FailedCount: 4, Ingest: &span.IngestStatus{DamagedRequests: 2},
			Status: &span.IndexerStatus{State: span.IndexerFailing, Failures: 1}}, nil, broken, "The indexer failed 1 time"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.body.Now = now
			v := verdictOf(&tc.body, tc.failures)
			if v.Severity != tc.severity || (len(v.Reasons) == 0) != (tc.want == "") {
				t.Fatalf("the verdict is %+v, want %v", v, tc.severity)
			}
			if len(v.Reasons) > 0 && (!strings.Contains(v.Reasons[0].What, tc.want) || v.Reasons[0].Next == "") {
				t.Errorf("the first reason is %+v, want %q", v.Reasons[0], tc.want)
			}
			for i, r := range v.Reasons {
				if i > 0 && r.Severity > v.Reasons[i-1].Severity {
					t.Errorf("%v is behind what matters less", r)
				}
			}
		})
	}
}

func TestIngestPicture(t *testing.T) {
	begin := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	at := func(quarters float64) time.Time { return begin.Add(time.Duration(quarters * float64(quarter))) }
	p := drawIngest([]fileTimes{
		{"busy", at(0), at(2), 200, 20},
		{"busy", at(-10), at(10), 200, 0}, // half of it is of this day
		{"calm", at(1), at(2), 10, 0},
		{"other day", at(-5), at(-4), 999, 0},
		{"future", at(96), at(97), 999, 0},
	}, &fileTimes{from: at(95), until: at(96), spans: 30}, begin)
	if p.Total != 340 || p.BadTotal != 20 || p.Most != 120 {
		t.Errorf("%d spans, %d errors and at most %d in a step, want 340, 20 and 120", p.Total, p.BadTotal, p.Most)
	}
	var names []string
	for _, l := range p.Layers {
		names = append(names, l.Service)
	}
	if got := strings.Join(names, ","); got != "busy,calm," || !p.Layers[2].Unflushed || p.Layers[1].Spans != 10 {
		t.Errorf("the layers are %+v", p.Layers)
	}
	// calm stands on busy, and together they are as tall as the picture.
	if want := "M10.0 10.00v-10.00h9.0v10.00z"; p.Layers[1].Path != want {
		t.Errorf("the bar of calm is %s, want %s", p.Layers[1].Path, want)
	}
	if first, last := p.Steps[0], p.Steps[ingestSteps-1]; first.Text != "110 spans, 10 errors" || last.Text != "30 spans" || !last.Start.Equal(at(95)) {
		t.Errorf("the steps go from %+v to %+v", first, last)
	}
	if len(p.Hours) != 7 || !p.Hours[6].Equal(at(96)) {
		t.Errorf("the hours are %v", p.Hours)
	}

	var many []fileTimes
	for i := range 30 {
		many = append(many, fileTimes{strings.Repeat("x", i+1), at(3), at(4), int64(i + 1), 0})
	}
	p = drawIngest(many, nil, begin)
	if n := len(p.Layers); n != ingestLayers+1 || !p.Layers[n-1].Rest || p.Total != 465 {
		t.Errorf("30 services have %d layers with %d spans", n, p.Total)
	}
	if p := drawIngest(nil, nil, begin); p.Total != 0 || p.Bad != "" || strings.Contains(p.Steps[0].X, "NaN") {
		t.Errorf("nothing is drawn as %+v", p)
	}
}

func TestSpreading(t *testing.T) {
	steps := make([]float64, ingestSteps)
	begin := time.Unix(0, 0)
	spread(steps, begin, begin.Add(quarter/2), begin.Add(quarter*5/2), 100)
	spread(steps, begin, begin.Add(quarter), begin, 100) // the end before the start: nowhere
	for i, want := range []float64{25, 50, 25, 0} {
		if math.Abs(steps[i]-want) > 1e-9 {
			t.Errorf("step %d has %v, want %v", i, steps[i], want)
		}
	}
}

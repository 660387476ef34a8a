package ui

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spanlake/spanlake/internal/api/wire"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/terminal"
)

// ingestPicture shows the spans of the last day by when they started. It is made from what the index keeps of each file, and so costs
// the same however many spans there are: the spans of a file are spread evenly over its time.
type ingestPicture struct {
	// Width and Height are those of the bars, BadHeight that of the bars of errors below.
	Width, Height, BadHeight int
	Layers                   []ingestLayer
	// Bad is the path of errors.
	Bad string
	// Hours are the times below, from left to right.
	Hours []time.Time
	// Steps name the bars, for the mouse.
	Steps                 []ingestStep
	Most, Total, BadTotal int64
}

// ingestLayer are the bars of one service.
type ingestLayer struct {
	Service, Link string
	// Rest: it is of all other services, Unflushed: of spans that are in no file yet.
	Rest, Unflushed bool
	Spans           int64
	Path            string
}

// ingestStep is a quarter of an hour.
type ingestStep struct {
	X, Width string
	Start    time.Time
	Text     string
}

const (
	ingestSteps = 96
	quarter     = day / ingestSteps
	// ingestLayers is how many services have bars of their own.
	ingestLayers                    = 8
	ingestWidth, ingestHeight       = 960, 120
	ingestBadHeight                 = 22
	ingestResolution          int64 = 60 // seconds
)

// fileTimes are spans of a service that are in files of a time.
type fileTimes struct {
	service       string
	from, until   time.Time
	spans, errors int64
}

// ingestPicture asks for the spans of the last day. hot is nil if unflushed spans are elsewhere.
func (u *UI) ingestPicture(ctx context.Context, now time.Time, hot *span.IngestStatus) (ingestPicture, error) {
	end := now.UTC().Truncate(quarter).Add(quarter)
	begin := end.Add(-day)
	query := fmt.Sprintf(`SELECT service_name, CAST(floor(epoch(min_time)) AS BIGINT) // %[1]d, CAST(floor(epoch(max_time)) AS BIGINT) // %[1]d,
CAST(sum(span_count) AS BIGINT), CAST(sum(error_count) AS BIGINT)
FROM file_services WHERE epoch(max_time) >= %[2]d AND epoch(min_time) < %[3]d GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`,
		ingestResolution, begin.Unix(), end.Unix())
	var all []fileTimes
	err := u.rows(ctx, query, func(values []*string) error {
		f := fileTimes{}
		if values[0] != nil {
			f.service = *values[0]
		}
		var numbers [4]int64
		for i := range numbers {
			n, err := number(values[i+1])
			if err != nil {
				return err
			}
			numbers[i] = n
		}
		f.from = time.Unix(numbers[0]*ingestResolution, 0)
		f.until = time.Unix((numbers[1]+1)*ingestResolution, 0)
		f.spans, f.errors = numbers[2], numbers[3]
		all = append(all, f)
		return nil
	})
	if err != nil {
		return ingestPicture{}, err
	}
	var unflushed *fileTimes
	if hot != nil && hot.UnflushedSpans > 0 && hot.OldestUnflushed != nil {
		unflushed = &fileTimes{from: *hot.OldestUnflushed, until: now.Add(time.Second), spans: hot.UnflushedSpans}
	}
	return drawIngest(all, unflushed, begin), nil
}

// spread adds a count to the steps from begin on, evenly over its time.
func spread(steps []float64, begin, from, until time.Time, count int64) {
	length := until.Sub(from)
	if length <= 0 {
		return
	}
	for i := range steps {
		start := begin.Add(time.Duration(i) * quarter)
		end := start.Add(quarter)
		if start.Before(from) {
			start = from
		}
		if end.After(until) {
			end = until
		}
		if part := end.Sub(start); part > 0 {
			steps[i] += float64(count) * float64(part) / float64(length)
		}
	}
}

// drawIngest makes the picture. The services with most spans have a layer each, all others one together; what is in no file is on top.
func drawIngest(all []fileTimes, unflushed *fileTimes, begin time.Time) ingestPicture {
	p := ingestPicture{Width: ingestWidth, Height: ingestHeight, BadHeight: ingestBadHeight}
	of := make(map[string][]float64)
	bad, sums := make([]float64, ingestSteps), make([]float64, ingestSteps)
	for _, f := range all {
		if of[f.service] == nil {
			of[f.service] = make([]float64, ingestSteps)
		}
		spread(of[f.service], begin, f.from, f.until, f.spans)
		spread(bad, begin, f.from, f.until, f.errors)
	}
	layers := layersOf(of)
	if unflushed != nil {
		steps := make([]float64, ingestSteps)
		spread(steps, begin, unflushed.from, unflushed.until, unflushed.spans)
		layers = append(layers, countedLayer{ingestLayer{Unflushed: true}, steps})
	}
	for _, l := range layers {
		for i, n := range l.steps {
			sums[i] += n
		}
	}
	most, worst := slices.Max(sums), slices.Max(bad)
	p.Most, p.Total, p.BadTotal = int64(most+0.5), int64(total(sums)+0.5), int64(total(bad)+0.5)
	below := make([]float64, ingestSteps)
	for _, l := range layers {
		l.Path = ingestBars(l.steps, below, most, ingestHeight)
		l.Spans = int64(total(l.steps) + 0.5)
		p.Layers = append(p.Layers, l.ingestLayer)
	}
	p.Bad = ingestBars(bad, make([]float64, ingestSteps), worst, ingestBadHeight)
	for hours := 0; hours <= 24; hours += 4 {
		p.Hours = append(p.Hours, begin.Add(time.Duration(hours)*time.Hour))
	}
	const width = float64(ingestWidth) / ingestSteps
	for i := range ingestSteps {
		text := terminal.Count(int64(sums[i]+0.5), "span")
		if n := int64(bad[i] + 0.5); n > 0 {
			text += ", " + terminal.Count(n, "error")
		}
		p.Steps = append(p.Steps, ingestStep{X: pixels(float64(i) * width), Width: pixels(width), Start: begin.Add(time.Duration(i) * quarter), Text: text})
	}
	return p
}

// countedLayer is a layer before it is drawn.
type countedLayer struct {
	ingestLayer
	steps []float64
}

// layersOf are the services, those with most spans first, and the rest.
func layersOf(of map[string][]float64) (layers []countedLayer) {
	for name, steps := range of {
		if total(steps) > 0 {
			l := countedLayer{ingestLayer{Service: name}, steps}
			if name != "" {
				l.Link = "/services?" + url.Values{wire.ParamService: {name}}.Encode()
			}
			layers = append(layers, l)
		}
	}
	slices.SortFunc(layers, func(a, b countedLayer) int {
		return cmp.Or(cmp.Compare(total(b.steps), total(a.steps)), strings.Compare(a.Service, b.Service))
	})
	if len(layers) > ingestLayers {
		rest := countedLayer{ingestLayer{Rest: true}, make([]float64, ingestSteps)}
		for _, l := range layers[ingestLayers:] {
			for i, n := range l.steps {
				rest.steps[i] += n
			}
		}
		layers = append(layers[:ingestLayers], rest)
	}
	return layers
}

func total(steps []float64) (sum float64) {
	for _, n := range steps {
		sum += n
	}
	return sum
}

// ingestBars is the path of bars that stand on those below, which they become part of.
func ingestBars(steps, below []float64, most float64, height int) string {
	var path strings.Builder
	const width = float64(ingestWidth) / ingestSteps
	for i, n := range steps {
		if n <= 0 || most <= 0 {
			continue
		}
		bottom := float64(height) * (1 - below[i]/most)
		tall := float64(height) * n / most
		if below[i] == 0 {
			tall = max(tall, 1)
		}
		fmt.Fprintf(&path, "M%.1f %.2fv-%.2fh%.1fv%.2fz", float64(i)*width, bottom, tall, width-1, tall)
		below[i] += n
	}
	return path.String()
}

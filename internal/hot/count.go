package hot

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/spanlake/spanlake/internal/span"
)

// Count counts spans.
func (s *Store) Count(ctx context.Context, q span.CountQuery) (span.HotCounts, error) {
	if err := checkCount(&q); err != nil {
		return span.HotCounts{}, err
	}
	blocks, generation := s.moment()
	c := counting{query: q, counts: make(map[countKey]*counted),
		chooser: newChooser(span.Filter{ServiceName: q.ServiceName, Name: q.Name, From: q.From, Until: q.Until})}
	files := []string{}
	for i := range blocks {
		b := &blocks[i]
		if b.assigned != "" {
			files = append(files, b.assigned)
		}
		if err := ctx.Err(); err != nil {
			return span.HotCounts{}, err
		}
		if err := c.count(b); err != nil {
			return span.HotCounts{}, err
		}
	}
	slices.Sort(files)
	answer := span.HotCounts{Generation: generation, Files: slices.Compact(files), Counts: make([]span.Count, 0, len(c.counts))}
	for _, sum := range c.counts {
		answer.Counts = append(answer.Counts, sum.count())
	}
	return answer, ctx.Err()
}

// counting is a Count under way.
type counting struct {
	*chooser
	query  span.CountQuery
	counts map[countKey]*counted
}

// counted is a span.Count under way, with a sum of durations that stays exact in whatever order they come: the lower 32 bits are added
// up apart.
type counted struct {
	span.Count
	high, low int64
}

func (c *counted) add(t *serviceTotal) {
	first, last := timeAt(t.first), timeAt(t.last)
	if c.Spans == 0 || first.Before(c.First) {
		c.First = first
	}
	if c.Spans == 0 || last.After(c.Last) {
		c.Last = last
	}
	c.Spans, c.Errors = c.Spans+t.spans, c.Errors+t.errors
}

func (c *counted) addDuration(nanos int64) {
	c.high, c.low = c.high+nanos>>32, c.low+nanos&math.MaxUint32
	c.Durations[span.DurationBucket(nanos)]++
}

func (c *counted) count() span.Count {
	c.DurationSum = float64(c.high)*(1<<32) + float64(c.low)
	return c.Count
}

// countKey is what is counted apart. start is when the step begins, in nanoseconds since 1970.
type countKey struct {
	file, service, name string
	start               int64
}

// inStep is a countKey within a block.
type inStep struct {
	service, name uint32
	start         int64
}

// count counts the rows of a block.
func (c *counting) count(b *block) error {
	in := c.inOne(b)
	if in.none {
		return nil
	}
	q := &c.query
	if q.Step == 0 && !q.ByName && !q.Durations {
		for _, t := range in.countServices(b) {
			sum, err := c.at(b, inStep{service: t.name})
			if err != nil {
				return err
			}
			sum.add(&t)
		}
		return nil
	}
	var last inStep
	var total *stepTotal
	sums := make(map[inStep]*stepTotal)
	for i := range b.rows {
		r := &b.rows[i]
		if chosen, _ := in.row(r); !chosen {
			continue
		}
		key := c.stepOf(r)
		if total == nil || key != last { // spans of a trace follow each other
			total, last = sums[key], key
		}
		if total == nil {
			sum, err := c.at(b, key)
			if err != nil {
				return err
			}
			total = &stepTotal{into: sum}
			sums[key] = total
		}
		total.take(r)
		if q.Durations {
			total.into.addDuration(r.end - r.start)
		}
	}
	for _, total := range sums {
		total.into.add(&total.serviceTotal)
	}
	return nil
}

// countServices counts by service. What is known of a sealed block is not counted again.
func (in *inBlock) countServices(b *block) []serviceTotal {
	if s := b.sealed; s != nil && in.names == nil && s.first >= in.from && s.last < in.until {
		if in.services == nil {
			return s.services
		}
		return slices.DeleteFunc(slices.Clone(s.services), func(t serviceTotal) bool { return !in.services.orAll(t.name) })
	}
	if in.services == nil && in.names == nil && in.from == 0 && in.until == math.MaxInt64 {
		return b.countServices(nil)
	}
	return b.countServices(func(r *row) bool { chosen, _ := in.row(r); return chosen })
}

// stepTotal is what a block has of a service or a name in a step, and the sum to which it is added.
type stepTotal struct {
	serviceTotal
	into *counted
}

// stepOf is where a row is counted.
func (c *counting) stepOf(r *row) inStep {
	key := inStep{service: r.service}
	if c.query.ByName {
		key.name = r.name
	}
	if c.query.Step > 0 {
		start := r.micros() * int64(time.Microsecond)
		key.start = start - start%int64(c.query.Step)
	}
	return key
}

// at is the sum to which something in a block is added.
func (c *counting) at(b *block, in inStep) (*counted, error) {
	q := &c.query
	key := countKey{file: b.assigned, service: b.names[in.service], start: in.start}
	if q.ByName {
		key.name = b.names[in.name]
	}
	if sum := c.counts[key]; sum != nil {
		return sum, nil
	}
	if len(c.counts) >= maxCounts && (q.Step > 0 || q.ByName) {
		return nil, &span.InvalidError{What: "step", Value: q.Step.String(),
			Problem: fmt.Sprintf("makes more than %d counts: ask for a service, a longer step or a shorter time range", maxCounts)}
	}
	sum := &counted{Count: span.Count{File: key.file, ServiceName: key.service, Name: key.name}}
	if q.Step > 0 {
		sum.Start = timeAt(key.start)
	}
	if q.Durations {
		sum.Durations = make(map[int16]int64)
	}
	c.counts[key] = sum
	return sum, nil
}

package ui

import (
	"context"
	"html/template"
	"slices"
	"sync"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/terminal"
	"github.com/spanlake/spanlake/internal/ui/spanview"
)

// functions are what templates may call. Whatever they return is escaped, but for what timeTag makes.
func (u *UI) functions() template.FuncMap {
	return template.FuncMap{
		"asset":    func(name string) string { return u.assets.url(name) },
		"duration": terminal.Duration,
		"count":    humanize.Comma,
		"noun":     terminal.Count,
		"bytes":    func(n int64) string { return humanize.Bytes(uint64(max(n, 0))) },
		"time":     timeTag,
		"trace":    func(id string) string { return spanview.Address(id, "") },
		"notices":  notices,
		"isError":  func(c span.StatusCode) bool { return c == span.StatusError },
	}
}

// timeTag is a time that a module rewrites in the zone of the reader; without one it stays in UTC. Times of other writers may be of any year.
func timeTag(t time.Time) template.HTML {
	if t.IsZero() {
		return ""
	}
	text := t.UTC().Format("2006-01-02 15:04:05.000")
	stamp := t.UTC().Format("2006-01-02T15:04:05.000000Z")
	// Both are made of digits and punctuation.
	return template.HTML(`<time datetime="` + stamp + `" title="` + text + ` UTC">` + text + ` UTC</time>`) // #nosec G203
}

// notices say what an answer lacks, for people.
func notices(c span.Completeness) (all []string) {
	if c.Hot.State == span.HotUnreachable {
		all = append(all, "Spans of the last minutes are missing: the process that takes them in, at "+c.Hot.Address+", does not answer ("+c.Hot.Error+").")
	}
	if c.FilesPending > 0 {
		wait := " of the lake wait to be indexed and are not in this answer."
		if c.FilesPending == 1 {
			wait = " of the lake waits to be indexed and is not in this answer."
		}
		all = append(all, terminal.Count(c.FilesPending, "file")+wait)
	}
	if c.FilesFailed > 0 {
		all = append(all, terminal.Count(c.FilesFailed, "file")+" could not be indexed and may have spans of this time: see Index.")
	}
	if c.Truncated {
		all = append(all, "There may be more: "+c.Reason+".")
	}
	return all
}

// colours gives each service a colour, the same on all pages as long as the process runs: the first ones seen get the first ones, so that
// as many services as there are colours never share one.
type colours struct {
	mu     sync.Mutex
	asked  time.Time
	number map[string]int
}

const (
	// colourCount is how many app.css has.
	colourCount = 20
	// coloursTime is how long it is before services are looked for that are new.
	coloursTime = 5 * time.Second
)

// colours are numbers from 0 to colourCount-1 by service.
func (u *UI) serviceColours(ctx context.Context) map[string]int {
	c := &u.colours
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.asked) > coloursTime {
		services, _, err := u.Queries.Services(ctx)
		if err != nil {
			u.Log.Debug("services have no colours of their own", "error", err)
		} else {
			c.asked = time.Now()
		}
		slices.SortStableFunc(services, func(a, b span.Service) int { return a.FirstSeen.Compare(b.FirstSeen) })
		for _, s := range services {
			c.add(s.Name)
		}
	}
	all := make(map[string]int, len(c.number))
	for name, n := range c.number {
		all[name] = n % colourCount
	}
	return all
}

// add gives a service that has none the next colour. mu must be held.
func (c *colours) add(name string) {
	const most = 10_000 // whoever has more cannot tell them apart anyway
	if c.number == nil {
		c.number = make(map[string]int)
	}
	if _, ok := c.number[name]; !ok && len(c.number) < most {
		c.number[name] = len(c.number)
	}
}

package spanview

import (
	"encoding/json"
	"math"
	"math/big"
	"strings"
	"time"

	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/terminal"
)

// event is an event as a column has it (docs/formats/lake.md).
type event struct {
	name string
	// nanos is since 1970; nil if there is none.
	nanos      *big.Int
	attributes *attributes
	dropped    uint32
}

// maxListed bounds the events and links in a page; maxRead those that are looked at.
const (
	maxListed = 200
	maxRead   = 20_000
)

func readEvents(text string) ([]event, error) {
	var all []event
	err := eachObject(text, func(raw []byte) error {
		var e struct {
			Name       string          `json:"name"`
			TimeNanos  json.Number     `json:"time_nanos"`
			Attributes json.RawMessage `json:"attributes"`
			Dropped    uint32          `json:"dropped_attributes_count"`
		}
		if err := json.Unmarshal(raw, &e); err != nil {
			return err
		}
		one := event{name: e.Name, dropped: e.Dropped}
		if len(e.TimeNanos) < 30 {
			if nanos, ok := new(big.Int).SetString(string(e.TimeNanos), 10); ok {
				one.nanos = nanos
			}
		}
		var err error
		one.attributes, err = readAttributes(string(e.Attributes))
		all = append(all, one)
		return err
	})
	return all, err
}

// eachObject calls a function for each item of a JSON array. "" and null are empty ones.
func eachObject(text string, do func(raw []byte) error) error {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	token, err := decoder.Token()
	if err != nil || token == nil {
		return err
	}
	if token != json.Delim('[') {
		return errNotArray
	}
	for n := 0; decoder.More() && n < maxRead; n++ {
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			return err
		}
		if err := do(raw); err != nil {
			return err
		}
	}
	return nil
}

// time is when it happened; ok is false if Go has no such time.
func (e *event) time() (at time.Time, ok bool) {
	if e.nanos == nil || !e.nanos.IsInt64() {
		return time.Time{}, false
	}
	return time.Unix(0, e.nanos.Int64()), true
}

// offset is how long after the start of its span it was, "" if that cannot be said.
func (e *event) offset(s *span.Span) string {
	at, ok := e.time()
	if !ok {
		return ""
	}
	return signed(at.Sub(s.StartTime.Round(0)))
}

func signed(d time.Duration) string {
	if d < 0 {
		return terminal.Duration(d)
	}
	return "+" + terminal.Duration(d)
}

func secondsOf(seconds float64) time.Duration {
	return time.Duration(math.Round(seconds * float64(time.Second)))
}

// Event is an event in the list.
type Event struct {
	Name string
	// Offset is how long after the start of the span it was, At when; both may be unknown.
	Offset     string
	At         *Moment
	Attributes Attributes
	// Above: the page has shown it already as what it means.
	Above bool
	// Hint is a short value that tells events apart.
	Hint string
}

func (m *maker) listEvents() (all []Event, more int) {
	for i := range m.events {
		if i == maxListed || m.rows <= 0 {
			return all, len(m.events) - i
		}
		e := &m.events[i]
		one := Event{Name: cut(e.name, maxKey), Offset: e.offset(m.span), Above: e.isShown()}
		if at, ok := e.time(); ok {
			when := moment(at)
			one.At = &when
		}
		m.rows--
		m.shown = nil
		one.Attributes = m.groups(e.attributes, e.dropped)
		if len(e.attributes.all) > 0 {
			first := &e.attributes.all[0]
			if text := words(first.value()); len(text) <= 60 && !strings.Contains(text, "\n") {
				one.Hint = cut(first.key, 60) + " = " + text
			}
		}
		all = append(all, one)
	}
	return all, 0
}

// isShown tells whether a page shows the event as something better than an event.
func (e *event) isShown() bool {
	return e.isException() || e.name == stateEvent || isMessageEvent(e.name)
}

func (e *event) isException() bool {
	return e.name == "exception" || e.attributes.get("exception.type", "exception.message", "exception.stacktrace") != nil
}

// Exception is an error that a program met.
type Exception struct {
	Type                string
	Message, Stacktrace *Text
	Offset              string
	Escaped             bool
}

// maxExceptions bounds those that are shown before all else; the rest is among the events.
const maxExceptions = 10

func (m *maker) exceptions() (all []Exception) {
	for i := range m.events {
		e := &m.events[i]
		if !e.isException() || len(all) == maxExceptions {
			continue
		}
		x := Exception{Type: cut(e.attributes.text("exception.type"), maxKey), Offset: e.offset(m.span), Escaped: e.attributes.text("exception.escaped") == "true"}
		// The message of the status is shown already: the same once more is no help.
		if text := e.attributes.text("exception.message"); text != "" && text != m.span.StatusMessage {
			x.Message = m.fold(text)
		}
		if text := e.attributes.text("exception.stacktrace"); text != "" {
			x.Stacktrace = m.fold(text)
		}
		all = append(all, x)
	}
	return all
}

// Link leads to a span that this one has to do with.
type Link struct {
	TraceID, SpanID string
	Address         string
	// Same: it is in the same trace.
	Same       bool
	TraceState string
	Attributes Attributes
}

func (m *maker) links(v *View) {
	n := 0
	err := eachObject(m.span.Links, func(raw []byte) error {
		if n++; n > maxListed {
			v.MoreLinks++
			return nil
		}
		var l struct {
			TraceID    string          `json:"trace_id"`
			SpanID     string          `json:"span_id"`
			TraceState string          `json:"trace_state"`
			Attributes json.RawMessage `json:"attributes"`
			Dropped    uint32          `json:"dropped_attributes_count"`
		}
		if err := json.Unmarshal(raw, &l); err != nil {
			return err
		}
		a, err := readAttributes(string(l.Attributes))
		m.shown = nil
		one := Link{TraceID: l.TraceID, SpanID: l.SpanID, TraceState: cut(l.TraceState, maxKey), Same: l.TraceID == m.span.TraceID,
			Attributes: m.groups(a, l.Dropped)}
		if l.TraceID != "" {
			one.Address = Address(l.TraceID, l.SpanID)
		}
		v.Links = append(v.Links, one)
		return err
	})
	if err != nil {
		v.problem(m, "Links", m.span.Links, err)
	}
}

package hot

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"unsafe"

	"github.com/spanlake/spanlake/internal/otlpwire"
	"github.com/spanlake/spanlake/internal/span"
)

// blockSpans is how many spans a block has before it is sealed: so many that a million spans are few blocks to look into, and so
// few that looking through an unsealed one takes 0.03 ms and sealing it 2 ms (BenchmarkBlock).
const blockSpans = 16 << 10

// block holds the light fields of the spans of some requests. Blocks are values: what a reader has copied never changes, since the
// arrays behind an unsealed block only grow beyond what the copy sees, and those of a sealed one are not written to.
type block struct {
	// file is where the spans of all of its requests are published, nil if nowhere.
	file *file
	// assigned is the path of the file that the spans of all of its requests are in or will be in, "" if that is not decided.
	assigned string
	requests []request
	// rows are in the order in which they were received, and by trace id before that if the block is sealed.
	rows []row
	// names are those of services and spans, which rows refer to.
	names []string
	// bytes are those of the requests; oldest is when the first of them was received, in nanoseconds since 1970.
	bytes, oldest int64
	// nameBytes is what names take, roughly.
	nameBytes int64
	// sealed is nil as long as requests are added to the block.
	sealed *sealed
}

// sealed is what is known of a block when nothing is added to it anymore.
type sealed struct {
	// first and last are the first and the last start of its spans.
	first, last int64
	// roots are the rows of root spans, those that started last first.
	roots    []uint32
	services []serviceTotal
}

// request is an acknowledged request.
type request struct {
	id       span.RequestID
	received int64 // nanoseconds since 1970
	spans    uint32
	bytes    uint32
}

// row is what is kept of a span. It is 64 bytes long and has no pointers, so that a million of them cost the garbage collector
// nothing.
type row struct {
	trace      [16]byte
	id, parent [8]byte // parent is zero for a root
	start, end int64   // nanoseconds since 1970, as far as a file of the lake can say them
	service    uint32  // of block.names
	name       uint32
	ordinal    uint32 // which span of its request this is
	request    uint16 // of block.requests
	kind       int8
	status     int8
}

func (r *row) isRoot() bool { return r.parent == [8]byte{} }

// serviceTotal is what a block has of a service. The times are of starts.
type serviceTotal struct {
	name          uint32
	spans, errors int64
	first, last   int64
}

// take counts a row.
func (t *serviceTotal) take(r *row) {
	if t.spans == 0 {
		t.first, t.last = r.start, r.start
	}
	t.spans++
	if span.StatusCode(r.status) == span.StatusError {
		t.errors++
	}
	t.first, t.last = min(t.first, r.start), max(t.last, r.start)
}

// tail is the block to which requests are added, and what that takes.
type tail struct {
	block
	known map[string]uint32
}

func newTail() *tail {
	return &tail{known: make(map[string]uint32)}
}

func (t *tail) empty() bool { return len(t.requests) == 0 }

func (t *tail) full() bool { return len(t.rows) >= blockSpans || len(t.requests) > math.MaxUint16 }

// add takes the spans of a request in. If its data is damaged, the spans before the damage are, and the error says so.
func (t *tail) add(r *span.Request) error {
	if len(t.rows)+r.Spans > cap(t.rows) {
		t.rows = slices.Grow(t.rows, max(r.Spans, len(t.rows)))
	}
	position := uint16(len(t.requests))
	ordinal := uint32(0)
	var damage error
	for s, err := range otlpwire.Spans(r.Data) {
		if err != nil {
			damage = err
			break
		}
		t.rows = append(t.rows, row{
			trace: s.TraceID, id: s.SpanID, parent: s.ParentSpanID, start: otlpwire.StorableNanos(s.StartNanos), end: otlpwire.StorableNanos(s.EndNanos),
			service: t.intern(s.ServiceName), name: t.internBytes(s.Name), ordinal: ordinal, request: position,
			kind: otlpwire.Tiny(s.Kind), status: otlpwire.Tiny(s.StatusCode),
		})
		ordinal++
	}
	t.note(request{id: r.ID, received: r.Received.UnixNano(), spans: ordinal, bytes: uint32(len(r.Data))})
	return damage
}

// note takes a request in whose rows are taken in apart from it.
func (b *block) note(r request) {
	if len(b.requests) == 0 || r.received < b.oldest {
		b.oldest = r.received
	}
	b.requests = append(b.requests, r)
	b.bytes += int64(r.bytes)
}

// internBytes is intern without making a string of a name that is known.
func (t *tail) internBytes(name []byte) uint32 {
	if n, ok := t.known[string(name)]; ok {
		return n
	}
	return t.intern(string(name))
}

// intern numbers a name.
func (t *tail) intern(name string) uint32 {
	name = span.CutName(name)
	if n, ok := t.known[name]; ok {
		return n
	}
	name = strings.Clone(name) // what it is part of is much larger
	n := uint32(len(t.names))
	t.known[name] = n
	// What is not UTF-8 was repaired before it was acknowledged; if it was not, a listing over gRPC would fail as a whole.
	t.names = append(t.names, strings.ToValidUTF8(name, "\uFFFD"))
	t.nameBytes += int64(unsafe.Sizeof(name)) + int64(len(name))
	return n
}

// seal sorts a block for look-ups.
func (b *block) seal() block {
	s := *b
	s.requests, s.names = slices.Clone(b.requests), slices.Clone(b.names) // without the room to grow
	s.rows = sortRows(b.rows)
	s.index()
	return s
}

// sortRows sorts by trace id, leaving the order within a trace. It sorts the heads of ids: a full block takes 1.6 ms of CPU time,
// and 1.9 ms if the rows themselves are sorted (BenchmarkBlock).
func sortRows(rows []row) []row {
	type key struct {
		head  uint64
		index uint32
	}
	keys := make([]key, len(rows))
	for i := range rows {
		keys[i] = key{binary.BigEndian.Uint64(rows[i].trace[:8]), uint32(i)}
	}
	slices.SortFunc(keys, func(a, b key) int {
		if a.head != b.head {
			return cmp.Compare(a.head, b.head)
		}
		if c := bytes.Compare(rows[a.index].trace[8:], rows[b.index].trace[8:]); c != 0 {
			return c
		}
		return cmp.Compare(a.index, b.index)
	})
	sorted := make([]row, len(rows))
	for i, k := range keys {
		sorted[i] = rows[k.index]
	}
	return sorted
}

// index fills in what a sealed block knows of its rows.
func (b *block) index() {
	b.sealed = &sealed{services: b.countServices(nil), first: math.MaxInt64, last: math.MinInt64}
	for _, t := range b.sealed.services {
		b.sealed.first, b.sealed.last = min(b.sealed.first, t.first), max(b.sealed.last, t.last)
	}
	roots := 0
	for i := range b.rows {
		if b.rows[i].isRoot() {
			roots++
		}
	}
	b.sealed.roots = make([]uint32, 0, roots)
	for i := range b.rows {
		if b.rows[i].isRoot() {
			b.sealed.roots = append(b.sealed.roots, uint32(i))
		}
	}
	slices.SortFunc(b.sealed.roots, func(x, y uint32) int { return cmp.Compare(b.rows[y].start, b.rows[x].start) })
}

// countServices counts the rows that are chosen; nil chooses all.
func (b *block) countServices(chosen func(*row) bool) []serviceTotal {
	totals := make([]serviceTotal, len(b.names))
	for i := range b.rows {
		r := &b.rows[i]
		if chosen == nil || chosen(r) {
			totals[r.service].name = r.service
			totals[r.service].take(r)
		}
	}
	return slices.Clone(slices.DeleteFunc(totals, func(t serviceTotal) bool { return t.spans == 0 }))
}

// count is how many of the requests are chosen.
func (b *block) count(chosen func(*request) bool) (n int) {
	for i := range b.requests {
		if chosen(&b.requests[i]) {
			n++
		}
	}
	return n
}

// split divides a sealed block into the requests that belong to what is chosen and the others.
func (b *block) split(chosen func(*request) bool) (in, out block) {
	same := block{file: b.file, assigned: b.assigned, names: b.names}
	parts := [2]block{same, same}
	parts[1].nameBytes = b.nameBytes // which the two share
	part, position := make([]int, len(b.requests)), make([]uint16, len(b.requests))
	var rows [2]int
	for i := range b.requests {
		r := &b.requests[i]
		if !chosen(r) {
			part[i] = 1
		}
		p := &parts[part[i]]
		position[i] = uint16(len(p.requests))
		p.note(*r)
		rows[part[i]] += int(r.spans)
	}
	for i := range parts {
		parts[i].rows = make([]row, 0, rows[i])
	}
	for i := range b.rows {
		r := b.rows[i]
		p := &parts[part[r.request]]
		r.request = position[r.request]
		p.rows = append(p.rows, r)
	}
	for i := range parts {
		parts[i].requests = slices.Clone(parts[i].requests)
		parts[i].index()
	}
	return parts[0], parts[1]
}

// memory is about how many bytes the block takes.
func (b *block) memory() int64 {
	n := int64(cap(b.rows))*int64(unsafe.Sizeof(row{})) + int64(cap(b.requests))*int64(unsafe.Sizeof(request{})) + b.nameBytes
	if b.sealed != nil {
		n += int64(cap(b.sealed.roots))*4 + int64(cap(b.sealed.services))*int64(unsafe.Sizeof(serviceTotal{}))
	}
	return n
}

// traceRows yields the rows of a trace.
func (b *block) traceRows(trace *[16]byte) func(yield func(*row) bool) {
	return func(yield func(*row) bool) {
		from := 0
		if b.sealed != nil {
			from, _ = slices.BinarySearchFunc(b.rows, trace, func(r row, t *[16]byte) int { return bytes.Compare(r.trace[:], t[:]) })
		}
		for i := from; i < len(b.rows); i++ {
			r := &b.rows[i]
			switch {
			case r.trace == *trace:
				if !yield(r) {
					return
				}
			case b.sealed != nil:
				return
			}
		}
	}
}

// rowOf is the row of a span of a request, nil if the two do not belong together.
func (b *block) rowOf(request uint16, ordinal uint32, one *otlpwire.Span) *row {
	// In both kinds of blocks, rows are in the order of their requests apart from traces.
	i, found := slices.BinarySearchFunc(b.rows, one, func(r row, one *otlpwire.Span) int {
		inRequest := cmp.Or(cmp.Compare(r.request, request), cmp.Compare(r.ordinal, ordinal))
		if b.sealed == nil {
			return inRequest
		}
		return cmp.Or(bytes.Compare(r.trace[:], one.TraceID[:]), inRequest)
	})
	if !found || b.rows[i].trace != one.TraceID || b.rows[i].id != one.SpanID {
		return nil
	}
	return &b.rows[i]
}

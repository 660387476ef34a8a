package otlpwire

import (
	"math"
	"slices"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// rewriter writes a checked request anew, with what had to be changed.
type rewriter struct {
	schema schemaTable
	limits Limits
	// repeats is set if some singular field occurs twice.
	repeats bool
	report  Report
	out     []byte
	// mergeLeft is how many more bytes of repeated singular messages may be put together, so that memory has a bound.
	mergeLeft int
	// repaired is the last text that was repaired.
	repaired []byte
}

// occurrences say where the singular fields of a message are.
type occurrences struct {
	// last is where the last occurrence ends.
	last [maxField + 1]int
	// count is how many there are. In a oneof only those count which no other field has replaced.
	count [maxField + 1]int
}

func (r *rewriter) occurrences(m messageType, b []byte) (o occurrences) {
	var member protowire.Number
	for f := (fields{buf: b}); f.next(); {
		if r.kind(m, &f) == kindUnknown {
			continue
		}
		if m == messageAnyValue && f.num != member {
			o, member = occurrences{}, f.num
		}
		o.last[f.num] = f.pos
		o.count[f.num]++
	}
	return o
}

// kind is that of a field, kindUnknown also if it is encoded as something else.
func (r *rewriter) kind(m messageType, f *fields) fieldKind {
	if f.num > maxField || r.schema[m][f.num].wire != f.wire {
		return kindUnknown
	}
	return r.schema[m][f.num].kind
}

// message appends the content of a message.
func (r *rewriter) message(m messageType, b []byte, depth int) error {
	var o occurrences
	if r.repeats {
		o = r.occurrences(m, b)
	}
	l := losses{message: m}
	for f := (fields{buf: b}); f.next(); {
		var err error
		if m.shared() {
			err = r.nextShared(&f, &o, &l, depth)
		} else {
			err = r.next(&f, &o, &l, depth)
		}
		if err != nil {
			return err
		}
	}
	r.losses(&l)
	return nil
}

// nextShared appends one field of a resource or scope unless it is too much for the message.
func (r *rewriter) nextShared(f *fields, o *occurrences, l *losses, depth int) error {
	before, report := len(r.out), r.report
	if err := r.next(f, o, l, depth); err != nil {
		return err
	}
	if l.sharedBytes += len(r.out) - before; l.sharedBytes <= r.limits.SharedBytes {
		return nil
	}
	l.sharedBytes -= len(r.out) - before
	r.out, r.report = r.out[:before], report
	if r.kind(l.message, f) == kindAttributes {
		l.dropped[0]++
		r.report.DroppedAttributes++
	} else {
		r.report.TruncatedValues++
	}
	return nil
}

// next appends one field of a message, or what becomes of it.
func (r *rewriter) next(f *fields, o *occurrences, l *losses, depth int) error {
	kind := r.kind(l.message, f)
	if kind == kindUnknown {
		r.out = append(r.out, f.raw()...)
		return nil
	}
	t := r.schema[l.message][f.num]
	switch {
	case kind.repeated():
		return r.element(t, f, l, depth)
	case r.repeats && o.last[f.num] != f.pos:
		return nil // a later occurrence holds, or is merged with this one
	case kind == kindDropped:
		l.told[t.of-kindAttributes] = uint64(uint32(f.number))
		return nil
	case kind == kindMessage && o.count[f.num] > 1:
		return r.merged(l.message, t, f, o.count[f.num], depth)
	}
	return r.field(t, f, f.data(), depth)
}

// losses are what a message has of its repeated fields and what was dropped of them.
type losses struct {
	message messageType
	count   counter
	// sharedBytes are those of a resource or scope.
	sharedBytes int
	// dropped were dropped here, told are those of which the sender says that it has dropped them: attributes, events, links.
	dropped, told [kindLinks - kindAttributes + 1]uint64
}

// losses appends the counts of what was dropped.
func (r *rewriter) losses(l *losses) {
	if l.told == (losses{}).told && l.dropped == (losses{}).dropped {
		return
	}
	for num, t := range &r.schema[l.message] {
		if t.kind != kindDropped {
			continue
		}
		if n := min(l.told[t.of-kindAttributes]+l.dropped[t.of-kindAttributes], math.MaxUint32); n > 0 {
			r.out = protowire.AppendTag(r.out, protowire.Number(num), protowire.VarintType)
			r.out = protowire.AppendVarint(r.out, n)
		}
	}
}

// element appends one of a repeated field, or drops it.
func (r *rewriter) element(t fieldType, f *fields, l *losses, depth int) error {
	switch t.kind {
	case kindSpans:
		if problem := spanProblem(f.data()); problem != "" {
			r.report.Rejected++
			if r.report.Reason == "" {
				r.report.Reason = problem
			}
			return nil
		}
		r.report.Accepted++
	case kindAttributes:
		if l.count.over(t.kind, 0, r.limits) {
			l.dropped[t.kind-kindAttributes]++
			r.report.DroppedAttributes++
			return nil
		}
	case kindEvents:
		if l.count.over(t.kind, 0, r.limits) {
			l.dropped[t.kind-kindAttributes]++
			r.report.DroppedEvents++
			return nil
		}
	case kindLinks:
		if !linkHasIDs(f.data()) || l.count.over(t.kind, 0, r.limits) {
			l.dropped[t.kind-kindAttributes]++
			r.report.DroppedLinks++
			return nil
		}
	case kindElements:
		return r.part(t, f, l, depth)
	default:
	}
	return r.field(t, f, f.data(), depth)
}

// part appends an element of an array or map unless that is too much for the value.
func (r *rewriter) part(t fieldType, f *fields, l *losses, depth int) error {
	if l.count.elementBytes > r.limits.AttributeBytes {
		return nil // it was cut before
	}
	begin, before := len(r.out), r.report
	if err := r.field(t, f, f.data(), depth); err != nil {
		return err
	}
	written := fields{buf: r.out[begin:]}
	written.next()
	if l.count.over(t.kind, len(written.data()), r.limits) {
		r.out, r.report = r.out[:begin], before
		r.report.TruncatedValues++
	}
	return nil
}

// merged appends a singular message that occurs several times as the one that protobuf makes of it: the encodings of its
// parts, one after the other, are the encoding of the whole.
func (r *rewriter) merged(m messageType, t fieldType, last *fields, count, depth int) error {
	first, b := 0, last.buf
	if m == messageAnyValue {
		first = r.replaced(b, last.num)
	}
	var size int
	for f := (fields{buf: b[first:]}); f.next(); {
		if f.num == last.num && f.wire == last.wire {
			size += len(f.data())
		}
	}
	if size > r.mergeLeft {
		return malformed(m, errMerge)
	}
	r.mergeLeft -= size
	defer func() { r.mergeLeft += size }()
	whole := make([]byte, 0, size)
	for f := (fields{buf: b[first:]}); f.next() && count > 0; {
		if f.num == last.num && f.wire == last.wire {
			whole = append(whole, f.data()...)
			count--
		}
	}
	return r.field(t, last, whole, depth)
}

// replaced is where in a value the part begins that no other field of its oneof replaces.
func (r *rewriter) replaced(b []byte, member protowire.Number) int {
	first := 0
	for f := (fields{buf: b}); f.next(); {
		if r.kind(messageAnyValue, &f) != kindUnknown && f.num != member {
			first = f.pos
		}
	}
	return first
}

// field appends a field with what stands for its data.
func (r *rewriter) field(t fieldType, f *fields, data []byte, depth int) error {
	switch t.kind {
	case kindText, kindTexts:
		r.bytes(f.num, r.text(data, r.limits.AttributeBytes))
		return nil
	case kindURL:
		r.bytes(f.num, r.text(data, r.limits.SharedBytes))
		return nil
	case kindBytes:
		if len(data) > r.limits.AttributeBytes {
			data = data[:r.limits.AttributeBytes]
			r.report.TruncatedValues++
		}
		r.bytes(f.num, data)
		return nil
	case kindUnknown, kindPlain, kindID, kindOtherID, kindDropped:
		r.out = append(r.out, f.raw()...)
		return nil
	case kindMessage, kindMessages, kindAttributes, kindEvents, kindLinks, kindSpans, kindElements:
	}
	if t.message == messageAnyValue {
		if depth++; depth > r.limits.Depth {
			if len(data) > 0 {
				r.report.CutValues++
			}
			r.bytes(f.num, nil)
			return nil
		}
	}
	if len(data) == 0 {
		r.bytes(f.num, nil)
		return nil
	}
	r.out = protowire.AppendTag(r.out, f.num, protowire.BytesType)
	// Room for the length that it has if nothing changes.
	begin := len(r.out)
	r.out = protowire.AppendVarint(r.out, uint64(len(data)))
	content := len(r.out)
	if err := r.message(t.message, data, depth); err != nil {
		return err
	}
	length := len(r.out) - content
	if room, need := content-begin, protowire.SizeVarint(uint64(length)); need != room {
		r.out = append(r.out, make([]byte, max(need-room, 0))...)
		copy(r.out[begin+need:], r.out[content:content+length])
		r.out = r.out[:begin+need+length]
	}
	protowire.AppendVarint(r.out[:begin], uint64(length))
	return nil
}

func (r *rewriter) bytes(num protowire.Number, data []byte) {
	r.out = protowire.AppendTag(r.out, num, protowire.BytesType)
	r.out = protowire.AppendBytes(r.out, data)
}

// text is UTF-8 of a length up to limit.
func (r *rewriter) text(data []byte, limit int) []byte {
	truncated := false
	if len(data) > limit {
		data, truncated = cut(data, limit), true
	}
	if !utf8.Valid(data) {
		r.report.RepairedStrings++
		r.repaired = repair(r.repaired[:0], data)
		data = r.repaired
		// U+FFFD is longer than what it stands for.
		if len(data) > limit {
			data, truncated = cut(data, limit), true
		}
	}
	if truncated {
		r.report.TruncatedValues++
	}
	return data
}

// repair appends text with U+FFFD for each run of bytes that are not UTF-8, as strings.ToValidUTF8 does.
func repair(out, data []byte) []byte {
	// Each other byte may be bad and become three.
	out = slices.Grow(out, 2*len(data)+1)
	for broken := false; len(data) > 0; {
		_, size := utf8.DecodeRune(data)
		if size == 1 && data[0] >= utf8.RuneSelf {
			if !broken {
				out = utf8.AppendRune(out, utf8.RuneError)
			}
			broken = true
		} else {
			out, broken = append(out, data[:size]...), false
		}
		data = data[size:]
	}
	return out
}

// cut is the begin of a longer text, up to size, that does not end within a rune.
func cut(data []byte, size int) []byte {
	for i := size; i > size-utf8.UTFMax && i >= 0; i-- {
		if utf8.RuneStart(data[i]) {
			return data[:i]
		}
	}
	return data[:size]
}

package otlpwire

import "google.golang.org/protobuf/encoding/protowire"

// fields iterates over the fields of a message. It stops at the end, or where the rest is malformed. It keeps offsets
// instead of slices, which spares write barriers: a third of the time while the garbage collector runs.
type fields struct {
	buf []byte
	// pos is where the next field begins, start where the present one did, from and to are its content if it has a length.
	pos, start, from, to int
	// code is 0 or what protowire calls the error that ended the iteration.
	code int

	num  protowire.Number
	wire protowire.Type
	// number is the value of a varint or fixed field.
	number uint64
}

// data is the content of a field of the type bytes.
func (f *fields) data() []byte { return f.buf[f.from:f.to:f.to] }

// raw is the whole field with its tag.
func (f *fields) raw() []byte { return f.buf[f.start:f.pos] }

// complete tells, after the last field, whether that was the end of the message.
func (f *fields) complete() bool { return f.code == 0 }

// err says, after the last field, what is malformed there.
func (f *fields) err() error { return protowire.ParseError(f.code) }

// next reads a field and tells whether there was one.
func (f *fields) next() bool {
	b, i := f.buf, f.pos
	if i >= len(b) {
		return false
	}
	tag, n := uint64(b[i]), 1
	if tag >= 0x80 {
		if tag, n = protowire.ConsumeVarint(b[i:]); n < 0 {
			return f.fail(n)
		}
	}
	num := tag >> 3
	if num-uint64(protowire.MinValidNumber) > uint64(protowire.MaxValidNumber-protowire.MinValidNumber) {
		return f.fail(errorFieldNumber)
	}
	f.num, f.wire = protowire.Number(num), protowire.Type(tag&7)
	f.start = i
	i += n
	switch f.wire {
	case protowire.BytesType:
		var length uint64
		if i < len(b) && b[i] < 0x80 {
			length, n = uint64(b[i]), 1
		} else if length, n = protowire.ConsumeVarint(b[i:]); n < 0 {
			return f.fail(n)
		}
		if i += n; length > uint64(len(b)-i) {
			return f.fail(errorTruncated)
		}
		f.from, f.to = i, i+int(length)
		f.pos = f.to
		return true
	case protowire.VarintType:
		if i < len(b) && b[i] < 0x80 {
			f.number, n = uint64(b[i]), 1
		} else {
			f.number, n = protowire.ConsumeVarint(b[i:])
		}
	case protowire.Fixed64Type:
		f.number, n = protowire.ConsumeFixed64(b[i:])
	case protowire.Fixed32Type:
		var v uint32
		v, n = protowire.ConsumeFixed32(b[i:])
		f.number = uint64(v)
	default:
		// Groups, which OTLP does not have, and what is no wire type.
		n = protowire.ConsumeFieldValue(f.num, f.wire, b[i:])
	}
	if n < 0 {
		return f.fail(n)
	}
	f.pos = i + n
	return true
}

func (f *fields) fail(code int) bool {
	f.code = code
	return false
}

// Codes that protowire.ParseError knows, and protowire has no names for.
const (
	errorTruncated   = -1
	errorFieldNumber = -2
)

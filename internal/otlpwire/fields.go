package otlpwire

import "google.golang.org/protobuf/encoding/protowire"

// fields iterates over the fields of a message. It stops at the end, or where the rest is malformed.
type fields struct {
	// rest is what has not been read, and all that is malformed after the end.
	rest []byte

	num  protowire.Number
	wire protowire.Type
	// data is the content of a field of type bytes, number the value of a varint or fixed field.
	data   []byte
	number uint64
	// raw is the whole field with its tag.
	raw []byte
}

// next reads a field and tells whether there was one.
func (f *fields) next() bool {
	b := f.rest
	if len(b) == 0 {
		return false
	}
	n := f.read(b)
	if n < 0 {
		return false
	}
	f.raw, f.rest = b[:n], b[n:]
	return true
}

// ended tells whether the message was read to its end.
func (f *fields) ended() bool { return len(f.rest) == 0 }

// err says what is malformed where next has stopped.
func (f *fields) err() error {
	if n := f.read(f.rest); n < 0 {
		return protowire.ParseError(n)
	}
	return nil
}

// read reads the field at the begin of b and returns its length, or an error of protowire.
func (f *fields) read(b []byte) int {
	tag, n := uint64(b[0]), 1
	if tag >= 0x80 {
		if tag, n = protowire.ConsumeVarint(b); n < 0 {
			return n
		}
	}
	if num := tag >> 3; num < uint64(protowire.MinValidNumber) || num > uint64(protowire.MaxValidNumber) {
		return errorFieldNumber
	}
	f.num, f.wire = protowire.Number(tag>>3), protowire.Type(tag&7)
	var m int
	switch f.wire {
	case protowire.BytesType:
		if v := b[n:]; len(v) > 0 && v[0] < 0x80 && int(v[0]) < len(v) {
			f.data, m = v[1:1+v[0]], 1+int(v[0])
		} else {
			f.data, m = protowire.ConsumeBytes(v)
		}
	case protowire.VarintType:
		if v := b[n:]; len(v) > 0 && v[0] < 0x80 {
			f.number, m = uint64(v[0]), 1
		} else {
			f.number, m = protowire.ConsumeVarint(v)
		}
	case protowire.Fixed64Type:
		f.number, m = protowire.ConsumeFixed64(b[n:])
	case protowire.Fixed32Type:
		var v uint32
		v, m = protowire.ConsumeFixed32(b[n:])
		f.number = uint64(v)
	default:
		// Groups, which OTLP does not have, and what is no wire type.
		m = protowire.ConsumeFieldValue(f.num, f.wire, b[n:])
	}
	if m < 0 {
		return m
	}
	return n + m
}

// errorFieldNumber is the code that protowire.ParseError calls an invalid field number.
const errorFieldNumber = -2

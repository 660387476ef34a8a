package otlpwire

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/bits"
	"slices"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// jsonWriter appends attributes as JSON and notices what JSON cannot say of them.
type jsonWriter struct {
	// lossy is set once something was written from which it cannot be read back.
	lossy bool
	// keys are those of the objects that are being written, the innermost last.
	keys [][]byte
}

// object is an object that is being written.
type object struct {
	out []byte
	// keys is where its keys begin, filter has a bit for each of them.
	keys   int
	filter uint64
	// many are its keys once there are so many that looking through them takes long.
	many map[string]struct{}
}

const manyKeys = 32

func (w *jsonWriter) begin(out []byte) object {
	return object{out: append(out, '{'), keys: len(w.keys)}
}

// end closes the object and returns what it was begun with, and the object.
func (w *jsonWriter) end(o *object) []byte {
	w.keys = w.keys[:o.keys]
	return append(o.out, '}')
}

// repeats notes a key of the object, and tells whether the object has it already.
func (w *jsonWriter) repeats(o *object, key []byte) bool {
	bit := uint64(1) << keyHash(key)
	known := o.filter&bit != 0 && w.has(o, key)
	o.filter |= bit
	if known {
		return true
	}
	if o.many != nil {
		o.many[string(key)] = struct{}{}
		return false
	}
	w.keys = append(w.keys, key)
	if len(w.keys)-o.keys > manyKeys {
		o.many = make(map[string]struct{}, 2*manyKeys)
		for _, k := range w.keys[o.keys:] {
			o.many[string(k)] = struct{}{}
		}
	}
	return false
}

func (w *jsonWriter) has(o *object, key []byte) bool {
	if o.many != nil {
		_, ok := o.many[string(key)]
		return ok
	}
	for _, k := range w.keys[o.keys:] {
		if bytes.Equal(k, key) {
			return true
		}
	}
	return false
}

// keyHash is a number below 64. Keys differ mostly at their end.
func keyHash(key []byte) uint64 {
	var last uint64
	if len(key) >= 8 {
		last = binary.LittleEndian.Uint64(key[len(key)-8:])
	} else {
		for _, c := range key {
			last = last<<8 | uint64(c)
		}
	}
	return (last ^ uint64(len(key))) * 0x9E3779B97F4A7C15 >> 58
}

// member appends a KeyValue to the object. Of equal keys the first one stays, so that every reader sees the same.
func (w *jsonWriter) member(o *object, keyValue []byte, depth int) {
	key, value, ok := readKeyValue(keyValue)
	if !ok {
		w.lossy = true
	}
	if w.repeats(o, key) {
		w.lossy = true
		return
	}
	if o.out[len(o.out)-1] != '{' {
		o.out = append(o.out, ',')
	}
	o.out = append(appendString(o.out, key), ':')
	o.out = w.value(o.out, value, depth)
}

// readKeyValue reads the two fields of a KeyValue; ok is false if that is not all of it. A missing value is one: JSON has
// null for the value without content, which most senders send.
func readKeyValue(b []byte) (key, value []byte, ok bool) {
	if len(b) >= 2 && b[0] == keyTag && b[1] < 0x80 && int(b[1]) <= len(b)-2 {
		// As nearly all are encoded.
		key = b[2 : 2+b[1]]
		if value, ok = rest(b[2+b[1]:], valueTag); ok {
			return key, value, true
		}
		key, value = nil, nil
	}
	f := fields{buf: b}
	keys, values, others := 0, 0, 0
	for f.next() {
		switch {
		case f.num == keyValueKey && f.wire == protowire.BytesType:
			key = f.data()
			keys++
		case f.num == keyValueValue && f.wire == protowire.BytesType:
			value = f.data()
			values++
		default:
			others++
		}
	}
	return key, value, keys <= 1 && values == 1 && others == 0 && f.complete()
}

// value appends an AnyValue.
func (w *jsonWriter) value(out, b []byte, depth int) []byte {
	if len(b) == 0 {
		return append(out, "null"...)
	}
	if text, ok := rest(b, stringTag); ok {
		return appendString(out, text)
	}
	f := fields{buf: b}
	if !f.next() || f.pos != len(b) || depth > 2*maxDepth {
		// Unknown fields, or what Clean has not seen.
		w.lossy = true
		return append(out, "null"...)
	}
	switch {
	case f.num == valueString && f.wire == protowire.BytesType:
		return appendString(out, f.data())
	case f.num == valueBool && f.wire == protowire.VarintType:
		return strconv.AppendBool(out, f.number != 0)
	case f.num == valueInt && f.wire == protowire.VarintType:
		return strconv.AppendInt(out, int64(f.number), 10)
	case f.num == valueDouble && f.wire == protowire.Fixed64Type:
		return w.double(out, math.Float64frombits(f.number))
	case f.num == valueArray && f.wire == protowire.BytesType:
		return w.array(out, f.data(), depth)
	case f.num == valueMap && f.wire == protowire.BytesType:
		return w.object(out, f.data(), depth)
	case f.num == valueBytes && f.wire == protowire.BytesType:
		w.lossy = true
		out = append(out, '"')
		return append(base64.StdEncoding.AppendEncode(out, f.data()), '"')
	}
	w.lossy = true
	return append(out, "null"...)
}

func (w *jsonWriter) array(out, b []byte, depth int) []byte {
	out = append(out, '[')
	f := fields{buf: b}
	for n := 0; f.next(); {
		if f.num != elements || f.wire != protowire.BytesType {
			w.lossy = true
			continue
		}
		if n++; n > 1 {
			out = append(out, ',')
		}
		out = w.value(out, f.data(), depth+1)
	}
	if !f.complete() {
		w.lossy = true
	}
	return append(out, ']')
}

func (w *jsonWriter) object(out, b []byte, depth int) []byte {
	o := w.begin(out)
	f := fields{buf: b}
	for f.next() {
		if f.num != elements || f.wire != protowire.BytesType {
			w.lossy = true
			continue
		}
		w.member(&o, f.data(), depth+1)
	}
	if !f.complete() {
		w.lossy = true
	}
	return w.end(&o)
}

// double appends a number that cannot be taken for an integer.
func (w *jsonWriter) double(out []byte, v float64) []byte {
	switch {
	case math.IsNaN(v):
		w.lossy = true
		return append(out, `"NaN"`...)
	case math.IsInf(v, 1):
		w.lossy = true
		return append(out, `"Infinity"`...)
	case math.IsInf(v, -1):
		w.lossy = true
		return append(out, `"-Infinity"`...)
	}
	if size := math.Abs(v); size != 0 && (size < 1e-6 || size >= 1e21) {
		return strconv.AppendFloat(out, v, 'e', -1, 64)
	}
	begin := len(out)
	out = strconv.AppendFloat(out, v, 'f', -1, 64)
	if slices.Contains(out[begin:], '.') {
		return out
	}
	return append(out, ".0"...)
}

// hexString appends bytes as a string of hex digits.
func hexString(out, b []byte) []byte {
	out = append(out, '"')
	return append(hex.AppendEncode(out, b), '"')
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special finds the first byte that JSON escapes, from i on, or returns len(s). It looks at eight bytes at a time: the
// borrow of a subtraction shows in the high bit a byte that is less, and zero after an XOR a byte that is equal. A byte above
// a found one may be marked wrongly, never a lower one.
func special(s []byte, i int) int {
	for ; i+8 <= len(s); i += 8 {
		if found := specials(binary.LittleEndian.Uint64(s[i:])); found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	if i < len(s) && len(s) >= 8 {
		// The last eight bytes, without those before i, which may mark others wrongly. The zeros behind them stand for the end.
		last := len(s) - 8
		left := binary.LittleEndian.Uint64(s[last:]) >> (8 * (i - last))
		return i + bits.TrailingZeros64(specials(left))/8
	}
	for i < len(s) && s[i] >= ' ' && s[i] != '"' && s[i] != '\\' {
		i++
	}
	return i
}

// specials has a high bit for each of eight bytes that JSON escapes.
func specials(v uint64) uint64 {
	quote, backslash := v^('"'*ones), v^('\\'*ones)
	return (((v - ' '*ones) &^ v) | ((quote - ones) &^ quote) | ((backslash - ones) &^ backslash)) & highs
}

// appendString appends UTF-8 as a JSON string.
func appendString(out, s []byte) []byte {
	const digits = "0123456789abcdef"
	out = append(out, '"')
	for begin := 0; ; {
		i := special(s, begin)
		out = append(out, s[begin:i]...)
		if i == len(s) {
			return append(out, '"')
		}
		switch c := s[i]; c {
		case '"', '\\':
			out = append(out, '\\', c)
		case '\n':
			out = append(out, '\\', 'n')
		case '\r':
			out = append(out, '\\', 'r')
		case '\t':
			out = append(out, '\\', 't')
		default:
			out = append(out, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
		begin = i + 1
	}
}

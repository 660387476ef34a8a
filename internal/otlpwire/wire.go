package otlpwire

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// wire is a message that is being written. The lengths of the messages in it are known only where they end, and so they are kept
// beside it until all is there: what has been written never has to move for them, however deep it nests.
type wire struct {
	// out is the message without those lengths, which are in the order of their places.
	out     []byte
	lengths []length
	// missing is how many bytes the lengths take of the messages that have ended.
	missing int
}

// length is that of a message. While it is open, size is what was missing when it began.
type length struct{ at, size int }

func (w *wire) reset() { w.out, w.lengths, w.missing = w.out[:0], w.lengths[:0], 0 }

// begin begins a message within, which goes on until end is called with what begin has returned.
func (w *wire) begin(num protowire.Number) (message int) {
	w.out = protowire.AppendTag(w.out, num, protowire.BytesType)
	w.lengths = append(w.lengths, length{len(w.out), w.missing})
	return len(w.lengths) - 1
}

func (w *wire) end(message int) {
	l := &w.lengths[message]
	l.size = len(w.out) - l.at + w.missing - l.size
	w.missing += protowire.SizeVarint(uint64(l.size))
}

// add writes what another one has.
func (w *wire) add(other *wire) {
	for _, l := range other.lengths {
		w.lengths = append(w.lengths, length{len(w.out) + l.at, l.size})
	}
	w.out = append(w.out, other.out...)
	w.missing += other.missing
}

// size is how long the message is.
func (w *wire) size() int { return len(w.out) + w.missing }

// appendTo appends the message to other bytes.
func (w *wire) appendTo(out []byte) []byte {
	begin := 0
	for _, l := range w.lengths {
		out = append(out, w.out[begin:l.at]...)
		out = protowire.AppendVarint(out, uint64(l.size))
		begin = l.at
	}
	return append(out, w.out[begin:]...)
}

// bytes writes a field also if it is empty: one of a oneof, or of a list.
func (w *wire) bytes(num protowire.Number, data []byte) {
	w.out = protowire.AppendBytes(protowire.AppendTag(w.out, num, protowire.BytesType), data)
}

// varint writes a field also if it is zero.
func (w *wire) varint(num protowire.Number, v uint64) {
	w.out = protowire.AppendVarint(protowire.AppendTag(w.out, num, protowire.VarintType), v)
}

// double writes a field also if it is zero.
func (w *wire) double(num protowire.Number, bits uint64) {
	w.out = protowire.AppendFixed64(protowire.AppendTag(w.out, num, protowire.Fixed64Type), bits)
}

// The others write nothing of a field that has its default.

func (w *wire) text(num protowire.Number, text []byte) {
	if len(text) > 0 {
		w.bytes(num, text)
	}
}

// column writes a text of which nobody has said that it is UTF-8.
func (w *wire) column(num protowire.Number, text string) {
	if text != "" {
		w.out = protowire.AppendString(protowire.AppendTag(w.out, num, protowire.BytesType), valid(text))
	}
}

func (w *wire) number(num protowire.Number, v uint64) {
	if v != 0 {
		w.varint(num, v)
	}
}

func (w *wire) fixed64(num protowire.Number, v uint64) {
	if v != 0 {
		w.double(num, v)
	}
}

func (w *wire) fixed32(num protowire.Number, v uint32) {
	if v != 0 {
		w.out = protowire.AppendFixed32(protowire.AppendTag(w.out, num, protowire.Fixed32Type), v)
	}
}

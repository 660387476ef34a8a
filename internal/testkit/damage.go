package testkit

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// FooterLength is the length of a Parquet file's footer, as its last bytes say.
func FooterLength(file []byte) int { return int(binary.LittleEndian.Uint32(file[len(file)-8:])) }

// WithFooter replaces the footer of a Parquet file and gives it a true length.
func WithFooter(file, footer []byte) []byte {
	body := file[:len(file)-8-FooterLength(file)]
	return slices.Concat(body, footer, binary.LittleEndian.AppendUint32(nil, uint32(len(footer))), []byte("PAR1"))
}

// Footer is the part of a Parquet file that describes it, in Thrift's compact encoding.
func Footer(file []byte) []byte { return file[len(file)-8-FooterLength(file) : len(file)-8] }

// Varint is how Thrift's compact encoding writes an integer.
func Varint(n int64) []byte { return binary.AppendVarint(nil, n) }

// PatchFooter replaces the integer from by to in the footer of a Parquet file, wherever it stands.
func PatchFooter(t testing.TB, file []byte, from, to int64) []byte {
	t.Helper()
	footer := Footer(file)
	if !bytes.Contains(footer, Varint(from)) {
		t.Fatalf("the footer does not have the number %d", from)
	}
	return WithFooter(file, bytes.ReplaceAll(footer, Varint(from), Varint(to)))
}

// Flip inverts bytes of a file at an offset; a negative one counts from the end.
func Flip(file []byte, offset, n int) []byte {
	if offset < 0 {
		offset += len(file)
	}
	file = slices.Clone(file)
	for i := range n {
		file[offset+i] ^= 0xff
	}
	return file
}

// Mutate damages a Parquet file in one of many ways. The outcome has sound ends more often than not, so that readers get
// to what is inside.
func Mutate(random *rand.Rand, file []byte) []byte {
	footer := Footer(file)
	body := len(file) - len(footer) - 8
	switch random.IntN(9) {
	case 0: // a bit of the footer
		return WithFooter(file, flipBit(random, footer))
	case 1: // several
		for range 1 + random.IntN(8) {
			footer = flipBit(random, footer)
		}
		return WithFooter(file, footer)
	case 2: // a bit of the pages
		return append(flipBit(random, file[:body]), file[body:]...)
	case 3: // a huge number somewhere in the footer
		at := random.IntN(len(footer))
		return WithFooter(file, slices.Concat(footer[:at], hugeNumber(random), footer[at:]))
	case 4: // over what stands there
		at := random.IntN(len(footer))
		number := hugeNumber(random)
		return WithFooter(file, slices.Concat(footer[:at], number, footer[min(len(footer), at+len(number)):]))
	case 5: // in a page header
		file = slices.Clone(file)
		copy(file[4+random.IntN(max(body-12, 1)):body], hugeNumber(random))
		return file
	case 6: // cut
		return slices.Clone(file[:random.IntN(len(file))])
	case 7: // a part of it twice, or left out
		from, to := random.IntN(len(footer)), random.IntN(len(footer))
		return WithFooter(file, slices.Concat(footer[:from], footer[to:]))
	default: // bytes that mean nothing between sound ends
		noise := make([]byte, random.IntN(300))
		for i := range noise {
			noise[i] = byte(random.Uint32())
		}
		return WithFooter(file, noise)
	}
}

func flipBit(random *rand.Rand, data []byte) []byte {
	data = slices.Clone(data)
	data[random.IntN(len(data))] ^= 1 << random.IntN(8)
	return data
}

func hugeNumber(random *rand.Rand) []byte {
	return Varint([]int64{-1, 1 << 20, 1<<31 - 1, 1 << 31, 1 << 40, 1<<62 + 1, -1 << 63}[random.IntN(7)])
}

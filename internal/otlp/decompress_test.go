package otlp

import (
	"bytes"
	"context"
	"io"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// TestDecodersAreUsedAgain decompresses one request after another with the same decoders, sound and broken in turn.
func TestDecodersAreUsedAgain(t *testing.T) {
	large, err := zstd.NewWriter(nil, zstd.WithWindowSize(maxWindow), zstd.WithSingleSegment(false))
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte("spans and more spans, "), 200_000)
	shared := newDecoders()
	b := newBudget(DefaultInFlightBytes)
	for _, encoding := range encodings() {
		compressed := packed(t, encoding, data)
		switch encoding {
		case "", "identity":
			continue
		case "zstd in one frame":
			encoding, compressed = "zstd", large.EncodeAll(data, nil)
		}
		for range 3 {
			if got, err := receive(b, shared, encoding, compressed[:len(compressed)/2]); err == nil && encoding != "x-snappy-framed" {
				t.Errorf("%s: half of a request became %d bytes", encoding, len(got))
			}
			got, err := receive(b, shared, encoding, compressed)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s: got %d bytes, %v", encoding, len(got), err)
			}
		}
	}
	if b.inUse() != 0 {
		t.Errorf("%d bytes are in use", b.inUse())
	}
}

// receive reads a request that was compressed.
func receive(b *budget, decoders *decoders, encoding string, compressed []byte) ([]byte, error) {
	one := b.enter(func() {})
	defer one.leave()
	r := reading{share: one, limit: 8 << 20, encoding: encoding, decoders: decoders, length: int64(len(compressed))}
	return r.read(context.Background(), time.Minute, func() (io.Reader, error) { return bytes.NewReader(compressed), nil })
}

// FuzzDecompress feeds any bytes as any encoding: they are decompressed within the limit, or refused.
func FuzzDecompress(f *testing.F) {
	for i, encoding := range encodings() {
		if encoding != "zstd in one frame" {
			f.Add(byte(i), packedSeed(f, encoding))
		}
	}
	shared := newDecoders()
	b := newBudget(64 << 20)
	f.Fuzz(func(t *testing.T, which byte, compressed []byte) {
		encoding := encodings()[int(which)%len(encodings())]
		data, err := receive(b, shared, encoding, compressed)
		switch {
		case err != nil && !isRefusal(err):
			t.Errorf("%s: %v", encoding, err)
		case len(data) > 8<<20:
			t.Errorf("%s: %d bytes", encoding, len(data))
		case b.inUse() != 0:
			t.Errorf("%d bytes are in use", b.inUse())
		}
	})
}

func packedSeed(f *testing.F, encoding string) []byte {
	f.Helper()
	return packed(f, encoding, []byte("a few words, and a few words more"))
}

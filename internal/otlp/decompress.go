package otlp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/dustin/go-humanize"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc/codes"
)

const (
	// decoderBytes is about what a decoder takes, without the window of zstd.
	decoderBytes = 128 << 10
	// compressedBuffer is how much of compressed input is read at once.
	compressedBuffer = 16 << 10
	// usualRatio is how many times smaller spans get: a guess for the first buffer.
	usualRatio = 8
	// smallWindow bounds the window of zstd frames whose decoders are used again. maxWindow is what every decoder of zstd
	// should accept (RFC 8878, 3.1.1.1.2); a frame may ask for gigabytes.
	smallWindow = 1 << 20
	maxWindow   = 8 << 20
)

// decoders are those that can be used again. Of those with a large window only one is kept, since their memory is not
// accounted for while nobody uses them.
type decoders struct {
	gzip, zstd sync.Pool
	large      chan *zstd.Decoder
}

func newDecoders() *decoders { return &decoders{large: make(chan *zstd.Decoder, 1)} }

// takeZstd is nil if there is none to be used again.
func (d *decoders) takeZstd(window uint64) *zstd.Decoder {
	if window == smallWindow {
		decoder, _ := d.zstd.Get().(*zstd.Decoder)
		return decoder
	}
	select {
	case decoder := <-d.large:
		return decoder
	default:
		return nil
	}
}

func (d *decoders) returnZstd(decoder *zstd.Decoder, window uint64) {
	if decoder.Reset(nil) != nil {
		decoder.Close()
		return
	}
	if window == smallWindow {
		d.zstd.Put(decoder)
		return
	}
	select {
	case d.large <- decoder:
	default:
		decoder.Close()
	}
}

// decompress returns a reader of what source has in compressed form. Release must be called when all was read.
func (r *reading) decompress(ctx context.Context, source io.Reader) (plain io.Reader, release func(), err error) {
	switch r.encoding {
	case "", "identity":
		return source, func() {}, nil
	}
	if err := r.share.take(ctx, decoderBytes); err != nil {
		return nil, nil, err
	}
	r.first, r.length = max(firstBytes, min(r.length*usualRatio, trustedBytes)), 0 // the length was that of the compressed bytes
	below := &remembering{source: source}
	input := bufio.NewReaderSize(below, compressedBuffer)
	switch r.encoding {
	case "gzip":
		plain, release, err = r.gzip(input)
	case "zstd":
		plain, release, err = r.zstd(ctx, input)
	case "deflate", "zlib":
		release = func() {}
		plain, err = zlib.NewReader(input)
	case "snappy", "x-snappy-framed":
		release = func() {}
		plain, err = r.snappy(ctx, input)
	default:
		return nil, nil, &refusal{reason: "encoding", code: codes.Unimplemented, http: http.StatusUnsupportedMediaType,
			text: fmt.Sprintf("the encoding %.40q is not supported: send gzip, zstd, deflate, snappy, or no compression", r.encoding)}
	}
	if err != nil {
		return nil, nil, r.broken(below, err)
	}
	return &decoded{plain: plain, below: below, reading: r}, release, nil
}

// remembering knows why reading the compressed bytes failed, whatever a decoder makes of it.
type remembering struct {
	source io.Reader
	err    error
}

func (m *remembering) Read(p []byte) (int, error) {
	n, err := m.source.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		m.err = err
	}
	return n, err
}

// decoded makes refusals of what a decoder complains about.
type decoded struct {
	plain   io.Reader
	below   *remembering
	reading *reading
}

func (d *decoded) Read(p []byte) (int, error) {
	n, err := d.plain.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // a reader returns io.EOF as it is; a decoder may wrap one that came too early
		err = d.reading.broken(d.below, err)
	}
	return n, err
}

// broken is the refusal for what cannot be decompressed.
func (r *reading) broken(below *remembering, err error) error {
	switch {
	case below.err != nil:
		return below.err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	if refused, ok := errors.AsType[*refusal](err); ok {
		return refused
	}
	return errMalformed("the request is not what its encoding %s says: %v", r.encoding, err)
}

// gzip takes a decoder that was used before, if there is one.
func (r *reading) gzip(input io.Reader) (io.Reader, func(), error) {
	decoder, ok := r.decoders.gzip.Get().(*gzip.Reader)
	if !ok {
		decoder = new(gzip.Reader)
	}
	if err := decoder.Reset(input); err != nil {
		return nil, nil, err
	}
	return decoder, func() { r.decoders.gzip.Put(decoder) }, nil
}

// zstd looks how much memory the first frame asks for. Later frames may ask for no more than the decoder allows.
func (r *reading) zstd(ctx context.Context, input *bufio.Reader) (io.Reader, func(), error) {
	head, err := input.Peek(zstd.HeaderMaxSize)
	if err != nil && len(head) == 0 {
		return nil, nil, err
	}
	var frame zstd.Header
	if err := frame.Decode(head); err != nil {
		return nil, nil, err
	}
	window := frame.WindowSize
	if frame.SingleSegment {
		window = frame.FrameContentSize // the frame is its own window
	}
	if frame.HasFCS && frame.FrameContentSize > uint64(r.limit) {
		return nil, nil, errTooLarge(r.limit)
	}
	if window > maxWindow {
		return nil, nil, fmt.Errorf("it asks for a window of %s, and %s is the most", humanize.IBytes(window), humanize.IBytes(maxWindow))
	}
	if window <= smallWindow {
		window = smallWindow
	} else {
		window = maxWindow
	}
	if err := r.share.take(ctx, int64(window)); err != nil {
		return nil, nil, err
	}
	decoder := r.decoders.takeZstd(window)
	if decoder != nil {
		err = decoder.Reset(input)
	} else {
		decoder, err = zstd.NewReader(input, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(window))
	}
	if err != nil {
		return nil, nil, err
	}
	return decoder, func() { r.decoders.returnZstd(decoder, window) }, nil
}

// snappyMagic is how a stream of snappy frames begins.
const snappyMagic = "\xff\x06\x00\x00sNaPpY"

// snappy reads both of what clients call snappy: frames, and one block, which has to be in memory as a whole.
func (r *reading) snappy(ctx context.Context, input *bufio.Reader) (io.Reader, error) {
	head, err := input.Peek(len(snappyMagic))
	if err != nil && len(head) == 0 {
		return nil, err
	}
	if string(head) == snappyMagic {
		return s2.NewReader(input, s2.ReaderMaxBlockSize(64<<10)), nil
	}
	length, err := s2.DecodedLen(head)
	if err != nil {
		return nil, err
	}
	if int64(length) > r.limit {
		return nil, errTooLarge(r.limit)
	}
	compressed, err := r.readAll(ctx, input)
	if err != nil {
		return nil, err
	}
	if err := r.share.take(ctx, int64(length)); err != nil {
		return nil, err
	}
	block, err := s2.Decode(nil, compressed)
	if err != nil {
		return nil, err
	}
	r.length = int64(length)
	return bytes.NewReader(block), nil
}

package otlp

import (
	"context"
	"errors"
	"io"
	"time"
)

const (
	// transportBytes are held for a request as long as it is read, for what the transport keeps of it: the flow-control
	// window and one chunk (grpc.go), or the buffers of net/http.
	transportBytes = windowBytes + chunkBytes
	// chunkBytes is how much is asked of the transport at once.
	chunkBytes = 64 << 10
	// firstBytes is the first buffer when nobody says how long the request is; it doubles from there.
	firstBytes = 64 << 10
	// trustedBytes is how much is set aside because a client says that this much comes; beyond it the buffer grows with
	// what has come.
	trustedBytes = 1 << 20
)

// reading is a request while it arrives.
type reading struct {
	share *share
	// length is how long the client says it is after decompression, 0 if it does not say.
	length int64
	// first is how large the first buffer is if length is 0.
	first int64
	limit int64
	// encoding is how it is compressed, "" if it is not.
	encoding string
	decoders *decoders
	spare    spare
}

// spare are buffers of requests that have been stored, for those that come: they are large, and as garbage they would keep
// the collector busy, which has little room under a memory limit.
type spare chan []byte

const (
	// spareBuffers are kept, spareBytes is the most that one of them has.
	spareBuffers = 4
	spareBytes   = 2 << 20
)

// take is an empty buffer of that size, or a somewhat larger one.
func (s spare) take(size int64) []byte {
	select {
	case buffer := <-s:
		if n := int64(cap(buffer)); size <= n && n <= 4*size {
			return buffer
		}
	default:
	}
	return make([]byte, 0, size)
}

// give keeps a buffer that nobody uses anymore.
func (s spare) give(buffer []byte) {
	if cap(buffer) > spareBytes || cap(buffer) < firstBytes {
		return
	}
	select {
	case s <- buffer[:0]:
	default:
	}
}

// read receives a request within its share of the memory, the limit and the time. Open returns the bytes as they come, and
// fills in what is known of them. The error is a *refusal.
func (r *reading) read(ctx context.Context, patience time.Duration, open func() (io.Reader, error)) ([]byte, error) {
	timer := time.AfterFunc(patience, func() { r.share.end(errSlow(patience)) })
	defer timer.Stop()
	data, err := r.receive(ctx, open)
	if err != nil {
		if err = r.share.cause(err); !isRefusal(err) {
			err = errCut(err)
		}
		return nil, err
	}
	if err := r.share.keep(); err != nil {
		return nil, err
	}
	r.share.shrink(int64(cap(data)))
	return data, nil
}

func (r *reading) receive(ctx context.Context, open func() (io.Reader, error)) ([]byte, error) {
	if err := r.share.take(ctx, transportBytes); err != nil {
		return nil, err
	}
	source, err := open()
	if err != nil {
		return nil, err
	}
	plain, release, err := r.decompress(ctx, source)
	if err != nil {
		return nil, err
	}
	defer release()
	return r.readAll(ctx, plain)
}

// readAll is io.ReadAll with every byte accounted for before it is set aside.
func (r *reading) readAll(ctx context.Context, plain io.Reader) ([]byte, error) {
	size := max(firstBytes, r.first)
	if r.length > 0 {
		size = min(r.length, trustedBytes)
	}
	buffer := r.spare.take(size)
	if err := r.share.take(ctx, int64(cap(buffer))); err != nil {
		return nil, err
	}
	var beyond [1]byte
	for idle := 0; ; {
		into := buffer[len(buffer):cap(buffer)]
		full := len(into) == 0
		if full {
			into = beyond[:] // a buffer that fits exactly need not grow to find the end
		}
		n, err := plain.Read(into)
		switch {
		case n > 0 && int64(len(buffer)+n) > r.limit:
			return nil, errTooLarge(r.limit)
		case n > 0 && full:
			larger, full := r.grow(ctx, buffer)
			if full != nil {
				return nil, full
			}
			buffer = larger
			buffer = append(buffer, beyond[0])
		default:
			buffer = buffer[:len(buffer)+n]
		}
		if errors.Is(err, io.EOF) {
			return buffer, nil
		}
		if err != nil {
			return nil, err
		}
		if idle++; n > 0 {
			idle = 0
		} else if idle > 100 {
			return nil, io.ErrNoProgress
		}
	}
}

// grow returns a larger buffer with the same content. Both are there for a moment, and are accounted for.
func (r *reading) grow(ctx context.Context, buffer []byte) ([]byte, error) {
	size := 2 * int64(cap(buffer))
	if r.length > int64(cap(buffer)) {
		size = min(size, r.length)
	}
	size = min(size, r.limit)
	if err := r.share.take(ctx, size); err != nil {
		return nil, err
	}
	grown := make([]byte, len(buffer), size)
	copy(grown, buffer)
	r.share.give(int64(cap(buffer)))
	return grown, nil
}

func isRefusal(err error) bool {
	_, ok := errors.AsType[*refusal](err)
	return ok
}

package lake

import (
	"fmt"

	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/klauspost/compress/zstd"
)

const (
	// compressionLevel is the fastest: the next one saves 6 % of the bytes and takes 20 % more time for the whole of writing.
	compressionLevel = 1
	// windowBytes is how far back zstd looks for repeats: twice what a page aims at, for pages are compressed one by one.
	windowBytes = 2 * pageBytes
	// encoders is how many pages can be compressed at the same time; others wait.
	encoders = 2
)

// codec is arrow-go's zstd with encoders that stay. Those of arrow-go have windows of 4 MB, of which each takes two, and lie in a sync.Pool, which
// every second garbage collection empties: under a memory limit each row group made several anew, 2.2 KB for each span that was written.
type codec struct {
	compress.Codec
	encoder *zstd.Encoder
}

// EncodeLevel compresses a page.
func (c codec) EncodeLevel(dst, src []byte, level int) []byte {
	if level != compressionLevel {
		return c.Codec.EncodeLevel(dst, src, level)
	}
	return c.encoder.EncodeAll(src, dst[:0])
}

// errCodec is what kept arrow-go from compressing with our encoders. Its register of codecs is a map of the whole process without a lock, meant to be
// written while packages are initialised: written by the first writer, as it was, it raced with a reader of another file.
var errCodec = useCodec()

func useCodec() error {
	standard, err := compress.GetCodec(compress.Codecs.Zstd)
	if err != nil {
		return fmt.Errorf("zstd: %w", err)
	}
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(compressionLevel)), zstd.WithWindowSize(windowBytes),
		zstd.WithLowerEncoderMem(true), zstd.WithEncoderConcurrency(encoders), zstd.WithZeroFrames(true), zstd.WithAllLitEntropyCompression(true))
	if err != nil {
		return fmt.Errorf("zstd: %w", err)
	}
	compress.RegisterCodec(compress.Codecs.Zstd, codec{standard, encoder})
	return nil
}

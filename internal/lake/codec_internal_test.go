package lake

import (
	"testing"

	"github.com/apache/arrow-go/v18/parquet/compress"
)

// arrow-go's register of codecs has no lock: nothing may be registered once files are read.
func TestCodecIsRegisteredBeforeAnythingRuns(t *testing.T) {
	if errCodec != nil {
		t.Fatal(errCodec)
	}
	got, err := compress.GetCodec(compress.Codecs.Zstd)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := got.(codec); !ok {
		t.Errorf("pages are compressed with %T", got)
	}
}

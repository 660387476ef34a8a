package index

import (
	"path/filepath"
	"testing"

	"github.com/spanlake/spanlake/internal/testkit"
)

// The files of testdata/ingestion-spans were written by an ingestion service that Spanlake did not have a hand in.
func TestFilesOfAnExistingServiceAreIndexedAsTheyAre(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("testdata", "ingestion-spans"))
	if err != nil {
		t.Fatal(err)
	}
	f := openFixture(t, testkit.Lake{Root: root})
	summary := f.sync()
	if summary.FilesFound != 3 || summary.FilesIndexed != 3 || summary.FilesFailed != 0 || summary.SpansIndexed != 9288 ||
		summary.Duplicates != 0 || summary.RowsSkipped != 0 {
		t.Errorf("Sync() = %+v", summary)
	}
	f.expectSpans(9288)
	f.expect("SELECT service_name || ': ' || total_spans FROM services ORDER BY 1",
		"chat-api: 5120", "telemetrygen: 1608", "tool runner/é: 2048", "web-frontend: 512")
	f.expect("SELECT service_name || ' ' || row_count || ' ' || file_path FROM parquet_files ORDER BY file_path",
		"chat-api 3584 year=2026/month=11/day=23/chat-api_1795461163_37bd156f.parquet",
		"chat-api 4096 year=2026/month=11/day=23/chat-api_1795461164_14a283c1.parquet",
		"telemetrygen 1608 year=2026/month=11/day=23/telemetrygen_1795461192_d75c9de4.parquet")
	f.expect("SELECT sum(span_count)::BIGINT FROM daily_stats", "9288")
	if again := f.sync(); again.FilesUnchanged != 3 || again.FilesIndexed != 0 || again.SpansIndexed != 0 {
		t.Errorf("the second Sync() = %+v", again)
	}
}

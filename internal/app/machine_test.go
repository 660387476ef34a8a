package app

import (
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/spanlake/spanlake/internal/config"
)

func TestMachine(t *testing.T) {
	folder := t.TempDir()
	var c config.Config
	c.Lake, c.DB, c.WAL = filepath.Join(folder, "not", "there"), filepath.Join(folder, "index.duckdb"), filepath.Join(folder, "wal.db")
	c.MinFreeDisk, c.MaxWALSize = 7, 9
	p := player{App: App{Config: c}, index: &backend{}, in: &ingest{}}
	m := p.machine()
	if m.MinFreeDisk != 7 || m.MaxWAL != 9 || m.GoHeap <= 0 {
		t.Errorf("machine = %+v", m)
	}
	if runtime.GOOS != "linux" {
		return
	}
	if m.Resident < 1<<20 || m.Resident < m.GoHeap/2 {
		t.Errorf("%d bytes are resident, and Go's heap has %d", m.Resident, m.GoHeap)
	}
	if len(m.Disks) != 1 || !slices.Equal(m.Disks[0].Holds, []string{"lake", "index", "write-ahead log"}) {
		t.Fatalf("what lies in one folder is on the disks %+v", m.Disks)
	}
	if d := m.Disks[0]; d.Path != folder || d.Free <= 0 || d.Total < d.Free {
		t.Errorf("the disk is %+v", d)
	}
}

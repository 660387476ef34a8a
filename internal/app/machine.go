package app

import (
	"os"
	"path/filepath"
	"runtime/metrics"

	"github.com/spanlake/spanlake/internal/ui"
)

// machine says what the process uses of the machine, and what is left.
func (p *player) machine() ui.Machine {
	m := ui.Machine{Resident: residentBytes(), MinFreeDisk: p.Config.MinFreeDisk}
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(heap)
	if heap[0].Value.Kind() == metrics.KindUint64 {
		m.GoHeap = int64(heap[0].Value.Uint64())
	}
	at := make(map[uint64]int) // the disk of each device
	hold := func(what, path string) {
		folder := existing(path)
		device, free, total, err := diskOf(folder)
		if err != nil {
			return // what is not known is not shown
		}
		if i, ok := at[device]; ok {
			m.Disks[i].Holds = append(m.Disks[i].Holds, what)
			return
		}
		at[device] = len(m.Disks)
		m.Disks = append(m.Disks, ui.Disk{Holds: []string{what}, Path: folder, Free: free, Total: total})
	}
	hold("lake", p.Config.Lake)
	if p.index != nil {
		hold("index", filepath.Dir(p.Config.DB))
	}
	if p.in != nil {
		m.MaxWAL = p.Config.MaxWALSize
		hold("write-ahead log", filepath.Dir(p.Config.WAL))
	}
	return m
}

// existing is the folder at path or, as long as there is none, the next one above that there is.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || filepath.Dir(path) == path {
			return path
		}
		path = filepath.Dir(path)
	}
}

package app

// #include <malloc.h>
// static void limit_malloc(int threshold, int trim, int arenas) {
// #ifdef __GLIBC__
// 	mallopt(M_MMAP_THRESHOLD, threshold);
// 	mallopt(M_TRIM_THRESHOLD, trim);
// 	mallopt(M_ARENA_MAX, arenas);
// #endif
// }
import "C"

const (
	// largeBlock is from where on glibc maps a block for itself, and so gives it back when it is freed. Left alone it raises
	// that bound to the size of what was freed, up to 32 MB, and then keeps such blocks in one heap for each thread: requests of
	// 20 MB, which SQLite copies, left `spanlake ingest --memory 256MB` with 430 MB instead of 250 MB.
	largeBlock = 1 << 20
	// keptBlocks is how much free memory a heap keeps at its end: as much as glibc itself comes to when it is left alone.
	keptBlocks = 8 << 20
	// heaps is how many there are for all threads: each keeps free memory of its own (8 for a processor, left alone).
	heaps = 2
)

// limitMalloc makes C libraries give memory back.
func limitMalloc() { C.limit_malloc(largeBlock, keptBlocks, heaps) }

package lake

import (
	"maps"
	"slices"
	"sync"
)

// changes are the places of the lake that changed and that nobody has looked at yet.
type changes struct {
	wake chan struct{} // has an element if there may be something to take

	mu     sync.Mutex
	limit  int // of places, so that they do not use up the memory
	places map[string]struct{}
	lost   bool
}

func newChanges() *changes {
	return &changes{wake: make(chan struct{}, 1), limit: maxPlaces, places: map[string]struct{}{}}
}

// add tells of a place.
func (c *changes) add(place string) {
	c.mu.Lock()
	if !c.lost {
		c.places[place] = struct{}{}
		if len(c.places) > c.limit {
			c.places, c.lost = map[string]struct{}{}, true
		}
	}
	c.mu.Unlock()
	c.signal()
}

// lose tells that any place may have changed.
func (c *changes) lose() {
	c.mu.Lock()
	c.lost = true
	c.mu.Unlock()
	c.signal()
}

func (c *changes) signal() {
	select {
	case c.wake <- struct{}{}:
	default: // it is told already
	}
}

func (c *changes) take() (places []string, lost bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if lost = c.lost; !lost {
		places = slices.Sorted(maps.Keys(c.places))
	}
	c.places, c.lost = map[string]struct{}{}, false
	return places, lost
}

// Package gate is a counting door: so many may be inside at once, the others
// wait in line. Unlike a semaphore from a library its limit can be moved while
// people are inside, which is what a reload does.
package gate

import (
	"container/list"
	"context"
	"fmt"
	"sync"
)

// Gate lets a limited number of holders in, first come first served. Make one
// with [New]; it may be used concurrently.
type Gate struct {
	mu     sync.Mutex
	limit  int
	inside int
	queue  list.List // of chan struct{}, closed when its owner has been let in
}

// New returns a gate with the given limit, at least 1.
func New(limit int) (*Gate, error) {
	if limit < 1 {
		return nil, fmt.Errorf("a gate's limit is at least 1, not %d", limit)
	}
	return &Gate{limit: limit}, nil
}

// Enter waits until there is room, and takes a place that [Gate.Leave] gives
// back. It returns ctx's error, and takes no place, if ctx ends first.
func (g *Gate) Enter(ctx context.Context) error {
	g.mu.Lock()
	if g.inside < g.limit && g.queue.Len() == 0 {
		g.inside++
		g.mu.Unlock()
		return nil
	}
	admitted := make(chan struct{})
	place := g.queue.PushBack(admitted)
	g.mu.Unlock()

	select {
	case <-admitted:
		return nil
	case <-ctx.Done():
		return g.giveUp(ctx, place, admitted)
	}
}

// giveUp leaves the queue. Whoever was let in at the very same moment keeps the
// place: the caller asked for it and got it.
func (g *Gate) giveUp(ctx context.Context, place *list.Element, admitted chan struct{}) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-admitted:
		return nil
	default:
		g.queue.Remove(place)
		return ctx.Err() //nolint:wrapcheck // the caller knows what it was waiting for
	}
}

// Leave gives a place back.
func (g *Gate) Leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	g.admit()
}

// SetLimit moves the limit. A lower one sends nobody out: it holds for those
// who come. Values below 1 count as 1.
func (g *Gate) SetLimit(limit int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limit = max(1, limit)
	g.admit()
}

// admit lets in those at the head of the queue for whom there is room.
func (g *Gate) admit() {
	for g.inside < g.limit && g.queue.Len() > 0 {
		close(g.queue.Remove(g.queue.Front()).(chan struct{})) //nolint:forcetypeassert // nothing else is ever queued
		g.inside++
	}
}

// Inside returns how many places are taken.
func (g *Gate) Inside() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.inside
}

// Limit returns how many places there are.
func (g *Gate) Limit() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.limit
}

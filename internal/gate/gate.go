// Package gate is a counting door: so many may be inside at once, the others
// wait in lines that take turns. Unlike a semaphore from a library its limit can be moved while
// people are inside, which is what a reload does.
package gate

import (
	"container/list"
	"context"
	"fmt"
	"sync"
)

// Gate lets a limited number of holders in. Those who come for the same thing wait
// in one line, first come first served; the lines take turns, so that a crowd for
// one thing does not keep others waiting. Make one with [New]; it may be used
// concurrently.
type Gate struct {
	mu     sync.Mutex
	limit  int
	inside int
	lines  map[string]*line // in which somebody waits, by what for
	turns  list.List        // of the same lines, the next one first
}

// line is those who wait for one thing.
type line struct {
	what    string
	waiting list.List     // of chan struct{}, closed when its owner has been let in
	turn    *list.Element // in Gate.turns
}

// New returns a gate with the given limit, at least 1.
func New(limit int) (*Gate, error) {
	if limit < 1 {
		return nil, fmt.Errorf("a gate's limit is at least 1, not %d", limit)
	}
	return &Gate{limit: limit, lines: make(map[string]*line)}, nil
}

// Enter waits until there is room, and takes a place that [Gate.Leave] gives
// back; what says in which line. It returns ctx's error, and takes no place, if ctx
// ends first.
func (g *Gate) Enter(ctx context.Context, what string) error {
	g.mu.Lock()
	if g.inside < g.limit && g.turns.Len() == 0 {
		g.inside++
		g.mu.Unlock()
		return nil
	}
	l, ok := g.lines[what]
	if !ok {
		l = &line{what: what}
		l.turn = g.turns.PushBack(l)
		g.lines[what] = l
	}
	admitted := make(chan struct{})
	place := l.waiting.PushBack(admitted)
	g.mu.Unlock()

	select {
	case <-admitted:
		return nil
	case <-ctx.Done():
		return g.giveUp(ctx, l, place, admitted)
	}
}

// giveUp leaves the line. Whoever was let in at the very same moment keeps the
// place: the caller asked for it and got it.
func (g *Gate) giveUp(ctx context.Context, l *line, place *list.Element, admitted chan struct{}) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-admitted:
		return nil
	default:
		l.waiting.Remove(place)
		g.closeIfEmpty(l)
		return ctx.Err()
	}
}

func (g *Gate) closeIfEmpty(l *line) {
	if l.waiting.Len() == 0 {
		g.turns.Remove(l.turn)
		delete(g.lines, l.what)
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

// admit lets in those for whom there is room, a line after the other.
func (g *Gate) admit() {
	for g.inside < g.limit && g.turns.Len() > 0 {
		l := g.turns.Front().Value.(*line)                         //nolint:forcetypeassert // nothing else has turns
		close(l.waiting.Remove(l.waiting.Front()).(chan struct{})) //nolint:forcetypeassert // nothing else ever waits
		g.turns.MoveToBack(l.turn)
		g.closeIfEmpty(l)
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

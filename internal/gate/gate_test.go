package gate_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"portscan_exporter/internal/gate"
)

func newGate(t *testing.T, limit int) *gate.Gate {
	t.Helper()
	g, err := gate.New(limit)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	if _, err := gate.New(0); err == nil {
		t.Error("a gate that nobody can pass was made")
	}
}

func TestGateIsFirstComeFirstServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, 1)
		enter(t, g)
		var order []int
		for i := range 3 {
			go func() {
				enter(t, g)
				order = append(order, i)
				g.Leave()
			}()
			synctest.Wait()
		}
		if len(order) != 0 || g.Inside() != 1 {
			t.Fatalf("%v got in beside a limit of 1", order)
		}
		g.Leave()
		synctest.Wait()
		if len(order) != 3 || order[0] != 0 || order[1] != 1 || order[2] != 2 {
			t.Errorf("they got in as %v", order)
		}
	})
}

func enter(t *testing.T, g *gate.Gate) {
	t.Helper()
	if err := g.Enter(t.Context(), "x"); err != nil {
		t.Errorf("entering: %v", err)
	}
}

func TestGateGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, 1)
		enter(t, g)
		ctx, cancel := context.WithCancel(t.Context())
		waited := make(chan error, 1)
		go func() { waited <- g.Enter(ctx, "x") }()
		synctest.Wait()
		cancel()
		if err := <-waited; !errors.Is(err, context.Canceled) {
			t.Errorf("gave up with %v", err)
		}
		g.Leave()
		if g.Inside() != 0 {
			t.Errorf("%d inside after all left: who gave up took a place", g.Inside())
		}
		enter(t, g)
	})
}

func TestGateLimitMoves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, 1)
		for range 3 {
			go enter(t, g)
		}
		synctest.Wait()
		g.SetLimit(2)
		synctest.Wait()
		if g.Inside() != 2 || g.Limit() != 2 {
			t.Errorf("%d inside of %d, want 2 of 2", g.Inside(), g.Limit())
		}
		g.SetLimit(0) // counts as 1, and sends nobody out
		g.Leave()
		synctest.Wait()
		if g.Inside() != 1 || g.Limit() != 1 {
			t.Errorf("%d inside of %d, want 1 of 1", g.Inside(), g.Limit())
		}
		g.Leave()
		synctest.Wait()
		if g.Inside() != 1 {
			t.Errorf("%d inside: the last one in line did not get in", g.Inside())
		}
	})
}

// TestGateUnderLoad lets many come and go, some of them impatient, and checks
// that the limit holds and no place is lost.
func TestGateUnderLoad(t *testing.T) {
	t.Parallel()
	const limit, visitors = 5, 2000
	g := newGate(t, limit)
	var inside, most atomic.Int64
	var all sync.WaitGroup
	for range visitors {
		all.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if rand.IntN(3) == 0 {
				go cancel()
			}
			if g.Enter(ctx, "x") != nil {
				return
			}
			defer g.Leave()
			if n := inside.Add(1); n > most.Load() {
				most.Store(n)
			}
			inside.Add(-1)
		})
	}
	all.Wait()
	if most.Load() > limit {
		t.Errorf("%d were inside at once, of %d", most.Load(), limit)
	}
	if g.Inside() != 0 {
		t.Errorf("%d places are lost", g.Inside())
	}
}

// TestGateTakesTurns has a crowd wait for one thing, and few for others: those are
// let in by turns, and within each line in the order of their coming.
func TestGateTakesTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, 1)
		enter(t, g)
		var order []string
		wait := func(ctx context.Context, what string) {
			go func() {
				if g.Enter(ctx, what) == nil {
					order = append(order, what)
					g.Leave()
				}
			}()
			synctest.Wait()
		}
		ctx, cancel := context.WithCancel(t.Context())
		for range 3 {
			wait(t.Context(), "crowd")
		}
		wait(ctx, "gone")
		wait(t.Context(), "few")
		wait(t.Context(), "one")
		wait(t.Context(), "few")
		cancel()
		synctest.Wait()
		g.Leave()
		synctest.Wait()
		if got, want := strings.Join(order, " "), "crowd few one crowd few crowd"; got != want {
			t.Errorf("they got in as %s, want %s", got, want)
		}
		if g.Inside() != 0 {
			t.Errorf("%d are inside after all left", g.Inside())
		}
	})
}

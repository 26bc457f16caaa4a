package engine

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/time/rate"

	"portscan_exporter/gate"
)

// Budget is what all scans together may use: attempts under way at once, and
// packets a second. Make one with [NewBudget]; it may be used concurrently.
type Budget struct {
	room    *gate.Gate
	limiter *rate.Limiter
	tcp     atomic.Int64 // attempts since the start
}

// Limits are the bounds of a [Budget].
type Limits struct {
	MaxInFlight int // attempts under way at once; 0: as many as descriptors allow
	Rate        int // packets a second; 0: no ceiling
}

// NewBudget returns a budget with these limits.
func NewBudget(l Limits) (*Budget, error) {
	room, err := gate.New(max(1, l.inFlight()))
	if err != nil {
		return nil, fmt.Errorf("making the budget of attempts: %w", err)
	}
	b := &Budget{room: room, limiter: newLimiter(l.Rate)}
	return b, nil
}

func (l Limits) inFlight() int {
	allowed := descriptorLimit()
	if l.MaxInFlight <= 0 {
		return allowed
	}
	return min(l.MaxInFlight, allowed)
}

// descriptorReserve returns how many of the process's descriptors are kept back
// for HTTP, names and files: 5 %, at least 256, and half where there are few.
func descriptorReserve(descriptors int) int {
	const fewest, share = 256, 20
	return min(max(fewest, descriptors/share), descriptors/2)
}

// SetLimits moves the limits; attempts under way are not ended by it.
func (b *Budget) SetLimits(l Limits) {
	b.room.SetLimit(l.inFlight())
	b.limiter.SetLimit(limitOf(l.Rate))
	b.limiter.SetBurst(burstOf(l.Rate))
}

// Stats are the budget's figures at one moment.
type Stats struct {
	InFlight, Limit int
	TCPAttempts     int64 // since the start
}

// Stats returns the figures now.
func (b *Budget) Stats() Stats {
	return Stats{InFlight: b.room.Inside(), Limit: b.room.Limit(), TCPAttempts: b.tcp.Load()}
}

// enter waits for a place for one attempt and for its turn, first at the
// address's own limiter, then at everybody's. leave gives the place back.
func (b *Budget) enter(ctx context.Context, address *rate.Limiter) error {
	for _, l := range []*rate.Limiter{address, b.limiter} {
		if err := l.Wait(ctx); err != nil {
			return fmt.Errorf("waiting for the packet rate: %w", err)
		}
	}
	if err := b.room.Enter(ctx); err != nil {
		return fmt.Errorf("waiting for a place in flight: %w", err)
	}
	b.tcp.Add(1)
	return nil
}

func (b *Budget) leave() { b.room.Leave() }

// descriptorsUnknown is how many sockets are taken where the system does not say
// how many there may be.
const descriptorsUnknown = 1000

// newLimiter returns a limiter of so many packets a second; 0 sets no ceiling.
func newLimiter(perSecond int) *rate.Limiter {
	return rate.NewLimiter(limitOf(perSecond), burstOf(perSecond))
}

func limitOf(perSecond int) rate.Limit {
	if perSecond <= 0 {
		return rate.Inf
	}
	return rate.Limit(perSecond)
}

// burstOf allows what is due in 10 ms at once: timers are no finer than that
// under load, and a ceiling a second is kept all the same.
func burstOf(perSecond int) int { return max(1, perSecond/100) }

var errNoBudget = errors.New("an engine needs a budget")

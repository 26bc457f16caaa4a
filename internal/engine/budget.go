// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"portscan_exporter/internal/scan"
)

// Budget is what all scans together may use: attempts under way at once, and
// packets a second. It is shared out fairly: a scan that has less than its even
// part gets what it wants, at the cost of those that have more. Make one with
// [NewBudget]; it may be used concurrently.
type Budget struct {
	mu     sync.Mutex
	limit  int
	used   int
	every  time.Duration // between packets; 0: no ceiling
	next   time.Time     // when the first packet may leave that nobody has claimed
	shares map[*share]struct{}

	tcp, udp atomic.Int64 // attempts since the start
}

// Limits are the bounds of a [Budget].
type Limits struct {
	MaxInFlight int // attempts under way at once; 0: as many as descriptors allow
	Rate        int // packets a second; 0: no ceiling
}

// NewBudget returns a budget with these limits, which are not negative.
func NewBudget(l Limits) (*Budget, error) {
	if l.MaxInFlight < 0 || l.Rate < 0 {
		return nil, errors.New("engine.NewBudget: limits must not be negative")
	}
	b := &Budget{shares: make(map[*share]struct{})}
	b.SetLimits(l)
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
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit = max(1, l.inFlight())
	b.every = 0
	if l.Rate > 0 {
		b.every = time.Second / time.Duration(l.Rate)
	}
}

// Stats are the budget's figures at one moment.
type Stats struct {
	InFlight, Limit          int
	TCPAttempts, UDPAttempts int64 // since the start
}

// Stats returns the figures now.
func (b *Budget) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Stats{InFlight: b.used, Limit: b.limit, TCPAttempts: b.tcp.Load(), UDPAttempts: b.udp.Load()}
}

// share is one scan's part of the budget. It may be used concurrently.
type share struct {
	budget *Budget
	sent   *atomic.Int64 // attempts of this protocol
	have   int
	wanted time.Time // when it was last refused a place that is its due

	// The packets it has claimed, one every so often.
	start   time.Time
	claimed int
	spent   int
	helped  bool // it has had its first helping
	ports   int
	most    int
}

// firstHelping is how many packets a scan may claim at first: a small one then
// waits in line once.
const firstHelping = 32

// join adds a scan of so many ports, which may have so many places at the most.
func (b *Budget) join(protocol scan.Protocol, ports, most int) *share {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &share{budget: b, sent: &b.tcp, ports: ports, most: most}
	if protocol == scan.UDP {
		s.sent = &b.udp
	}
	b.shares[s] = struct{}{}
	return s
}

// leave gives everything back. It returns how many places those were, and
// whether no scan is left.
func (s *share) leave() (places int, last bool) {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	places = s.have
	b.used -= places
	s.have = 0
	delete(b.shares, s)
	return places, len(b.shares) == 0
}

// even is the even part of the places for each scan.
func (b *Budget) even() int { return max(1, b.limit/max(1, len(b.shares))) }

// othersWant tells whether a scan other than s has less than its even part, and
// wanted more of late.
func (b *Budget) othersWant(s *share) bool {
	const lately = 100 * time.Millisecond // or those with more would take back at once what they gave
	for other := range b.shares {
		if other != s && other.have < b.even() && time.Since(other.wanted) < lately {
			return true
		}
	}
	return false
}

// take takes a place for an attempt, if there is one. An eighth of the places is
// kept for scans that have few, so that a small scan beside a huge one finds a
// place at once.
func (s *share) take() bool {
	const keptBack = 8
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := b.limit / keptBack
	switch {
	case b.used >= b.limit, s.have > kept && s.have >= b.even() && b.othersWant(s):
		s.wanted = time.Now()
		return false
	case s.have >= s.most, kept > 0 && s.have >= kept && b.limit-b.used <= kept:
		return false
	}
	s.have++
	b.used++
	return true
}

// give gives a place back.
func (s *share) give() {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	s.have--
	b.used--
}

// owes returns how many places the scan should give back, to others that have
// less, or because the limit was lowered.
func (s *share) owes() int {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case s.have > b.even() && b.othersWant(s):
		return s.have - b.even()
	case b.used > b.limit:
		return min(b.used-b.limit, s.have)
	default:
		return 0
	}
}

// allows tells whether a packet may leave now. A scan claims a few milliseconds'
// worth of packets at a time, so that all take turns.
func (s *share) allows(now time.Time) bool {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.every == 0 {
		return true
	}
	if s.spent >= s.claimed {
		s.claim(now)
	}
	return !s.start.Add(time.Duration(s.spent) * b.every).After(now)
}

// claim takes the next free stretch of time for the scan's packets. What nobody
// has used in the last 10 ms may still be claimed: timers are no finer under
// load.
func (s *share) claim(now time.Time) {
	const turn, burst = 5 * time.Millisecond, 10 * time.Millisecond
	b := s.budget
	n := int(max(1, turn/b.every))
	if !s.helped {
		s.helped = true
		n = max(n, min(firstHelping, s.ports))
	}
	s.start, s.claimed, s.spent = b.next, n, 0
	if earliest := now.Add(-min(burst, b.every*10)); s.start.Before(earliest) {
		s.start = earliest
	}
	b.next = s.start.Add(time.Duration(n) * b.every)
}

// packets counts packets that leave.
func (s *share) packets(count int) {
	b := s.budget
	s.sent.Add(int64(count))
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.every > 0 {
		s.spent += count
		if over := s.spent - s.claimed; over > 0 { // an attempt of several packets
			s.claimed = s.spent
			b.next = b.next.Add(time.Duration(over) * b.every)
		}
	}
}

// descriptorsUnknown is how many sockets are taken where the system does not say
// how many there may be.
const descriptorsUnknown = 1000

var errNoBudget = errors.New("engine: Budget is required")

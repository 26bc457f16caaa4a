// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"portscan_exporter/internal/engine/pace"
	"portscan_exporter/internal/scan"
)

// Budget limits the attempts in flight and the packet rate of all scans together. It is
// shared fairly: a scan that holds less than its fair share gets places at the expense of
// scans that hold more. Use [NewBudget]; it may be used concurrently.
type Budget struct {
	mu         sync.Mutex
	limit      int
	used       int
	packetRate pace.RateLimit // in the time since created
	created    time.Time
	shares     map[*share]struct{}

	unresolved      int // next hops that do not resolve
	unresolvedScans int // scans with such next hops

	tcp, udp atomic.Int64 // attempts since the start, see [attemptCount]
	inFlight atomic.Int64 // attempts, as the workers last counted them
}

// maxPacketBurst is the number of packets of all scans for which unused capacity accumulates.
const maxPacketBurst = 10

// Limits are the limits of a [Budget].
type Limits struct {
	MaxInFlight int // maximum number of attempts in flight; 0: as descriptors allow
	Rate        int // maximum number of packets per second; 0: no limit
	Connections int // maximum number of HTTP connections, for which descriptors are reserved
}

// NewBudget returns a budget. The limits must not be negative.
func NewBudget(l Limits) (*Budget, error) {
	if l.MaxInFlight < 0 || l.Rate < 0 || l.Connections < 0 {
		return nil, errors.New("engine.NewBudget: limits must not be negative")
	}
	b := &Budget{created: time.Now(), shares: make(map[*share]struct{})}
	b.SetLimits(l)
	return b, nil
}

func (l Limits) inFlight() int {
	descriptors := maxDescriptors()
	allowed := min(maxAttempts, max(1, descriptors-descriptorReserve(descriptors, l.Connections)))
	if l.MaxInFlight <= 0 {
		return allowed
	}
	return min(l.MaxInFlight, allowed)
}

// otherDescriptors returns the number of descriptors that are reserved for listeners, files, name
// resolution and health checks, of all that the process may open.
func otherDescriptors(descriptors int) int {
	const most = 128
	return min(most, descriptors/2)
}

// MaxConnections returns the number of HTTP connections, at most wanted, for which descriptors
// can be reserved: with the other reserved ones, two thirds of those that the process may open.
func MaxConnections(wanted int) int { return maxConnections(maxDescriptors(), wanted) }

func maxConnections(descriptors, wanted int) int {
	return min(wanted, max(1, descriptors/3*2-otherDescriptors(descriptors)))
}

// descriptorReserve returns the number of the process's descriptors that scans do not use: those
// for HTTP connections and others, at least 5 %.
func descriptorReserve(descriptors, connections int) int {
	const share = 20
	return max(otherDescriptors(descriptors)+maxConnections(descriptors, connections), descriptors/share)
}

// MaxLookupSockets returns the maximum number of sockets for name resolution: an eighth of the
// descriptors that the process may open, from 32 to 1024. Few are open at a time, unless many names
// get no answer.
func MaxLookupSockets() int { return maxLookupSockets(maxDescriptors()) }

func maxLookupSockets(descriptors int) int {
	const least, most, share = 32, 1024, 8
	return min(max(descriptors/share, least), most)
}

// SetLimits changes the limits. Attempts in flight are not ended.
func (b *Budget) SetLimits(l Limits) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit = max(1, l.inFlight())
	limit := pace.NewRateLimit(l.Rate)
	b.packetRate.Interval, b.packetRate.Burst = limit.Interval, min(limit.Burst, maxPacketBurst*limit.Interval)
}

// Stats are statistics of a [Budget].
type Stats struct {
	InFlight                 int   // attempts in flight, not the places that scans hold for them
	Limit                    int   // of the places
	TCPAttempts, UDPAttempts int64 // since the start
}

// Stats returns the current statistics.
func (b *Budget) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Stats{InFlight: int(b.inFlight.Load()), Limit: b.limit, TCPAttempts: b.tcp.Load(), UDPAttempts: b.udp.Load()}
}

// share is one scan's part of the budget. It may be used concurrently.
type share struct {
	attemptCount

	budget   *Budget
	held     int
	reserved int       // of them, for the complete scan; for one goroutine at a time
	waitedAt time.Time // when it was last refused a place

	unresolved int // next hops that do not resolve

	// The claimed packets, one per interval.
	start      time.Duration
	claimed    int
	spent      int
	hadInitial bool // the initial quota has been claimed
	ports      int
	limit      int
}

// initialQuota is the number of packets that a scan can claim first, so that a small scan
// waits only once.
const initialQuota = 32

// join adds a scan of a number of ports that can hold at most limit places.
func (b *Budget) join(protocol scan.Protocol, ports, most int) *share {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &share{budget: b, attemptCount: attemptCount{total: &b.tcp}, ports: ports, limit: most}
	if protocol == scan.UDP {
		s.total = &b.udp
	}
	b.shares[s] = struct{}{}
	return s
}

// leave returns all places to the budget.
func (s *share) leave() {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= s.held
	s.held = 0
	if s.unresolved > 0 {
		b.unresolved -= s.unresolved
		b.unresolvedScans--
		s.unresolved = 0
	}
	delete(b.shares, s)
}

// maxUnresolved is the number of next hops of all scans that the kernel resolves at the same
// time. Its neighbor table has 1024 entries by default (net.ipv4.neigh.default.gc_thresh3) and
// also keeps those that have failed, as many again, until it needs their space. With 512, scans
// filled the table now and then. minUnresolved is the number for each scan in any case.
const maxUnresolved, minUnresolved = 384, 16

// acquireUnresolved reports whether the scan can send to one more next hop that is not
// resolved. Scans with such next hops share them equally.
func (s *share) acquireUnresolved() bool {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	scans := b.unresolvedScans
	if s.unresolved == 0 {
		scans++
	}
	if s.unresolved >= minUnresolved && (b.unresolved >= maxUnresolved || s.unresolved >= maxUnresolved/scans) {
		return false
	}
	b.unresolvedScans = scans
	b.unresolved++
	s.unresolved++
	return true
}

// releaseUnresolved releases a next hop of acquireUnresolved.
func (s *share) releaseUnresolved() {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unresolved--
	s.unresolved--
	if s.unresolved == 0 {
		b.unresolvedScans--
	}
}

// fairShare returns the number of places divided by the number of scans.
func (b *Budget) fairShare() int { return max(1, b.limit/max(1, len(b.shares))) }

// othersWaiting reports whether another scan than s holds less than its fair share and has
// recently waited for a place.
func (b *Budget) othersWaiting(s *share) bool {
	const lately = 100 * time.Millisecond // otherwise scans would take back the released places at once
	for other := range b.shares {
		if other != s && other.held < b.fairShare() && time.Since(other.waitedAt) < lately {
			return true
		}
	}
	return false
}

// acquire acquires a place for an attempt and reports whether there was one. An eighth of
// the places is reserved for scans that hold few, so that a small scan beside a large one
// gets a place at once.
func (s *share) acquire() bool {
	const keptBack = 8
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := b.limit / keptBack
	switch {
	case b.used >= b.limit, s.held > kept && s.held >= b.fairShare() && b.othersWaiting(s):
		s.waitedAt = time.Now()
		return false
	case s.held >= s.limit, kept > 0 && s.held >= kept && b.limit-b.used <= kept:
		return false
	}
	s.held++
	b.used++
	return true
}

// acquireAll acquires places until the end of the scan, and reports whether it could acquire
// all. A scan can acquire only a part of its fair share in this way, because others need
// places for attempts.
func (s *share) acquireAll(places int) bool {
	const part = 4
	if (s.reserved+places)*part > s.fairShare() {
		return false
	}
	for taken := range places {
		if !s.acquire() {
			for range taken {
				s.release()
			}
			return false
		}
	}
	s.reserved += places
	return true
}

// fairShare returns the number of places that are due to the scan at the moment.
func (s *share) fairShare() int {
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	return min(s.budget.fairShare(), s.limit)
}

// release releases a place.
func (s *share) release() {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	s.held--
	b.used--
}

// excess returns the number of places that the scan must release, because others hold less
// or the limit was lowered.
func (s *share) excess() int {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case s.held > b.fairShare() && b.othersWaiting(s):
		return s.held - b.fairShare()
	case b.used > b.limit:
		return min(b.used-b.limit, s.held)
	default:
		return 0
	}
}

// allowsPacket reports whether a packet may be sent now. A scan claims the packets of a few
// milliseconds at a time, so that scans take turns.
func (s *share) allowsPacket(now time.Time) bool {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.packetRate.Interval == 0 {
		return true
	}
	elapsed := now.Sub(b.created)
	if s.spent >= s.claimed && !s.claimPackets(elapsed) {
		return false
	}
	return s.start+time.Duration(s.spent)*b.packetRate.Interval <= elapsed
}

// claimPackets claims the next free period for packets of the scan, and reports whether there
// was one. It claims at most a few seconds ahead, because a scan that ends loses its claim. The
// initial quotas of all scans share that time.
func (s *share) claimPackets(elapsed time.Duration) bool {
	const turn, minAhead, maxAhead = 5 * time.Millisecond, time.Second, 3 * time.Second
	b := s.budget
	scans, interval := len(b.shares), b.packetRate.Interval
	ahead := min(max(minAhead, time.Duration(scans)*interval), maxAhead)
	if !b.packetRate.Allows(elapsed + ahead) {
		return false
	}
	n := int(max(1, turn/interval))
	if !s.hadInitial {
		s.hadInitial = true
		n = max(n, min(initialQuota, s.ports, int(ahead/interval)/scans))
	}
	s.start, s.claimed, s.spent = b.packetRate.Reserve(elapsed, n), n, 0
	return true
}

// spendPackets uses up claimed packets. They count as attempts when they are sent, see
// [attemptCount].
func (s *share) spendPackets(count int) {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.packetRate.Interval > 0 {
		s.spent += count
		if over := s.spent - s.claimed; over > 0 { // an attempt of several packets
			s.claimed = s.spent
			b.packetRate.Reserve(s.start, over)
		}
	}
}

const (
	defaultDescriptors   = 1000    // if the limit cannot be read
	unlimitedDescriptors = 1 << 20 // more than any scan can use
)

var errNoBudget = errors.New("engine: Budget is required")

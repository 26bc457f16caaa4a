// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"net/netip"
	"sync"
	"time"
)

// A nextHop is the node to which this machine hands packets for an address.
type nextHop struct {
	link          int        // index of the interface
	addr          netip.Addr // the gateway, or the address itself
	local         bool       // the address is this machine's
	needsNeighbor bool       // packets need its link-layer address; not on loopback or in tunnels
}

// The errors of an address to which this machine cannot send.
var (
	errNoRoute  = errors.New("no route")
	errNoSource = errors.New("no source address")
)

// isUnroutable reports whether the error is that of an address without a route or a source
// address, for example on a machine without the address's family. Rejecting routes, such as
// those of the type unreachable, are routes.
func isUnroutable(err error) bool { return errors.Is(err, errNoRoute) || errors.Is(err, errNoSource) }

// neighborState is the state of the kernel's entry for a next hop in its neighbor table
// (ARP, RFC 826, and IPv6 neighbor discovery, RFC 4861).
type neighborState uint8

const (
	neighborMissing    neighborState = iota // no entry
	neighborIncomplete                      // the kernel requests the link-layer address
	neighborFailed                          // all of the kernel's requests were unanswered
	neighborResolved                        // the link-layer address is known
)

// neighborEntry is an entry of the neighbor table.
type neighborEntry struct {
	state neighborState
	age   time.Duration // of the state
}

// reachability is whether the neighbors on a link are reachable.
type reachability uint8

const (
	noneReachable reachability = iota
	noneConfirmed              // none, but the kernel is about to ask one
	oneReachable
)

// linkLayer is the system's knowledge of next hops.
type linkLayer interface {
	// nextHop returns the next hop of packets from the source to the address. An invalid
	// source is the system's choice. For some errors, see isUnroutable.
	nextHop(source, addr netip.Addr) (nextHop, error)

	// neighborEntry returns the next hop's entry.
	neighborEntry(hop nextHop) neighborEntry

	// linkReachability returns whether neighbors on the next hop's link, of the same family,
	// have been reachable lately.
	linkReachability(hop nextHop) reachability

	// countOverflows returns how often an entry for the next hop's family could not be
	// created because the table was full, since the machine started.
	countOverflows(hop nextHop) uint64
}

const (
	// unresolvedAttempts is the number of attempts through a next hop that does not
	// resolve, until the kernel has given up. The first makes the kernel send its
	// requests; more would only wait for the same answer.
	unresolvedAttempts = 1

	// gatewayFailures is how often a gateway has to fail before its addresses are given
	// up. A gateway's failure is no state of a port, so it is worth a second try.
	gatewayFailures = 2

	// firstCheck and lastCheck are the shortest and the longest interval between checks of
	// an entry that does not resolve. Most neighbors answer within a millisecond.
	firstCheck, lastCheck = time.Millisecond, 50 * time.Millisecond

	// resolvedCheck is the interval between checks of an entry that is resolved.
	resolvedCheck = time.Second

	// creationTime is the longest time from an attempt to its neighbor entry.
	creationTime = 50 * time.Millisecond

	// overflowPause is the time between attempts if the neighbor table is full.
	overflowPause = 200 * time.Millisecond

	// reachableAge is how long a link is taken to work after a neighbor's answer.
	// Prometheus scrapes every minute by default, and sees a working link each time.
	reachableAge = 2 * time.Minute

	// linkCheck is the interval between questions for a reachable neighbor.
	linkCheck = time.Second

	// queueTime is how long the kernel surely keeps the packets of attempts for a neighbor
	// that it resolves, so that they leave late and not never.
	queueTime = 20 * time.Millisecond
)

// neighbor is a next hop of one or several addresses of a scan. Until it is resolved, only a
// few attempts are made through it. It may be used concurrently.
//
// A round begins with the first of these attempts, and ends with the kernel's requests for
// the link-layer address.
type neighbor struct {
	system linkLayer
	share  *share
	hop    nextHop
	err    error // there is no route

	mu sync.Mutex
	neighborStatus
	open       bool          // attempts are not limited
	provenFrom time.Duration // silence of earlier attempts is no evidence
	checkedAt  time.Duration
	nextCheck  time.Duration
	interval   time.Duration // between checks

	roundStart    time.Duration
	roundAttempts int
	inRound       bool          // counted by the share
	incompleteAt  time.Duration // when the kernel was last seen to resolve; 0: never
	overflows     uint64        // of the table before the round
}

// neighborStatus is a neighbor's state and its history.
type neighborStatus struct {
	state      neighborState
	overflowed bool // the table was full, and there is no entry
	failures   int  // rounds without an answer
	losses     int  // how often a resolved entry was lost
}

func newNeighbor(system linkLayer, s *share, hop nextHop, err error, now time.Duration) *neighbor {
	n := &neighbor{system: system, share: s, hop: hop, err: err}
	if !n.isChecked() {
		n.open = true
		if err == nil && !hop.local {
			n.overflows = system.countOverflows(hop)
		}
		return n
	}
	n.state = system.neighborEntry(hop).state
	n.checkedAt = now
	if n.state == neighborResolved {
		n.open, n.nextCheck = true, now+resolvedCheck
	} else {
		n.startRound(now)
	}
	return n
}

// isChecked reports whether the next hop has an entry in the neighbor table.
func (n *neighbor) isChecked() bool { return n.err == nil && n.hop.needsNeighbor }

// hasOverflowed reports whether the table was full at some time of the scan. Without it,
// packets are dropped also on links that need no link-layer address.
func (n *neighbor) hasOverflowed() bool {
	return !n.hop.local && n.system.countOverflows(n.hop) > n.overflows
}

// check updates the status if that is due.
func (n *neighbor) check(now time.Duration) neighborStatus {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.isChecked() && now >= n.nextCheck {
		n.update(now)
	}
	return n.neighborStatus
}

// verify returns a status that is not older than the timeout of any attempt.
func (n *neighbor) verify(now time.Duration) neighborStatus {
	const maxAge = 100 * time.Millisecond
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.isChecked() && (n.state != neighborResolved || now-n.checkedAt > maxAge) {
		n.update(now)
	}
	return n.neighborStatus
}

// limit returns the number of attempts that may be made now. The caller reports those that
// it has made with noteAttempts.
func (n *neighbor) limit(now time.Duration) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.open:
		return maxBatch
	case now < n.roundStart, !n.inRound && !n.share.acquireUnresolved():
		return 0
	default:
		n.inRound = true
		return max(0, unresolvedAttempts-n.roundAttempts)
	}
}

// isOpen reports whether attempts are not limited.
func (n *neighbor) isOpen() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.open
}

// noteUnsent takes back an attempt of noteAttempts that has not reached the neighbor table.
func (n *neighbor) noteUnsent() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.open || n.roundAttempts == 0 {
		return
	}
	n.roundAttempts--
	if n.roundAttempts == 0 {
		n.endRound()
	}
}

// noteAttempts counts attempts that were made at now.
func (n *neighbor) noteAttempts(now time.Duration, count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.open {
		return
	}
	if n.roundAttempts+count == 0 {
		n.endRound()
		return
	}
	if n.roundAttempts == 0 {
		n.roundStart, n.nextCheck = now, now+firstCheck
	}
	n.roundAttempts += count
}

// noteAnswer notes an answer that came through the next hop.
func (n *neighbor) noteAnswer(now time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.isChecked() && n.state != neighborResolved {
		n.resolve(now, n.state)
		n.state = neighborResolved
	}
}

// release ends a round that no longer matters: a host behind the next hop has been reported.
func (n *neighbor) release() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.endRound()
}

// mayHaveFailed reports whether the kernel may have ended an attempt because the next hop
// does not resolve. The entry may be gone by now.
func (n *neighbor) mayHaveFailed(now time.Duration) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.open && n.incompleteAt > 0 && now-n.incompleteAt <= time.Second
}

// proves reports whether the silence after an attempt is evidence: the attempt's packet has
// left this machine.
func (n *neighbor) proves(sent time.Duration) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.open && sent >= n.provenFrom
}

// update asks the system for the state, and limits attempts or no longer does. The caller
// holds the lock.
func (n *neighbor) update(now time.Duration) {
	state, before := n.readState(now), n.state
	n.state, n.checkedAt, n.overflowed = state, now, n.overflowed && state == neighborMissing
	if state == neighborIncomplete {
		n.incompleteAt = now
	}
	n.interval = min(max(2*n.interval, firstCheck), lastCheck)
	n.nextCheck = now + n.interval
	switch {
	case state == neighborResolved:
		n.resolve(now, before)
	case n.open && state == neighborMissing && before == neighborMissing:
		n.nextCheck = now + resolvedCheck
	case n.open: // the entry was lost
		n.open = false
		n.losses++
		n.startRound(now)
	case n.roundAttempts == 0:
		n.nextCheck = now + resolvedCheck
	case state == neighborFailed:
		n.failures++
		n.startRound(now)
	case state == neighborMissing && before == neighborIncomplete: // removed after a failure
		n.startRound(now)
	case state == neighborMissing:
		n.explainMissing(now)
	default:
	}
}

// readState returns the state of the entry. A failure from before the round is as good as no
// entry: the round's attempts have not reached the table.
func (n *neighbor) readState(now time.Duration) neighborState {
	entry := n.system.neighborEntry(n.hop)
	if entry.state == neighborFailed && entry.age > now-n.roundStart {
		return neighborMissing
	}
	return entry.state
}

// endRound lets the share count the next hop no longer.
func (n *neighbor) endRound() {
	if n.inRound {
		n.inRound = false
		n.share.releaseUnresolved()
	}
}

// resolve no longer limits attempts.
func (n *neighbor) resolve(now time.Duration, before neighborState) {
	switch {
	case !n.open:
		n.provenFrom = now - queueTime
	case before != neighborResolved: // attempts were made without an entry
		n.losses++
	}
	n.endRound()
	n.open, n.failures = true, 0
	n.nextCheck = now + resolvedCheck
}

// startRound allows a few attempts from the given time on.
func (n *neighbor) startRound(from time.Duration) {
	n.endRound()
	n.roundStart, n.roundAttempts, n.interval = from, 0, 0
	n.nextCheck = from + resolvedCheck
	n.overflows = n.system.countOverflows(n.hop)
}

// explainMissing decides why there is no entry after an attempt: the table is full, or the
// attempt has not reached it, for example because of a local filter.
func (n *neighbor) explainMissing(now time.Duration) {
	switch {
	case n.system.countOverflows(n.hop) > n.overflows:
		n.overflowed = true
		n.startRound(now + overflowPause)
	case now-n.roundStart >= creationTime:
		n.openUnresolved(now)
	}
}

// openUnresolved no longer limits attempts, although there is no entry to wait for.
func (n *neighbor) openUnresolved(now time.Duration) {
	n.endRound()
	n.open, n.provenFrom = true, 0
	n.nextCheck = now + resolvedCheck
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"portscan_exporter/internal/engine/pace"
	"portscan_exporter/internal/scan"
)

// neighbors has the next hops of a scan's addresses. Addresses behind the same gateway share
// one, so that the system is asked once for all of them. It may be used concurrently.
type neighbors struct {
	system linkLayer
	share  *share
	source netip.Addr

	mu    sync.Mutex
	byHop map[nextHop]*neighbor
	links map[linkFamily]linkStatus
}

// linkStatus is whether neighbors on a link are reachable.
type linkStatus struct {
	reachability
	nextCheck time.Duration

	answered      nextHop // the last one through which an answer came
	answeredUntil time.Duration
}

// linkFamily is an address family on a link.
type linkFamily struct {
	link   int
	family uint8
}

func (h nextHop) linkFamily() linkFamily { return linkFamily{h.link, slotFamily(h.addr)} }

func newNeighbors(system linkLayer, s *share, source netip.Addr) *neighbors {
	return &neighbors{system: system, share: s, source: source, byHop: make(map[nextHop]*neighbor), links: make(map[linkFamily]linkStatus)}
}

// find returns the next hop to an address.
func (n *neighbors) find(addr netip.Addr, now time.Duration) *neighbor {
	hop, err := n.system.nextHop(n.source, addr)
	if err != nil {
		return newNeighbor(n.system, n.share, hop, err, now)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	found, ok := n.byHop[hop]
	if !ok {
		found = newNeighbor(n.system, n.share, hop, nil, now)
		n.byHop[hop] = found
	}
	return found
}

// isUnroutable reports whether this machine cannot send to a host that the scan starts. A source
// address of the module cannot be that of the other family.
func (n *neighbors) isUnroutable(h *host) bool {
	return n.source.IsValid() && n.source.Is4() != h.addr.Is4() || isUnroutable(h.neighbor.err)
}

// noteAnswer notes an answer to an attempt at the host, whose lock is held.
func (r *scanRun) noteAnswer(h *host) {
	if !h.answered {
		h.answered = true
		now := r.elapsed()
		h.neighbor.noteAnswer(now)
		r.neighbors.noteReachable(h.neighbor, now)
	}
}

// noteReachable notes that an answer came through the next hop.
func (n *neighbors) noteReachable(from *neighbor, now time.Duration) {
	if !from.isChecked() {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.links[from.hop.linkFamily()] = linkStatus{answered: from.hop, answeredUntil: now + reachableAge}
}

// reachability returns whether a neighbor on the next hop's link has answered in this scan or
// has been reachable lately. If a link fails, the kernel removes the entries of its neighbors.
func (n *neighbors) reachability(hop nextHop, now time.Duration) reachability {
	n.mu.Lock()
	defer n.mu.Unlock()
	link := n.links[hop.linkFamily()]
	if now < link.answeredUntil && n.system.neighborEntry(link.answered).state == neighborResolved {
		return oneReachable
	}
	if now >= link.nextCheck {
		link.reachability, link.nextCheck = n.system.linkReachability(hop), now+linkCheck
		n.links[hop.linkFamily()] = link
	}
	return link.reachability
}

// unresolvedHost is an address that no host on its link has, as far as is known.
type unresolvedHost struct {
	addr     netip.Addr
	hop      nextHop
	attempts int
}

// checkNeighbor looks after a host's next hop. It ends the host if the next hop cannot be
// resolved. The host's lock is held.
func (r *scanRun) checkNeighbor(h *host, now time.Duration) {
	if h.answered {
		return
	}
	status := h.neighbor.check(now)
	h.noteLosses(status, now)
	switch {
	case status.failures == 0:
	case h.isOnLink() && r.neighbors.reachability(h.neighbor.hop, now) == oneReachable:
		h.pacer.End(scan.CauseNoNeighbor)
	case h.isOnLink():
		r.postpone(h)
	case status.failures >= gatewayFailures:
		h.pacer.End(scan.CauseNoRoute)
	}
}

// noteLosses drops the evidence of silence from before the neighbor entry was lost, and
// reports whether it was. The host's lock is held.
func (h *host) noteLosses(status neighborStatus, now time.Duration) bool {
	if status.losses == h.losses {
		return false
	}
	h.losses = status.losses
	h.pacer.AnswersLost(now)
	return true
}

// isOnLink reports whether packets to the host need no gateway.
func (h *host) isOnLink() bool { return h.neighbor.hop.addr == h.addr }

// postpone ends a host that does not resolve. Its state depends on whether another neighbor
// on its link answers, which may be scanned later.
func (r *scanRun) postpone(h *host) {
	if h.pacer.HasReported() {
		h.pacer.End(scan.CauseNoRoute)
		return
	}
	r.mu.Lock()
	r.unresolved = append(r.unresolved, unresolvedHost{h.addr, h.neighbor.hop, h.pacer.AttemptCount()})
	r.mu.Unlock()
	h.pacer = nil
}

// awaitConfirmation waits until the kernel has asked the neighbors that the scan has sent to,
// on links of postponed addresses. It takes some seconds at most.
func (r *scanRun) awaitConfirmation(ctx context.Context) {
	const pause = 100 * time.Millisecond
	for r.isUnconfirmed() {
		if !sleep(ctx, pause) {
			return
		}
	}
}

func (r *scanRun) isUnconfirmed() bool {
	return slices.ContainsFunc(r.unresolved, func(u unresolvedHost) bool {
		return r.neighbors.reachability(u.hop, r.elapsed()) == noneConfirmed
	})
}

// reportUnresolved reports the addresses that were postponed, at the end of the scan.
func (r *scanRun) reportUnresolved(ctx context.Context) {
	r.awaitConfirmation(ctx)
	ports := r.plan.Ports()
	for _, u := range r.unresolved {
		result := scan.PortResult{Address: u.addr, Ports: &ports, Cause: scan.CauseNoRoute, Attempts: u.attempts}
		if r.neighbors.reachability(u.hop, r.elapsed()) == oneReachable {
			result.State, result.Cause = scan.Filtered, scan.CauseNoNeighbor
		}
		r.report(result)
	}
}

// confirmSilence reports whether the silence of a host is verified, or unknown for good: its
// next hop is resolved, or is not expected to be. Otherwise the host is tried again. The
// host's lock is held.
func (r *scanRun) confirmSilence(h *host, now time.Duration) bool {
	if r.updateRoute(h, now) && h.neighbor.err == nil {
		h.pacer.AnswersLost(now)
		return false
	}
	return !h.noteLosses(h.neighbor.verify(now), now)
}

// updateRoute updates the host's next hop, and reports whether the route has changed. The
// host's lock is held.
func (r *scanRun) updateRoute(h *host, now time.Duration) (changed bool) {
	current := r.neighbors.find(h.addr, now)
	if current == h.neighbor {
		return false
	}
	h.neighbor, h.losses = current, current.check(now).losses
	return true
}

// attemptLimit returns the number of attempts at the host that may be made now. Its lock is
// held.
func (h *host) attemptLimit(now time.Duration) int {
	if h.answered {
		return maxBatch
	}
	return h.neighbor.limit(now)
}

// expire ends an attempt that has listened for long enough. Its silence is no evidence if its
// packet may not have left this machine. The host's lock is held.
func (r *scanRun) expire(h *host, s *slot) {
	if h.answered || h.neighbor.proves(s.sent) {
		h.pacer.TimedOut(s.sent, s.attempt)
		return
	}
	now := r.elapsed()
	if h.neighbor.check(now).overflowed {
		h.pacer.Failed(now, s.sent, s.attempt, scan.CauseNeighborTable)
		return
	}
	h.pacer.Interrupted(now, s.sent, s.attempt)
}

// neighborCause returns the cause of all ports of a host that does not resolve, or none. The
// host's lock is held.
func (r *scanRun) neighborCause(h *host) scan.Cause {
	n := h.neighbor
	switch status := n.verify(r.elapsed()); {
	case n.err != nil:
		return scan.CauseNoRoute
	case !n.hop.needsNeighbor && n.hasOverflowed():
		return scan.CauseNeighborTable
	case !n.hop.needsNeighbor, status.state == neighborResolved:
		return scan.CauseNone
	case status.overflowed:
		return scan.CauseNeighborTable
	case h.isOnLink() && h.pacer.AttemptCount() == 0: // there was no time for an attempt
		return scan.CauseNone
	default:
		return scan.CauseNoRoute
	}
}

// fail ends an attempt that this machine has failed to make. If the next hop does not
// resolve, that is no state of the port: the next hop decides about the host. The host's lock
// is held.
func (h *host) fail(now time.Duration, s *slot, cause scan.Cause) {
	byNeighbor := cause == scan.CauseNoRoute || cause == scan.CausePermission
	if byNeighbor && !h.answered && h.neighbor.mayHaveFailed(now) {
		h.pacer.Interrupted(now, s.sent, s.attempt)
		return
	}
	h.failUnsent(now, s.sent, s.attempt, cause)
}

// failUnsent ends an attempt that this machine could not make. The host's lock is held.
func (h *host) failUnsent(now, sent time.Duration, attempt pace.Attempt, cause scan.Cause) {
	cause = h.explainFailure(cause, now)
	if cause == scan.CauseDeadline { // the send queue is full
		h.neighbor.noteUnsent()
	}
	h.pacer.Failed(now, sent, attempt, cause)
}

// explainFailure returns why an attempt could not be made. The system's errors do not
// distinguish a full neighbor table from a full queue (ENOBUFS with IPv4) or a blackhole
// route (EINVAL with IPv6). The host's lock is held.
func (h *host) explainFailure(cause scan.Cause, now time.Duration) scan.Cause {
	switch cause {
	case scan.CauseDeadline, scan.CauseDescriptors, scan.CauseNoRoute:
		if h.neighbor.verify(now).overflowed {
			return scan.CauseNeighborTable
		}
	default:
	}
	return cause
}

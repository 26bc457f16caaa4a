// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net/netip"
	"time"

	"portscan_exporter/internal/engine/pace"
	"portscan_exporter/internal/scan"
)

const (
	// maxBatch is the maximum number of attempts at an address before a worker reads
	// answers: near hosts answer within microseconds, and few sockets in use are cheaper.
	maxBatch = 64

	// pollInterval is the maximum interval at which a worker checks timeouts, a tenth of
	// the shortest.
	pollInterval = 5 * time.Millisecond

	// reopenDelay is the delay after a slot could not be opened.
	reopenDelay = 50 * time.Millisecond
)

// worker is a goroutine of a scan that makes attempts at all addresses, with its own slots.
type worker struct {
	run          *scanRun
	prober       prober
	slots        []slot
	free         [2]freeSlots              // by family
	opened       [2]int                    // by family
	lists        [][pace.Kinds]attemptList // by host
	completions  []completion
	readUntil    time.Duration // time up to which all answers have been read
	attempts     [maxBatch]pace.Attempt
	attemptCount uint32 // number of attempts
	inFlight     int    // number of those in flight
	published    int    // value of inFlight in the budget
	sentCount    int    // number of packets in the budget
	unsent       []unsentAttempt

	refusals [2]scan.Cause // why no slot could be opened, by family
	reopenAt [2]time.Duration
}

func newWorker(r *scanRun, p prober) *worker {
	w := &worker{run: r, prober: p, lists: make([][pace.Kinds]attemptList, r.addressCount)}
	for i := range w.lists {
		for k := range w.lists[i] {
			w.lists[i][k] = attemptList{-1, -1}
		}
	}
	return w
}

// work scans until every port is reported or ctx ends.
func (w *worker) work(ctx context.Context) error {
	defer func() { w.publishInFlight(0) }()
	for ctx.Err() == nil {
		sent := 0
		hosts, err := w.run.activeHosts()
		if err != nil {
			return err
		}
		for _, h := range hosts {
			if ctx.Err() != nil { // expiring thousands of attempts takes time
				return nil
			}
			n := w.serveHost(h)
			// Answers are read before other hosts are served, or they would seem
			// late.
			if sent += n; n > 0 && len(hosts) > 1 && !w.receive(ctx, 0) {
				return nil
			}
		}
		if sent == 0 && w.run.isDone() {
			return nil
		}
		if w.run.late != nil {
			w.run.checkLate()
		}
		w.releaseExcess()
		w.publishInFlight(w.inFlight)
		wait := pollInterval
		if deadline, ok := ctx.Deadline(); ok {
			wait = max(0, min(wait, time.Until(deadline)))
		}
		if sent > 0 {
			wait = 0
		}
		if !w.receive(ctx, wait) {
			return nil
		}
	}
	return nil
}

// publishInFlight updates the worker's part of the budget's attempts in flight: once a round
// and not at each attempt, because all workers of all scans share the counter.
func (w *worker) publishInFlight(count int) {
	if count != w.published {
		w.run.share.budget.inFlight.Add(int64(count - w.published))
		w.published = count
	}
}

// flush sends and counts the queued packets.
func (w *worker) flush() {
	if n := w.prober.flush(); n != w.sentCount {
		w.run.share.addSent(n - w.sentCount)
		w.sentCount = n
	}
}

// receive handles completions and waits for the first at most d. It returns false after the
// end of ctx, which may have caused them.
func (w *worker) receive(ctx context.Context, d time.Duration) bool {
	for more := true; more; d = 0 {
		startedAt := w.run.elapsed()
		w.completions, more = w.prober.wait(d, w.completions[:0])
		if ctx.Err() != nil {
			return false
		}
		w.completeAll(w.completions)
		if !more {
			w.readUntil = startedAt
		}
	}
	return true
}

// serveHost expires attempts at a host, reports ports and makes the next attempts. It returns
// the number of attempts made.
func (w *worker) serveHost(h *host) (sent int) {
	now := w.run.elapsed()
	h.mu.Lock()
	if h.pacer == nil {
		h.mu.Unlock()
		w.dropAttempts(h)
		return 0
	}
	w.expireAttempts(h)
	w.run.checkNeighbor(h, now)
	if h.pacer != nil {
		h.pacer.Tick(now)
		if h.pacer.IsDark() && w.run.confirmSilence(h, now) {
			w.run.endHost(h)
		}
	}
	if h.pacer == nil || h.pacer.IsDone() {
		h.pacer = nil
		h.neighbor.release()
		h.mu.Unlock()
		w.dropAttempts(h)
		w.run.removeHost(h)
		return 0
	}
	attempts := w.attempts[:0]
	for range min(w.openSlots(slotFamily(h.addr), now, h.pacer.Remaining()), h.attemptLimit(now)) {
		if !w.run.share.allowsPacket(w.run.started.Add(now)) {
			break
		}
		attempt, ok := h.pacer.Next(now)
		if !ok {
			break
		}
		packets := w.run.traits.datagrams.perAttempt(w.run.plan.Ports().At(int(attempt.Index)))
		h.pacer.AddPackets(now, packets-1)
		w.run.share.spendPackets(packets)
		attempts = append(attempts, attempt)
	}
	hop := h.neighbor
	h.mu.Unlock()
	unresolved := !hop.isOpen()
	w.unsent = w.unsent[:0]
	for _, attempt := range attempts {
		if cause := w.send(h, attempt, unresolved); cause != scan.CauseNone {
			w.unsent = append(w.unsent, unsentAttempt{attempt, cause})
		}
	}
	w.flush()
	hop.noteAttempts(now, len(attempts))
	w.failUnsent(h)
	return len(attempts)
}

// unsentAttempt is an attempt that could not be made.
type unsentAttempt struct {
	attempt pace.Attempt
	cause   scan.Cause
}

// failUnsent ends the attempts at a host that could not be made.
func (w *worker) failUnsent(h *host) {
	if len(w.unsent) == 0 {
		return
	}
	now := w.run.elapsed()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, u := range w.unsent {
		if h.pacer != nil {
			h.failUnsent(now, now, u.attempt, u.cause)
		}
	}
}

// send makes an attempt, or returns the cause if it cannot.
func (w *worker) send(h *host, attempt pace.Attempt, unresolved bool) scan.Cause {
	now := w.run.elapsed()
	family := slotFamily(h.addr)
	cause := w.refusals[family]
	if w.free[family].count > 0 {
		w.attemptCount++
		id := attemptID{w.free[family].pop(w.slotVariant(attempt)), w.attemptCount}
		if cause = w.watchNAT(&attempt); cause == scan.CauseNone {
			cause = w.prober.send(id, netip.AddrPortFrom(h.addr, w.run.plan.Ports().At(int(attempt.Index))), attemptOptions{attempt.Variant(), attempt.IsQuiet(), unresolved})
		}
		if cause == scan.CauseNone {
			w.track(id, h, attempt, now)
			return cause
		}
		w.free[family].push(id.slot, w.slots[id.slot].variant)
	}
	return cause
}

// watchNAT makes the prober watch for translation before the first attempt whose silence
// may be the last evidence. A scan without silent ports does not watch.
func (w *worker) watchNAT(attempt *pace.Attempt) scan.Cause {
	watcher, ok := w.prober.(natWatcher)
	if !ok || !attempt.IsRetry() && w.run.plan.Spec().Retries > 0 {
		return scan.CauseNone
	}
	return watcher.watchNAT()
}

// completeAll handles completions. Answers come in bursts from one host, so its lock is
// acquired once per burst.
func (w *worker) completeAll(ended []completion) {
	var locked *host
	unlock := func() {
		if locked != nil {
			locked.mu.Unlock()
			locked = nil
		}
	}
	defer unlock()
	now := w.run.elapsed()
	for _, e := range ended {
		switch {
		case e.id.slot == answersLost:
			unlock()
			w.run.noteAnswersLost()
		case !w.isInFlight(e.id):
			unlock()
			w.run.deliverLate(e)
		default:
			s := &w.slots[e.id.slot]
			if s.host != locked {
				unlock()
				locked = s.host
				locked.mu.Lock()
			}
			if e.verdict.state != scan.Unknown {
				w.run.noteAnswer(s.host)
			}
			s.complete(now, e.verdict)
			w.untrack(e.id.slot)
		}
	}
}

// isInFlight reports whether the attempt has not ended.
func (w *worker) isInFlight(id attemptID) bool {
	return id.slot != lateAnswer && w.slots[id.slot].busy && w.slots[id.slot].number == id.number
}

// complete passes the verdict to the host's pacer. The caller holds the host's lock.
func (s *slot) complete(now time.Duration, v verdict) {
	s.host.noteResponse(now, v)
	switch pacer := s.host.pacer; {
	case pacer == nil:
	case v.state != scan.Unknown:
		pacer.Answered(now, s.sent, s.attempt, v.answer())
	case v.cause == scan.CauseSilence && now-s.sent < pacer.Timeout(s.attempt.Kind):
		pacer.Interrupted(now, s.sent, s.attempt)
	case v.cause == scan.CauseSilence:
		pacer.TimedOut(s.sent, s.attempt)
	default:
		s.host.fail(now, s, v.cause)
	}
}

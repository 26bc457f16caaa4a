// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"time"

	"portscan_exporter/internal/engine/pace"
	"portscan_exporter/internal/scan"
)

// slot is a worker's state of a slot of its prober.
type slot struct {
	host       *host
	attempt    pace.Attempt
	number     uint32 // of the attempt
	sent       time.Duration
	next, prev int32 // in the list of its host and kind, by the time of sending
	family     uint8
	variant    uint8 // of the latest attempt
	busy       bool
}

// attemptList is a linked list of slots by time of sending; -1: none.
type attemptList struct{ first, last int32 }

// openSlots opens free slots of the family, for at most the remaining ports of a host, and returns
// the number of attempts that can be made.
func (w *worker) openSlots(family uint8, now time.Duration, remaining int) int {
	const atOnce = 16 // sockets opened per call: the start of a scan and hosts that answer need few
	for range atOnce {
		if w.free[family].count >= min(maxBatch, max(1, remaining)) || now < w.reopenAt[family] {
			break
		}
		if !w.run.share.acquire() {
			if other := 1 - family; w.free[family].count == 0 && w.free[other].count > 0 {
				w.closeSlot(other)
				continue
			}
			break
		}
		s, cause := w.prober.open(family)
		if cause != scan.CauseNone {
			w.run.share.release()
			w.refusals[family], w.reopenAt[family] = cause, now+reopenDelay
			break
		}
		w.refusals[family] = scan.CauseNone
		w.opened[family]++
		for int(s) >= len(w.slots) {
			w.slots = append(w.slots, slot{})
		}
		w.slots[s] = slot{family: family}
		w.free[family].push(s, 0)
	}
	if w.free[family].count == 0 && w.opened[family] == 0 && w.refusals[family] != scan.CauseNone {
		return 1 // which will fail with the cause
	}
	return min(maxBatch, w.free[family].count)
}

func (w *worker) closeSlot(family uint8) {
	w.prober.shut(w.free[family].pop(0))
	w.opened[family]--
	w.run.share.release()
}

// slotVariant returns the variant of slots for the attempt. Without detection of late answers,
// all slots have the same.
func (w *worker) slotVariant(attempt pace.Attempt) uint8 {
	if w.run.late == nil {
		return 0
	}
	return uint8(attempt.Variant()) //nolint:gosec // a few
}

func (w *worker) track(id attemptID, h *host, attempt pace.Attempt, now time.Duration) {
	list, s := &w.lists[h.index][attempt.Kind], id.slot
	w.slots[s] = slot{host: h, attempt: attempt, number: id.number, sent: now, next: -1, prev: list.last, family: slotFamily(h.addr), variant: w.slotVariant(attempt), busy: true}
	if list.last >= 0 {
		w.slots[list.last].next = s
	} else {
		list.first = s
	}
	list.last = s
	w.inFlight++
}

// untrack removes a slot from its list. Its prober has ended the attempt.
func (w *worker) untrack(s int32) {
	sl := &w.slots[s]
	list := &w.lists[sl.host.index][sl.attempt.Kind]
	if sl.prev >= 0 {
		w.slots[sl.prev].next = sl.next
	} else {
		list.first = sl.next
	}
	if sl.next >= 0 {
		w.slots[sl.next].prev = sl.prev
	} else {
		list.last = sl.prev
	}
	sl.busy, sl.host = false, nil
	w.inFlight--
	w.free[sl.family].push(s, sl.variant)
}

// expireAttempts ends the attempts at a host whose timeout has passed at the time up to which
// answers have been read. The caller holds its lock.
func (w *worker) expireAttempts(h *host) {
	for k := range w.lists[h.index] {
		timeout := h.pacer.Timeout(pace.Kind(k))
		for s := w.lists[h.index][k].first; s >= 0 && w.readUntil-w.slots[s].sent >= timeout; s = w.lists[h.index][k].first {
			w.run.expire(h, &w.slots[s])
			w.prober.drop(s)
			w.untrack(s)
		}
	}
}

// dropAttempts ends all attempts at a host that is done.
func (w *worker) dropAttempts(h *host) {
	for k := range w.lists[h.index] {
		for s := w.lists[h.index][k].first; s >= 0; s = w.lists[h.index][k].first {
			w.prober.drop(s)
			w.untrack(s)
		}
	}
}

// releaseExcess releases places that are due to other scans: free slots first, then those of
// the latest attempts.
func (w *worker) releaseExcess() {
	owed := w.run.share.excess()
	for ; owed > 0 && w.free[family4].count+w.free[family6].count > 0; owed-- {
		if w.free[family4].count > 0 {
			w.closeSlot(family4)
		} else {
			w.closeSlot(family6)
		}
	}
	for at := 0; owed > 0 && at < len(w.lists); at++ {
		for k := range w.lists[at] {
			for ; owed > 0 && w.lists[at][k].last >= 0; owed-- {
				w.interruptAttempt(w.lists[at][k].last)
			}
		}
	}
}

func (w *worker) interruptAttempt(s int32) {
	sl := w.slots[s]
	sl.host.mu.Lock()
	if pacer := sl.host.pacer; pacer != nil {
		pacer.Interrupted(w.run.elapsed(), sl.sent, sl.attempt)
	}
	sl.host.mu.Unlock()
	w.prober.drop(s)
	w.untrack(s)
	w.closeSlot(sl.family)
}

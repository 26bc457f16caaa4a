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
	// batch is how many attempts a lane makes at an address before it looks at
	// others and at what came back: near hosts answer within microseconds, and
	// fewer sockets in use are cheaper.
	batch = 64

	// beat is how long a lane waits at most before it looks after the hosts'
	// waits: a tenth of the shortest.
	beat = 5 * time.Millisecond

	// reopen is how long a lane does with the slots it has after one was refused.
	reopen = 50 * time.Millisecond
)

// slot is what a lane knows of one of its line's slots.
type slot struct {
	host       *host
	try        pace.Try
	number     uint32 // of the attempt
	sent       time.Duration
	next, prev int32 // in the list of its host and kind, by the time of sending
	family     uint8
	busy       bool
}

// list is slots in the order of their sending; -1 ends it.
type list struct{ first, last int32 }

// lane is one goroutine of a scan: it makes attempts at all addresses of the
// scan, with slots of its own.
type lane struct {
	run    *run
	line   line
	slots  []slot
	free   [2][]int32         // by family
	opened [2]int             // by family
	lists  [][pace.Kinds]list // by host
	ended  []ending
	heard  time.Duration // when all that had come by then had been read
	tries  [batch]pace.Try
	made   uint32 // attempts

	refused [2]scan.Cause // why no slot could be opened, by family
	until   [2]time.Duration
}

func newLane(r *run, l line) *lane {
	lane := &lane{run: r, line: l, lists: make([][pace.Kinds]list, r.all)}
	for i := range lane.lists {
		for k := range lane.lists[i] {
			lane.lists[i][k] = list{-1, -1}
		}
	}
	return lane
}

// work scans until every port is reported or ctx ends.
func (l *lane) work(ctx context.Context) {
	for ctx.Err() == nil {
		sent, late := 0, false
		hosts := l.run.hosts()
		for _, h := range hosts {
			n, wants := l.serve(h)
			late = late || wants
			// What has come is read before others are served: answers would seem to
			// be late.
			if sent += n; n > 0 && len(hosts) > 1 && !l.listen(ctx, 0) {
				return
			}
		}
		if len(hosts) == 0 && l.run.over() {
			return
		}
		if late {
			l.run.lookForLate()
		}
		l.settleDebts()
		wait := beat
		if deadline, ok := ctx.Deadline(); ok {
			wait = max(0, min(wait, time.Until(deadline)))
		}
		if sent > 0 {
			wait = 0
		}
		if !l.listen(ctx, wait) {
			return
		}
	}
}

// listen takes what has come of attempts, and waits for the first no longer than
// d. It returns false when ctx has ended, which is what may have ended them.
func (l *lane) listen(ctx context.Context, d time.Duration) bool {
	for more := true; more; d = 0 {
		begun := l.run.now()
		l.ended, more = l.line.wait(d, l.ended[:0])
		if ctx.Err() != nil {
			return false
		}
		l.endAll(l.ended)
		if !more {
			l.heard = begun
		}
	}
	return true
}

// serve looks after one host: attempts whose time is up, what can be settled,
// and the next attempts. It returns how many were made.
func (l *lane) serve(h *host) (sent int, late bool) {
	now := l.run.now()
	h.mu.Lock()
	if h.path == nil {
		h.mu.Unlock()
		l.abandon(h)
		return 0, false
	}
	l.expire(h)
	h.path.Tick(now)
	late = h.path.WantsLate(now)
	if h.path.Dark() {
		l.run.end(h)
	}
	if h.path.Done() {
		h.path = nil
		h.mu.Unlock()
		l.abandon(h)
		l.run.retire(h)
		return 0, false
	}
	tries := l.tries[:0]
	for range l.room(slotFamily(h.addr), now) {
		if !l.run.share.allows(l.run.begun.Add(now)) {
			break
		}
		try, ok := h.path.Next(now)
		if !ok {
			break
		}
		packets := l.run.engine.system.packets(l.run.plan.Ports().At(int(try.Index)))
		h.path.Extra(now, packets-1)
		l.run.share.packets(packets)
		tries = append(tries, try)
	}
	h.mu.Unlock()
	for _, try := range tries {
		l.send(h, try)
	}
	return len(tries), late
}

// room sees to it that there are free slots of the family, and returns how many
// attempts may be made.
func (l *lane) room(family uint8, now time.Duration) int {
	const atOnce = 16 // sockets opened at a look: a start needs no more, and a host that answers few
	for range atOnce {
		if len(l.free[family]) >= batch || now < l.until[family] {
			break
		}
		if !l.run.share.take() {
			if other := 1 - family; len(l.free[family]) == 0 && len(l.free[other]) > 0 {
				l.shut(other)
				continue
			}
			break
		}
		s, cause := l.line.open(family)
		if cause != scan.CauseNone {
			l.run.share.give()
			l.refused[family], l.until[family] = cause, now+reopen
			break
		}
		l.refused[family] = scan.CauseNone
		l.opened[family]++
		for int(s) >= len(l.slots) {
			l.slots = append(l.slots, slot{})
		}
		l.slots[s] = slot{family: family}
		l.free[family] = append(l.free[family], s)
	}
	if len(l.free[family]) == 0 && l.opened[family] == 0 && l.refused[family] != scan.CauseNone {
		return 1 // of which the host will hear that it could not be made
	}
	return min(batch, len(l.free[family]))
}

func (l *lane) shut(family uint8) {
	last := len(l.free[family]) - 1
	l.line.shut(l.free[family][last])
	l.free[family] = l.free[family][:last]
	l.opened[family]--
	l.run.share.give()
}

// send makes an attempt.
func (l *lane) send(h *host, try pace.Try) {
	now := l.run.now()
	family := slotFamily(h.addr)
	cause := l.refused[family]
	if free := l.free[family]; len(free) > 0 {
		l.made++
		id := attemptID{free[len(free)-1], l.made}
		cause = l.line.send(id, netip.AddrPortFrom(h.addr, l.run.plan.Ports().At(int(try.Index))), try.Variant())
		if cause == scan.CauseNone {
			l.free[family] = free[:len(free)-1]
			l.occupy(id, h, try, now)
			return
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.path != nil {
		h.path.Failed(now, now, try, cause)
	}
}

func (l *lane) occupy(id attemptID, h *host, try pace.Try, now time.Duration) {
	line, s := &l.lists[h.at][try.Kind], id.slot
	l.slots[s] = slot{host: h, try: try, number: id.number, sent: now, next: -1, prev: line.last, family: slotFamily(h.addr), busy: true}
	if line.last >= 0 {
		l.slots[line.last].next = s
	} else {
		line.first = s
	}
	line.last = s
}

// vacate takes a slot out of its list; its line has ended the attempt.
func (l *lane) vacate(s int32) {
	sl := &l.slots[s]
	line := &l.lists[sl.host.at][sl.try.Kind]
	if sl.prev >= 0 {
		l.slots[sl.prev].next = sl.next
	} else {
		line.first = sl.next
	}
	if sl.next >= 0 {
		l.slots[sl.next].prev = sl.prev
	} else {
		line.last = sl.prev
	}
	sl.busy, sl.host = false, nil
	l.free[sl.family] = append(l.free[sl.family], s)
}

// expire gives up the attempts at h that have listened for long enough, by the
// time up to which answers have been read. Its lock is held.
func (l *lane) expire(h *host) {
	for k := range l.lists[h.at] {
		hold := h.path.Hold(pace.Kind(k))
		for s := l.lists[h.at][k].first; s >= 0 && l.heard-l.slots[s].sent >= hold; s = l.lists[h.at][k].first {
			h.path.Silent(l.slots[s].sent, l.slots[s].try)
			l.line.drop(s)
			l.vacate(s)
		}
	}
}

// abandon gives up all attempts at a host that is done.
func (l *lane) abandon(h *host) {
	for k := range l.lists[h.at] {
		for s := l.lists[h.at][k].first; s >= 0; s = l.lists[h.at][k].first {
			l.line.drop(s)
			l.vacate(s)
		}
	}
}

// endAll takes what came of attempts. Answers come in bursts from one host, whose
// lock is taken once for all of them.
func (l *lane) endAll(ended []ending) {
	var locked *host
	unlock := func() {
		if locked != nil {
			locked.mu.Unlock()
			locked = nil
		}
	}
	defer unlock()
	now := l.run.now()
	for _, e := range ended {
		switch {
		case e.id.slot == answersLost:
			unlock()
			l.run.lostAnswers()
		case !l.underWay(e.id):
			unlock()
			l.run.heard(e)
		default:
			s := &l.slots[e.id.slot]
			if s.host != locked {
				unlock()
				locked = s.host
				locked.mu.Lock()
			}
			s.end(now, e.verdict)
			l.vacate(e.id.slot)
		}
	}
}

// underWay reports whether the attempt has not been given up.
func (l *lane) underWay(id attemptID) bool {
	return id.slot != lateAnswer && l.slots[id.slot].busy && l.slots[id.slot].number == id.number
}

// end tells the host's path, whose lock is held, what came of the attempt.
func (s *slot) end(now time.Duration, v verdict) {
	switch path := s.host.path; {
	case path == nil:
	case v.state != scan.Unknown:
		path.Answered(now, s.sent, s.try, v.state, v.cause)
	case v.cause == scan.CauseSilence && now-s.sent < path.Hold(s.try.Kind):
		path.Interrupted(now, s.sent, s.try)
	case v.cause == scan.CauseSilence:
		path.Silent(s.sent, s.try)
	default:
		path.Failed(now, s.sent, s.try, v.cause)
	}
}

// settleDebts gives places back that other scans have a better right to: free
// slots first, then those that have listened least.
func (l *lane) settleDebts() {
	owed := l.run.share.owes()
	for ; owed > 0 && len(l.free[family4])+len(l.free[family6]) > 0; owed-- {
		if len(l.free[family4]) > 0 {
			l.shut(family4)
		} else {
			l.shut(family6)
		}
	}
	for at := 0; owed > 0 && at < len(l.lists); at++ {
		for k := range l.lists[at] {
			for ; owed > 0 && l.lists[at][k].last >= 0; owed-- {
				l.interrupt(l.lists[at][k].last)
			}
		}
	}
}

func (l *lane) interrupt(s int32) {
	sl := l.slots[s]
	sl.host.mu.Lock()
	if path := sl.host.path; path != nil {
		path.Interrupted(l.run.now(), sl.sent, sl.try)
	}
	sl.host.mu.Unlock()
	l.line.drop(s)
	l.vacate(s)
	l.shut(sl.family)
}

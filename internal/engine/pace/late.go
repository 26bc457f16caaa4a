// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"time"

	"portscan_exporter/internal/scan"
)

// Heard takes an answer to an attempt at the port that had been given up: it is as
// good as any. First tells whether it was the port's first. Of a port that was
// reported the answer is a copy, and says nothing; and what was not asked has no
// answer.
func (p *Path) Heard(now time.Duration, index int, first bool, state scan.State, cause scan.Cause) {
	if p.done.has(index) || p.firsts[index] == 0 {
		return
	}
	p.lateCame = now
	t, sent := Try{Index: uint16(index), nth: 1}, p.firstAt(now, index) //nolint:gosec // an index of a port
	if e, ok := p.find(index); ok {
		t = e.Try
		if !first {
			sent = e.sent
		}
	}
	p.trips.sample(now - sent)
	p.canaries.heard(sent)
	if state != scan.Filtered {
		p.vouch(now, sent, t.Index, state)
	}
	p.window.answered()
	p.finish(t, scan.PortResult{State: state, Cause: cause, RTT: now - sent})
}

// find returns what waits for something of the port, the latest first: answers
// are seldom very late.
func (p *Path) find(index int) (entry, bool) {
	for _, q := range []*queue{&p.waiting[Brief], &p.waiting[Final], &p.waiting[Patient], &p.again, &p.held} {
		for i := q.used - 1; i >= 0; i-- {
			e := q.ring[(q.first+i)&(len(q.ring)-1)]
			if int(e.Index) != index {
				continue
			}
			if q == &p.again {
				e.sent -= apart
			}
			return e, true
		}
	}
	return entry{}, false
}

// release settles ports whose silence has lasted: the first attempt that counts
// has been listened for as long as any may be, and the last one for longer than
// answers have been seen to take.
func (p *Path) release(now instant) {
	for p.held.used > 0 {
		e, last := p.held.front(), p.lastWait()
		if e.Kind == Patient {
			last = p.spec.PortTimeout
		}
		if now < e.sent+last || now < p.firstAt(now, int(e.Index))+grain+p.spec.PortTimeout {
			return
		}
		switch one := p.held.pop(); {
		case p.done.has(int(one.Index)):
		case !p.canaries.known():
			p.darken(one)
		case one.dark, one.pace != p.quota.nth: // it was silent before the address answered first, or at a faster pace
			one.counted, one.evidence, one.dark = 0, 0, false
			p.again.push(one)
		default:
			p.finish(one.Try, p.silent())
		}
	}
}

// lookEvery is how often the window is looked at: as often as a first attempt is
// over, or, where that is not what its answer takes, as answers come.
func (p *Path) lookEvery() time.Duration {
	const (
		often = 15 * time.Millisecond
		trips = 4 // round trips: what is sent now is answered by then
	)
	if p.hears && p.trips.known() {
		return min(max(trips*(p.trips.mean+4*p.trips.variance), often), p.Hold(Brief))
	}
	return p.Hold(Brief)
}

// lastWait is how long the last attempt at a port is listened for: as long as any
// may be, once answers have come that were not waited for.
func (p *Path) lastWait() time.Duration {
	if p.lateCame >= 0 {
		return p.spec.PortTimeout
	}
	return p.trips.final(p.spec.PortTimeout)
}

// grain is how exactly first attempts are remembered, two bytes each, 0 for none:
// after nine minutes the count comes round, and no answer is as late.
const grain = 8 * time.Millisecond

// noteFirst notes when the first attempt at a port was made that still counts.
func (p *Path) noteFirst(index int, sent instant) {
	if p.firsts != nil {
		p.firsts[index] = max(1, uint16(sent/grain)+1) //nolint:gosec // it comes round
	}
}

// firstAt returns when that was, by grain at most too early.
func (p *Path) firstAt(now instant, index int) instant {
	ago := uint16(now/grain) + 1 - p.firsts[index] //nolint:gosec // it comes round
	return (now/grain - instant(ago)) * grain
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"math"
	"time"

	"portscan_exporter/internal/scan"
)

// AnsweredLate handles an answer that came after the timeout of the attempt, like any other
// answer. first is set for the port's first attempt. Answers of reported ports are copies and
// are ignored, as are those of ports that were not tried.
func (p *Pacer) AnsweredLate(now time.Duration, index int, first bool, a Answer) {
	if p.done.has(index) || p.firstSent[index] == 0 {
		return
	}
	p.lastLate = now
	t, sent := Attempt{Index: uint16(index), number: 1}, p.firstSentAt(now, index) //nolint:gosec // an index of a port
	e, lastSent := p.findPending(index)
	if e != nil {
		t = e.Attempt
		if !first {
			sent = lastSent
		}
	}
	p.roundTrips.update(now - sent)
	origin := t
	switch {
	case e != nil:
		e.ended = true
	case a.State == scan.Filtered && !p.udp && p.hasAnswered() && !p.isSilent(index):
		return // the attempt in flight decides, because this result could be withdrawn before its end
	default:
		origin.number = uint8(min(p.open.limit, math.MaxUint8)) //nolint:gosec // the number of attempts is unknown
	}
	p.noteOrigin(now, sent, &origin, a)
	p.window.answered()
	p.samples.add(&t, a.State)
	p.reportAnswer(t, sent, scan.PortResult{State: a.State, Cause: a.Cause, ICMP: a.ICMP, RTT: now - sent})
}

// isEnded reports whether the port of an attempt in a queue was answered late.
func (p *Pacer) isEnded(t *Attempt) bool { return t.ended || p.done.has(int(t.Index)) }

// findPending returns the pending attempt at a port and its time, or nil. It starts with the
// latest, because few answers are very late.
func (p *Pacer) findPending(index int) (e *pendingAttempt, sent instant) {
	for _, q := range []*queue{&p.waiting[Short], &p.waiting[Final], &p.waiting[Full], &p.retries, &p.held} {
		for i := q.used - 1; i >= 0; i-- {
			e := &q.ring[(q.first+i)&(len(q.ring)-1)]
			if int(e.Index) != index || e.ended {
				continue
			}
			if q == &p.retries {
				return e, e.sent - retryInterval
			}
			return e, e.sent
		}
	}
	return nil, 0
}

// releaseHeld reports silent ports after port_timeout from the first attempt that counts, and
// the final timeout from the last.
func (p *Pacer) releaseHeld(now instant) {
	for p.held.used > 0 {
		e, last := p.held.front(), p.finalTimeout()
		if p.isEnded(&e.Attempt) { // and may be a canary by now
			p.held.pop()
			continue
		}
		if e.Kind == Full {
			last = p.spec.PortTimeout
		}
		if now < e.sent+last || now < p.firstSentAt(now, int(e.Index))+grain+p.spec.PortTimeout {
			return
		}
		switch one := p.held.pop(); {
		case one.beforeAnswer && p.hasAnswered(): // silent before the address first answered
			one.forgetSilences()
			one.beforeAnswer = false
			p.retries.push(one)
		case p.quota.isActive() && !p.isVouched(&one.Attempt, p.estimateLoss(now)):
			p.retries.push(one)
		default:
			p.settleSilent(one)
		}
	}
}

// recordTimeout records the timeout of a silent attempt.
func (p *Pacer) recordTimeout(t *Attempt) {
	listened := min(p.Timeout(t.Kind).Milliseconds(), math.MaxUint16)
	t.listened = max(t.listened, uint16(listened)) //nolint:gosec // no more than fits
}

// listenedFor reports whether a silent attempt at the port had a timeout of at least the given
// time of an answer. Otherwise their answers may have been late and not lost.
func (p *Pacer) listenedFor(t *Attempt, roundTrip time.Duration) bool {
	return p.receivesLate || roundTrip.Milliseconds() <= int64(t.listened)
}

// needsFull reports whether only attempts with the complete port_timeout are evidence: others
// may have been answered late, and the next attempt may be lost.
func (p *Pacer) needsFull(loss float64) bool {
	return loss > noLoss && p.lastLate >= 0 && !p.receivesLate
}

// adjustInterval returns the interval of adjustments of the window: the short timeout, or a
// few round trips if late answers are received.
func (p *Pacer) adjustInterval() time.Duration {
	const (
		often = 15 * time.Millisecond
		trips = 4 // round trips, after which attempts are answered
	)
	if p.receivesLate && p.roundTrips.isKnown() {
		return min(max(trips*(p.roundTrips.srtt+4*p.roundTrips.rttvar), often), p.Timeout(Short))
	}
	return p.Timeout(Short)
}

// finalTimeout returns the timeout of the last attempt at a port: port_timeout after a late
// answer.
func (p *Pacer) finalTimeout() time.Duration {
	if p.lastLate >= 0 {
		return p.spec.PortTimeout
	}
	return p.roundTrips.final(p.spec.PortTimeout)
}

// grain is the resolution of the times of first attempts, which have two bytes each; 0: none.
// They overflow after nine minutes, and no answer is as late.
const grain = 8 * time.Millisecond

// recordFirst records the time of the first attempt at a port that counts.
func (p *Pacer) recordFirst(index int, sent instant) {
	if p.firstSent != nil {
		p.firstSent[index] = max(1, uint16(sent/grain)+1) //nolint:gosec // overflows
	}
}

// firstSentAt returns that time, at most one grain too early.
func (p *Pacer) firstSentAt(now instant, index int) instant {
	ago := uint16(now/grain) + 1 - p.firstSent[index] //nolint:gosec // overflows
	return (now/grain - instant(ago)) * grain
}

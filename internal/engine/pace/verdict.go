// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"math"
	"time"

	"portscan_exporter/internal/scan"
)

const (
	// sure is the chance in the negative tenths of powers of ten that loss alone
	// has made a port silent, at which it is believed filtered: one in a million,
	// since there are many ports. Where no more attempts are allowed, one in a
	// thousand will do; else it is unknown.
	sure, doubtful = 60, 30

	// noLoss is the share of lost attempts that is taken for granted.
	noLoss = 0.001
)

// weigh judges silent attempts in the order in which they were made, until one
// whose time has not come.
func (p *Path) weigh(now instant, q *queue) {
	for q.used > 0 {
		e := q.front()
		proof := answered // of an address that has never answered there is none to be had
		if p.canaries.known() {
			proof = p.canaries.proof(e.sent)
		}
		if proof == pending {
			return
		}
		one := q.pop()
		if p.done.has(int(one.Index)) {
			continue // it was heard late
		}
		known := p.canaries.known()
		if known && one.dark { // what was taken for granted then
			one.counted, one.evidence = 0, 0
		}
		one.dark = !known
		one.vain = one.vain || one.pace != p.quota.nth
		one.count(p.quota.nth)
		loss := p.loss(now)
		if lost := p.unproven(&one.Try, one.sent); proof == answered && !one.vain && !lost {
			if one.counted == 0 {
				p.noteFirst(int(one.Index), one.sent)
			}
			one.counted++
			one.evidence = uint8(min(int(one.evidence)+weight(loss), math.MaxUint8)) //nolint:gosec // no more than fits
		}
		p.judge(one, loss)
	}
}

// loss estimates the share of attempts that are lost, from the canaries and from
// the answers that took a retry.
func (p *Path) loss(now instant) float64 {
	seen := max(p.canaries.loss(now), p.canaries.lossInAll(), noLoss)
	if !p.udp || !p.canaries.resets {
		return max(seen, p.retried.share(now))
	}
	// The budget may lose any number of answers: that few were seen to be lost says
	// nothing where few came.
	p.retried.fade(now)
	return max(seen, (p.retried.retried+p.canaries.lost+1)/(p.retried.answers+float64(p.canaries.sentInAll)+2))
}

// judge decides what becomes of a port after a silent attempt, where so large a
// share of attempts is lost.
func (p *Path) judge(e entry, loss float64) {
	need := 1 + min(1, p.spec.Retries)
	if loss > noLoss {
		need = 1 + p.spec.Retries
	}
	counted := int(e.counted)
	// What was thought of the losses when a port was silent first may have been
	// too good, with few canaries; and what is thought now, of the losses then.
	evidence := min(int(e.evidence), counted*weight(loss))
	switch {
	case counted >= need && evidence >= sure, counted > p.spec.MaxRetries && evidence >= doubtful:
		p.believe(e)
	case counted > p.spec.MaxRetries:
		p.finish(e.Try, scan.PortResult{Cause: scan.CauseUnresponsive})
	default:
		if e.Kind == Brief {
			e.Kind = Final
		}
		e.sent += apart
		p.again.push(e)
	}
}

// believe takes a port's silence to mean something; but not before late answers
// are ruled out, and nothing is said of an address that can't be vouched for until
// the end.
func (p *Path) believe(e entry) {
	switch {
	case p.hears:
		p.held.push(e)
	case !p.canaries.known():
		p.darken(e)
	case p.Hold(e.Kind) < p.spec.PortTimeout && e.sent <= p.lateCame:
		p.askPatiently(e)
	case p.Hold(e.Kind) < p.spec.PortTimeout:
		p.held.push(e)
	default:
		p.finish(e.Try, p.silent())
	}
}

func (p *Path) darken(e entry) {
	if p.dark == nil {
		p.dark = newBitset(p.order.ports)
	}
	p.dark.set(int(e.Index))
	p.darkened++
}

// silent is what silence means that means something.
func (p *Path) silent() scan.PortResult {
	if p.udp {
		return scan.PortResult{State: scan.OpenFiltered, Cause: scan.CauseSilence}
	}
	return scan.PortResult{State: scan.Filtered, Cause: scan.CauseSilence}
}

// WantsLate tells whether a port waits to hear from [Path.Late] that no answer
// came after it was given up.
func (p *Path) WantsLate(now time.Duration) bool {
	return p.late && p.held.used > 0 && p.held.front().sent+p.spec.PortTimeout <= now
}

// Late tells whether answers have come, since the last call, to attempts that
// had been given up. If so, whatever was made before now and would be filtered
// is tried once more, with all the patience there is; if not, it is filtered.
func (p *Path) Late(now time.Duration, came bool) {
	if came {
		p.lateCame = now
	}
	for p.held.used > 0 && (came || p.held.front().sent+p.spec.PortTimeout <= now) {
		e := p.held.pop()
		if came {
			p.askPatiently(e)
			continue
		}
		p.finish(e.Try, p.silent())
	}
}

// askPatiently tries a port once more that may have answered late.
func (p *Path) askPatiently(e entry) {
	e.Kind = Patient
	e.sent += apart
	p.again.push(e)
}

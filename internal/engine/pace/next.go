// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import "time"

// Next returns the next attempt if one must be made now.
func (p *Pacer) Next(now time.Duration) (Attempt, bool) {
	if p.IsDone() || p.inFlight >= p.spec.MaxInFlight || p.isPaused(now, p.inFlight) || !p.rateLimit.Allows(now) {
		return Attempt{}, false
	}
	t, ok := p.selectAttempt(now)
	if !ok {
		return Attempt{}, false
	}
	t.number = min(t.number, 254) + 1
	if t.number == 1 && t.Kind != Canary {
		p.recordFirst(int(t.Index), now)
	}
	p.rateLimit.Reserve(now, 1)
	p.darkLimit.Reserve(now, 1)
	p.inFlight++
	if p.attemptCount == 0 {
		p.firstAttempt = now
	}
	p.attemptCount++
	t.sequence = uint32(p.attemptCount) //nolint:gosec // fewer than a million ports and retries
	p.sinceCanary++
	t.sentTick = p.window.send(now)
	return t, true
}

// AddPackets counts the packets of an attempt other than the first.
func (p *Pacer) AddPackets(now time.Duration, packets int) {
	p.rateLimit.Reserve(now, packets)
	p.darkLimit.Reserve(now, packets)
	p.attemptCount += packets
}

// selectAttempt returns the next attempt. A few others precede a canary that is due, because
// the first packet after a pause is not affected by a target's rate limit.
func (p *Pacer) selectAttempt(now instant) (Attempt, bool) {
	if p.quota.isActive() {
		return p.selectInRound(now)
	}
	if t, ok := p.selectCheck(now); ok {
		return t, true
	}
	if t, ok := p.selectConfirmation(now); ok {
		return t, true
	}
	due := p.canaryDue(now)
	if !due || p.overdue < canaryDelay && !p.isSuspended() {
		if t, ok := p.selectPort(now); ok {
			if due {
				p.overdue++
			}
			return t, true
		}
	}
	if !due {
		return Attempt{}, false
	}
	p.sinceCanary, p.overdue = 0, 0
	return Attempt{Index: p.canaries.pick(), Kind: Canary, mark: p.canaries.add(now, pending)}, true
}

// isSuspended reports whether only canaries and checks are made, because the address may have
// stopped answering.
func (p *Pacer) isSuspended() bool {
	inDoubt := !p.canaries.isKnown() && p.open.missed > 0 && p.open.attemptsLeft() > 1
	return inDoubt || p.canaries.isSilent() || p.rejects.alarm
}

func (p *Pacer) selectPort(now instant) (Attempt, bool) {
	if p.isSuspended() || !p.window.allows(now, p.Timeout(Short)) || !p.roundTrips.isKnown() && !p.darkLimit.Allows(now) {
		return Attempt{}, false
	}
	// Retries and untried ports alternate, so that long and short timeouts share the
	// sockets. If late answers are received, untried ports go first.
	p.preferUntried = !p.preferUntried
	if p.preferUntried || p.receivesLate && p.retries.used < p.maxQueued {
		if t, ok := p.nextUntried(); ok {
			return t, true
		}
	}
	if t, ok := p.nextRetry(now); ok {
		return t, true
	}
	return p.nextUntried()
}

// nextRetry returns the retry that is due first.
func (p *Pacer) nextRetry(now instant) (Attempt, bool) {
	for p.retries.used > 0 && p.isDue(now, p.retries.front()) {
		e := p.retries.pop()
		if p.isEnded(&e.Attempt) {
			continue
		}
		p.dropUnproven(&e.Attempt, e.sent-retryInterval)
		return e.Attempt, true
	}
	return Attempt{}, false
}

// nextUntried returns an attempt at a port that has not been tried in this walk.
func (p *Pacer) nextUntried() (Attempt, bool) {
	for {
		index, watched, ok := p.ports.next()
		if !ok {
			return Attempt{}, false
		}
		if p.done.has(index) || p.isSilent(index) {
			continue
		}
		t := Attempt{Index: uint16(index)} //nolint:gosec // an index of a port
		switch {
		case watched:
			t.Kind = Full
		case p.spec.Retries == 0:
			t.Kind = Final
		}
		return t, true
	}
}

// canaryDue reports whether the path must be tested: attempts are silent, and enough time or
// attempts have passed since the last test.
func (p *Pacer) canaryDue(now instant) bool {
	if !p.canaries.isKnown() || p.canaries.isCrowded() {
		return false
	}
	since := now - p.canaries.lastSent()
	if p.isSuspended() {
		return since >= 2*canaryInterval || p.canaries.lastSent() < p.rejects.alarmAt
	}
	if (p.inFlight == 0 || p.remaining == p.silentCount) && !p.hasWaiting() {
		return false // no silence to evaluate, or only canaries are in flight
	}
	return since >= canaryInterval || p.sinceCanary >= maxCanaryGap
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"math"
	"time"

	"portscan_exporter/internal/scan"
)

// unusualSilence is the number of attempts without an answer before the first reject from which
// an address without closed ports drops by default, so that the reject may be a ban.
const unusualSilence = 3

// rejects are TCP ports that were rejected by ICMP after the address itself has answered. They
// are reported at once, but a filter that has blocked the scanner rejects all ports. So they
// are verified like silence: by canaries before and after, or by a check.
type rejects struct {
	unproven queue
	proven   queue
	limited  bool // a filter rejects some attempts at closed ports, so rejects prove nothing

	seen    bool // a port was rejected
	unusual bool // the first reject may have been a ban
	run     int  // rejects since the last answer of the address itself
	allowed int  // number of those that do not raise the alarm
	alarm   bool
	alarmAt instant

	confirmation confirmation
}

// closedPorts are ports that were closed after an attempt at a port was answered open. They are
// verified by another such answer: a filter that has blocked the scanner may reset all
// connections.
type closedPorts struct {
	recent, older struct {
		ports bitset // nil: none
		last  instant
	}
	since instant // of recent
	count int     // since the last attempt that was answered open
}

// add records a port whose attempt was made at sent.
func (c *closedPorts) add(ports, index int, sent instant) {
	const span = 50 * time.Millisecond // of recent
	if sent-c.since > span {
		c.merge()
		c.since = sent
	}
	if c.recent.ports == nil {
		c.recent.ports = newBitset(ports)
	}
	c.recent.ports.set(index)
	c.recent.last = max(c.recent.last, sent)
	c.count++
}

// merge adds the recent ports to the older ones.
func (c *closedPorts) merge() {
	if c.older.ports == nil {
		c.older, c.recent.ports = c.recent, nil
		return
	}
	for i := range c.recent.ports {
		c.older.ports[i] |= c.recent.ports[i]
		c.recent.ports[i] = 0
	}
	c.older.last = max(c.older.last, c.recent.last)
}

// verify drops the ports whose attempts were all made before an attempt that was answered open.
func (c *closedPorts) verify(sent instant) {
	c.count = 0
	if sent > c.older.last {
		c.older.ports = nil
	}
	if sent > c.recent.last {
		c.recent.ports = nil
	}
}

func (c *closedPorts) isEmpty() bool { return c.older.ports == nil && c.recent.ports == nil }

// all returns the ports.
func (c *closedPorts) all() bitset {
	c.merge()
	return c.older.ports
}

// noteAnswer notes an answer of the address itself to an attempt made at sent.
func (r *rejects) noteAnswer(sent instant) {
	r.run = 0
	if sent >= r.alarmAt {
		r.alarm = false
	}
}

// prove accepts those whose attempts were made before the given time.
func (r *rejects) prove(until instant) {
	for r.unproven.used > 0 && r.unproven.front().sent < until {
		r.proven.push(r.unproven.pop())
	}
}

// noteLimit notes that a filter rejects some attempts at a port that it lets through at other
// times, for example beyond a rate. All rejects are doubtful then.
func (r *rejects) noteLimit() {
	r.limited = true
	for r.proven.used > 0 {
		r.unproven.push(r.proven.pop())
	}
}

// noteReject notes an ICMP error in answer to an attempt. It raises the alarm if the address
// answered otherwise before: the next attempt is a canary or a check, and the others wait.
func (p *Pacer) noteReject(now instant, t *Attempt) {
	r := &p.rejects
	if !r.seen {
		r.seen, r.unusual = true, p.hasAnswered() && int(t.sequence)-p.samples.own.answered > unusualSilence
	}
	if !p.hasAnswered() || r.alarm {
		return
	}
	r.run++
	if r.run >= r.allowed && (p.canaries.isKnown() || r.unusual && p.open.attemptsLeft() > 0) {
		r.alarm, r.alarmAt = true, now
	}
}

// reportAnswer reports the answer to an attempt at a port, and records what has to verify it.
func (p *Pacer) reportAnswer(t Attempt, sent instant, r scan.PortResult) {
	switch {
	case p.udp || !p.hasAnswered():
	case r.State == scan.Filtered:
		p.rejects.unproven.push(pendingAttempt{t, sent})
	case r.State == scan.Closed && p.open.isKnown():
		p.closed.add(p.order.ports, int(t.Index), sent)
	default:
	}
	p.reportPort(t, r)
	p.noteKnown(t.Index, r.State)
}

// evaluateRejects evaluates rejected ports in the order of their attempts, like silent ones.
func (p *Pacer) evaluateRejects() {
	for !p.ended && p.canaries.isKnown() && p.rejects.unproven.used > 0 {
		proof := p.canaries.proof(p.rejects.unproven.front().sent)
		if proof == pending {
			return
		}
		e := p.rejects.unproven.pop()
		if proof == answered && !p.rejects.limited {
			p.rejects.proven.push(e)
		} else {
			p.reopen(e)
		}
	}
}

// reopen withdraws the result of a rejected port. The port is tried again.
func (p *Pacer) reopen(e pendingAttempt) {
	if port := p.planPorts.At(int(e.Index)); int(e.number) > p.spec.MaxRetries {
		r := scan.PortResult{Port: port, Cause: scan.CauseUnresponsive}
		if p.last != nil && p.last.Ports == nil && p.last.Port == port {
			p.last = &r
			return
		}
		p.report(r)
		return
	}
	p.withdrawPort(&e)
	e.sent += retryInterval + grain
	p.retries.push(e)
}

// markSilent records a port that was silent after all attempts, the last of which was made at
// the given time, until [Pacer.verifySilence] reports it or its silence proves nothing.
func (p *Pacer) markSilent(e pendingAttempt) {
	if p.silentPorts == nil {
		p.silentPorts = newBitset(p.order.ports)
	}
	p.silentPorts.set(int(e.Index))
	p.silentCount++
	p.silentSince = max(p.silentSince, e.sent)
}

func (p *Pacer) isSilent(index int) bool { return p.silentPorts != nil && p.silentPorts.has(index) }

// forgetSilent drops the recorded ports, which have to be tried again.
func (p *Pacer) forgetSilent() { p.silentPorts, p.silentCount, p.silentSince = nil, 0, 0 }

// verifySilence reports the silent ports if all attempts at them were made before an attempt
// that the address itself has answered.
func (p *Pacer) verifySilence(sent instant) {
	if p.silentCount > 0 && p.hasAnswered() && sent > p.silentSince {
		p.reportSilent()
	}
}

// endWalk ends a walk over all ports, after the last check. Silence is accepted if no check
// could be made, but not if the last ones were missed.
func (p *Pacer) endWalk(now instant) {
	switch {
	case p.hasAnswered() && p.open.missed > 0 && !p.canaries.isKnown():
		p.endUnresponsive()
	case p.hasAnswered() && p.remaining == p.silentCount:
		p.verifySilence(math.MaxInt64)
		p.rejects.prove(math.MaxInt64)
		p.releaseLast()
	case now >= p.walkAfter:
		p.restartWalk()
	}
}

// endUnresponsive ends the scan of an address that has stopped answering. Answers of the
// address itself stay; ports that were rejected since the last one are unknown.
func (p *Pacer) endUnresponsive() { p.endWithdrawing(nil) }

// endBanned ends the scan of an address whose open ports are now refused. Ports that were closed
// or rejected since an open one last answered are unknown.
func (p *Pacer) endBanned() { p.endWithdrawing(p.closed.all()) }

// endWithdrawing ends the scan: the given ports, rejected ones that are not verified, and all
// remaining ones are unresponsive.
func (p *Pacer) endWithdrawing(ports bitset) {
	p.withdraw(ports, scan.CauseUnresponsive)
	p.reportRemaining(scan.PortResult{Cause: scan.CauseUnresponsive})
}

// withdraw reports ports as unknown that were reported with another state: the given ones and
// those whose rejection is not verified. It ends the scan.
func (p *Pacer) withdraw(ports bitset, cause scan.Cause) {
	p.ended, p.inFlight = true, 0
	p.releaseLast()
	mask := newBitset(p.order.ports)
	copy(mask, ports)
	for p.rejects.unproven.used > 0 {
		mask.set(int(p.rejects.unproven.pop().Index))
	}
	for i := range mask {
		mask[i] &= p.done[i] // and not tried again since
	}
	if set := p.planPorts.Select(mask); !set.IsEmpty() {
		p.report(scan.PortResult{Ports: &set, Cause: cause})
	}
}

// settled reports whether no check or canary has to verify a reported result.
func (p *Pacer) settled() bool {
	return p.ended || !p.open.active && p.rejects.unproven.used == 0 && !p.wantsCheck()
}

// releaseLast reports the result that was held back.
func (p *Pacer) releaseLast() {
	if r := p.last; r != nil {
		p.last = nil
		r.Attempts = max(r.Attempts, p.attemptCount-p.reportedAttempts)
		p.reportedAttempts += r.Attempts
		p.report(*r)
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"errors"
	"time"

	"portscan_exporter/internal/scan"
)

const (
	// retryInterval is the minimum time between two attempts at a port, so that a short
	// outage affects only one of them.
	retryInterval = 250 * time.Millisecond

	// darkRate is the maximum rate, in packets per second, to an address that has not
	// answered: it could fill the connection table of a firewall.
	darkRate = 30000

	// maxCanaryGap is the maximum number of attempts between canaries.
	maxCanaryGap = 500

	// maxQueuedPorts is the maximum number of ports of all addresses that wait for a retry
	// while untried ports go first. It limits the use of memory.
	maxQueuedPorts = 1 << 17

	// canaryDelay is the number of attempts that precede a canary that is due.
	canaryDelay = 32
)

// Report takes the result of a port, or the common result of several ports, without the
// address.
type Report func(r scan.PortResult)

// Pacer controls the scan of one address. Use [NewPacer]; it may be used by one goroutine at
// a time.
type Pacer struct {
	spec         scan.Spec
	order        *Order
	planPorts    scan.PortSet
	ports        cursor
	report       Report
	detectsLate  bool // see [Options]
	receivesLate bool // see [Options]
	maxQueued    int  // maximum number of ports that wait for a retry while untried ones go first
	udp          bool

	remaining   int
	skipped     int // ports that are not part of the scan
	done        bitset
	silentPorts bitset  // silent after all attempts; their silence is not verified yet
	silentCount int     // number of those
	walkAfter   instant // earliest time of the next walk over them
	silentSince instant // sending time of the latest attempt at one of them

	open          openPorts
	rejects       rejects
	closed        closedPorts
	closedAllowed int // number of closed ports after which an open one is checked
	known         knownStates
	last          *scan.PortResult // result that completes the scan, held back until the last check; nil: none
	ended         bool

	inFlight         int
	attemptCount     int // attempts made
	firstAttempt     instant
	reportedAttempts int // attempts reported with results
	window           window
	roundTrips       roundTrips
	canaries         canaries
	retryLoss        recentCount // answers, and those that needed a retry
	samples          samples
	hostSeen         bool
	rateLimit        RateLimit
	darkLimit        RateLimit // before the address first answers
	quota            quota     // of a target that limits its ICMP errors
	sinceCanary      int       // number of attempts since the last canary
	overdue          int       // number of those since the next canary was due
	preferUntried    bool      // alternates between retries and untried ports

	waiting [Kinds]queue // silent, and wait for the next canary to be settled
	retries queue        // wait for the next attempt
	held    queue        // silent after all attempts; reported unless late answers arrive

	lastLate  instant  // time of the last late answer; negative: none
	lostAt    instant  // time at which answers were last lost; negative: never
	firstSent []uint16 // times of the first attempts, see recordFirst; nil without ReceivesLate

	localErrors
}

// Options are the options of [NewPacer].
type Options struct {
	Plan         scan.Plan
	Order        *Order
	Seed         uint32
	Report       Report
	Known        scan.Known   // result of the last complete scan of the address
	Done         scan.PortSet // ports that are neither tried nor reported
	DetectsLate  bool         // the caller detects that late answers came, and calls [Pacer.LateChecked]
	ReceivesLate bool         // the caller receives late answers, and calls [Pacer.AnsweredLate]

	// Addresses is the number of addresses that are scanned at once and share memory.
	// Default: 1.
	Addresses int

	// Lag is the maximum delay with which the caller reads an answer. 0: answers are read
	// as they arrive.
	Lag time.Duration
}

// NewPacer returns a pacer for one address.
func NewPacer(o Options) (*Pacer, error) {
	if o.Plan.IsZero() || o.Order == nil || o.Report == nil || o.Lag < 0 || o.DetectsLate && o.ReceivesLate {
		return nil, errors.New("pace.NewPacer: Plan, Order and Report are required, Lag must not be negative, and DetectsLate excludes ReceivesLate")
	}
	n := o.Plan.Ports().Len()
	spec := o.Plan.Spec()
	p := &Pacer{
		spec: spec, order: o.Order, planPorts: o.Plan.Ports(), ports: cursor{order: o.Order, seed: o.Seed}, report: o.Report,
		detectsLate: o.DetectsLate, receivesLate: o.ReceivesLate, maxQueued: maxQueuedPorts / max(1, o.Addresses), udp: spec.Protocol == scan.UDP,
		remaining: n, lastLate: -1, lostAt: -1, roundTrips: roundTrips{lag: o.Lag}, done: newBitset(n), window: newWindow(spec.MaxInFlight),
		rateLimit: NewRateLimit(spec.Rate), darkLimit: NewRateLimit(darkRate),
		open: openPorts{limit: spec.MaxOpenAttempts}, closedAllowed: closedCheck, rejects: rejects{allowed: 1}, known: newKnownStates(o.Known),
	}
	if o.ReceivesLate {
		p.firstSent = make([]uint16, n)
	}
	p.skip(o.Done)
	return p, nil
}

// skip excludes ports from the scan.
func (p *Pacer) skip(ports scan.PortSet) {
	for port := range ports.All() {
		if i, ok := p.planPorts.Index(port); ok {
			p.done.set(i)
			p.skipped++
		}
	}
	p.remaining -= p.skipped
}

// IsDone reports whether all ports have been reported, and their results are verified.
func (p *Pacer) IsDone() bool { return p.remaining == 0 && p.last == nil }

// Remaining returns the number of ports that have not been reported.
func (p *Pacer) Remaining() int { return p.remaining }

// Timeout returns the current timeout of attempts of a kind.
func (p *Pacer) Timeout(k Kind) time.Duration {
	switch {
	case k == Short, k != Canary && p.receivesLate && !p.udp: // late answers are received for the rest of port_timeout
		return p.roundTrips.short(p.spec.PortTimeout)
	case k == Canary && p.receivesLate:
		return p.finalTimeout()
	case k == Canary, k == Retry, p.receivesLate, k == Final && p.detectsLate:
		return p.roundTrips.final(p.spec.PortTimeout)
	default:
		return p.spec.PortTimeout
	}
}

// Answered ends an attempt that was made at sent with an answer.
func (p *Pacer) Answered(now, sent time.Duration, t Attempt, a Answer) {
	p.inFlight--
	p.resume()
	p.window.remove(t.sentTick)
	p.roundTrips.update(now - sent)
	if t.check {
		p.settleCheck(sent, &t, answered, a)
		return
	}
	if t.Kind == Canary {
		p.settleCanary(now, sent, &t, a)
		return
	}
	p.window.answered()
	p.noteOrigin(now, sent, &t, a)
	p.endConfirmation(&t, a.State != scan.Filtered)
	if p.done.has(int(t.Index)) {
		return // answered late
	}
	p.samples.add(&t, a.State)
	p.sampleLoss(now, sent, &t, a.State)
	p.reportAnswer(t, sent, scan.PortResult{State: a.State, Cause: a.Cause, ICMP: a.ICMP, RTT: now - sent})
}

// sampleLoss adds an answer to the sample of answers that needed a retry. Silence of a path that
// did not work is no evidence of loss. In UDP scans few retries answer at the same time as first
// attempts, so only the first retry counts.
func (p *Pacer) sampleLoss(now, sent instant, t *Attempt, state scan.State) {
	retry := t.silences > 0 && !t.beforeAnswer && p.listenedFor(t, now-sent)
	own := state != scan.Filtered
	if p.udp {
		retry, own = retry && t.silences == 1, true
	}
	if own && (retry || t.number == 1) {
		p.retryLoss.decay(now, 0)
		p.retryLoss.add(retry)
	}
}

// noteOrigin notes what an answer shows about the address.
func (p *Pacer) noteOrigin(now, sent instant, t *Attempt, a Answer) {
	switch {
	case p.udp:
		p.noteICMP(now, sent, t, a.State)
		return
	case a.State == scan.Filtered:
		p.noteReject(now, t)
		return
	}
	p.canaries.noteAnswer(sent)
	before := p.hasAnswered()
	p.offerCanary(now, sent, t, a.State)
	if !before && p.hasAnswered() {
		p.forgetSilent()
	}
	p.rejects.noteAnswer(sent)
	p.verifySilence(sent)
}

// HostSeen notes an answer of the address itself, or of a filter that rejects attempts at
// it, and not the ICMP error of a router that has no route or no neighbor for it.
func (p *Pacer) HostSeen() { p.hostSeen = true }

// TimedOut ends an attempt that was made at sent and had no answer within [Pacer.Timeout].
func (p *Pacer) TimedOut(sent time.Duration, t Attempt) {
	p.inFlight--
	p.resume()
	if t.check {
		p.settleCheck(sent, &t, missed, Answer{})
		return
	}
	if t.Kind == Canary {
		p.missCanary(sent, &t)
		return
	}
	p.endConfirmation(&t, false)
	p.recordTimeout(&t)
	t.full = p.Timeout(t.Kind) >= p.spec.PortTimeout
	p.waiting[t.Kind].push(pendingAttempt{t, sent})
}

// Interrupted ends an attempt before its timeout without evidence. The port is tried again.
func (p *Pacer) Interrupted(now, sent time.Duration, t Attempt) {
	p.inFlight--
	p.window.remove(t.sentTick)
	if t.Kind == Canary {
		p.settleInconclusive(sent, &t, true)
		return
	}
	p.endConfirmation(&t, false)
	p.retries.push(pendingAttempt{t, now})
}

// Tick evaluates silent attempts and reports ports. It must be called before [Pacer.Next],
// after each event and every few milliseconds.
func (p *Pacer) Tick(now time.Duration) {
	for k := range p.waiting {
		p.evaluateSilent(now, &p.waiting[k])
	}
	if p.receivesLate {
		p.releaseHeld(now)
	}
	p.evaluateRejects()
	if !p.quota.isActive() {
		loss := 0.0 // checks are too few to follow
		if p.canaries.isKnown() {
			loss = p.canaries.recentLoss(now)
		}
		p.window.adjust(now, p.adjustInterval(), loss)
	}
	switch {
	case p.IsDone():
	case p.isGone(now):
		p.endUnresponsive()
	case p.awaitsCheck() && !p.open.active && p.open.attemptsLeft() == 0:
		p.endBanned()
	case p.isStuck(now):
		p.reportRemaining(scan.PortResult{Cause: p.cause})
	case p.isIdle() && !p.open.active && !p.needsCheck():
		p.endWalk(now)
	}
}

// isGone reports whether the address has stopped answering.
func (p *Pacer) isGone(now instant) bool {
	switch {
	case p.udp:
		return p.quota.isGone(now)
	case p.canaries.isKnown():
		return p.canaries.isGone(now)
	}
	return p.open.missed >= goneMisses
}

// isIdle reports whether there is no attempt left to make or to evaluate, other than a check.
func (p *Pacer) isIdle() bool {
	return p.inFlight == 0 && (p.remaining == 0 || p.ports.isDone()) && p.retries.used == 0 && p.held.used == 0 && !p.hasWaiting()
}

// hasWaiting reports whether results wait for the next canary to be settled.
func (p *Pacer) hasWaiting() bool {
	for k := range p.waiting {
		if p.waiting[k].used > 0 {
			return true
		}
	}
	return p.canaries.isKnown() && (p.rejects.unproven.used > 0 || p.silentCount > 0)
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"container/heap"
	"fmt"
	"slices"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

const (
	// idleInterval is the time between steps of the driver if no result arrives.
	idleInterval = 5 * time.Millisecond

	// stepInterval is the least time between steps, in which an engine reads a batch.
	stepInterval = 200 * time.Microsecond

	// batchSize is the largest number of attempts in one step.
	batchSize = 64

	// lateCheckInterval is the least time between checks for late answers.
	lateCheckInterval = 20 * time.Millisecond
)

// simulation defines a scan of a simulated host in simulated time.
type simulation struct {
	spec              scan.Spec
	seed              uint32
	noLateDetection   bool // the engine does not detect late answers
	receivesLate      bool // the engine receives late answers
	alwaysReportsLate bool // the engine reports late answers at every check, even without any
	known             scan.Known
	network           network
	until             time.Duration // deadline; 0 is the spec's timeout
}

// ending is the way in which an attempt ended.
type ending uint8

const (
	notEnded ending = iota
	endedAnswered
	endedSilent
	endedFailed
	endedInterrupted
)

// sentAttempt is an attempt with its times and its ending.
type sentAttempt struct {
	Attempt

	sent, ended time.Duration
	ending      ending
	cause       scan.Cause
}

// arrival is the result of an attempt with the time of its arrival.
type arrival struct {
	at      time.Duration
	attempt int // index in the record
	result  attemptResult
}

// arrivals is a heap with the earliest arrival first.
type arrivals []arrival

func (a *arrivals) Len() int           { return len(*a) }
func (a *arrivals) Less(i, j int) bool { return (*a)[i].at < (*a)[j].at }
func (a *arrivals) Swap(i, j int)      { (*a)[i], (*a)[j] = (*a)[j], (*a)[i] }
func (a *arrivals) Push(x any)         { *a = append(*a, x.(arrival)) }
func (a *arrivals) Pop() any {
	last := len(*a) - 1
	x := (*a)[last]
	*a = (*a)[:last]
	return x
}

// driver takes the place of an engine for one pacer: it makes the attempts, passes their
// results and timeouts to the pacer, and records them.
type driver struct {
	record

	pacer         *Pacer
	network       network
	now           time.Duration
	arrivals      arrivals
	sentByKind    [Kinds][]int // indexes of attempts, the oldest first
	attemptCounts []int        // by port
	inFlight      int

	lateAnswers, lateReported int // numbers of late answers
	lateChecked               time.Duration
	alwaysReportsLate         bool
	receivesLate, detectsLate bool
}

// simulate runs a simulation, and fails the test if the pacer breaks a rule that every scan
// must follow.
func simulate(tb testing.TB, s simulation) *record {
	tb.Helper()
	d := newDriver(tb, s)
	until := s.until
	if until == 0 {
		until = s.spec.Timeout
	}
	d.run(until)
	d.check(tb)
	return &d.record
}

// run scans until all ports are reported, or until the deadline.
func (d *driver) run(until time.Duration) {
	for over := false; !over; {
		over = d.step(until)
	}
	d.duration = d.now
}

func newDriver(tb testing.TB, s simulation) *driver {
	tb.Helper()
	plan := mustPlan(tb, s.spec)
	n := plan.Ports().Len()
	d := &driver{network: s.network, receivesLate: s.receivesLate, detectsLate: !s.noLateDetection && !s.receivesLate, alwaysReportsLate: s.alwaysReportsLate, attemptCounts: make([]int, n)}
	d.record = record{
		spec: s.spec, plan: plan, receivesLate: s.receivesLate,
		results: make([]scan.PortResult, n), reported: make([]bool, n), withdrawn: make([]bool, n), reportedAt: make([]time.Duration, n), openedAt: make([]time.Duration, n),
		answers: make([]attemptResult, n),
	}
	pacer, err := NewPacer(Options{Plan: plan, Order: NewOrder(plan), Seed: s.seed, DetectsLate: d.detectsLate, ReceivesLate: s.receivesLate, Report: reportEach(plan, d.report), Known: s.known})
	if err != nil {
		tb.Fatal(err)
	}
	d.pacer = pacer
	return d
}

// reportEach returns a Report that calls report for each port, with the port's index. The
// attempts at several ports are divided evenly, and the first ports have the remainder.
func reportEach(plan scan.Plan, report func(index int, r scan.PortResult)) Report {
	return func(r scan.PortResult) {
		ports := scan.NewPortSet(r.Port)
		if r.Ports != nil {
			ports = *r.Ports
		}
		one, count := r, ports.Len()
		one.Ports = nil
		for i, port := range slices.Collect(ports.All()) {
			one.Port, one.Attempts = port, (r.Attempts+count-1-i)/count
			index, _ := plan.Ports().Index(port)
			report(index, one)
		}
	}
}

func (d *driver) report(index int, r scan.PortResult) {
	d.reportedAttempts += r.Attempts
	if d.reported[index] && !withdrawable(d.results[index], r) {
		d.violationf("port %d: got a second result %+v after %+v at %v, want one", index, r, d.results[index], d.now)
	}
	d.withdrawn[index] = d.withdrawn[index] || d.reported[index]
	d.reported[index], d.results[index], d.reportedAt[index] = true, r, d.now
}

// withdrawable reports whether a port's result can be replaced by another one: a port that was
// closed or rejected can be unknown in the end, and a rejected one is tried again.
func withdrawable(was, is scan.PortResult) bool {
	return was.Cause == scan.CauseICMP || (was.Cause == scan.CauseRST || was.State == scan.Unknown) && is.Cause == scan.CauseUnresponsive
}

// step passes expired timeouts to the pacer, makes the attempts that it returns and delivers
// results. It returns true at the end of the scan.
func (d *driver) step(until time.Duration) bool {
	if d.now >= until {
		d.stopped = true
		d.pacer.End(scan.CauseNone)
		return true
	}
	d.expireAttempts()
	d.pacer.Tick(d.now)
	if d.detectsLate && d.now-d.lateChecked >= lateCheckInterval {
		d.lateChecked = d.now
		d.pacer.LateChecked(d.now, d.alwaysReportsLate || d.lateAnswers > d.lateReported)
		d.lateReported = d.lateAnswers
	}
	if d.pacer.IsDark() {
		d.pacer.End(scan.CauseNone)
	}
	if d.pacer.IsDone() {
		return true
	}
	d.advanceClock(d.sendAttempts(), until)
	d.deliverResults()
	return false
}

// expireAttempts ends the attempts whose timeout has expired.
func (d *driver) expireAttempts() {
	for kind := range d.sentByKind {
		list, hold := d.sentByKind[kind], d.pacer.Timeout(Kind(kind))
		for len(list) > 0 {
			attempt := &d.attempts[list[0]]
			if attempt.ending == notEnded {
				if d.now-attempt.sent < hold {
					break
				}
				d.finishAttempt(attempt, endedSilent)
				d.pacer.TimedOut(attempt.sent, attempt.Attempt)
			}
			list = list[1:]
		}
		d.sentByKind[kind] = list
	}
}

func (d *driver) finishAttempt(attempt *sentAttempt, e ending) {
	attempt.ending, attempt.ended = e, d.now
	d.inFlight--
}

// sendAttempts makes the attempts that the pacer returns, up to batchSize, and returns their
// number.
func (d *driver) sendAttempts() int {
	from := len(d.attempts)
	for range batchSize {
		t, ok := d.pacer.Next(d.now)
		if !ok {
			break
		}
		d.checkAttempt(t)
		d.attempts = append(d.attempts, sentAttempt{Attempt: t, sent: d.now})
		d.sentByKind[t.Kind] = append(d.sentByKind[t.Kind], len(d.attempts)-1)
		d.inFlight++
		d.maxInFlight = max(d.maxInFlight, d.inFlight)
	}
	for i := from; i < len(d.attempts); i++ {
		index := int(d.attempts[i].Index)
		d.attemptCounts[index]++
		r := d.network(attemptInfo{index: index, nth: d.attemptCounts[index], total: i + 1, now: d.now, kind: d.attempts[i].Kind})
		switch {
		case r.isLocalError() && r.after == 0:
			d.endAttempt(i, r)
		case r != silence:
			heap.Push(&d.arrivals, arrival{d.now + r.after, i, r})
		}
	}
	return len(d.attempts) - from
}

// checkAttempt requires that canaries are sent to ports that have answered, and other
// attempts to ports without a result.
func (d *driver) checkAttempt(t Attempt) {
	switch index := int(t.Index); {
	case index >= len(d.reported):
		panic(fmt.Sprintf("got index %d, want below %d", index, len(d.reported)))
	case t.Kind == Canary && d.answers[index] == silence:
		d.violationf("port %d: got a canary at %v, want one only after an answer", index, d.now)
	case t.Kind != Canary && d.reported[index] && d.results[index].Cause != scan.CauseICMP:
		d.violationf("port %d: got an attempt at %v after the result, want none", index, d.now)
	}
}

// advanceClock advances the time to the next step or arrival.
func (d *driver) advanceClock(sent int, until time.Duration) {
	next := d.now + idleInterval
	if sent == batchSize {
		next = d.now + stepInterval
	}
	if len(d.arrivals) > 0 {
		next = min(next, d.arrivals[0].at)
	}
	d.now = min(max(next, d.now+stepInterval), max(until, d.now))
}

// deliverResults passes the results that have arrived to the pacer.
func (d *driver) deliverResults() {
	for len(d.arrivals) > 0 && d.arrivals[0].at <= d.now {
		a := heap.Pop(&d.arrivals).(arrival)
		if d.attempts[a.attempt].ending == notEnded {
			d.endAttempt(a.attempt, a.result)
			continue
		}
		if !a.result.interrupted && !a.result.isLocalError() {
			d.receiveLate(a)
		}
	}
}

// receiveLate counts an answer to an attempt that has ended, and passes it to the pacer if
// the engine receives late answers.
func (d *driver) receiveLate(a arrival) {
	if a.result.cause != scan.CauseICMP { // sockets do not receive late ICMP errors
		d.lateAnswers++
	}
	attempt := &d.attempts[a.attempt]
	if !d.receivesLate || attempt.Kind == Canary || attempt.ending != endedSilent {
		return
	}
	accepts, before := d.acceptsAnswer(attempt.Index), d.pacer.remaining
	d.pacer.AnsweredLate(d.now, int(attempt.Index), attempt.Variant() == 0, Answer{State: a.result.state, Cause: a.result.cause})
	if accepts && d.pacer.remaining < before { // a reject is ignored while another attempt is in flight
		d.answers[attempt.Index] = a.result
		d.noteOpened(attempt.Index, a.result)
	}
}

// acceptsAnswer reports whether an answer decides the state of a port: it has no result, or that
// of a filter, which may have been withdrawn.
func (d *driver) acceptsAnswer(index uint16) bool {
	return !d.reported[index] || d.results[index].Cause == scan.CauseICMP
}

// noteOpened records the time of the first answer of an open port that the pacer accepts.
func (d *driver) noteOpened(index uint16, r attemptResult) {
	if r.cause == scan.CauseHandshake && d.openedAt[index] == 0 {
		d.openedAt[index] = d.now
	}
}

// endAttempt ends an attempt with its result.
func (d *driver) endAttempt(i int, r attemptResult) {
	attempt := &d.attempts[i]
	attempt.cause = r.cause
	switch {
	case r.interrupted:
		d.finishAttempt(attempt, endedInterrupted)
		d.pacer.Interrupted(d.now, attempt.sent, attempt.Attempt)
	case r.isLocalError():
		d.finishAttempt(attempt, endedFailed)
		d.pacer.Failed(d.now, attempt.sent, attempt.Attempt, r.cause)
	default:
		d.finishAttempt(attempt, endedAnswered)
		d.noteOpened(attempt.Index, r)
		if attempt.Kind != Canary && d.acceptsAnswer(attempt.Index) {
			d.answers[attempt.Index] = r
		}
		if !r.noHost {
			d.pacer.HostSeen()
		}
		d.pacer.Answered(d.now, attempt.sent, attempt.Attempt, Answer{State: r.state, Cause: r.cause})
	}
}

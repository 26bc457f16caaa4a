// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"container/heap"
	"fmt"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

const (
	// beat is how often the driver looks after the path when nothing arrives.
	beat = 5 * time.Millisecond

	// look is the least time between two looks: what reading a batch takes.
	look = 200 * time.Microsecond

	// batch is how many attempts are made at one look.
	batch = 64

	// lateSeldom is the least time between two questions for late answers.
	lateSeldom = 20 * time.Millisecond
)

// simulation is the scan of one made-up host in made-up time.
type simulation struct {
	spec    scan.Spec
	seed    uint32
	deaf    bool // late answers can't be told
	hears   bool // late answers are
	network network
	until   time.Duration // when the scan is cut off; 0: at the spec's timeout
}

// ending is what became of an attempt.
type ending uint8

const (
	underWay ending = iota
	endedAnswered
	endedSilent
	endedFailed
	endedInterrupted
)

// flight is an attempt that was made.
type flight struct {
	Try

	sent, ended time.Duration
	ending      ending
	cause       scan.Cause
}

// arrival is when something becomes of an attempt.
type arrival struct {
	at     time.Duration
	flight int // its place among all flights
	reply  reply
}

// arrivals is a heap, the earliest on top.
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

// driver does for one path what an engine does for many: it makes the attempts,
// tells what became of them and when their time is up, and keeps a record.
type driver struct {
	record

	path    *Path
	network network
	now     time.Duration
	coming  arrivals
	lists   [Kinds][]int // flights in the order of their making
	tried   []int        // attempts by port
	flying  int

	late, lateTold int // late answers
	lateSeen       time.Duration
	hears          bool
}

// simulate scans a made-up host, and fails the test where the path breaks a rule
// that holds for every host.
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

// run scans until the end.
func (d *driver) run(until time.Duration) {
	for over := false; !over; {
		over = d.step(until)
	}
	d.took = d.now
}

func newDriver(tb testing.TB, s simulation) *driver {
	tb.Helper()
	plan := mustPlan(tb, s.spec)
	n := plan.Ports().Len()
	d := &driver{network: s.network, hears: s.hears, tried: make([]int, n)}
	d.record = record{
		spec: s.spec, plan: plan, hears: s.hears,
		results: make([]scan.PortResult, n), reported: make([]bool, n), reportedAt: make([]time.Duration, n),
		answers: make([]reply, n),
	}
	path, err := NewPath(Options{Plan: plan, Order: NewOrder(plan), Seed: s.seed, Late: !s.deaf && !s.hears, Hears: s.hears, Report: d.report})
	if err != nil {
		tb.Fatal(err)
	}
	d.path = path
	return d
}

func (d *driver) report(index int, r scan.PortResult) {
	if d.reported[index] {
		d.faultf("at %v port %d is reported again: %+v", d.now, index, r)
	}
	d.reported[index], d.results[index], d.reportedAt[index] = true, r, d.now
	d.order = append(d.order, index)
}

// step is one look at the path; it returns true when the scan is over.
func (d *driver) step(until time.Duration) bool {
	if d.now >= until {
		d.cut = true
		d.path.End(scan.CauseNone)
		return true
	}
	d.expire()
	d.path.Tick(d.now)
	if d.path.WantsLate(d.now) && d.now-d.lateSeen >= lateSeldom {
		d.lateSeen = d.now
		d.path.Late(d.now, d.late > d.lateTold)
		d.lateTold = d.late
	}
	if d.path.Dark() {
		d.path.End(scan.CauseNone)
	}
	if d.path.Done() {
		return true
	}
	d.advance(d.send(), until)
	d.deliver()
	return false
}

// expire gives up attempts that have listened for as long as they are to.
func (d *driver) expire() {
	for kind := range d.lists {
		list, hold := d.lists[kind], d.path.Hold(Kind(kind))
		for len(list) > 0 {
			f := &d.flights[list[0]]
			if f.ending == underWay {
				if d.now-f.sent < hold {
					break
				}
				d.finish(f, endedSilent)
				d.path.Silent(f.sent, f.Try)
			}
			list = list[1:]
		}
		d.lists[kind] = list
	}
}

func (d *driver) finish(f *flight, e ending) {
	f.ending, f.ended = e, d.now
	d.flying--
}

// send makes what attempts may be made, and returns how many those were.
func (d *driver) send() int {
	from := len(d.flights)
	for range batch {
		t, ok := d.path.Next(d.now)
		if !ok {
			break
		}
		d.notice(t)
		d.flights = append(d.flights, flight{Try: t, sent: d.now})
		d.lists[t.Kind] = append(d.lists[t.Kind], len(d.flights)-1)
		d.flying++
		d.most = max(d.most, d.flying)
	}
	for i := from; i < len(d.flights); i++ {
		index := int(d.flights[i].Index)
		d.tried[index]++
		r := d.network(question{index: index, nth: d.tried[index], total: i + 1, now: d.now, kind: d.flights[i].Kind})
		switch {
		case r.failed() && r.after == 0:
			d.take(i, r)
		case r != silence:
			heap.Push(&d.coming, arrival{d.now + r.after, i, r})
		}
	}
	return len(d.flights) - from
}

// notice holds an attempt against the rules that can be checked at once.
func (d *driver) notice(t Try) {
	switch index := int(t.Index); {
	case index >= len(d.reported):
		panic(fmt.Sprintf("port %d of %d", index, len(d.reported)))
	case t.Kind == Canary && d.answers[index] == silence:
		d.faultf("at %v a canary goes to port %d, which has not answered", d.now, index)
	case t.Kind != Canary && d.reported[index]:
		d.faultf("at %v port %d is tried, which was reported", d.now, index)
	}
}

// advance lets time pass until something is to be done.
func (d *driver) advance(sent int, until time.Duration) {
	next := d.now + beat
	if sent == batch {
		next = d.now + look
	}
	if len(d.coming) > 0 {
		next = min(next, d.coming[0].at)
	}
	d.now = min(max(next, d.now+look), max(until, d.now))
}

// deliver tells the path of all that has come by now.
func (d *driver) deliver() {
	for len(d.coming) > 0 && d.coming[0].at <= d.now {
		a := heap.Pop(&d.coming).(arrival)
		if d.flights[a.flight].ending == underWay {
			d.take(a.flight, a.reply)
			continue
		}
		if !a.reply.interrupted && !a.reply.failed() {
			d.hear(a)
		}
	}
}

// hear is told of an answer to an attempt that is over.
func (d *driver) hear(a arrival) {
	d.late++
	f := &d.flights[a.flight]
	if !d.hears || f.Kind == Canary || f.ending != endedSilent {
		return
	}
	if !d.reported[f.Index] {
		d.answers[f.Index] = a.reply
	}
	d.path.Heard(d.now, int(f.Index), f.Variant() == 0, a.reply.state, a.reply.cause)
}

// take ends an attempt with what came of it.
func (d *driver) take(i int, r reply) {
	f := &d.flights[i]
	f.cause = r.cause
	switch {
	case r.interrupted:
		d.finish(f, endedInterrupted)
		d.path.Interrupted(d.now, f.sent, f.Try)
	case r.failed():
		d.finish(f, endedFailed)
		d.path.Failed(d.now, f.sent, f.Try, r.cause)
	default:
		d.finish(f, endedAnswered)
		if f.Kind != Canary {
			d.answers[f.Index] = r
		}
		d.path.Answered(d.now, f.sent, f.Try, r.state, r.cause)
	}
}

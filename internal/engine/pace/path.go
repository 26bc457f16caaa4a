// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"errors"
	"time"

	"portscan_exporter/internal/scan"
)

const (
	// apart is the least time between two attempts at a port: what swallows one
	// should be over when the next is made.
	apart = 250 * time.Millisecond

	// unknownRate bounds the packets a second to an address of which nothing has
	// been heard: a firewall's table of connections fills before a link does.
	unknownRate = 30000

	// canaryStride is how many attempts there are at most between canaries.
	canaryStride = 500

	// mostAhead bounds how many silent ports of all addresses wait to be tried again, and
	// so memory, where those that were not tried go first.
	mostAhead = 1 << 17

	// canaryBehind is how many attempts go before a canary that is due.
	canaryBehind = 32
)

// Report takes what is known of a port: Index instead of its number, and no address.
type Report func(index int, r scan.PortResult)

// Path paces the scan of one address. Make one with [NewPath]; it is for one
// goroutine at a time.
type Path struct {
	spec   scan.Spec
	order  *Order
	ports  cursor
	report Report
	late   bool // that late answers came will be told
	hears  bool // late answers themselves will be
	ahead  int  // of silent ports, those that were not tried go no further than this many
	udp    bool

	left     int
	done     bitset
	dark     bitset // silent as often as it takes, while the address had never answered
	darkened int

	inFlight int
	made     int // attempts
	told     int // of them, with results
	window   window
	trips    roundTrips
	canaries canaries
	retried  losses
	rate     limit
	careful  limit // while nothing is known of the path
	quota    quota // of a target that says "closed" only so often
	stride   int   // attempts since the last canary
	before   int   // of them, since the next one was due
	turn     bool  // of ports that have not been tried

	waiting [Kinds]queue // silent; waits for a canary's proof that the path worked
	again   queue        // to be tried again
	held    queue        // silent for good, unless late answers turn up

	lateCame instant  // when they last did; below 0: never
	lostAt   instant  // when answers were last lost; below 0: never
	walked   instant  // since when the ports are walked over
	firsts   []uint16 // when each port was first tried, where late answers are heard; see noteFirst

	blocks
}

// Options are what a [Path] is made of.
type Options struct {
	Plan   scan.Plan
	Order  *Order
	Seed   uint32
	Report Report
	Late   bool // the sender can tell that answers came after it stopped listening, and will call Late
	Hears  bool // the sender never stops listening, and will call Heard with answers that are late

	// Addresses is how many are scanned side by side, which share the memory there is;
	// 0 is one.
	Addresses int

	// Lag is how late the sender may be to notice an answer, beyond what any
	// network does; 0 for one that reads them as they come.
	Lag time.Duration
}

// NewPath returns the pace of a scan of one address.
func NewPath(o Options) (*Path, error) {
	if o.Plan.IsZero() || o.Order == nil || o.Report == nil || o.Lag < 0 || o.Late && o.Hears {
		return nil, errors.New("pace.NewPath: Plan, Order and Report are required, Lag must not be negative, and Late excludes Hears")
	}
	n := o.Plan.Ports().Len()
	spec := o.Plan.Spec()
	p := &Path{
		spec: spec, order: o.Order, ports: cursor{order: o.Order, seed: o.Seed}, report: o.Report,
		late: o.Late, hears: o.Hears, ahead: mostAhead / max(1, o.Addresses), udp: spec.Protocol == scan.UDP,
		left: n, lateCame: -1, lostAt: -1, trips: roundTrips{lag: o.Lag}, done: newBitset(n), window: newWindow(spec.MaxInFlight),
		rate: perSecond(spec.Rate), careful: perSecond(unknownRate),
	}
	if o.Hears {
		p.firsts = make([]uint16, n)
	}
	return p, nil
}

// Done tells whether every port has been reported.
func (p *Path) Done() bool { return p.left == 0 }

// Hold returns how long an attempt of the kind listens, by what is known now.
func (p *Path) Hold(k Kind) time.Duration {
	switch {
	case k == Brief, k != Canary && p.hears && !p.udp: // the rest of its time it is listened for all the same
		return p.trips.brief(p.spec.PortTimeout)
	case k == Canary && p.hears:
		return p.lastWait()
	case k == Canary, p.hears, k == Final && p.late:
		return p.trips.final(p.spec.PortTimeout)
	default:
		return p.spec.PortTimeout
	}
}

// Next returns the next attempt, to be made at once, if there is one to be made
// now.
func (p *Path) Next(now time.Duration) (Try, bool) {
	if p.left == 0 || p.inFlight >= p.spec.MaxInFlight || p.blocked(now, p.inFlight) || !p.rate.allows(now) || !p.quota.allows(now) {
		return Try{}, false
	}
	t, ok := p.candidate(now)
	if !ok {
		return Try{}, false
	}
	t.nth = min(t.nth, 254) + 1
	if t.nth == 1 {
		p.noteFirst(int(t.Index), now)
	}
	p.rate.take(now)
	p.careful.take(now)
	p.quota.take(now)
	t.vain = !p.quota.confirmed()
	t.count(p.quota.nth)
	p.inFlight++
	p.made++
	p.stride++
	t.tick = p.window.send(now)
	return t, true
}

// Extra counts packets that an attempt takes beyond its first.
func (p *Path) Extra(now time.Duration, packets int) {
	for range packets {
		p.rate.take(now)
		p.careful.take(now)
	}
	p.made += packets
}

// candidate picks the next attempt. A canary whose time has come lets a few
// others go before it: the first packet after a pause may find a target's limit
// unused, and would say that all is well.
func (p *Path) candidate(now instant) (Try, bool) {
	due := p.canaryDue(now)
	if !due || p.before < canaryBehind && !p.canaries.dark() && !p.quota.on() {
		if t, ok := p.ordinary(now); ok {
			if due {
				p.before++
			}
			return t, true
		}
	}
	if !due {
		return Try{}, false
	}
	p.stride, p.before = 0, 0
	return Try{Index: p.canaries.pick(), Kind: Canary, mark: p.canaries.add(now, pending)}, true
}

func (p *Path) ordinary(now instant) (Try, bool) {
	if p.canaries.dark() || !p.quota.on() && !p.window.open(now, p.Hold(Brief)) || !p.trips.known() && !p.careful.allows(now) {
		return Try{}, false
	}
	// By turns, so that long waits and short ones share the sockets all along. Where
	// listening takes none, what was not tried is what has longest to wait.
	p.turn = !p.turn
	if p.turn || p.hears && p.again.used < p.ahead {
		if t, ok := p.fresh(); ok {
			return t, true
		}
	}
	for p.again.used > 0 && p.again.front().sent <= now {
		e := p.again.pop()
		if p.done.has(int(e.Index)) { // it was heard late
			continue
		}
		p.unproven(&e.Try, e.sent-apart)
		return e.Try, true
	}
	return p.fresh()
}

// fresh returns a port that has not been tried, or, on the second walk, one that
// was silent before the address first answered.
func (p *Path) fresh() (Try, bool) {
	for {
		index, declared, ok := p.ports.next()
		if !ok {
			return Try{}, false
		}
		if p.done.has(index) {
			continue
		}
		t := Try{Index: uint16(index)} //nolint:gosec // an index of a port
		switch {
		case declared:
			t.Kind = Patient
		case p.spec.Retries == 0:
			t.Kind = Final
		}
		return t, true
	}
}

// canaryDue tells whether the path has to be tested: something is silent, and
// enough time or attempts have passed since it last was.
func (p *Path) canaryDue(now instant) bool {
	if !p.canaries.known() || p.canaries.crowded() {
		return false
	}
	since := now - p.canaries.lastSent()
	if p.canaries.dark() {
		return since >= 2*canaryEvery
	}
	if p.quota.on() {
		return p.quota.wantsCanary(p.stride) || p.weighing() && (p.stride >= quotaStride || p.ports.ended() && p.again.used == 0)
	}
	if (p.inFlight == 0 || p.left == p.darkened) && !p.weighing() {
		return false // there is nothing to prove, or those under way are canaries
	}
	return since >= p.canaries.every() || p.canaries.resets && p.stride >= canaryStride
}

// Answered takes the answer to an attempt that was made at sent.
func (p *Path) Answered(now, sent time.Duration, t Try, state scan.State, cause scan.Cause) {
	p.inFlight--
	p.unblock()
	p.window.back(t.tick)
	p.trips.sample(now - sent)
	p.canaries.heard(sent)
	own := state != scan.Filtered // it is the address's own answer, and not a filter's
	if own {
		p.vouch(now, sent, t.Index, state)
	}
	if t.Kind == Canary {
		p.canaries.settle(t.mark, sent, answered)
		p.spend(now, sent)
		return
	}
	p.window.answered()
	if p.udp && state == scan.Closed {
		p.spend(now, sent)
		if p.quota.on() { // it is as good as a canary
			p.canaries.mark(sent)
			p.stride = 0
		}
	}
	if p.done.has(int(t.Index)) {
		return // it was heard late
	}
	// Silence from while the path did not work says nothing of losses.
	if retry := t.counted > 0 && !t.dark; own && (retry || t.nth == 1) {
		p.retried.add(now, retry)
		if retry {
			p.slowDown(now, sent, false)
		}
	}
	p.finish(t, scan.PortResult{State: state, Cause: cause, RTT: now - sent})
}

// Silent takes back an attempt that was made at sent and listened for as long as
// [Path.Hold] said.
func (p *Path) Silent(sent time.Duration, t Try) {
	p.inFlight--
	p.unblock()
	if t.Kind == Canary {
		p.canaries.settle(t.mark, sent, missed)
		p.window.canariesMissed++
		p.slowDown(sent+p.Hold(Canary), sent, true)
		return
	}
	p.quota.silent()
	p.waiting[t.Kind].push(entry{t, sent})
}

// Interrupted takes back an attempt that had to be given up early: it says
// nothing of the port, which is tried again.
func (p *Path) Interrupted(now, sent time.Duration, t Try) {
	p.inFlight--
	p.window.back(t.tick)
	if t.Kind == Canary {
		p.canaries.settle(t.mark, sent, untold)
		return
	}
	p.again.push(entry{t, now})
}

// Tick settles what can be settled by now. It is to be called before [Path.Next],
// whenever something was told and every few milliseconds.
func (p *Path) Tick(now time.Duration) {
	for k := range p.waiting {
		p.weigh(now, &p.waiting[k])
	}
	if p.hears {
		p.release(now)
	}
	if !p.quota.on() {
		p.window.look(now, p.lookEvery(), p.canaries.loss(now))
	}
	switch {
	case p.left == 0:
	case p.canaries.gone(now) && !p.quota.slowing():
		p.conclude(scan.PortResult{Cause: scan.CauseUnresponsive})
	case p.stuck(now):
		p.conclude(scan.PortResult{Cause: p.lack})
	case p.inFlight == 0 && p.ports.ended() && p.again.used == 0 && p.held.used == 0 && !p.weighing():
		p.walkAgain(now)
	}
}

func (p *Path) weighing() bool {
	for k := range p.waiting {
		if p.waiting[k].used > 0 {
			return true
		}
	}
	return false
}

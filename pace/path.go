package pace

import (
	"errors"
	"time"

	"portscan_exporter/scan"
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

	// canaryBehind is how many attempts go before a canary that is due.
	canaryBehind = 32

	// sure is the chance in the negative tenths of powers of ten that loss alone
	// has made a port silent, at which it is believed filtered: one in a million,
	// since there are many ports. Where no more attempts are allowed, one in a
	// thousand will do; else it is unknown.
	sure, doubtful = 60, 30

	// noLoss is the share of lost attempts that is taken for granted.
	noLoss = 0.001
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
	late   bool // late answers will be told

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
	stride   int   // attempts since the last canary
	before   int   // of them, since the next one was due
	turn     bool  // of ports that have not been tried

	waiting [Kinds]queue // silent; waits for a canary's proof that the path worked
	again   queue        // to be tried again
	held    queue        // filtered, unless late answers turn up

	blocks
}

// Options are what a [Path] is made of.
type Options struct {
	Plan   scan.Plan
	Order  *Order
	Seed   uint32
	Report Report
	Late   bool // the sender can tell that answers came after it stopped listening, and will call Late
}

// NewPath returns the pace of a scan of one address.
func NewPath(o Options) (*Path, error) {
	if o.Plan.IsZero() || o.Order == nil || o.Report == nil {
		return nil, errors.New("pacing needs a plan, its order and somebody to report to")
	}
	n := o.Plan.Ports().Len()
	spec := o.Plan.Spec()
	return &Path{
		spec: spec, order: o.Order, ports: cursor{order: o.Order, seed: o.Seed}, report: o.Report, late: o.Late,
		left: n, done: newBitset(n), window: newWindow(spec.MaxInFlight),
		rate: perSecond(spec.Rate), careful: perSecond(unknownRate),
	}, nil
}

// Done tells whether every port has been reported.
func (p *Path) Done() bool { return p.left == 0 }

// Hold returns how long an attempt of the kind listens, by what is known now.
func (p *Path) Hold(k Kind) time.Duration {
	switch {
	case k == Brief:
		return p.trips.brief(p.spec.PortTimeout)
	case k == Canary, k == Final && p.late:
		return p.trips.final(p.spec.PortTimeout)
	default:
		return p.spec.PortTimeout
	}
}

// Next returns the next attempt, to be made at once, if there is one to be made
// now.
func (p *Path) Next(now time.Duration) (Try, bool) {
	if p.left == 0 || p.inFlight >= p.spec.MaxInFlight || p.blocked(now, p.inFlight) || !p.rate.allows(now) {
		return Try{}, false
	}
	t, ok := p.candidate(now)
	if !ok {
		return Try{}, false
	}
	t.nth = min(t.nth, 254) + 1
	p.rate.take(now)
	p.careful.take(now)
	p.inFlight++
	p.made++
	p.stride++
	t.tick = p.window.send(now)
	return t, true
}

// candidate picks the next attempt. A canary whose time has come lets a few
// others go before it: the first packet after a pause may find a target's limit
// unused, and would say that all is well.
func (p *Path) candidate(now instant) (Try, bool) {
	due := p.canaryDue(now)
	if !due || p.before < canaryBehind && !p.canaries.dark() {
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
	if p.canaries.dark() || !p.window.open(now, p.Hold(Brief)) || !p.trips.known() && !p.careful.allows(now) {
		return Try{}, false
	}
	// By turns, so that long waits and short ones share the sockets all along.
	p.turn = !p.turn
	if p.turn {
		if t, ok := p.fresh(); ok {
			return t, true
		}
	}
	if p.again.used > 0 && p.again.front().sent <= now {
		e := p.again.pop()
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
	if !p.canaries.known() {
		return false
	}
	since := now - p.canaries.lastSent()
	if p.canaries.dark() {
		return since >= 2*canaryEvery
	}
	if p.inFlight == 0 && !p.weighing() {
		return false
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
	if cause != scan.CauseICMP {
		if !p.canaries.known() {
			p.canaries.add(now-early, answered)
			if now-sent <= early {
				p.canaries.marks[0].sent = 0
			}
		}
		p.canaries.offer(t.Index, cause == scan.CauseRST)
	}
	if t.Kind == Canary {
		p.canaries.settle(t.mark, sent, answered)
		return
	}
	p.window.answered()
	// Silence from while the path did not work says nothing of losses.
	if retry := t.counted > 0 && !t.dark; cause != scan.CauseICMP && (retry || t.nth == 1) {
		p.retried.add(now, retry)
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
		return
	}
	p.waiting[t.Kind].push(entry{t, sent})
}

// Interrupted takes back an attempt that had to be given up early: it says
// nothing of the port, which is tried again.
func (p *Path) Interrupted(now, sent time.Duration, t Try) {
	p.inFlight--
	p.window.back(t.tick)
	if t.Kind == Canary {
		p.canaries.settle(t.mark, sent, missed)
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
	p.window.look(now, p.Hold(Brief), p.canaries.loss(now))
	switch {
	case p.left == 0:
	case p.canaries.gone(now):
		p.conclude(scan.PortResult{Cause: scan.CauseUnresponsive})
	case p.stuck(now):
		p.conclude(scan.PortResult{Cause: p.lack})
	case p.inFlight == 0 && p.ports.ended() && p.again.used == 0 && p.held.used == 0 && !p.weighing():
		if p.darkened == 0 || !p.canaries.known() {
			return // nothing is left, or [Path.Dark] has to be asked
		}
		p.darkened = 0
		p.dark = nil
		p.ports = cursor{order: p.order, seed: p.ports.seed}
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

// weigh judges silent attempts in the order in which they were made, until one
// whose time has not come.
func (p *Path) weigh(now instant, q *queue) {
	for q.used > 0 {
		e := q.front()
		proof := answered // of an address that has never answered there is none to be had
		known := p.canaries.known()
		if known {
			proof = p.canaries.proof(e.sent)
		}
		if proof == pending {
			return
		}
		one := q.pop()
		if known && one.dark { // what was taken for granted then
			one.counted, one.evidence = 0, 0
		}
		one.dark = !known
		if proof == answered {
			one.counted++
			one.evidence = min(one.evidence+weight(p.loss(now)), 250)
		}
		p.judge(now, one)
	}
}

// loss estimates the share of attempts that are lost, from the canaries and from
// the answers that took a retry.
func (p *Path) loss(now instant) float64 {
	return max(p.canaries.loss(now), p.canaries.lossInAll(), p.retried.share(now), noLoss)
}

// judge decides what becomes of a port after a silent attempt.
func (p *Path) judge(now instant, e entry) {
	need := 1 + min(1, p.spec.Retries)
	if p.loss(now) > noLoss {
		need = 1 + p.spec.Retries
	}
	counted := int(e.counted)
	switch {
	case counted >= need && e.evidence >= sure, counted > p.spec.MaxRetries && e.evidence >= doubtful:
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

// believe takes a port for filtered; but not before late answers are ruled out,
// and nothing is said of an address that has never answered until the end.
func (p *Path) believe(e entry) {
	switch {
	case !p.canaries.known():
		if p.dark == nil {
			p.dark = newBitset(p.order.ports)
		}
		p.dark.set(int(e.Index))
		p.darkened++
	case p.Hold(e.Kind) < p.spec.PortTimeout:
		p.held.push(e)
	default:
		p.finish(e.Try, scan.PortResult{State: scan.Filtered, Cause: scan.CauseSilence})
	}
}

// WantsLate tells whether a port waits to hear from [Path.Late] that no answer
// came after it was given up.
func (p *Path) WantsLate(now time.Duration) bool {
	return p.held.used > 0 && p.held.front().sent+p.spec.PortTimeout <= now
}

// Late tells whether answers have come, since the last call, to attempts that
// had been given up. If so, whatever was given up of late is tried once more,
// with all the patience there is; if not, it is filtered.
func (p *Path) Late(now time.Duration, came bool) {
	for p.held.used > 0 && (came || p.held.front().sent+p.spec.PortTimeout <= now) {
		e := p.held.pop()
		if came {
			e.Kind = Patient
			e.sent += apart
			p.again.push(e)
			continue
		}
		p.finish(e.Try, scan.PortResult{State: scan.Filtered, Cause: scan.CauseSilence})
	}
}

// Dark tells whether all that is left to say is that the address has answered
// nothing at all; [Path.End] then says it.
func (p *Path) Dark() bool {
	return p.left > 0 && p.left == p.darkened && p.inFlight == 0 && !p.canaries.known()
}

// End reports all ports that are left. With cause none, those that were silent
// of an address that never answered are filtered, and what is known to be
// lacking explains the others, or that time ran out; any other cause is that of
// all of them.
func (p *Path) End(cause scan.Cause) {
	p.inFlight = 0
	if cause == scan.CauseNone {
		cause = scan.CauseDeadline
		if p.lack != scan.CauseNone {
			cause = p.lack
		}
		if p.dark != nil && !p.canaries.known() {
			p.concludeDark()
		}
	}
	p.conclude(scan.PortResult{Cause: cause})
}

func (p *Path) concludeDark() {
	for i := range p.order.ports {
		if p.dark.has(i) && !p.done.has(i) {
			t := Try{Index: uint16(i), nth: uint8(1 + min(1, p.spec.Retries))} //nolint:gosec // an index of a port
			p.finish(t, scan.PortResult{State: scan.Filtered, Cause: scan.CauseSilence})
		}
	}
}

// conclude reports all that is left, with the attempts that were made at them.
func (p *Path) conclude(r scan.PortResult) {
	if p.left == 0 {
		return
	}
	spent := max(0, p.made-p.told)
	each, more := min(spent/p.left, 255), spent%p.left
	for i := range p.order.ports {
		if p.done.has(i) {
			continue
		}
		nth := each
		if more > 0 {
			nth++
			more--
		}
		p.finish(Try{Index: uint16(i), nth: uint8(min(nth, 255))}, r) //nolint:gosec // an index of a port
	}
}

// finish reports a port, once. The last report carries the canaries' attempts.
func (p *Path) finish(t Try, r scan.PortResult) {
	index := int(t.Index)
	if p.done.has(index) {
		return
	}
	p.done.set(index)
	p.left--
	r.Attempts = int(t.nth)
	p.told += r.Attempts
	if p.left == 0 && p.made > p.told {
		r.Attempts += p.made - p.told
	}
	p.report(index, r)
}

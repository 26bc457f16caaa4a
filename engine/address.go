package engine

import (
	"context"
	"math"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"portscan_exporter/scan"
)

// addressScan is one address in one scan of the [Dial] engine. It goes over the
// ports in rounds: each round tries what the rounds before left silent.
type addressScan struct {
	engine  *Dial
	spec    scan.Spec
	ip      netip.Addr
	workers int
	limiter *rate.Limiter
	report  func(scan.PortResult)
	order   []uint16 // in which the ports are first tried; shared with the other addresses

	lack  atomic.Uint32 // the cause that holds attempts up now, or 0
	alive atomic.Uint32 // a port that has answered, or 0

	answers atomic.Int64 // ports that have answered
	retried atomic.Int64 // those of them that took a retry
}

// port is a port on its way through the rounds. It is small because there may
// be millions of them.
type port struct {
	number   uint16
	attempts uint16
	cause    scan.Cause // why the last attempt decided nothing
}

func newAddressScan(d *Dial, plan scan.Plan, order []uint16, ip netip.Addr, workers int, report func(scan.PortResult)) *addressScan {
	return &addressScan{
		engine:  d,
		order:   order,
		spec:    plan.Spec(),
		ip:      ip,
		workers: workers,
		limiter: newLimiter(plan.Spec().Rate),
		report:  report,
	}
}

// run scans the address and reports every port of it. Silence in a round counts
// only where the address, if it ever answered, still answers when the round is
// over: a blackout that swallows two attempts at a port spans the end of the
// round between them.
func (a *addressScan) run(ctx context.Context) {
	const mostDark = 3 // rounds in a row without an answer from a port that gave one before
	left, reached := a.round(ctx, len(a.order), func(i int) port { return port{number: a.order[i]} })
	counted, dark := 0, 0
	for {
		if a.stillThere(ctx, left) {
			counted++
			dark = 0
		} else {
			dark++
		}
		if len(left) == 0 || counted >= a.attempts() || dark > mostDark || ctx.Err() != nil {
			break
		}
		a.breathe(ctx, left)
		again := left
		left, reached = a.round(ctx, len(again), func(i int) port { return again[i] })
		left = append(left, again[reached:]...)
		reached = len(a.order)
	}
	a.settle(ctx, left, dark > mostDark)
	for _, number := range a.order[reached:] { // cut off in the first round
		a.tell(port{number: number}, a.conclude(port{number: number}, true, false))
	}
}

// attempts returns how many a silent port gets by what is known now. The first
// retry is always made, since nothing else shows whether retries pay. Once one
// has brought an answer there is loss: p, the share of answers that took a
// retry, estimates how likely an attempt is to be lost, and attempts go on until
// all of a port's are lost with a chance of one in 100,000 (but for retries at
// least, and max_retries at the most).
func (a *addressScan) attempts() int {
	const missed = 1e-5
	retried := float64(a.retried.Load())
	if retried == 0 {
		return 1 + min(1, a.spec.Retries)
	}
	p := (retried + 1) / (float64(a.answers.Load()) + 2)
	wanted := math.Ceil(math.Log(missed) / math.Log(p))
	return 1 + min(max(int(wanted)-1, a.spec.Retries), a.spec.MaxRetries)
}

// round tries count ports once each; it returns those that stay undecided, and
// how many it reached before ctx ended.
//
// It starts with few workers, and while all of them wait adds one for each
// answer: a host near by is served by a handful, one far away by as many as are
// on their way. In silence it doubles them every 100 ms, so that the packets are
// spread over half a second (an unresolved neighbour queues only 256).
func (a *addressScan) round(ctx context.Context, count int, at func(int) port) (left []port, reached int) {
	const (
		startWorkers = 64
		patience     = 5 * time.Millisecond // for a free worker; a host near by has one within microseconds
		silence      = 100 * time.Millisecond
	)
	var (
		pending undecided
		workers sync.WaitGroup
		jobs    = make(chan port)
		running = 0
	)
	grow := func(to int) {
		for ; running < min(to, a.workers, count); running++ {
			workers.Go(func() {
				for p := range jobs {
					a.try(ctx, p, &pending)
				}
			})
		}
	}
	grow(startWorkers)
	tick := time.NewTimer(patience)
	defer tick.Stop()
	next, answered, moved := 0, a.answers.Load(), time.Now()
	for next < count && ctx.Err() == nil {
		tick.Reset(patience)
		select {
		case jobs <- at(next):
			next++
			moved = time.Now()
		case <-tick.C:
			fresh := a.answers.Load() - answered
			answered += fresh
			switch {
			case fresh > 0:
				grow(running + int(min(fresh, int64(running))))
			case time.Since(moved) >= silence:
				grow(2 * running)
				moved = time.Now()
			}
		case <-ctx.Done():
		}
	}
	close(jobs)
	workers.Wait()
	return pending.ports, next
}

// undecided gathers the ports that a round leaves for the next.
type undecided struct {
	mu    sync.Mutex
	ports []port
}

func (u *undecided) add(p port) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ports = append(u.ports, p)
}

// try makes one attempt at the port, and reports it or leaves it for the next
// round.
func (a *addressScan) try(ctx context.Context, p port, left *undecided) {
	v := a.ask(ctx, &p)
	if v.state == scan.Unknown {
		left.add(p)
		return
	}
	if v.cause.Answered() {
		a.alive.Store(uint32(p.number))
		a.answers.Add(1)
		if p.attempts > 1 {
			a.retried.Add(1)
		}
	}
	a.tell(p, v)
}

// ask makes one attempt at the port. While our own machine lacks a descriptor or
// a source port it waits and asks again.
func (a *addressScan) ask(ctx context.Context, p *port) verdict {
	const firstPause, longestPause = 10 * time.Millisecond, 200 * time.Millisecond
	before := p.cause
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		if err := a.engine.budget.enter(ctx, a.limiter); err != nil {
			// Out of time, or its turn at the packet rate would come after that.
			p.cause = scan.CauseDeadline
			return verdict{cause: p.cause}
		}
		// Judged by the clock, since an attempt's own timer may go off before ctx
		// says that it has ended.
		deadline, ok := ctx.Deadline()
		curtailed := ok && time.Until(deadline) < a.spec.PortTimeout
		v := a.engine.attempt(ctx, a.spec.Source, netip.AddrPortFrom(a.ip, p.number), a.spec.PortTimeout)
		a.engine.budget.leave()
		if v.blocked() && ctx.Err() == nil {
			p.cause = v.cause
			a.lack.Store(uint32(v.cause))
			if !sleep(ctx, pause) {
				return v
			}
			continue
		}
		p.attempts++
		switch silent := v.state == scan.Unknown && v.cause == scan.CauseSilence; {
		case v.state == scan.Unknown && ctx.Err() != nil, silent && curtailed:
			p.cause = scan.CauseDeadline
			return verdict{cause: p.cause}
		case silent && before != scan.CauseNone && before != scan.CauseSilence:
			// The attempt before failed on our own side: this is the first that
			// was silent, which is too few to call the port filtered.
			return verdict{cause: p.cause}
		default:
			p.cause = v.cause
			a.lack.Store(0)
			return v
		}
	}
}

// settle reports the ports that no round decided; gone tells that the address
// has stopped answering.
func (a *addressScan) settle(ctx context.Context, left []port, gone bool) {
	cut := ctx.Err() != nil
	for _, p := range left {
		a.tell(p, a.conclude(p, cut, gone))
	}
}

// conclude says what is known of a port that no round decided. Silence means
// filtered only where all attempts were made and the address is still there.
func (a *addressScan) conclude(p port, cut, gone bool) verdict {
	switch {
	case cut && a.lack.Load() != 0:
		return verdict{cause: scan.Cause(a.lack.Load())} //nolint:gosec // only causes are stored
	case cut:
		return verdict{cause: scan.CauseDeadline}
	case p.cause != scan.CauseSilence:
		return verdict{cause: p.cause}
	case gone:
		return verdict{cause: scan.CauseUnresponsive}
	default:
		return verdict{state: scan.Filtered, cause: scan.CauseSilence}
	}
}

// stillThere asks a port that has answered before, where silence is to be
// believed. Without an answer the address has died, or banned us, or the path
// loses everything. Where another round follows, loss may have a few answers: if
// the last try is answered, a blackout is over, and can't reach into that round.
// The attempts count as the first silent port's.
func (a *addressScan) stillThere(ctx context.Context, left []port) bool {
	silent := slices.IndexFunc(left, func(p port) bool { return p.cause == scan.CauseSilence })
	canary := port{number: uint16(a.alive.Load())} //nolint:gosec // only ports are stored
	if canary.number == 0 || silent < 0 {
		return true
	}
	defer func() { left[silent].attempts += canary.attempts }()
	tries := 1
	if a.spec.Retries > 0 {
		tries = 3
	}
	for range tries {
		if v := a.ask(ctx, &canary); v.state != scan.Unknown || v.cause != scan.CauseSilence {
			return true
		}
	}
	return false
}

// breathe waits a little before ports are tried again that failed on our own
// side: a route or a rule may be on its way back.
func (a *addressScan) breathe(ctx context.Context, left []port) {
	const pause = 200 * time.Millisecond
	if slices.ContainsFunc(left, func(p port) bool { return p.cause != scan.CauseSilence }) {
		sleep(ctx, pause)
	}
}

func (a *addressScan) tell(p port, v verdict) {
	a.report(scan.PortResult{
		Address: a.ip, Port: p.number, State: v.state, Cause: v.cause, RTT: v.rtt, Attempts: int(p.attempts),
	})
}

// sleep waits, and returns false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

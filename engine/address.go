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
	first   []port // the ports of the first round

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

func newAddressScan(d *Dial, plan scan.Plan, ip netip.Addr, workers int, report func(scan.PortResult)) *addressScan {
	a := &addressScan{
		engine:  d,
		spec:    plan.Spec(),
		ip:      ip,
		workers: workers,
		limiter: newLimiter(plan.Spec().Rate),
		report:  report,
	}
	for _, number := range order(plan) {
		a.first = append(a.first, port{number: number})
	}
	return a
}

// run scans the address and reports every port of it.
func (a *addressScan) run(ctx context.Context) {
	left := a.first
	for round := 0; round < a.attempts() && len(left) > 0 && ctx.Err() == nil; round++ {
		left = a.round(ctx, left)
	}
	a.settle(ctx, left)
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

// round tries the ports once each and returns those that stay undecided. It
// starts with few workers and doubles them while all wait for answers: a host
// that answers is served by a handful, and one that is silent gets its packets
// spread over half a second (an unresolved neighbour queues only 256).
func (a *addressScan) round(ctx context.Context, ports []port) []port {
	const startWorkers, patience = 64, 100 * time.Millisecond
	var (
		left    undecided
		workers sync.WaitGroup
		jobs    = make(chan port)
		running = 0
	)
	grow := func(to int) {
		for ; running < min(to, a.workers, len(ports)); running++ {
			workers.Go(func() {
				for p := range jobs {
					a.try(ctx, p, &left)
				}
			})
		}
	}
	grow(startWorkers)
	stall := time.NewTimer(patience)
	defer stall.Stop()
	next := 0
	for next < len(ports) && ctx.Err() == nil {
		stall.Reset(patience)
		select {
		case jobs <- ports[next]:
			next++
		case <-stall.C:
			grow(2 * running)
		case <-ctx.Done():
		}
	}
	close(jobs)
	workers.Wait()
	return append(left.ports, ports[next:]...)
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
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		if err := a.engine.budget.enter(ctx, a.limiter); err != nil {
			// Out of time, or its turn at the packet rate would come after that.
			p.cause = scan.CauseDeadline
			return verdict{cause: p.cause}
		}
		v := a.engine.attempt(ctx, a.spec.Source, netip.AddrPortFrom(a.ip, p.number), a.spec.PortTimeout)
		a.engine.budget.leave()
		if v.state == scan.Unknown && ctx.Err() != nil {
			p.attempts++
			p.cause = scan.CauseDeadline
			return verdict{cause: p.cause}
		}
		p.cause = v.cause
		if !v.blocked() {
			p.attempts++
			a.lack.Store(0)
			return v
		}
		a.lack.Store(uint32(v.cause))
		if !sleep(ctx, pause) {
			return v
		}
	}
}

// settle reports the ports that no round decided.
func (a *addressScan) settle(ctx context.Context, left []port) {
	if len(left) == 0 {
		return
	}
	gone := a.gone(ctx, left)
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

// gone tells whether an address that answered before has stopped answering: it
// died, or it has banned us. It asks a port that answered, three times; these
// attempts count as the first silent port's.
func (a *addressScan) gone(ctx context.Context, left []port) bool {
	const tries = 3
	silent := slices.IndexFunc(left, func(p port) bool { return p.cause == scan.CauseSilence })
	canary := port{number: uint16(a.alive.Load())} //nolint:gosec // only ports are stored
	if canary.number == 0 || silent < 0 {
		return false
	}
	defer func() { left[silent].attempts += canary.attempts }()
	for range tries {
		if v := a.ask(ctx, &canary); v.state != scan.Unknown || ctx.Err() != nil {
			return false
		}
	}
	return true
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

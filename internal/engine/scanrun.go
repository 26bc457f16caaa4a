// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"portscan_exporter/internal/engine/pace"
	"portscan_exporter/internal/scan"
)

// host is one address of a scan.
type host struct {
	index int // in the scan
	addr  netip.Addr

	mu       sync.Mutex
	pacer    *pace.Pacer // nil after all ports are reported
	neighbor *neighbor
	losses   int  // of the neighbor entry that were passed to the pacer
	answered bool // by the address or a router

	lastResponse time.Duration // since the start of the scan; 0: none
}

// noteResponse notes the time of an answer if the address itself sent it. The caller holds
// the lock.
func (h *host) noteResponse(now time.Duration, v verdict) {
	if v.fromAddress() {
		h.lastResponse = now
	}
	if h.pacer != nil && (v.fromAddress() || v.rejected) {
		h.pacer.HostSeen()
	}
}

// scanRun is one scan, shared by its workers.
type scanRun struct {
	engine    *Engine
	traits    traits
	share     *share
	neighbors *neighbors
	plan      scan.Plan
	known     func(netip.Addr) scan.Known
	done      func(netip.Addr) scan.PortSet
	order     *pace.Order
	started   time.Time
	report    func(scan.PortResult)

	mu           sync.Mutex
	waiting      []scan.Address
	unresolved   []unresolvedHost
	startedHosts int // number of hosts started since startedSince
	startedSince time.Time
	addressCount int
	active       atomic.Pointer[[]*host]

	late        lateDetector // nil: attempts listen for the complete port_timeout
	lateChecked atomic.Int64 // when, as a duration since the start
}

// endHost reports the remaining ports of a host. Its silence is no evidence if its next hop
// does not resolve.
func (r *scanRun) endHost(h *host) {
	h.pacer.End(r.neighborCause(h))
}

// endUnfinished reports the remaining ports of a host at the end of the scan. Silence from
// before a change of the route is no evidence.
func (r *scanRun) endUnfinished(h *host) {
	if r.updateRoute(h, r.elapsed()) {
		h.pacer.End(scan.CauseNoRoute)
		return
	}
	h.noteLosses(h.neighbor.verify(r.elapsed()), r.elapsed())
	r.endHost(h)
}

// close releases the resources of the scan.
func (r *scanRun) close() {
	if r.late != nil {
		r.late.close()
	}
	r.share.leave()
}

// runWorkers runs up to count workers, as resources allow, and waits for the resources of the
// first. An error means that the scan could not be run.
func (r *scanRun) runWorkers(ctx context.Context, count int) error {
	const pause = 50 * time.Millisecond // between attempts to get resources
	workers := make([]*worker, 0, count)
	for len(workers) < count {
		prober, err := r.engine.system.newProber(ctx, r.plan.Spec().Source, r.plan.Ports().Len()*r.addressCount, r.late)
		switch {
		case err == nil:
			workers = append(workers, newWorker(r, prober))
		case len(workers) > 0:
			count = len(workers)
		case !sleep(ctx, pause):
			r.reportAll(localCause(err))
			return nil
		}
	}
	errs := make([]error, len(workers))
	var all sync.WaitGroup
	for i, w := range workers {
		all.Go(func() {
			defer w.prober.close() // concurrently, because closing thousands of sockets takes time
			errs[i] = w.work(ctx)
		})
	}
	all.Wait()
	for _, err := range errs { // all workers return the same one
		if err != nil {
			return err
		}
	}
	return nil
}

// reportAll reports all ports as unknown, for lack of a resource of probers.
func (r *scanRun) reportAll(lack scan.Cause) {
	ports := r.plan.Ports()
	for _, a := range r.waiting {
		r.report(scan.PortResult{Address: a.IP, Ports: &ports, Cause: lack})
	}
}

// activeLimit returns the maximum number of addresses that are scanned at once.
func (r *scanRun) activeLimit() int { return min(r.addressCount, activeLimit(r.plan.Ports().Len())) }

// activeHosts returns the addresses that are being scanned. It adds waiting ones first.
func (r *scanRun) activeHosts() ([]*host, error) {
	active := *r.active.Load()
	if len(active) >= r.activeLimit() {
		return active, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	active = *r.active.Load()
	if len(r.waiting) == 0 {
		return active, nil
	}
	now := time.Now()
	if now.Sub(r.startedSince) >= startInterval {
		r.startedSince, r.startedHosts = now, 0
	}
	n := min(len(r.waiting), r.activeLimit()-len(active), maxStarts-r.startedHosts)
	if n <= 0 {
		return active, nil
	}
	before := len(active)
	active = slices.Clone(active)
	for i, a := range r.waiting[:n] {
		h, err := r.newHost(a.IP, r.addressCount-len(r.waiting)+i)
		if err != nil {
			return nil, err
		}
		if h.pacer != nil {
			active = append(active, h)
		}
	}
	r.waiting = r.waiting[n:]
	r.startedHosts += len(active) - before
	r.active.Store(&active)
	return active, nil
}

// newHost returns the host of an address. It has no pacer if this machine cannot send to the
// address: no attempt can succeed, so its ports are reported at once.
func (r *scanRun) newHost(addr netip.Addr, at int) (*host, error) {
	h := &host{index: at, addr: addr, neighbor: r.neighbors.find(addr, r.elapsed())}
	if r.neighbors.isUnroutable(h) {
		ports := r.plan.Ports()
		r.report(scan.PortResult{Address: addr, Ports: &ports, Cause: scan.CauseNoRoute, Unroutable: true})
		return h, nil
	}
	var err error
	h.pacer, err = pace.NewPacer(pace.Options{
		Plan: r.plan, Order: r.order, Known: r.known(addr), Done: r.done(addr), Seed: rand.Uint32(), //nolint:gosec // the order needs no cryptographic randomness
		DetectsLate: r.late != nil && r.late.detects(addr), ReceivesLate: r.traits.receivesLate, Lag: r.traits.lag,
		Addresses: r.activeLimit(),
		Report: func(p scan.PortResult) {
			p.Address = addr
			if h.lastResponse > 0 {
				p.LastResponse = r.started.Add(h.lastResponse)
			}
			r.report(p)
		},
	})
	if err != nil {
		return nil, fmt.Errorf("pacing %v: %w", addr, err)
	}
	return h, nil
}

// removeHost removes a host after all its ports were reported.
func (r *scanRun) removeHost(h *host) {
	r.mu.Lock()
	defer r.mu.Unlock()
	active := slices.DeleteFunc(slices.Clone(*r.active.Load()), func(other *host) bool { return other == h })
	r.active.Store(&active)
}

// isDone reports whether all addresses have been reported.
func (r *scanRun) isDone() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiting) == 0 && len(*r.active.Load()) == 0
}

// elapsed returns the time since the start of the scan.
func (r *scanRun) elapsed() time.Duration { return time.Since(r.started) }

// detectLate has late answers detected if the scan needs it.
func (r *scanRun) detectLate() {
	if !needsLateDetector(r.plan.Spec(), r.plan.Ports().Len(), len(r.waiting), r.share.fairShare()) {
		return
	}
	addrs := make([]netip.Addr, 0, len(r.waiting))
	for _, a := range r.waiting {
		addrs = append(addrs, a.IP)
	}
	r.late = r.engine.system.newLateDetector(r.plan.Spec(), addrs, r.share.acquireAll)
}

// checkLate passes the result of the detection of late answers to all hosts.
func (r *scanRun) checkLate() {
	const interval = 20 * time.Millisecond
	now, last := r.elapsed(), r.lateChecked.Load()
	if now-time.Duration(last) < interval || !r.lateChecked.CompareAndSwap(last, int64(now)) {
		return
	}
	came := r.late.came()
	for _, h := range *r.active.Load() {
		h.mu.Lock()
		if h.pacer != nil {
			h.pacer.LateChecked(now, came)
		}
		h.mu.Unlock()
	}
}

// deliverLate passes a late answer to the host, if its prober has identified the port.
func (r *scanRun) deliverLate(e completion) {
	index, ok := r.plan.Ports().Index(e.from.Port())
	if !ok || e.verdict.state == scan.Unknown {
		return
	}
	for _, h := range *r.active.Load() {
		if h.addr != e.from.Addr() {
			continue
		}
		h.mu.Lock()
		h.noteResponse(r.elapsed(), e.verdict)
		if h.pacer != nil {
			r.noteAnswer(h)
			h.pacer.AnsweredLate(r.elapsed(), index, e.first, e.verdict.answer())
		}
		h.mu.Unlock()
	}
}

// noteAnswersLost notes for all hosts that answers were lost.
func (r *scanRun) noteAnswersLost() {
	for _, h := range *r.active.Load() {
		h.mu.Lock()
		if h.pacer != nil {
			h.pacer.AnswersLost(r.elapsed())
		}
		h.mu.Unlock()
	}
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

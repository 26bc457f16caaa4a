// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"portscan_exporter/internal/engine/pace"
	"portscan_exporter/internal/scan"
)

// Engine implements [scan.Scanner] in one of several ways: see [NewConnect],
// [NewDial], [NewSYN] and [NewUDP], which make one. It may be used concurrently.
//
// All that is decided about what to send and when is package pace's; how it is
// sent is a line's.
type Engine struct {
	budget *Budget
	system system
}

// Close gives back what the engine has kept from scan to scan. None may be under
// way, and none be begun afterwards.
func (e *Engine) Close() { e.system.close() }

const (
	// manyPorts is how many a scan has at least that is worth more than one core.
	manyPorts = 4096

	// mostLanes bounds the cores of one scan.
	mostLanes = 4

	// mostActive bounds the addresses that are scanned side by side, and so the
	// memory of a scan; the others follow as these are done.
	mostActive = 256

	// startTogether is how many addresses are begun within startSpan: neighbours
	// whose hardware addresses are unknown fill the kernel's table.
	startTogether = 128
	startSpan     = 100 * time.Millisecond
)

// host is one address of a scan.
type host struct {
	at   int // in the scan
	addr netip.Addr

	mu   sync.Mutex
	path *pace.Path // nil once its results are in
}

// run is one scan, shared by its lanes.
type run struct {
	engine *Engine
	share  *share
	plan   scan.Plan
	order  *pace.Order
	begun  time.Time
	report func(scan.PortResult)

	mu      sync.Mutex
	waiting []scan.Address
	started int       // of late
	span    time.Time // since when
	all     int
	active  atomic.Pointer[[]*host]

	lateCount int64 // when last looked at
	lateOK    bool
	lateSeen  time.Time
}

// Scan implements [scan.Scanner]. Addresses are scanned side by side, each
// within its module's max_in_flight and rate.
func (e *Engine) Scan(ctx context.Context, req scan.Request, report func(scan.PortResult)) error {
	if err := req.Check(); err != nil {
		return err
	}
	addresses := req.Addresses()
	if len(addresses) == 0 {
		return nil
	}
	plan := req.Plan()
	ports := plan.Ports().Len() * len(addresses)
	r := &run{
		engine: e, share: e.budget.join(plan.Spec().Protocol, ports, e.system.most()), plan: plan, order: pace.NewOrder(plan),
		begun: time.Now(), report: report, waiting: addresses, all: len(addresses),
	}
	defer r.leave()
	r.active.Store(new([]*host))
	r.lateCount, r.lateOK = e.system.late()
	lanes := 1
	if ports >= manyPorts {
		lanes = min(runtime.GOMAXPROCS(0), mostLanes)
	}
	r.runLanes(ctx, lanes)
	for _, h := range *r.active.Load() {
		if h.path != nil {
			r.end(h)
		}
	}
	return nil
}

// end says what is left to say of a host. Its silence means nothing if it, or the
// gateway to it, is no neighbour that anybody could find.
func (r *run) end(h *host) {
	cause := scan.CauseNone
	if !r.engine.system.resolved(r.plan.Spec().Source, h.addr) {
		cause = scan.CauseNoRoute
	}
	h.path.End(cause)
}

// leave gives everything back. What a scan of silence took for its attempts is
// worth a collection of garbage, or it would stay with the process for minutes.
func (r *run) leave() {
	const muchTaken = 1000 // attempts under way, of a few hundred bytes each
	taken, last := r.share.leave()
	if last && taken >= muchTaken {
		debug.FreeOSMemory()
	}
}

// runLanes scans with so many lanes, or fewer where there is not enough for all; it
// waits for what the first one takes.
func (r *run) runLanes(ctx context.Context, count int) {
	const pause = 50 * time.Millisecond // between looks whether there are any
	lanes := make([]*lane, 0, count)
	defer func() {
		for _, l := range lanes {
			l.line.close()
		}
	}()
	for len(lanes) < count {
		line, err := r.engine.system.line(ctx, r.plan.Spec().Source, r.plan.Ports().Len()*r.all)
		switch {
		case err == nil:
			lanes = append(lanes, newLane(r, line))
		case len(lanes) > 0:
			count = len(lanes)
		case !sleep(ctx, pause):
			r.noLine(ownSide(classify(err, never)))
			return
		}
	}
	var all sync.WaitGroup
	for _, l := range lanes {
		all.Go(func() { l.work(ctx) })
	}
	all.Wait()
}

// noLine reports every port unknown for want of what a line takes.
func (r *run) noLine(lack scan.Cause) {
	for _, a := range r.waiting {
		for port := range r.plan.Ports().All() {
			r.report(scan.PortResult{Address: a.IP, Port: port, Cause: lack})
		}
	}
}

// hosts returns the addresses that are being scanned, after adding those whose
// turn has come; none are left at the end.
func (r *run) hosts() []*host {
	active := *r.active.Load()
	if len(active) >= min(mostActive, r.all) {
		return active
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	active = *r.active.Load()
	if len(r.waiting) == 0 {
		return active
	}
	now := time.Now()
	if now.Sub(r.span) >= startSpan {
		r.span, r.started = now, 0
	}
	n := min(len(r.waiting), mostActive-len(active), startTogether-r.started)
	if n <= 0 {
		return active
	}
	active = slices.Clone(active)
	for i, a := range r.waiting[:n] {
		active = append(active, r.newHost(a.IP, r.all-len(r.waiting)+i))
	}
	r.waiting = r.waiting[n:]
	r.started += n
	r.active.Store(&active)
	return active
}

func (r *run) newHost(addr netip.Addr, at int) *host {
	ports := r.plan.Ports()
	path, err := pace.NewPath(pace.Options{
		Plan: r.plan, Order: r.order, Seed: rand.Uint32(), //nolint:gosec // an order that looks random is enough
		Late: r.lateOK && !r.engine.system.ours(addr), Hears: r.engine.system.hears(), Lag: r.engine.system.lag(),
		Addresses: min(r.all, mostActive),
		Report: func(index int, p scan.PortResult) {
			p.Address, p.Port = addr, ports.At(index)
			r.report(p)
		},
	})
	if err != nil {
		panic(err) // the plan was checked with the request
	}
	return &host{at: at, addr: addr, path: path}
}

// retire takes a host out that has been reported.
func (r *run) retire(h *host) {
	r.mu.Lock()
	defer r.mu.Unlock()
	active := slices.DeleteFunc(slices.Clone(*r.active.Load()), func(other *host) bool { return other == h })
	r.active.Store(&active)
}

// over tells whether every address has been reported.
func (r *run) over() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiting) == 0 && len(*r.active.Load()) == 0
}

// now is the moment, counted from the start of the scan.
func (r *run) now() time.Duration { return time.Since(r.begun) }

// lookForLate asks for late answers, and tells every host.
func (r *run) lookForLate() {
	const seldom = 20 * time.Millisecond
	r.mu.Lock()
	if time.Since(r.lateSeen) < seldom {
		r.mu.Unlock()
		return
	}
	count, ok := r.engine.system.late()
	came := !ok || count > r.lateCount
	r.lateCount, r.lateSeen = count, time.Now()
	r.mu.Unlock()
	for _, h := range *r.active.Load() {
		h.mu.Lock()
		if h.path != nil {
			h.path.Late(r.now(), came)
		}
		h.mu.Unlock()
	}
}

// heard takes an answer to an attempt that had been given up, if its line tells whose
// it is.
func (r *run) heard(e ending) {
	index, ok := r.plan.Ports().Index(e.from.Port())
	if !ok || e.verdict.state == scan.Unknown {
		return
	}
	for _, h := range *r.active.Load() {
		if h.addr != e.from.Addr() {
			continue
		}
		h.mu.Lock()
		if h.path != nil {
			h.path.Heard(r.now(), index, e.first, e.verdict.state, e.verdict.cause)
		}
		h.mu.Unlock()
	}
}

// lostAnswers tells every host that answers have come that could not be read.
func (r *run) lostAnswers() {
	for _, h := range *r.active.Load() {
		h.mu.Lock()
		if h.path != nil {
			h.path.Lost(r.now())
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

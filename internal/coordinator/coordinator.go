// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Package coordinator implements the scheduling of scans. Probes for the same scan share
// it. A scan ends when its last waiting probe is answered or, with a max_age, at its own
// timeout, and its result is then cached. The coordinator limits the number of concurrent
// scans, selects the engine of each, and returns partial results at a probe's deadline. It
// stores the history of ports, logs changes, and optionally persists its state in a file.
//
// Guarantees: [Coordinator.Scan] returns when its context ends, even if the resolver or the
// engine hangs. The outcome of a scan, including a panic, is returned to all waiting
// probes. A probe never joins a scan that has ended or was canceled. A scan holds its slot
// until its engine has returned. After [Coordinator.Close], no goroutine is running.
//
// One lock guards the waiting probes. It is not held during calls to other packages, and a
// scan takes it only at its start and end, never for a port. The results of a running scan
// (pass) and the history (memory) have separate locks. At most one lock is held at a time.
package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"portscan_exporter/internal/scan"
)

// Resolver resolves a task's hosts to addresses, see package resolve.
type Resolver interface {
	Resolve(ctx context.Context, task scan.Task) ([]scan.Address, map[scan.Failure]error)
}

// Kind is the kind of scan that an engine runs.
type Kind struct {
	Protocol scan.Protocol
	Method   scan.Method
}

// Options are the parameters of a coordinator.
type Options struct {
	Resolver Resolver
	Engines  map[Kind]scan.Scanner
	MaxScans int // maximum number of concurrent scans; further ones wait
	Logger   *slog.Logger
	// Allow is called when a scan starts, possibly long after it was requested. It
	// returns the task according to the current configuration, or the error for
	// [Coordinator.Scan] if the task is no longer permitted. Nil: all tasks are permitted.
	Allow func(scan.Task) (scan.Task, error)
	// Observe is called once at the end of each scan with its module's name, possibly
	// concurrently. Optional.
	Observe func(module string, result *scan.Result)
	// Joined is called once for each probe that joins a scan of another probe, with its
	// module's name, possibly concurrently. Optional.
	Joined func(module string)
}

// Coordinator schedules scans. Create coordinators with [New]. They may be used
// concurrently.
type Coordinator struct {
	options Options
	slots   *semaphore
	refused refusals

	mu     sync.Mutex
	shared map[group][]*shared // that can be joined
	shelf  shelf
	// unfinished are scans with a max_age that the program's end cut short, by the
	// digest of their tasks: before they go on, and after they were ended.
	unfinished map[string]kept
	closed     bool // by Interrupt
	running    sync.WaitGroup

	// configuration counts the configurations there were. It rises after a new one is in
	// use, and under the lock.
	configuration atomic.Int64

	memory *memory
	keeper *keeper // nil: nothing outlives the program
}

var (
	// ErrBusy is the error if no scan slot became free in time.
	ErrBusy = errors.New("scan limit reached: try again later, or raise limits.max_scans")
	// ErrClosing is the error during shutdown.
	ErrClosing = errors.New("exporter is shutting down")
	// ErrPanic is the error if starting a scan panicked.
	ErrPanic = errors.New("scan panicked: see the log of the exporter")
)

// New returns a coordinator.
func New(o Options) (*Coordinator, error) {
	if o.Resolver == nil || len(o.Engines) == 0 || o.Logger == nil {
		return nil, errors.New("coordinator.New: Resolver, Engines and Logger are required")
	}
	slots, err := newSemaphore(o.MaxScans)
	if err != nil {
		return nil, fmt.Errorf("making the scan slots: %w", err)
	}
	if o.Allow == nil {
		o.Allow = func(task scan.Task) (scan.Task, error) { return task, nil }
	}
	if o.Observe == nil {
		o.Observe = func(string, *scan.Result) {}
	}
	if o.Joined == nil {
		o.Joined = func(string) {}
	}
	return &Coordinator{
		options: o, slots: slots, memory: newMemory(),
		shared: make(map[group][]*shared), shelf: shelf{kept: make(map[group][]*kept)},
		unfinished: make(map[string]kept),
	}, nil
}

// Scan runs the task, or joins a running scan of the same task, and returns the result when
// the scan ends, or its results so far when ctx ends. ctx must have a deadline. A scan ends
// at the latest deadline of its waiting probes, or at its plan's timeout if that is
// earlier. Tasks of one target wait in one queue for a slot, and targets take turns. The
// error is [ErrBusy], [ErrClosing], [ErrPanic] or an error of Options.Allow. Failures of
// the scan itself are part of the result.
//
// With a max_age, the answer can be a cached complete result of at most that age. If there
// is none, a scan runs until its plan's timeout, even if no probe waits for it. A probe
// whose ctx ends first gets the previous result, or an empty one.
func (c *Coordinator) Scan(ctx context.Context, task scan.Task) (Answer, error) {
	w, a, err := c.join(ctx, task)
	if w != nil {
		select {
		case <-w.shared.done:
		case <-ctx.Done():
		}
		a, err = c.leave(ctx, w, task)
	}
	if err != nil {
		return Answer{}, err
	}
	a.Memory = c.memory.of(groupOf(task), a.Result)
	return a, nil
}

// engineDeadline leaves the engine time to come home with what it knows before
// the answer is due.
func engineDeadline(ctx context.Context) time.Time {
	const share, most = 20, 100 * time.Millisecond // a twentieth of what is left
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.Now()
	}
	return deadline.Add(-min(most, time.Until(deadline)/share))
}

// lead carries a shared scan out, in a goroutine of its own, so that a probe can
// leave at its deadline whatever the engine does.
func (c *Coordinator) lead(ctx context.Context, s *shared) {
	defer close(s.done)
	defer func() {
		if v := recover(); v != nil {
			c.options.Logger.Error("Scan panicked", "target", s.asked.Target, "module", s.asked.Module, "panic", v, "stack", string(debug.Stack()))
			c.giveUp(s, fmt.Errorf("%w: %v", ErrPanic, v))
		}
	}()
	if err := c.slots.acquire(ctx, s.asked.Target); err != nil {
		c.giveUp(s, fmt.Errorf("%w (%w)", ErrBusy, err))
		return
	}
	defer c.slots.release()
	task, p := c.start(s)
	if p == nil {
		return
	}
	c.carryOut(ctx, task, p)
	if task.MaxAge == 0 { // whoever comes now is not to be answered with what was before
		c.over(s, nil)
	}
	p.finish(time.Now())
	c.learn(task, p.result())
	if task.MaxAge > 0 {
		c.over(s, p.result())
		c.keeper.altered()
	}
	c.options.Observe(task.Module, p.result())
}

// start has a scan begin, as what the configuration makes of it at that very moment;
// there is no pass where it may not.
func (c *Coordinator) start(s *shared) (scan.Task, *pass) {
	for {
		configuration := c.configuration.Load()
		task, err := c.options.Allow(s.asked)
		if err != nil {
			c.giveUp(s, err)
			return task, nil
		}
		p := newPass(task, c.cutShort(task))
		switch begun, changed := c.begin(s, task, p, configuration); {
		case begun:
			if p.before != nil {
				c.goesOn(task)
			}
			return task, p
		case !changed:
			return task, nil
		}
	}
}

// learn remembers what a scan has shown, before anybody is answered with it.
func (c *Coordinator) learn(task scan.Task, r *scan.Result) {
	n := c.memory.learn(task, r)
	tell(c.options.Logger, task, n)
	if n.altered {
		c.keeper.altered()
	}
}

// carryOut resolves, checks and scans. A panic below it is a failed scan.
func (c *Coordinator) carryOut(ctx context.Context, task scan.Task, p *pass) {
	defer func() {
		if v := recover(); v != nil {
			c.options.Logger.Error("Scan panicked", "target", task.Target, "module", task.Module, "panic", v, "stack", string(debug.Stack()))
			p.fail(scan.FailedInternal, fmt.Errorf("panic: %v", v))
		}
	}()
	found, failed := c.options.Resolver.Resolve(ctx, task)
	p.resolved(time.Now(), failed)
	plan := task.Plan.WithWatched(c.memory.opened(groupOf(task), found))
	req, refused, err := scan.NewRequest(plan, task.Scope, found)
	if err != nil {
		p.fail(scan.FailedInternal, err)
		return
	}
	c.refused.tell(c.options.Logger, task.Target, refused, len(failed) > 0)
	if err := p.begin(req, refused); err != nil {
		p.fail(scan.FailedInternal, err)
		return
	}
	if req, err = p.rest(req, task.Scope); err != nil {
		p.fail(scan.FailedInternal, err)
		return
	}
	spec := task.Plan.Spec()
	engine, ok := c.options.Engines[Kind{Protocol: spec.Protocol, Method: spec.Method}]
	if !ok {
		p.fail(scan.FailedInternal, fmt.Errorf("no engine for %v %v", spec.Protocol, spec.Method))
		return
	}
	if err := engine.Scan(ctx, req, p.record); err != nil {
		c.options.Logger.Error("Scan failed", "target", task.Target, "module", task.Module, "err", err)
		p.fail(scan.FailedInternal, err)
	}
}

// SetMaxScans sets the maximum number of concurrent scans.
func (c *Coordinator) SetMaxScans(n int) { c.slots.setLimit(n) }

// InFlight returns the number of running scans.
func (c *Coordinator) InFlight() int { return c.slots.acquiredSlots() }

// UnderWay is a running scan of a complete target.
type UnderWay struct {
	Target, Module string
	Started        time.Time
	Progress       float64 // ratio of ports with a result, from 0 to 1
}

// UnderWay returns the running scans of complete targets that probes can join.
func (c *Coordinator) UnderWay() (all []UnderWay) {
	c.mu.Lock()
	under := slices.Concat(slices.Collect(maps.Values(c.shared))...)
	passes := make([]*pass, len(under))
	for i, s := range under {
		passes[i] = s.pass
	}
	c.mu.Unlock()
	for i, p := range passes {
		if p != nil && under[i].asked.Asked == under[i].asked.Target {
			all = append(all, UnderWay{
				Target: under[i].asked.Target, Module: under[i].asked.Module, Started: p.started, Progress: p.progress(),
			})
		}
	}
	return all
}

// Interrupt cancels all scans, so that their probes return the results so far, and rejects
// new scans.
func (c *Coordinator) Interrupt() {
	c.mu.Lock()
	c.closed = true
	under := slices.Concat(slices.Collect(maps.Values(c.shared))...)
	c.mu.Unlock()
	for _, s := range under {
		c.interrupt(s, ErrClosing)
	}
}

// Close interrupts all scans, waits until their engines have returned, and writes the state
// file.
func (c *Coordinator) Close() {
	c.Interrupt()
	c.running.Wait()
	c.keeper.close()
}

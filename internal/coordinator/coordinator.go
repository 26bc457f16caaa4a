// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/store"
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
	Store    *store.Store // has the results
	MaxScans int          // maximum number of concurrent scans; further ones wait
	Logger   *slog.Logger
	// Allow is called when a scan starts, possibly long after it was requested. It
	// returns the task according to the current configuration, or the error for
	// [Coordinator.Scan] if the task is no longer permitted. It may look up names until the
	// context ends. Nil: all tasks are permitted.
	Allow func(context.Context, scan.Task) (scan.Task, error)
	// Keep is called for running scans after the configuration has changed. It is like Allow,
	// but does not look up names. Nil: all scans continue.
	Keep func(scan.Task) (scan.Task, error)
	// Observe is called once at the end of each scan, possibly concurrently. Optional.
	Observe func(Event)
	// Joined is called once for each probe that joins a scan of another probe, with its
	// module's name, possibly concurrently. Optional.
	Joined func(module string)
}

// Client is who requested a scan.
type Client struct {
	Remote string // address and port; empty: the command line
	User   string // verified name; empty: none
}

// Event describes a scan that has ended.
type Event struct {
	ID        string
	Task      scan.Task
	Client    Client // of the first probe
	Result    *scan.Result
	Attempts  int       // of this run, without those of a scan that it resumed
	Started   time.Time // of this run
	Suspended bool      // the next scan of the task resumes it
}

// Coordinator schedules scans. Create coordinators with [New]. They may be used
// concurrently.
type Coordinator struct {
	options Options
	slots   *semaphore
	refused refusals

	unroutable unroutables

	mu       sync.Mutex
	active   map[*sharedScan]struct{} // queued or running, and not canceled
	scans    map[scan.Key]*sharedScan // those that probes can join
	detached map[targetModule]*sharedScan
	ending   map[scan.Key]*sharedScan // the suspended ones whose engine has not returned
	unsaved  map[*sharedScan]struct{} // started, and their engine has not returned or their result is not in the store
	closed   bool                     // by Interrupt
	running  sync.WaitGroup

	// configuration counts the configurations so far. It rises after a new one is in use.
	configuration atomic.Int64
}

// targetModule identifies the scans of a target with a module.
type targetModule struct{ target, module string }

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
	if o.Resolver == nil || len(o.Engines) == 0 || o.Store == nil || o.Logger == nil {
		return nil, errors.New("coordinator.New: Resolver, Engines, Store and Logger are required")
	}
	slots, err := newSemaphore(o.MaxScans)
	if err != nil {
		return nil, fmt.Errorf("making the scan slots: %w", err)
	}
	if o.Allow == nil {
		o.Allow = func(_ context.Context, task scan.Task) (scan.Task, error) { return task, nil }
	}
	if o.Keep == nil {
		o.Keep = func(task scan.Task) (scan.Task, error) { return task, nil }
	}
	if o.Observe == nil {
		o.Observe = func(Event) {}
	}
	if o.Joined == nil {
		o.Joined = func(string) {}
	}
	return &Coordinator{
		options: o, slots: slots, active: make(map[*sharedScan]struct{}),
		scans: make(map[scan.Key]*sharedScan), detached: make(map[targetModule]*sharedScan), ending: make(map[scan.Key]*sharedScan),
		unsaved: make(map[*sharedScan]struct{}),
	}, nil
}

// Scan runs the task, or joins a running scan of the same task, and returns the result when
// the scan ends, or its results so far when ctx ends. ctx must have a deadline. If it ends earlier
// with the cause [context.DeadlineExceeded], that was the deadline. A scan ends
// at the latest deadline of its waiting probes, or at its plan's timeout if that is
// earlier. Tasks of one target wait in one queue for a slot, and targets take turns. The
// error is [ErrBusy], [ErrClosing], [ErrPanic] or an error of Options.Allow. Failures of
// the scan itself are part of the result. If ctx ends before the scan has started although a slot
// is free, the result is empty.
//
// With a max_age, the answer can be a cached result, see [store.View.IsFresh]. If there is no
// fresh one, a scan runs until its plan's timeout, even if no probe waits for it. A probe
// whose ctx ends first gets the previous result, or an empty one.
func (c *Coordinator) Scan(ctx context.Context, task scan.Task, client Client) (Answer, error) {
	w, err := c.join(ctx, task)
	if w == nil && err == nil { // a scan that has just ended is in the store
		if a, ok := c.freshAnswer(task); ok {
			return a, nil
		}
		w, err = c.joinOrBegin(ctx, task, client)
	}
	if err != nil {
		return Answer{}, err
	}
	select {
	case <-w.scan.done:
	case <-ctx.Done():
	}
	c.leave(ctx, w)
	return c.answer(ctx, w, task)
}

// FailScan returns the answer for a task that cannot be scanned, and reports the attempt like a scan
// that failed.
func (c *Coordinator) FailScan(task scan.Task, client Client, started time.Time, failure scan.Failure, err error) Answer {
	now := time.Now()
	result := &scan.Result{
		Plan: task.Plan, Started: started, Finished: now, Lookup: now.Sub(started), Failed: map[scan.Failure]error{failure: err},
	}
	id := newScanID()
	c.options.Observe(Event{ID: id, Task: task, Client: client, Result: result, Started: started})
	return Answer{Result: result, ScanID: id, Source: Fresh, Progress: 1}
}

// SetMaxScans sets the maximum number of concurrent scans.
func (c *Coordinator) SetMaxScans(n int) { c.slots.setLimit(n) }

// InFlight returns the number of running scans.
func (c *Coordinator) InFlight() int {
	c.mu.Lock()
	detached := len(c.detached)
	c.mu.Unlock()
	return detached + c.slots.acquiredSlots()
}

// UnderWay is a running scan of a complete target.
type UnderWay struct {
	Target, Module string
	Started        time.Time
	Progress       float64 // ratio of ports with a result, from 0 to 1
}

// UnderWay returns the running scans of complete targets.
func (c *Coordinator) UnderWay() (all []UnderWay) {
	for run := range c.runs() {
		if !run.task.Addr.IsValid() {
			all = append(all, UnderWay{Target: run.task.Target, Module: run.task.Module, Started: run.started, Progress: run.progress()})
		}
	}
	return all
}

// Sweeps returns the results so far of the scans with a max_age whose results the store does not
// have yet, for the state file.
func (c *Coordinator) Sweeps() (all []store.Unfinished) {
	c.mu.Lock()
	unsaved := make(map[*scanRun]*sharedScan, len(c.unsaved))
	for s := range c.unsaved {
		if !s.recorded {
			unsaved[s.run] = s
		}
	}
	c.mu.Unlock()
	for run, s := range unsaved {
		if run.task.MaxAge > 0 {
			all = append(all, store.Unfinished{Task: run.task, ID: s.id, Result: run.soFar()})
		}
	}
	return all
}

// runs returns the running scans.
func (c *Coordinator) runs() map[*scanRun]*sharedScan {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make(map[*scanRun]*sharedScan, len(c.active))
	for s := range c.active {
		if s.run != nil {
			all[s.run] = s
		}
	}
	return all
}

// Reconfigure applies a new configuration with these tasks of all targets and modules, see
// [store.Store.Reconfigure]. It cancels scans with a max_age of tasks that Options.Keep rejects or
// changes. Scans without a max_age continue until their waiting probes are answered.
func (c *Coordinator) Reconfigure(tasks []scan.Task) {
	c.configuration.Add(1)
	c.options.Store.Reconfigure(tasks)
	for run, s := range c.runs() {
		switch now, err := c.options.Keep(run.task); {
		case err == nil && now.Key() == run.task.Key():
			c.setExpiry(s, now.Expires)
		case run.task.MaxAge > 0:
			c.interrupt(s, errReconfigured, false)
		}
	}
}

var errReconfigured = errors.New("configuration changed")

// Interrupt cancels all scans, so that their probes return the results so far, and rejects
// new scans.
func (c *Coordinator) Interrupt() {
	c.mu.Lock()
	c.closed = true
	scans := slices.Collect(maps.Keys(c.active))
	c.mu.Unlock()
	for _, s := range scans {
		c.interrupt(s, ErrClosing, true)
	}
}

// Close interrupts all scans, and waits until their engines have returned.
func (c *Coordinator) Close() {
	c.Interrupt()
	c.running.Wait()
}

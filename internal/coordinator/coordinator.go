// Package coordinator decides when scans run. Probes that ask for the same scan
// while it is under way share it; it ends when the last of them has left, or, with a
// max_age, at its own time, and its result is retained. The coordinator bounds how many
// run at once, hands each to its engine, and says at a probe's deadline what is known.
// It remembers which ports were open, tells of those that change, and can keep all that
// in a file.
//
// Its contract: [Coordinator.Scan] returns by its context's end at the latest,
// whatever resolver and engine do; whatever becomes of a scan, a panic included,
// reaches all that wait for it; nobody joins a scan that has ended, or that has been
// told to; a scan holds its place until the engine has really returned; after
// [Coordinator.Close] nothing of it runs any more.
//
// There is one lock, over who waits for what. It is held across no call to anything
// else, and a scan takes it when it begins and ends, never for a port: what is known
// of a scan has a lock of its own (pass), and so has what scans have shown (memory).
// No two of them are ever held at once.
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

// Resolver turns a task's hosts into addresses; see package resolve.
type Resolver interface {
	Resolve(ctx context.Context, task scan.Task) ([]scan.Address, map[scan.Failure]error)
}

// Kind is what an engine is chosen by.
type Kind struct {
	Protocol scan.Protocol
	Method   scan.Method
}

// Options are what a coordinator is made of.
type Options struct {
	Resolver Resolver
	Engines  map[Kind]scan.Scanner
	MaxScans int // at once; further ones wait
	Logger   *slog.Logger
	// Allow is asked at the moment a scan starts, which may be a while after somebody
	// asked for it. It returns the task as the configuration has it by then, or why
	// it is allowed no more, which [Coordinator.Scan] returns. Nil: all tasks are
	// carried out as they are.
	Allow func(scan.Task) (scan.Task, error)
	// Observe is called once at the end of each scan, with its module's name. It
	// may be called concurrently. Nil: nobody is told.
	Observe func(module string, result *scan.Result)
	// Joined is called once for each probe that shares a scan begun for another one,
	// with its module's name. It may be called concurrently. Nil: nobody is told.
	Joined func(module string)
}

// Coordinator runs scans. Make one with [New]; it may be used concurrently.
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
	// ErrBusy says that no place came free for a scan in time.
	ErrBusy = errors.New("scan limit reached: try again later, or raise limits.max_scans")
	// ErrClosing says that the exporter is shutting down.
	ErrClosing = errors.New("exporter is shutting down")
	// ErrPanic says that a scan could not be begun because of a fault in this program.
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

// Scan carries the task out, or joins a scan of the same task that is under way, and
// returns what is known when it is done, or when ctx ends. ctx must have a deadline. A
// scan ends at the deadline of the last that waits for it, and its plan's timeout after
// its start at the latest. Tasks for one target wait in one line for a place, and the
// targets take turns. The error is [ErrBusy], [ErrClosing], [ErrPanic] or one of
// Options.Allow; whatever goes wrong with the scan itself is in the result.
//
// With a max_age the answer may be a complete result that is not older. Otherwise there
// is a scan, as above, but for its end: it goes on to its plan's timeout, whoever waits;
// and a probe whose ctx ends first gets the result before, or an empty one.
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

// SetMaxScans moves the number of scans allowed at once.
func (c *Coordinator) SetMaxScans(n int) { c.slots.setLimit(n) }

// InFlight returns how many scans are under way.
func (c *Coordinator) InFlight() int { return c.slots.acquiredSlots() }

// UnderWay is a scan of a whole target that has begun and not ended.
type UnderWay struct {
	Target, Module string
	Started        time.Time
	Progress       float64 // from 0 to 1: of how many ports something is known
}

// UnderWay returns the scans of whole targets that are under way and that probes can join.
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

// Interrupt ends the scans under way: their probes answer at once with what is
// known. New scans are refused from then on.
func (c *Coordinator) Interrupt() {
	c.mu.Lock()
	c.closed = true
	under := slices.Concat(slices.Collect(maps.Values(c.shared))...)
	c.mu.Unlock()
	for _, s := range under {
		c.interrupt(s, ErrClosing)
	}
}

// Close interrupts, waits until every scan's engine has returned, and saves what is to
// outlive the program.
func (c *Coordinator) Close() {
	c.Interrupt()
	c.running.Wait()
	c.keeper.close()
}

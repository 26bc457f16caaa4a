// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"portscan_exporter/internal/scan"
)

// sharedScan is a scan and the probes that wait for it. The fields above the blank line do not
// change; the others are guarded by the coordinator's lock.
type sharedScan struct {
	id        string
	requested scan.Task // by the first probe
	client    Client    // that sent the first probe
	cancel    context.CancelFunc
	done      chan struct{} // closed when the engine has returned and the result is recorded

	task      scan.Task // according to the configuration when the scan started
	waiters   map[*waiter]struct{}
	until     time.Time   // the latest deadline of the waiters
	latest    time.Time   // end of the scan in any case; zero: not running
	timer     *time.Timer // ends the scan
	run       *scanRun    // nil: queued
	err       error       // why the scan did not start
	suspended bool
	recorded  bool // the result is in the store
}

// waiter is a probe that waits for a scan.
type waiter struct {
	scan   *sharedScan
	until  time.Time // deadline of the engine
	joined bool      // another probe started the scan
}

// engineDeadline returns when an engine must return, so that there is time for the answer.
func engineDeadline(ctx context.Context) time.Time {
	const share, maximum = 20, 100 * time.Millisecond // a twentieth of the time left
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.Now()
	}
	return deadline.Add(-min(maximum, time.Until(deadline)/share))
}

// join adds a probe to a scan of the task that is queued or running. There is no waiter if there
// is no such scan.
func (c *Coordinator) join(ctx context.Context, task scan.Task) (*waiter, error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, ErrClosing
	}
	s := c.scans[task.Key()]
	if s == nil {
		c.mu.Unlock()
		return nil, nil //nolint:nilnil // no scan is no error
	}
	w := s.addWaiter(engineDeadline(ctx))
	w.joined = true
	c.mu.Unlock()
	c.options.Joined(task.Module)
	return w, nil
}

// joinOrBegin adds a probe to a scan of the task, which is new if there is none.
// [Coordinator.leave] must be called afterwards.
func (c *Coordinator) joinOrBegin(ctx context.Context, task scan.Task, client Client) (*waiter, error) {
	for {
		if w, err := c.join(ctx, task); w != nil || err != nil {
			return w, err
		}
		if w := c.begin(ctx, task, client); w != nil {
			return w, nil
		}
	}
}

// begin adds a probe to a new scan. It returns nil if probes can join another scan of the task, or
// during shutdown.
func (c *Coordinator) begin(ctx context.Context, task scan.Task, client Client) *waiter {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.scans[task.Key()] != nil {
		return nil
	}
	scanCtx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // a scan can outlive the probe
	s := &sharedScan{
		id: newScanID(), requested: task, client: client, cancel: cancel, done: make(chan struct{}),
		task: task, waiters: make(map[*waiter]struct{}),
	}
	s.timer = time.AfterFunc(time.Hour, func() { c.onDeadline(s) })
	c.list(s)
	c.running.Go(func() {
		defer cancel()
		c.lead(scanCtx, s)
	})
	return s.addWaiter(engineDeadline(ctx))
}

func newScanID() string { return rand.Text()[:16] }

// addWaiter adds a probe. The caller holds the lock.
func (s *sharedScan) addWaiter(until time.Time) *waiter {
	w := &waiter{scan: s, until: until}
	s.waiters[w] = struct{}{}
	if until.After(s.until) {
		s.until = until
	}
	s.timer.Reset(time.Until(s.end()))
	return w
}

// end returns when the scan ends: at the deadline of its last probe, or at its timeout. A sweep
// that is running does not end with its probes. The caller holds the lock.
func (s *sharedScan) end() time.Time {
	switch {
	case s.latest.IsZero():
		return s.until
	case s.task.MaxAge > 0 || s.latest.Before(s.until):
		return s.latest
	default:
		return s.until
	}
}

// setLatest sets the end of a running scan: its timeout, or the end of the authorization. The
// caller holds the lock.
func (s *sharedScan) setLatest(expires time.Time) {
	s.latest = s.run.started.Add(s.task.Plan.Spec().Timeout)
	if !expires.IsZero() && expires.Before(s.latest) {
		s.latest = expires
	}
}

// setExpiry sets the end of the authorization of a running scan, which a reload may have changed.
func (c *Coordinator) setExpiry(s *sharedScan, expires time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isActive(s) {
		s.setLatest(expires)
		s.timer.Reset(time.Until(s.end()))
	}
}

// onDeadline ends the scan, unless a probe with a later deadline has joined at this moment. Probes
// can still join a sweep that has reached its timeout: they wait until its result is recorded,
// because another sweep would follow without a pause.
func (c *Coordinator) onDeadline(s *sharedScan) {
	c.mu.Lock()
	left := time.Until(s.end())
	switch {
	case left > 0:
		s.timer.Reset(left)
	case s.run != nil && s.task.MaxAge > 0:
		delete(c.active, s)
	default:
		c.unlist(s)
	}
	c.mu.Unlock()
	if left <= 0 {
		s.cancel()
	}
}

// list lets probes join the scan, unless another scan of the same task is running: a new
// configuration can make two tasks equal while they are queued. The caller holds the lock.
func (c *Coordinator) list(s *sharedScan) {
	c.active[s] = struct{}{}
	if key := s.task.Key(); c.scans[key] == nil {
		c.scans[key] = s
	}
}

// unlist lets no further probe join the scan. The caller holds the lock.
func (c *Coordinator) unlist(s *sharedScan) {
	s.timer.Stop()
	delete(c.active, s)
	if key := s.task.Key(); c.scans[key] == s {
		delete(c.scans, key)
	}
}

// isActive reports whether the scan has neither ended nor been canceled. The caller holds the lock.
func (c *Coordinator) isActive(s *sharedScan) bool {
	_, ok := c.active[s]
	return ok
}

// giveUp sets why the scan did not start, or how it failed.
func (c *Coordinator) giveUp(s *sharedScan, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unlist(s)
	if s.err = err; c.closed {
		s.err = ErrClosing
	}
}

// interrupt ends the scan, and reports the reason to its waiters. A suspended one resumes later.
func (c *Coordinator) interrupt(s *sharedScan, reason error, suspend bool) {
	c.mu.Lock()
	c.unlist(s)
	run := s.run
	if suspend && run != nil && s.task.MaxAge > 0 {
		c.suspend(s)
	}
	c.mu.Unlock()
	if run != nil {
		run.fail(scan.FailedCanceled, reason)
	}
	s.cancel()
}

// leave removes a probe from its scan. When the last one leaves, the scan ends, unless it is a
// sweep that gets a detached slot.
func (c *Coordinator) leave(ctx context.Context, w *waiter) {
	s := w.scan
	c.mu.Lock()
	delete(s.waiters, w)
	if active := c.isActive(s); len(s.waiters) > 0 || !active {
		if active && w.until.Equal(s.until) {
			s.shorten()
		}
		c.mu.Unlock()
		return
	}
	run, sweep := s.run, s.run != nil && s.task.MaxAge > 0
	if sweep && c.detach(s) {
		c.mu.Unlock()
		return
	}
	c.unlist(s)
	if sweep {
		c.suspend(s)
	}
	c.mu.Unlock()
	if cause := context.Cause(ctx); run != nil && !sweep && errors.Is(cause, context.Canceled) {
		run.fail(scan.FailedCanceled, cause)
	}
	s.cancel()
}

// suspend has the next scan of the task resume the sweep, after its engine has returned. The caller
// holds the lock.
func (c *Coordinator) suspend(s *sharedScan) {
	s.suspended = true
	c.ending[s.task.Key()] = s
}

// awaitSuspended waits until the engine of a suspended sweep of the task has returned.
func (c *Coordinator) awaitSuspended(ctx context.Context, task scan.Task) {
	c.mu.Lock()
	s := c.ending[task.Key()]
	c.mu.Unlock()
	if s != nil {
		select {
		case <-s.done:
		case <-ctx.Done():
		}
	}
}

// shorten ends the scan earlier, after the probe with the latest deadline has left. The caller
// holds the lock.
func (s *sharedScan) shorten() {
	s.until = time.Time{}
	for w := range s.waiters {
		if w.until.After(s.until) {
			s.until = w.until
		}
	}
	s.timer.Reset(time.Until(s.end()))
}

// detach moves a sweep from its slot to a detached one. It reports whether one was free. The
// caller holds the lock.
func (c *Coordinator) detach(s *sharedScan) bool {
	const share = 4
	of := targetModule{s.task.Target, s.task.Module}
	switch other := c.detached[of]; {
	case other == s:
		return true
	case other != nil || len(c.detached) >= max(1, c.slots.maximum()/share):
		return false
	}
	c.detached[of] = s
	c.slots.release()
	return true
}

// releaseSlot releases the slot that the scan holds.
func (c *Coordinator) releaseSlot(s *sharedScan) {
	of := targetModule{s.task.Target, s.task.Module}
	c.mu.Lock()
	delete(c.unsaved, s)
	detached := c.detached[of] == s
	if detached {
		delete(c.detached, of)
	}
	if key := s.task.Key(); c.ending[key] == s {
		delete(c.ending, key)
	}
	c.mu.Unlock()
	if !detached {
		c.slots.release()
	}
}

// answer returns the answer for a probe that has left its scan.
func (c *Coordinator) answer(ctx context.Context, w *waiter, task scan.Task) (Answer, error) {
	s := w.scan
	c.mu.Lock()
	run, err, closed, recorded := s.run, s.err, c.closed, s.recorded
	c.mu.Unlock()
	source := Fresh
	if w.joined {
		source = Joined
	}
	sweep := task.MaxAge > 0 && (run == nil || run.task.MaxAge > 0) // a reload may have changed it
	if sweep && (err == nil || errors.Is(err, ErrBusy)) {
		if a, ok := c.sweepAnswer(s.id, run, task, recorded, source); ok {
			return a, nil
		}
	}
	switch {
	case err != nil:
		return Answer{}, err
	case run == nil && closed:
		return Answer{}, ErrClosing
	case run == nil && c.slots.hasFree(): // the scan was about to start
		return Answer{Result: &scan.Result{Plan: task.Plan}, ScanID: s.id, Source: source, Progress: 1}, nil
	case run == nil:
		return Answer{}, fmt.Errorf("%w (%w)", ErrBusy, context.Cause(ctx))
	}
	result := run.result()
	return Answer{Result: result, History: c.options.Store.History(task, result), ScanID: s.id, Source: source, Progress: 1}, nil
}

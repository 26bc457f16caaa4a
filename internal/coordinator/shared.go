// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"portscan_exporter/internal/scan"
)

// shared is one scan and the probes that wait for it. What is above the blank line
// never changes; the rest is under the coordinator's lock.
type shared struct {
	asked  scan.Task // as the first probe asked for it
	cancel context.CancelFunc
	done   chan struct{} // closed when the engine has returned

	task    scan.Task // what a probe has to ask for to join
	waiters []*waiter
	latest  time.Time   // when the scan ends in any case; zero until that is known
	alarm   *time.Timer // rings when the scan is to end
	pass    *pass       // nil until it has begun
	err     error       // why it never will
	dropped bool        // its result is not to be retained
}

// waiter is a probe that waits for a scan.
type waiter struct {
	shared *shared
	until  time.Time // by when the engine is to be home
}

// group is among which scans one to join is looked for, and what memory is sorted by.
type group struct {
	target, module string
	protocol       scan.Protocol
}

func groupOf(t scan.Task) group { return group{t.Target, t.Module, t.Plan.Spec().Protocol} }

// join has a probe wait for a scan of the task: for one that is under way, or for a
// new one. [Coordinator.leave] is to be called afterwards. There is no waiter where
// what is retained is answer enough.
func (c *Coordinator) join(ctx context.Context, task scan.Task) (*waiter, Answer, error) {
	w := &waiter{until: engineDeadline(ctx)}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, Answer{}, ErrClosing
	}
	if a, ok := c.young(task, time.Now()); ok {
		c.mu.Unlock()
		return nil, a, nil
	}
	in := c.shared[groupOf(task)]
	if at := slices.IndexFunc(in, func(s *shared) bool { return s.task.Equal(task) }); at >= 0 {
		in[at].take(w)
		c.mu.Unlock()
		c.options.Joined(task.Module)
		return w, Answer{}, nil
	}
	defer c.mu.Unlock()
	scanCtx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // it may outlive the probe
	s := &shared{asked: task, cancel: cancel, done: make(chan struct{}), task: task}
	if task.MaxAge > 0 {
		s.latest = time.Now().Add(task.Plan.Spec().Timeout) // for a place; from its start on it counts anew
	}
	s.alarm = time.AfterFunc(time.Until(w.until), func() { c.ring(s) })
	s.take(w)
	c.shared[groupOf(task)] = append(in, s)
	c.running.Go(func() {
		defer cancel()
		c.lead(scanCtx, s)
	})
	return w, Answer{}, nil
}

// take has a probe wait. The caller holds the lock.
func (s *shared) take(w *waiter) {
	w.shared = s
	s.waiters = append(s.waiters, w)
	s.alarm.Reset(time.Until(s.end()))
}

// end is when the scan is to end: when nobody can wait for it any longer, or, with a
// max_age, when its own time is over. The caller holds the lock.
func (s *shared) end() time.Time {
	if s.task.MaxAge > 0 {
		return s.latest
	}
	var end time.Time
	for _, w := range s.waiters {
		if w.until.After(end) {
			end = w.until
		}
	}
	if !s.latest.IsZero() && s.latest.Before(end) {
		return s.latest
	}
	return end
}

// ring ends the scan, unless a probe has joined at this very moment that waits longer.
func (c *Coordinator) ring(s *shared) {
	c.mu.Lock()
	left := time.Until(s.end())
	if left > 0 {
		s.alarm.Reset(left)
	} else {
		c.retire(s)
	}
	c.mu.Unlock()
	if left <= 0 {
		s.cancel()
	}
}

// begin takes what the scan has become by its start, and what will be known of it. It
// has not begun when nobody is there for it any more, the exporter is shutting down, or
// the configuration has changed since.
func (c *Coordinator) begin(s *shared, task scan.Task, p *pass, configuration int64) (begun, changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	listed := c.listed(s)
	switch {
	case c.closed:
		c.retire(s)
		s.err = ErrClosing
		return false, false
	case !listed: // its probes have gone, or their time is over
		s.err = ErrBusy
		return false, false
	case c.configuration.Load() != configuration:
		return false, true
	}
	c.retire(s)
	s.task, s.pass, s.latest = task, p, p.started.Add(task.Plan.Spec().Timeout)
	if !task.Expires.IsZero() && task.Expires.Before(s.latest) {
		s.latest = task.Expires
	}
	c.shared[groupOf(task)] = append(c.shared[groupOf(task)], s)
	s.alarm.Reset(time.Until(s.end()))
	return true, false
}

// giveUp notes why the scan can't begin, or how it failed.
func (c *Coordinator) giveUp(s *shared, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retire(s)
	if s.err = err; c.closed {
		s.err = ErrClosing
	}
}

// over has nobody join the scan any more. A result is retained.
func (c *Coordinator) over(s *shared, result *scan.Result) {
	digest := ""
	if result != nil {
		digest = s.task.Digest() // it does not change after the beginning
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retire(s)
	switch {
	case result == nil || s.dropped:
	case c.closed:
		c.unfinished[digest] = kept{task: s.task, result: result}
	default:
		c.shelf.put(s.task, result, time.Now())
	}
}

// retire has nobody join the scan any more. The caller holds the lock.
func (c *Coordinator) retire(s *shared) {
	if !c.listed(s) {
		return
	}
	s.alarm.Stop()
	g := groupOf(s.task)
	if c.shared[g] = slices.DeleteFunc(c.shared[g], func(o *shared) bool { return o == s }); len(c.shared[g]) == 0 {
		delete(c.shared, g)
	}
}

// listed tells whether the scan can be joined. The caller holds the lock.
func (c *Coordinator) listed(s *shared) bool { return slices.Contains(c.shared[groupOf(s.task)], s) }

// interrupt ends the scan, and says why to those that wait for it.
func (c *Coordinator) interrupt(s *shared, why error) {
	c.mu.Lock()
	c.retire(s)
	p := s.pass
	c.mu.Unlock()
	if p != nil {
		p.fail(scan.FailedCanceled, why)
	}
	s.cancel()
}

// leave takes the answer for a probe. The last one to leave ends the scan, unless it
// has a max_age.
func (c *Coordinator) leave(ctx context.Context, w *waiter, asked scan.Task) (Answer, error) {
	s := w.shared
	c.mu.Lock()
	at := slices.Index(s.waiters, w)
	s.waiters = slices.Delete(s.waiters, at, at+1)
	last := len(s.waiters) == 0 && s.task.MaxAge == 0
	switch {
	case last:
		c.retire(s)
	case c.listed(s): // it may have been the one that would have waited longest
		s.alarm.Reset(time.Until(s.end()))
	}
	p, err, closed, known := s.pass, s.err, c.closed, c.shelf.find(asked)
	c.mu.Unlock()
	if last {
		if p != nil && errors.Is(ctx.Err(), context.Canceled) {
			p.fail(scan.FailedCanceled, ctx.Err())
		}
		s.cancel()
	}
	if asked.MaxAge > 0 {
		if a, ok := meanwhile(p, known, asked); ok && (err == nil || errors.Is(err, ErrBusy)) {
			return a, nil
		}
	}
	switch {
	case err != nil:
		return Answer{}, err
	case p == nil && closed:
		return Answer{}, ErrClosing
	case p == nil:
		return Answer{}, fmt.Errorf("%w (%w)", ErrBusy, ctx.Err())
	}
	return Answer{Result: p.result(), Progress: 1}, nil
}

// meanwhile returns what a probe is shown whose scan has a max_age and has not ended:
// what is retained, or, where a scan has begun for the first time, nothing.
func meanwhile(p *pass, known *kept, asked scan.Task) (a Answer, ok bool) {
	switch {
	case p != nil && p.ended():
		return Answer{}, false
	case known != nil:
		return Answer{Result: known.result, Retained: true, Progress: p.progress()}, true
	case p != nil:
		return Answer{Result: &scan.Result{Plan: asked.Plan, Failed: p.canceled()}, Retained: true, Progress: p.progress()}, true
	}
	return Answer{}, false
}

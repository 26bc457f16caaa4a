// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"time"

	"portscan_exporter/internal/scan"
)

// lead runs a shared scan in its own goroutine, so that a probe can leave at its deadline
// even if the engine hangs.
func (c *Coordinator) lead(ctx context.Context, s *sharedScan) {
	defer close(s.done)
	defer func() {
		if v := recover(); v != nil {
			logPanic(c.options.Logger, s.requested, v)
			c.giveUp(s, fmt.Errorf("%w: %v", ErrPanic, v))
		}
	}()
	if err := c.slots.acquire(ctx, s.requested.Target); err != nil {
		c.giveUp(s, fmt.Errorf("%w (%w)", ErrBusy, err))
		return
	}
	defer c.releaseSlot(s)
	run := c.start(ctx, s)
	if run == nil {
		return
	}
	started := time.Now()
	c.execute(ctx, run)
	c.finish(s, run, started)
}

func logPanic(logger *slog.Logger, task scan.Task, v any) {
	logger.Error("Scan panicked", "target", task.Target, "module", task.Module, "panic", v, "stack", string(debug.Stack()))
}

// start starts a scan with the task that the configuration has at this moment. It returns nil if
// the scan may not start.
func (c *Coordinator) start(ctx context.Context, s *sharedScan) *scanRun {
	for {
		configuration := c.configuration.Load()
		task, err := c.options.Allow(ctx, s.requested)
		if err != nil {
			c.giveUp(s, err)
			return nil
		}
		var before *scan.Result
		if task.MaxAge > 0 {
			c.awaitSuspended(ctx, task)
			before = c.options.Store.Resume(task, time.Now())
		}
		run := newScanRun(task, before)
		started, outdated := c.setRunning(s, run, configuration)
		if started {
			return run
		}
		if before != nil {
			c.options.Store.Suspend(task, s.id, before)
		}
		if !outdated {
			return nil
		}
	}
}

// setRunning sets the task and the results of a scan that starts. It reports whether the scan has
// started, and whether the configuration is outdated. The scan does not start in that case, if no
// probe waits for it, or if the exporter is shutting down.
func (c *Coordinator) setRunning(s *sharedScan, run *scanRun, configuration int64) (started, outdated bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		c.unlist(s)
		s.err = ErrClosing
		return false, false
	case !c.isActive(s): // all probes have left
		s.err = ErrBusy
		return false, false
	case c.configuration.Load() != configuration:
		return false, true
	}
	c.unlist(s)
	s.task, s.run = run.task, run
	s.setLatest(run.task.Expires)
	c.list(s)
	c.unsaved[s] = struct{}{}
	run.until = s.end()
	s.timer.Reset(time.Until(run.until))
	return true, false
}

// finish records the result of a scan. Without a max_age, no probe joins it any more before the
// result is computed, because a later probe must get a later scan.
func (c *Coordinator) finish(s *sharedScan, run *scanRun, started time.Time) {
	sweep := run.task.MaxAge > 0
	if !sweep {
		c.end(s, false)
	}
	result := run.finish(time.Now())
	c.mu.Lock()
	suspended := s.suspended && !result.Success()
	c.mu.Unlock()
	if suspended {
		c.options.Store.Suspend(run.task, s.id, resumable(run.soFar()))
	} else {
		result = c.keepProgress(s, run, result)
		c.options.Store.Record(run.task, s.id, result)
		logTranslated(c.options.Logger, run.task, result)
	}
	c.unroutable.log(c.options.Logger, run)
	if sweep {
		c.end(s, !suspended)
	}
	c.options.Observe(Event{
		ID: s.id, Task: run.task, Client: s.client, Result: result, Attempts: run.attempts(), Started: started, Suspended: suspended,
	})
}

// end lets no further probe join a scan that has ended.
func (c *Coordinator) end(s *sharedScan, recorded bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unlist(s)
	s.recorded = recorded
}

// resumable returns the result without the reason for its suspension.
func resumable(r *scan.Result) *scan.Result {
	if r.Failed[scan.FailedCanceled] == nil {
		return r
	}
	without := *r
	without.Failed = maps.Clone(r.Failed)
	delete(without.Failed, scan.FailedCanceled)
	return &without
}

// execute resolves names, checks addresses and scans. A panic below it is a failed scan.
func (c *Coordinator) execute(ctx context.Context, run *scanRun) {
	task, logger := run.task, c.options.Logger
	defer func() {
		if v := recover(); v != nil {
			logPanic(logger, task, v)
			run.fail(scan.FailedInternal, fmt.Errorf("panic: %v", v))
		}
	}()
	found, failed := c.resolve(ctx, run)
	req, err := c.request(run, found, len(failed) > 0)
	if err != nil {
		run.fail(scan.FailedInternal, err)
		return
	}
	spec := task.Plan.Spec()
	engine, ok := c.options.Engines[Kind{Protocol: spec.Protocol, Method: spec.Method}]
	if !ok {
		run.fail(scan.FailedInternal, fmt.Errorf("no engine for %v %v", spec.Protocol, spec.Method))
		return
	}
	if err := engine.Scan(ctx, req, run.record); err != nil {
		logger.Error("Scan failed", "target", task.Target, "module", task.Module, "err", err)
		run.fail(scan.FailedInternal, err)
	}
}

// resolve resolves the names of a scan, for which its end is known now.
func (c *Coordinator) resolve(ctx context.Context, run *scanRun) ([]scan.Address, map[scan.Failure]error) {
	ctx, cancel := context.WithDeadline(ctx, run.until)
	defer cancel()
	found, failed := c.options.Resolver.Resolve(ctx, run.task)
	run.resolved(time.Now(), failed)
	return found, failed
}

// request returns the request for the addresses and ports that a scan does not know yet.
func (c *Coordinator) request(run *scanRun, found []scan.Address, partial bool) (scan.Request, error) {
	task := run.task
	plan := task.Plan.WithWatched(c.options.Store.Opened(task, found))
	req, refused, err := scan.NewRequest(plan, task.Scope, found)
	if err != nil {
		return scan.Request{}, fmt.Errorf("making the request: %w", err)
	}
	c.refused.log(c.options.Logger, task.Target, refused, partial)
	if err := run.begin(req, refused, found); err != nil {
		return scan.Request{}, err
	}
	if req, err = run.resume(req); err != nil {
		return scan.Request{}, err
	}
	return req.WithKnown(c.options.Store.Known(task, req.Addresses(), time.Now().Add(-knownFor(task)))), nil
}

// knownFor returns how long an engine may use the states of an earlier scan of the task to
// detect that an address blocks the exporter. An address that refuses for longer is reported
// as it is.
func knownFor(task scan.Task) time.Duration {
	return max(time.Hour, 2*(task.MaxAge+task.Plan.Spec().Timeout))
}

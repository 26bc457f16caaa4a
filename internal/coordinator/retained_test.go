// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
)

// sweep is a task with a scan of its own time, of which answers may show a minute.
func sweep(t *testing.T) scan.Task {
	t.Helper()
	s := task(t)
	s.MaxAge = time.Minute
	spec := s.Plan.Spec()
	spec.Timeout = 50 * time.Second
	var err error
	if s.Plan, err = scan.NewPlan(spec); err != nil {
		t.Fatal(err)
	}
	return s
}

// ask has a probe wait 2 s for the task.
func (c *counted) ask(t *testing.T, one scan.Task) coordinator.Answer {
	t.Helper()
	a, err := c.Scan(within(t, 2*time.Second), one)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestSweepOutlivesItsProbes asks every 5 s for a sweep of 40 s.
func TestSweepOutlivesItsProbes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCounted(t, 1, closedAfter(40*time.Second), nil)
		defer c.Close()
		begun := time.Now()
		var ended time.Time // of the scan that was shown last
		for range 60 {
			a := c.ask(t, sweep(t))
			at := time.Since(begun)
			switch r := a.Result; {
			case at < 40*time.Second:
				if len(r.Addresses) != 0 || !r.Finished.IsZero() || r.Success() || a.Progress != 0 || !a.Retained {
					t.Errorf("after %v, before the first sweep is over, it answers %+v", at, a)
				}
			case !r.Success() || r.Finished.Before(ended) || time.Since(r.Finished) > time.Minute+40*time.Second+5*time.Second:
				t.Errorf("after %v it shows a scan that ended at %v, after one at %v; success %v", at, r.Finished, ended, r.Success())
			default:
				ended = r.Finished
			}
			time.Sleep(3 * time.Second)
		}
		// Of 300 s, sweeps take 40 and are good for another 60.
		if n := c.scans.Load(); n < 3 || n > 4 {
			t.Errorf("there were %d sweeps", n)
		}
	})
}

// TestProgressOfASweep has a sweep know of one port of three.
func TestProgressOfASweep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCounted(t, 1, oneOpenAtOnce(10*time.Second), nil)
		defer c.Close()
		if a := c.ask(t, sweep(t)); a.Progress != 1.0/3 || len(a.Result.Addresses) != 0 {
			t.Errorf("it is at %v, with %d addresses", a.Progress, len(a.Result.Addresses))
		}
		time.Sleep(7 * time.Second)
		if a := c.ask(t, sweep(t)); a.Progress != 1 || !a.Result.Success() || a.Retained { // it waited for the end
			t.Errorf("the one that waits for the end gets %+v", a)
		}
		if a := c.ask(t, sweep(t)); a.Progress != 1 || !a.Result.Success() || !a.Retained {
			t.Errorf("the one after it gets %+v", a)
		}
		c.wantScans(t, 1, 1)
	})
}

// TestSweepEndsAtItsTimeout has one that would take longer. The incomplete result is
// shown for want of another, and saves no scan.
func TestSweepEndsAtItsTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var takes atomic.Int64
		takes.Store(int64(time.Hour))
		c := newCounted(t, 1, func(ctx context.Context, req scan.Request, report func(scan.PortResult)) error {
			return closedAfter(time.Duration(takes.Load()))(ctx, req, report)
		}, nil)
		defer c.Close()
		c.ask(t, sweep(t))
		time.Sleep(50 * time.Second)
		if c.InFlight() != 0 {
			t.Error("it goes on")
		}
		takes.Store(int64(10 * time.Second))
		if a := c.ask(t, sweep(t)); a.Result.Success() || a.Result.Addresses[0].UnknownByCause()[scan.CauseDeadline] != 3 {
			t.Errorf("it answers %+v", a.Result)
		}
		time.Sleep(10 * time.Second)
		if a := c.ask(t, sweep(t)); !a.Result.Success() {
			t.Error("a complete one does not take its place")
		}
		takes.Store(int64(time.Hour))
		time.Sleep(2 * time.Minute)
		c.ask(t, sweep(t))
		time.Sleep(time.Minute)
		if a := c.ask(t, sweep(t)); !a.Result.Success() {
			t.Error("an incomplete one takes the place of one that was complete")
		}
	})
}

// TestForget has the configuration change while results are there and a sweep is
// under way.
func TestForget(t *testing.T) {
	t.Parallel()
	forbidden := errors.New("no more")
	for name, allow := range map[string]func(scan.Task) (scan.Task, error){
		"the same":  func(task scan.Task) (scan.Task, error) { return task, nil },
		"forbidden": func(scan.Task) (scan.Task, error) { return scan.Task{}, forbidden },
		"changed":   func(task scan.Task) (scan.Task, error) { task.MaxAddresses++; return task, nil },
	} {
		synctest.Test(t, func(t *testing.T) {
			var now atomic.Pointer[func(scan.Task) (scan.Task, error)]
			same := func(task scan.Task) (scan.Task, error) { return task, nil }
			now.Store(&same)
			c := newCounted(t, 2, closedAfter(10*time.Second), func(task scan.Task) (scan.Task, error) { return (*now.Load())(task) })
			defer c.Close()
			c.ask(t, sweep(t))
			time.Sleep(10 * time.Second)
			other := sweep(t)
			other.Target = "other"
			c.ask(t, other)
			waits := make(chan coordinator.Answer, 1)
			go func() { waits <- c.ask(t, other) }()
			synctest.Wait()
			now.Store(&allow)
			c.Reconfigured(nil)
			now.Store(&same)
			if a := <-waits; len(a.Result.Addresses) != 0 || a.Result.Success() {
				t.Errorf("%s: one that waits is shown a part of the sweep", name)
			}
			stays := name == "the same"
			if under := c.InFlight() == 1; under != stays {
				t.Errorf("%s: the sweep is under way: %v", name, under)
			}
			if kept := c.ask(t, sweep(t)).Retained && c.scans.Load() == 2; kept != stays {
				t.Errorf("%s: the result is kept: %v", name, kept)
			}
			if a := c.ask(t, other); len(a.Result.Addresses) != 0 {
				t.Errorf("%s: a part of a sweep that was ended is shown", name)
			}
		})
	}
}

// TestShelfIsBounded has more tasks than results are kept of.
func TestShelfIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCounted(t, 1, closedAfter(0), nil)
		defer c.Close()
		const more = 10_100
		for i := range more {
			one := sweep(t)
			one.Target = strconv.Itoa(i)
			c.ask(t, one)
			if i%100 == 0 { // that one is asked for all along
				first := sweep(t)
				first.Target = "0"
				c.ask(t, first)
			}
			time.Sleep(time.Millisecond)
		}
		asks := func(target string) int64 {
			before := c.scans.Load()
			one := sweep(t)
			one.Target = target
			c.ask(t, one)
			return c.scans.Load() - before
		}
		if asks("1") != 1 || asks(strconv.Itoa(more-1)) != 0 || asks("0") != 0 {
			t.Error("what was asked for least is not what was forgotten")
		}
	})
}

// TestInterruptEndsSweeps has nobody wait for one.
func TestInterruptEndsSweeps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCounted(t, 1, closedAfter(40*time.Second), nil)
		c.ask(t, sweep(t))
		begun := time.Now()
		c.Close()
		if took := time.Since(begun); took != 0 || c.InFlight() != 0 {
			t.Errorf("it took %v", took)
		}
	})
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
)

func TestNewWithoutRequiredOption(t *testing.T) {
	t.Parallel()
	complete := coordinator.Options{
		Resolver: resolver{}, MaxScans: 1, Logger: slog.New(slog.DiscardHandler), Store: newStore(t),
		Engines: map[coordinator.Kind]scan.Scanner{{}: closedAfter(0)},
	}
	if _, err := coordinator.New(complete); err != nil {
		t.Errorf("New(complete options) = %v, want nil error", err)
	}
	for name, remove := range map[string]func(*coordinator.Options){
		"Resolver": func(o *coordinator.Options) { o.Resolver = nil },
		"Engines":  func(o *coordinator.Options) { o.Engines = nil },
		"Store":    func(o *coordinator.Options) { o.Store = nil },
		"Logger":   func(o *coordinator.Options) { o.Logger = nil },
		"slots":    func(o *coordinator.Options) { o.MaxScans = 0 },
	} {
		o := complete
		remove(&o)
		if _, err := coordinator.New(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("New(without %s) = %v, want an error that names it", name, err)
		}
	}
}

func TestScanComplete(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup{
			resolver: resolver{addrs: []string{"192.0.2.1", "192.0.2.2"}, wait: 20 * time.Millisecond},
			engine:   closedAfter(100 * time.Millisecond),
		}.start(t)
		defer c.Close()
		a := c.mustScan(t, time.Second, newTask(t))
		r := a.Result
		if !r.Success() || len(r.Addresses) != 2 || r.Attempts != 6 {
			t.Errorf("got success %v, %d addresses, %d attempts, want true, 2, 6", r.Success(), len(r.Addresses), r.Attempts)
		}
		if r.Lookup != 20*time.Millisecond || r.Finished.Sub(r.Started) != 120*time.Millisecond {
			t.Errorf("got a lookup of %v and a scan of %v, want 20ms and 120ms", r.Lookup, r.Finished.Sub(r.Started))
		}
		if !isComplete(a) || len(unverified(a)) != 0 || a.Source != coordinator.Fresh || a.Progress != 1 || a.View != nil {
			t.Errorf("got answer %+v, want a complete fresh one without a view", a)
		}
		if c.InFlight() != 0 {
			t.Errorf("InFlight() = %d after the scan, want 0", c.InFlight())
		}
	})
}

// TestScanTaskChangedWhileQueued requires that a scan starts with the task that the
// configuration has at that moment.
func TestScanTaskChangedWhileQueued(t *testing.T) {
	t.Parallel()
	forbidden := errors.New("not configured")
	for name, tc := range map[string]struct {
		allow   func(scan.Task) (scan.Task, error)
		err     error
		modules string
	}{
		"forbidden": {func(scan.Task) (scan.Task, error) { return scan.Task{}, forbidden }, forbidden, "m"},
		"changed":   {func(task scan.Task) (scan.Task, error) { task.Module = "changed"; return task, nil }, nil, "m changed"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var calls atomic.Int64
			c := setup{engine: closedAfter(100 * time.Millisecond), allow: func(task scan.Task) (scan.Task, error) {
				if calls.Add(1) == 1 {
					return task, nil
				}
				return tc.allow(task)
			}}.start(t)
			defer c.Close()
			go func() { c.mustScan(t, time.Second, newTask(t)) }()
			synctest.Wait()
			c.wantError(t, time.Second, forTarget(newTask(t), "second"), tc.err)
			var modules []string
			for _, e := range c.events() {
				modules = append(modules, e.Task.Module)
			}
			if got := strings.Join(modules, " "); got != tc.modules {
				t.Errorf("%s: got scans of modules %q, want %q", name, got, tc.modules)
			}
			synctest.Wait()
			if c.InFlight() != 0 {
				t.Errorf("%s: InFlight() = %d, want 0", name, c.InFlight())
			}
		})
	}
}

func TestScanDeadline(t *testing.T) {
	t.Parallel()
	hanging := engine(func(_ context.Context, req scan.Request, report func(scan.PortResult)) error {
		report(openPort(req.Addresses()[0].IP, 2))
		time.Sleep(time.Hour)
		return nil
	})
	for name, tc := range map[string]struct {
		engine  engine
		unknown int
	}{
		"engine that ignores its context": {hanging, 2},
		"engine that returns in time":     {closedAfter(time.Hour), 3},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := setup{engine: tc.engine}.start(t)
			defer c.Close()
			started := time.Now()
			a := c.mustScan(t, time.Second, newTask(t))
			if took := time.Since(started); took > time.Second {
				t.Errorf("%s: got the answer after %v, want at most 1s", name, took)
			}
			got := a.Result.Addresses[0].UnknownByCause()[scan.CauseDeadline]
			if got != tc.unknown || isComplete(a) || len(a.Result.Failed) != 0 {
				t.Errorf("%s: got %d ports unknown, complete %v, failed %v, want %d, false, none", name, got, isComplete(a), a.Result.Failed, tc.unknown)
			}
			if got := unverified(a)[scan.CauseDeadline]; got != tc.unknown {
				t.Errorf("%s: got %d ports unverified by deadline, want %d", name, got, tc.unknown)
			}
		})
	}
}

// TestScanHoldsSlotUntilEngineReturns requires that a scan without probes counts as running
// until its engine returns.
func TestScanHoldsSlotUntilEngineReturns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup{engine: ignoringContext(10 * time.Second)}.start(t)
		defer c.Close()
		c.mustScan(t, time.Second, newTask(t))
		if c.InFlight() != 1 {
			t.Errorf("InFlight() = %d, want 1", c.InFlight())
		}
		c.wantError(t, time.Second, newTask(t), coordinator.ErrBusy)
		time.Sleep(9 * time.Second)
		c.mustScan(t, time.Second, newTask(t))
	})
}

func TestScanWaitsForSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup{engine: closedAfter(300 * time.Millisecond)}.start(t)
		defer c.Close()
		var complete atomic.Int64
		for _, one := range numbered(newTask(t), 3) {
			go func() {
				if isComplete(c.mustScan(t, time.Second, one)) {
					complete.Add(1)
				}
			}()
		}
		time.Sleep(2 * time.Second)
		if complete.Load() != 3 {
			t.Errorf("got %d complete scans of 3 with one slot", complete.Load())
		}
		c.SetMaxScans(2)
		started := time.Now()
		go func() { c.mustScan(t, time.Second, forTarget(newTask(t), "other")) }()
		c.mustScan(t, time.Second, newTask(t))
		if took := time.Since(started); took != 300*time.Millisecond {
			t.Errorf("got two answers after %v with two slots, want 300ms", took)
		}
	})
}

func TestScanFailures(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	addrs := resolver{addrs: []string{"192.0.2.1"}}
	for name, tc := range map[string]struct {
		resolver resolver
		engine   engine
		want     scan.Failure
		unknown  scan.Cause // of the ports of an address
	}{
		"dns":                {resolver{failed: map[scan.Failure]error{scan.FailedDNS: broken}}, nil, scan.FailedDNS, 0},
		"dns timeout":        {resolver{wait: time.Hour}, nil, scan.FailedDNS, 0},
		"too many addresses": {resolver{failed: map[scan.Failure]error{scan.FailedTooManyAddresses: broken}}, nil, scan.FailedTooManyAddresses, 0},
		"excluded address":   {resolver{addrs: []string{"192.0.2.9"}}, nil, scan.FailedDNS, 0},
		"refused address":    {resolver{addrs: []string{"198.51.100.1"}}, nil, scan.FailedAddressRefused, 0},
		"engine error":       {addrs, func(context.Context, scan.Request, func(scan.PortResult)) error { return broken }, scan.FailedInternal, scan.CauseInternal},
		"engine panic":       {addrs, func(context.Context, scan.Request, func(scan.PortResult)) error { panic("broken") }, scan.FailedInternal, scan.CauseInternal},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := setup{resolver: tc.resolver, engine: tc.engine}.start(t)
			r := c.mustScan(t, time.Second, newTask(t)).Result
			c.Close()
			if r.Failed[tc.want] == nil || len(r.Failed) != 1 || r.Success() {
				t.Errorf("%s: got failed %v, success %v, want only %v", name, r.Failed, r.Success(), tc.want)
			}
			if events := c.events(); len(events) != 1 || events[0].Result.Failed[tc.want] == nil {
				t.Errorf("%s: got events %+v, want one with the failure", name, events)
			}
			for i := range r.Addresses {
				if got := r.Addresses[i].UnknownByCause()[tc.unknown]; got != 3 {
					t.Errorf("%s: got %d ports unknown by %v, want 3", name, got, tc.unknown)
				}
			}
		})
	}
}

func TestScanWithoutEngine(t *testing.T) {
	t.Parallel()
	c := setup{}.start(t)
	defer c.Close()
	one := newTask(t)
	spec := one.Plan.Spec()
	spec.Method = scan.SYN
	var err error
	if one.Plan, err = scan.NewPlan(spec); err != nil {
		t.Fatal(err)
	}
	if r := c.mustScan(t, time.Second, one).Result; r.Failed[scan.FailedInternal] == nil || r.Addresses[0].UnknownByCause()[scan.CauseInternal] != 3 {
		t.Errorf("got failed %v, unknown %v, want an internal failure and 3 ports", r.Failed, r.UnknownByCause())
	}
}

func TestInterrupt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup{engine: closedAfter(time.Hour)}.start(t)
		one := newSweep(t, "1-3", 0, time.Hour)
		time.AfterFunc(500*time.Millisecond, c.Interrupt)
		started := time.Now()
		r := c.mustScan(t, time.Minute, one).Result
		if took := time.Since(started); took != 500*time.Millisecond {
			t.Errorf("got the answer after %v, want 500ms", took)
		}
		if r.Failed[scan.FailedCanceled] == nil || r.Addresses[0].Count(scan.Unknown) != 3 {
			t.Errorf("got failed %v, %d ports unknown, want canceled, 3", r.Failed, r.Addresses[0].Count(scan.Unknown))
		}
		c.wantError(t, time.Second, one, coordinator.ErrClosing)
		c.Close()
		c.Close()
	})
}

// TestScanStopsBeforeDeadline cancels a probe whose answer needs the rest of its time. The cause is
// that of a deadline, as if the scan had taken all of the time.
func TestScanStopsBeforeDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup{engine: closedAfter(time.Hour)}.start(t)
		defer c.Close()
		ctx, stop := context.WithCancelCause(within(t, time.Minute))
		time.AfterFunc(500*time.Millisecond, func() { stop(context.DeadlineExceeded) })
		started := time.Now()
		a, err := c.Scan(ctx, newTask(t), coordinator.Client{})
		if took := time.Since(started); err != nil || took != 500*time.Millisecond {
			t.Fatalf("Scan() = %v after %v, want nil after 500ms", err, took)
		}
		if r := a.Result; r.Failed[scan.FailedCanceled] != nil || r.UnknownByCause()[scan.CauseDeadline] != 3 {
			t.Errorf("got failed %v, unknown %v, want none, 3 by deadline", r.Failed, r.UnknownByCause())
		}
	})
}

// TestScanDeadlineBeforeStart has a machine so slow that the deadline comes before the scan starts.
// That is no lack of slots: the answer has no address.
func TestScanDeadlineBeforeStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup{maxScans: 2, allow: func(task scan.Task) (scan.Task, error) {
			time.Sleep(time.Second)
			return task, nil
		}}.start(t)
		defer c.Close()
		a := c.mustScan(t, 500*time.Millisecond, newTask(t))
		if len(a.Result.Addresses) > 0 || a.Result.Success() {
			t.Errorf("Scan() = %+v, want no address", a.Result)
		}
	})
}

func TestScanClientDisconnects(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup{engine: closedAfter(time.Hour)}.start(t)
		defer c.Close()
		ctx, cancel := context.WithCancel(within(t, time.Minute))
		time.AfterFunc(500*time.Millisecond, cancel)
		a, err := c.Scan(ctx, newTask(t), coordinator.Client{})
		if err != nil || a.Result.Failed[scan.FailedCanceled] == nil {
			t.Errorf("Scan() = %+v, %v, want canceled", a.Result, err)
		}
		synctest.Wait()
		if c.InFlight() != 0 {
			t.Errorf("InFlight() = %d, want 0", c.InFlight())
		}
	})
}

func TestSweepClientDisconnects(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup{engine: closedAfter(time.Second)}.start(t)
		defer c.Close()
		ctx, cancel := context.WithCancel(within(t, time.Minute))
		time.AfterFunc(500*time.Millisecond, cancel)
		a, err := c.Scan(ctx, minuteSweep(t), coordinator.Client{})
		if err != nil || len(a.Result.Addresses) != 0 || isComplete(a) || a.Source != coordinator.Fresh || a.ScanID == "" {
			t.Errorf("Scan() = %+v, %v, want an empty incomplete result of the running scan", a, err)
		}
	})
}

// TestRunningScansListed requires that UnderWay and Sweeps have running scans of complete
// targets, and no queued ones.
func TestRunningScansListed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup{engine: func(ctx context.Context, req scan.Request, report func(scan.PortResult)) error {
			report(closedPort(firstAddr, 1))
			return closedAfter(10*time.Second)(ctx, req, report)
		}}.start(t)
		defer c.Close()
		started := time.Now()
		c.mustScan(t, 2*time.Second, minuteSweep(t)) // detached now
		c.mustScan(t, 2*time.Second, minuteSweep(t))
		go func() { c.mustScan(t, time.Second, newTask(t).ForAddress(firstAddr, "192.0.2.1")) }()
		synctest.Wait()
		c.wantError(t, 500*time.Millisecond, forTarget(minuteSweep(t), "queued"), coordinator.ErrBusy)
		all := c.UnderWay()
		if len(all) != 1 || all[0].Target != "t" || all[0].Module != "m" || !all[0].Started.Equal(started) || all[0].Progress < 0.3 || all[0].Progress > 0.4 {
			t.Errorf("UnderWay() = %+v, want the sweep of target t since %v", all, started)
		}
		sweeps := c.Sweeps()
		if len(sweeps) != 1 || sweeps[0].Task.Target != "t" || sweeps[0].ID == "" || sweeps[0].Result.Addresses[0].Count(scan.Closed) != 1 {
			t.Errorf("Sweeps() = %+v, want the results so far of target t", sweeps)
		}
	})
}

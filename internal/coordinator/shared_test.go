// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
)

// TestScanShared has 50 probes at the same time, and one after they were answered.
func TestScanShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup{engine: closedAfter(300 * time.Millisecond)}.start(t)
		defer c.Close()
		var all sync.WaitGroup
		var fresh, joined atomic.Int64
		for range 50 {
			all.Go(func() {
				a := c.mustScan(t, time.Second, newTask(t))
				switch a.Source {
				case coordinator.Fresh:
					fresh.Add(1)
				case coordinator.Joined:
					joined.Add(1)
				case coordinator.Cached:
				}
				if !isComplete(a) || a.ScanID == "" {
					t.Errorf("got answer %+v, want a complete one with an ID", a)
				}
			})
		}
		all.Wait()
		c.wantScans(t, 1, 49)
		if fresh.Load() != 1 || joined.Load() != 49 {
			t.Errorf("got %d fresh and %d joined answers, want 1 and 49", fresh.Load(), joined.Load())
		}
		c.mustScan(t, time.Second, newTask(t))
		c.wantScans(t, 2, 49)
		if n := len(c.events()); n != 2 {
			t.Errorf("got %d events, want 2", n)
		}
	})
}

func TestOtherTaskNotJoined(t *testing.T) {
	t.Parallel()
	part := []netip.Prefix{netip.MustParsePrefix("192.0.2.128/25")}
	other, err := scan.NewScope(part, part)
	if err != nil {
		t.Fatal(err)
	}
	exclusions := scan.NewExclusions(maps.All(map[string]scan.Scope{"other": other}))
	for name, tc := range map[string]struct {
		change func(scan.Task) scan.Task
		scans  int64
	}{
		"target":     {func(t scan.Task) scan.Task { return forTarget(t, "other") }, 2},
		"module":     {func(t scan.Task) scan.Task { t.Module = "other"; return t }, 2},
		"ports":      {func(one scan.Task) scan.Task { return withPorts(t, one, "1-2") }, 2},
		"hosts":      {func(t scan.Task) scan.Task { t.Hosts = []scan.Host{{Entry: "host"}}; return t }, 2},
		"address":    {func(t scan.Task) scan.Task { return t.ForAddress(firstAddr, "192.0.2.1") }, 2},
		"exclusion":  {func(t scan.Task) scan.Task { t.Scope = t.Scope.WithExclusions(exclusions); return t }, 2},
		"parameter":  {func(t scan.Task) scan.Task { t.Asked = "192.0.2.1"; return t }, 1},
		"same":       {func(t scan.Task) scan.Task { return t }, 1},
		"expiration": {func(t scan.Task) scan.Task { t.Expires = time.Now().Add(time.Hour); return t }, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := setup{engine: closedAfter(300 * time.Millisecond), maxScans: 2}.start(t)
			defer c.Close()
			go func() { c.mustScan(t, time.Second, newTask(t)) }()
			synctest.Wait()
			c.mustScan(t, time.Second, tc.change(newTask(t)))
			if got := c.scans.Load(); got != tc.scans || c.joined.Load() != 2-tc.scans {
				t.Errorf("%s: got %d scans, %d probes that joined, want %d, %d", name, got, c.joined.Load(), tc.scans, 2-tc.scans)
			}
			synctest.Wait()
		})
	}
}

// TestSharedScanDeadlines has three probes for a scan that takes longer than two of them may.
func TestSharedScanDeadlines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const duration = 500 * time.Millisecond
		c := setup{engine: openThenClosedAfter(duration)}.start(t)
		defer c.Close()
		started := time.Now()
		var all sync.WaitGroup
		for _, d := range []time.Duration{100 * time.Millisecond, 300 * time.Millisecond, 800 * time.Millisecond} {
			all.Go(func() {
				a := c.mustScan(t, d, newTask(t))
				took, complete := time.Since(started), d > duration
				if took != min(d, duration) || isComplete(a) != complete {
					t.Errorf("deadline %v: got the answer after %v, complete %v, want %v, %v", d, took, isComplete(a), min(d, duration), complete)
				}
				one := &a.Result.Addresses[0]
				if unknown := one.UnknownByCause()[scan.CauseDeadline]; !complete && (unknown != 2 || one.Count(scan.Open) != 1) {
					t.Errorf("deadline %v: got %d open and %d unknown ports, want 1 and 2", d, one.Count(scan.Open), unknown)
				}
			})
			synctest.Wait() // the first deadline is the scan's until another probe joins
		}
		all.Wait()
		c.wantScans(t, 1, 2)
	})
}

// TestSharedScanEndsWithLastProbe has the probe with the latest deadline disconnect.
func TestSharedScanEndsWithLastProbe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var ended atomic.Int64
		started := time.Now()
		c := setup{engine: func(ctx context.Context, _ scan.Request, _ func(scan.PortResult)) error {
			<-ctx.Done()
			ended.Store(int64(time.Since(started)))
			return nil
		}}.start(t)
		defer c.Close()
		ctx, disconnect := context.WithCancel(within(t, 900*time.Millisecond))
		go func() { _, _ = c.Scan(ctx, newTask(t), coordinator.Client{}) }()
		synctest.Wait()
		time.AfterFunc(100*time.Millisecond, disconnect)
		r := c.mustScan(t, 500*time.Millisecond, newTask(t)).Result
		if r.Failed[scan.FailedCanceled] != nil || r.Addresses[0].UnknownByCause()[scan.CauseDeadline] != 3 {
			t.Errorf("got failed %v, unknown %v, want none, 3 by deadline", r.Failed, r.UnknownByCause())
		}
		if at := time.Duration(ended.Load()); at <= 400*time.Millisecond || at >= 500*time.Millisecond {
			t.Errorf("the engine was canceled after %v, want shortly before 500ms", at)
		}
		c.wantScans(t, 1, 1)
	})
}

// TestSharedScanTimeout has probe after probe join, each with a later deadline.
func TestSharedScanTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup{engine: closedAfter(time.Hour), maxScans: 2}.start(t)
		defer c.Close()
		started := time.Now()
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				const deadline, timeout = 900 * time.Millisecond, time.Second
				want := min(time.Since(started)+deadline, timeout)
				c.mustScan(t, deadline, newTask(t))
				if took := time.Since(started); took != want {
					t.Errorf("got the answer after %v, want %v", took, want)
				}
			})
			time.Sleep(200 * time.Millisecond)
			synctest.Wait()
		}
		all.Wait()
		c.wantScans(t, 1, 3)
	})
}

// TestCanceledScanNotJoined has a scan whose engine goes on without probes.
func TestCanceledScanNotJoined(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var scans atomic.Int64
		c := setup{maxScans: 2, engine: func(ctx context.Context, req scan.Request, report func(scan.PortResult)) error {
			if scans.Add(1) == 1 {
				return ignoringContext(time.Hour)(ctx, req, report)
			}
			return closedAfter(0)(ctx, req, report)
		}}.start(t)
		defer c.Close()
		c.mustScan(t, time.Second, newTask(t))
		if a := c.mustScan(t, time.Second, newTask(t)); !isComplete(a) {
			t.Errorf("got result %+v, want that of a second scan", a.Result)
		}
		c.wantScans(t, 2, 0)
	})
}

// TestEndedScanNotJoined has a probe arrive after a scan's result was computed, and before it
// was answered.
func TestEndedScanNotJoined(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup{
			maxScans: 2, engine: closedAfter(100 * time.Millisecond),
			observe: func(coordinator.Event) { time.Sleep(200 * time.Millisecond) },
		}.start(t)
		defer c.Close()
		go func() { c.mustScan(t, time.Second, newTask(t)) }()
		time.Sleep(150 * time.Millisecond)
		arrived := time.Now()
		if a := c.mustScan(t, time.Second, newTask(t)); a.Result.Started.Before(arrived) {
			t.Errorf("got a scan that started %v before the probe, want a later one", arrived.Sub(a.Result.Started))
		}
		c.wantScans(t, 2, 0)
	})
}

func TestSharedScanFailure(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, tc := range map[string]struct {
		engine func() error
		allow  func() error
		err    error
	}{
		"engine panic": {func() error { panic("broken") }, nil, nil},
		"engine error": {func() error { return broken }, nil, nil},
		"forbidden":    {nil, func() error { return broken }, broken},
		"allow panic":  {nil, func() error { panic("broken") }, coordinator.ErrPanic},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := setup{
				engine: func(context.Context, scan.Request, func(scan.PortResult)) error { return tc.engine() },
				allow: func(task scan.Task) (scan.Task, error) {
					time.Sleep(100 * time.Millisecond)
					if tc.allow != nil {
						return task, tc.allow()
					}
					return task, nil
				},
			}.start(t)
			defer c.Close()
			var all sync.WaitGroup
			for range 5 {
				all.Go(func() {
					a, err := c.Scan(within(t, time.Second), newTask(t), coordinator.Client{})
					if !errors.Is(err, tc.err) || tc.err == nil && (a.Result == nil || a.Result.Failed[scan.FailedInternal] == nil) {
						t.Errorf("%s: Scan() = %+v, %v, want the failure or %v", name, a.Result, err, tc.err)
					}
				})
			}
			all.Wait()
			synctest.Wait()
			if c.joined.Load() != 4 || c.InFlight() != 0 {
				t.Errorf("%s: got %d probes that joined, %d scans in flight, want 4, 0", name, c.joined.Load(), c.InFlight())
			}
		})
	}
}

// TestInterruptAnswersAllProbes has probes that wait for a scan, and others that wait for a slot.
func TestInterruptAnswersAllProbes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup{engine: closedAfter(time.Hour)}.start(t)
		one := newSweep(t, "1-3", 0, time.Hour)
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				a, err := c.Scan(within(t, time.Minute), one, coordinator.Client{})
				if err != nil || a.Result.Failed[scan.FailedCanceled] == nil {
					t.Errorf("Scan() of a running scan = %+v, %v, want canceled", a.Result, err)
				}
			})
			synctest.Wait()
			all.Go(func() { c.wantError(t, time.Minute, forTarget(one, "queued"), coordinator.ErrClosing) })
			synctest.Wait()
		}
		started := time.Now()
		c.Interrupt()
		all.Wait()
		if took := time.Since(started); took != 0 {
			t.Errorf("got the last answer after %v, want it at once", took)
		}
		c.Close()
	})
}

// TestSimultaneousProbesCounted has probes of the same task start at the same time, so that some
// begin a scan while another probe does.
func TestSimultaneousProbesCounted(t *testing.T) {
	t.Parallel()
	const rounds, probes = 200, 4
	c := setup{engine: closedAfter(time.Millisecond), maxScans: rounds}.start(t)
	defer c.Close()
	var fresh, joined atomic.Int64
	for _, one := range numbered(newTask(t), rounds) {
		var all sync.WaitGroup
		start := make(chan struct{})
		for range probes {
			all.Go(func() {
				<-start
				switch a := c.mustScan(t, time.Minute, one); a.Source {
				case coordinator.Fresh:
					fresh.Add(1)
				case coordinator.Joined:
					joined.Add(1)
				case coordinator.Cached:
					t.Errorf("got a cached answer without a max_age")
				}
			})
		}
		close(start)
		all.Wait()
	}
	if fresh.Load() != c.scans.Load() || joined.Load() != c.joined.Load() || fresh.Load()+joined.Load() != rounds*probes {
		t.Errorf("got %d fresh and %d joined answers, want %d and %d", fresh.Load(), joined.Load(), c.scans.Load(), c.joined.Load())
	}
}

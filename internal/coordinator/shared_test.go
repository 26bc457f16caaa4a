// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
)

// counted is an engine and how often it was asked, and the coordinator that has it.
type counted struct {
	*coordinator.Coordinator

	scans, joined, observed atomic.Int64
	looks                   time.Duration // how long whoever observes a scan takes
}

func newCounted(t *testing.T, places int, e engine, allow func(scan.Task) (scan.Task, error)) *counted {
	t.Helper()
	c := &counted{}
	var err error
	c.Coordinator, err = coordinator.New(coordinator.Options{
		Resolver: resolver{addrs: []string{"192.0.2.1"}}, MaxScans: places, Logger: slog.New(slog.DiscardHandler), Allow: allow,
		Engines: map[coordinator.Kind]scan.Scanner{{Protocol: scan.TCP, Method: scan.Connect}: engine(
			func(ctx context.Context, req scan.Request, report func(scan.PortResult)) error {
				c.scans.Add(1)
				return e(ctx, req, report)
			})},
		Joined:  func(string) { c.joined.Add(1) },
		Observe: func(string, *scan.Result) { c.observed.Add(1); time.Sleep(c.looks) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wantScans compares how often was scanned, and joined.
func (c *counted) wantScans(t *testing.T, scans, joined int64) {
	t.Helper()
	if c.scans.Load() != scans || c.joined.Load() != joined {
		t.Errorf("%d scans and %d that joined, want %d and %d", c.scans.Load(), c.joined.Load(), scans, joined)
	}
}

// TestOneScanForMany has 50 probes ask at once, and one after they were answered.
func TestOneScanForMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCounted(t, 1, closedAfter(300*time.Millisecond), nil)
		defer c.Close()
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if r := mustScan(within(t, time.Second), t, c.Coordinator); !r.Success() {
					t.Errorf("one was answered with %v", r.Failed)
				}
			})
		}
		all.Wait()
		c.wantScans(t, 1, 49)
		mustScan(within(t, time.Second), t, c.Coordinator)
		c.wantScans(t, 2, 49)
		if c.observed.Load() != 2 {
			t.Errorf("%d scans were observed, want 2", c.observed.Load())
		}
	})
}

// TestOtherTasksAreNotJoined has probes differ in what makes a scan another one.
func TestOtherTasksAreNotJoined(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCounted(t, 10, closedAfter(300*time.Millisecond), nil)
		defer c.Close()
		plan, err := scan.NewPlan(scan.Spec{
			Protocol: scan.TCP, Method: scan.Connect, Ports: scan.NewPortSet(1, 2), // and not 3
			Timeout: time.Second, PortTimeout: time.Second, MaxInFlight: 1,
		})
		if err != nil {
			t.Fatal(err)
		}
		part := netip.MustParsePrefix("192.0.2.128/25")
		var all sync.WaitGroup
		for _, change := range []func(*scan.Task){
			func(*scan.Task) {},
			func(t *scan.Task) { t.Target = "other" },
			func(t *scan.Task) { t.Module = "other" },
			func(t *scan.Task) { t.Plan = plan }, // after a reload
			func(t *scan.Task) { t.Hosts = []scan.Host{{Entry: "one of them"}} },
			func(t *scan.Task) { t.Scope = t.Scope.WithExclusion(part, part) },
			func(t *scan.Task) { t.Asked = "the same in other words" },
		} {
			all.Go(func() {
				one := task(t)
				change(&one)
				if _, err := c.Scan(within(t, time.Second), one); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		c.wantScans(t, 6, 1)
	})
}

// oneOpenAtOnce reports port 1 open, and every port closed after some time.
func oneOpenAtOnce(d time.Duration) engine {
	return func(ctx context.Context, req scan.Request, report func(scan.PortResult)) error {
		report(scan.PortResult{Address: req.Addresses()[0].IP, Port: 1, State: scan.Open, Cause: scan.CauseHandshake, Attempts: 1})
		return closedAfter(d)(ctx, req, report)
	}
}

// TestEachLeavesAtItsDeadline has three wait for a scan that takes longer than two of
// them may.
func TestEachLeavesAtItsDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCounted(t, 1, oneOpenAtOnce(500*time.Millisecond), nil)
		defer c.Close()
		begun := time.Now()
		var all sync.WaitGroup
		for _, d := range []time.Duration{100 * time.Millisecond, 300 * time.Millisecond, 800 * time.Millisecond} {
			all.Go(func() {
				r := mustScan(within(t, d), t, c.Coordinator)
				took, whole := time.Since(begun), d > 500*time.Millisecond
				if want := min(d, 500*time.Millisecond); took != want || r.Success() != whole {
					t.Errorf("the one with %v was answered after %v, whole: %v", d, took, r.Success())
				}
				if unknown := r.Addresses[0].UnknownByCause()[scan.CauseDeadline]; !whole && (unknown != 2 || r.Addresses[0].Count(scan.Open) != 1) {
					t.Errorf("the one with %v learnt of %d open ports, %d are unknown", d, r.Addresses[0].Count(scan.Open), unknown)
				}
			})
			synctest.Wait() // the first deadline is the scan's, until others join
		}
		all.Wait()
		c.wantScans(t, 1, 2)
	})
}

// TestLastToLeaveEndsTheScan has those who would wait longest hang up.
func TestLastToLeaveEndsTheScan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var ended atomic.Int64 // when, after the start
		begun := time.Now()
		c := newCounted(t, 1, func(ctx context.Context, _ scan.Request, _ func(scan.PortResult)) error {
			<-ctx.Done()
			ended.Store(int64(time.Since(begun)))
			return nil
		}, nil)
		defer c.Close()
		ctx, hangUp := context.WithCancel(within(t, 900*time.Millisecond))
		go func() { _, _ = c.Scan(ctx, task(t)) }()
		synctest.Wait()
		time.AfterFunc(100*time.Millisecond, hangUp)
		r := mustScan(within(t, 500*time.Millisecond), t, c.Coordinator)
		if r.Failed[scan.FailedCanceled] != nil || r.Addresses[0].UnknownByCause()[scan.CauseDeadline] != 3 {
			t.Errorf("it failed with %v", r.Failed)
		}
		if at := time.Duration(ended.Load()); at <= 400*time.Millisecond || at >= 500*time.Millisecond {
			t.Errorf("the scan was ended after %v, want a little before the last one's deadline", at)
		}
		c.wantScans(t, 1, 1)
	})
}

// TestScanEndsAtItsTimeout has probe after probe join, each with a deadline later than
// that of the one before.
func TestScanEndsAtItsTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCounted(t, 2, closedAfter(time.Hour), nil)
		defer c.Close()
		begun := time.Now()
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				const own, plan = 900 * time.Millisecond, time.Second
				want := min(time.Since(begun)+own, plan)
				mustScan(within(t, own), t, c.Coordinator)
				if took := time.Since(begun); took != want {
					t.Errorf("it was answered after %v, want %v", took, want)
				}
			})
			time.Sleep(200 * time.Millisecond)
			synctest.Wait()
		}
		all.Wait()
		c.wantScans(t, 1, 3)
	})
}

// TestNobodyJoinsTheDying has a scan whose probe has left not come home.
func TestNobodyJoinsTheDying(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var scans atomic.Int64
		c := newCounted(t, 2, func(ctx context.Context, req scan.Request, report func(scan.PortResult)) error {
			if scans.Add(1) == 1 {
				time.Sleep(time.Hour) // whatever its context says
			}
			return closedAfter(0)(ctx, req, report)
		}, nil)
		defer c.Close()
		mustScan(within(t, time.Second), t, c.Coordinator)
		if r := mustScan(within(t, time.Second), t, c.Coordinator); !r.Success() {
			t.Errorf("it shares the fate of the first: %v", r.Failed)
		}
		c.wantScans(t, 2, 0)
	})
}

// TestNobodyJoinsTheEnded has a probe come when the result of another one's scan has
// been made, and not been fetched.
func TestNobodyJoinsTheEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCounted(t, 2, closedAfter(100*time.Millisecond), nil)
		defer c.Close()
		c.looks = 200 * time.Millisecond
		go func() { _, _ = c.Scan(within(t, time.Second), task(t)) }()
		time.Sleep(150 * time.Millisecond)
		asked := time.Now()
		if r := mustScan(within(t, time.Second), t, c.Coordinator); r.Started.Before(asked) {
			t.Errorf("it was answered with what was so %v before it asked", asked.Sub(r.Finished))
		}
		c.wantScans(t, 2, 0)
	})
}

// TestFailureReachesAll has a scan panic, in the engine or before, or fail.
func TestFailureReachesAll(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, tc := range map[string]struct {
		engine func() error
		allow  func(scan.Task) (scan.Task, error)
		err    error
	}{
		"panic":                {func() error { panic("broken") }, nil, nil},
		"error":                {func() error { return broken }, nil, nil},
		"forbidden":            {nil, func(scan.Task) (scan.Task, error) { return scan.Task{}, broken }, broken},
		"panic when it starts": {nil, func(scan.Task) (scan.Task, error) { panic("broken") }, coordinator.ErrPanic},
	} {
		synctest.Test(t, func(t *testing.T) {
			allow := func(task scan.Task) (scan.Task, error) {
				time.Sleep(100 * time.Millisecond)
				if tc.allow != nil {
					return tc.allow(task)
				}
				return task, nil
			}
			c := newCounted(t, 1, func(context.Context, scan.Request, func(scan.PortResult)) error { return tc.engine() }, allow)
			defer c.Close()
			var all sync.WaitGroup
			for range 5 {
				all.Go(func() {
					a, err := c.Scan(within(t, time.Second), task(t))
					r := a.Result
					if !errors.Is(err, tc.err) || tc.err == nil && (r == nil || r.Failed[scan.FailedInternal] == nil) {
						t.Errorf("%s: one got %v, %v", name, r, err)
					}
				})
			}
			all.Wait()
			if c.joined.Load() != 4 || c.InFlight() != 0 {
				t.Errorf("%s: %d joined, %d in flight", name, c.joined.Load(), c.InFlight())
			}
		})
	}
}

// TestInterruptReachesAll has some wait for a scan, and some for a place.
func TestInterruptReachesAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCounted(t, 1, closedAfter(time.Hour), nil)
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				a, err := c.Scan(within(t, time.Minute), task(t))
				r := a.Result
				if err != nil || r.Failed[scan.FailedCanceled] == nil {
					t.Errorf("one that waits for the scan: %v, %v", r, err)
				}
			})
			synctest.Wait()
			all.Go(func() {
				other := task(t)
				other.Target = "other"
				if _, err := c.Scan(within(t, time.Minute), other); !errors.Is(err, coordinator.ErrClosing) {
					t.Errorf("one that waits for a place: %v", err)
				}
			})
			synctest.Wait()
		}
		c.Interrupt()
		all.Wait()
		c.Close()
	})
}

// TestManyInterleavings has thousands of probes come and go as it happens. Whoever
// waits long enough is answered in full, in time, and nothing is left.
func TestManyInterleavings(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			upTo := func(d time.Duration) time.Duration { return time.Duration(random.Int64N(int64(d))) }
			takes := 50 * time.Millisecond
			c := newCounted(t, 4, closedAfter(takes), nil)
			var all sync.WaitGroup
			var answered atomic.Int64
			const probes = 500
			for range probes {
				deadline, hangsUp, one := 5*time.Millisecond+upTo(200*time.Millisecond), upTo(400*time.Millisecond), task(t)
				one.Target = string(rune('a' + random.IntN(3)))
				all.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), deadline)
					defer cancel()
					timer := time.AfterFunc(hangsUp, cancel)
					defer timer.Stop()
					begun := time.Now()
					a, err := c.Scan(ctx, one)
					r := a.Result
					took := time.Since(begun)
					if took > min(deadline, hangsUp) || err != nil && !errors.Is(err, coordinator.ErrBusy) {
						t.Errorf("deadline %v, hangs up after %v: answered after %v, %v", deadline, hangsUp, took, err)
					}
					if long := 2 * takes; min(deadline, hangsUp) > long && (err != nil || !r.Success()) {
						t.Errorf("deadline %v, hangs up after %v: %v, %v", deadline, hangsUp, r, err)
					}
					answered.Add(1)
				})
				time.Sleep(upTo(5 * time.Millisecond))
			}
			all.Wait()
			c.Close()
			if answered.Load() != probes || c.InFlight() != 0 || c.scans.Load() >= probes || c.joined.Load() == 0 {
				t.Errorf("%d answers, %d in flight, %d scans", answered.Load(), c.InFlight(), c.scans.Load())
			}
		})
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
)

// longSweep returns a task with a timeout of 4 h and a scope of 65,534 addresses.
func longSweep(tb testing.TB) scan.Task {
	tb.Helper()
	one := newSweep(tb, "1-3", time.Hour, 4*time.Hour)
	var err error
	if one.Scope, err = scan.NewScope([]netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("192.0.2.0/24")}, nil); err != nil {
		tb.Fatal(err)
	}
	return one
}

// addressSweep returns the sweep of an address of the target of longSweep.
func addressSweep(one scan.Task, i int) scan.Task {
	ip := netip.AddrFrom4([4]byte{10, 1, byte(i / 200), byte(i%200 + 1)})
	return one.ForAddress(ip, ip.String())
}

// TestDetachedSlots requires a quarter as many slots for sweeps without probes as for scans.
func TestDetachedSlots(t *testing.T) {
	t.Parallel()
	for maxScans, want := range map[int]int{1: 1, 3: 1, 4: 1, 8: 2, 64: 16} {
		synctest.Test(t, func(t *testing.T) {
			c := setup{engine: closedAfter(3 * time.Hour), maxScans: maxScans}.start(t)
			defer c.Close()
			for _, one := range numbered(longSweep(t), want+3) {
				c.probe(t, one)
			}
			synctest.Wait()
			if got := c.InFlight(); got != want {
				t.Errorf("MaxScans %d: got %d sweeps without probes, want %d", maxScans, got, want)
			}
			suspended := 0
			for _, e := range c.events() {
				if e.Suspended {
					suspended++
				}
			}
			if suspended != 3 || len(c.events()) != 3 {
				t.Errorf("MaxScans %d: got %d of %d events of suspended sweeps, want 3 of 3", maxScans, suspended, len(c.events()))
			}
			time.Sleep(3 * time.Hour)
			c.probe(t, forTarget(longSweep(t), strconv.Itoa(want))) // a suspended one
			if got := c.InFlight(); got != 1 {
				t.Errorf("MaxScans %d: got %d sweeps without probes after the others have ended, want 1", maxScans, got)
			}
		})
	}
}

// TestDetachedSlotPerTargetAndModule has sweeps of one target without probes.
func TestDetachedSlotPerTargetAndModule(t *testing.T) {
	t.Parallel()
	other := longSweep(t)
	other.Module = "other"
	for name, tc := range map[string]struct {
		second scan.Task
		want   int
	}{
		"another address": {addressSweep(longSweep(t), 1), 1},
		"full target":     {longSweep(t), 1},
		"another module":  {other, 2},
		"another target":  {forTarget(longSweep(t), "other"), 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			var running atomic.Int64
			c := setup{maxScans: 100, engine: func(ctx context.Context, req scan.Request, report func(scan.PortResult)) error {
				running.Add(1)
				defer running.Add(-1)
				return closedAfter(3*time.Hour)(ctx, req, report)
			}}.start(t)
			defer c.Close()
			c.probe(t, addressSweep(longSweep(t), 0))
			c.probe(t, tc.second)
			synctest.Wait()
			if got := int(running.Load()); got != tc.want || c.InFlight() != got {
				t.Errorf("%s: got %d sweeps without probes, InFlight() = %d, want %d", name, got, c.InFlight(), tc.want)
			}
		})
	}
}

// TestDetachedSweepJoined requires that probes can join a sweep without probes and leave again.
func TestDetachedSweepJoined(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup{engine: closedAfter(10 * time.Second)}.start(t)
		defer c.Close()
		for range 3 {
			c.probe(t, longSweep(t))
			if got := c.InFlight(); got != 1 {
				t.Errorf("InFlight() = %d, want 1", got)
			}
		}
		if a := c.mustScan(t, 5*time.Second, longSweep(t)); !isComplete(a) || a.Source != coordinator.Joined {
			t.Errorf("got answer %+v, want a complete one of source joined", a)
		}
		c.wantScans(t, 1, 3)
	})
}

// TestAbandonedProbes has 500 clients disconnect that requested long sweeps of different
// addresses of one target. Other targets are answered as before.
func TestAbandonedProbes(t *testing.T) { //nolint:paralleltest // counts goroutines
	synctest.Test(t, func(t *testing.T) {
		const maxScans, abandoned = 4, 500
		var running, most atomic.Int64
		c := setup{maxScans: maxScans, engine: func(ctx context.Context, req scan.Request, report func(scan.PortResult)) error {
			for n := running.Add(1); n > most.Load(); {
				most.Store(n)
			}
			defer running.Add(-1)
			if req.Addresses()[0].IP == firstAddr {
				return closedAfter(time.Second)(ctx, req, report)
			}
			return closedAfter(3*time.Hour)(ctx, req, report)
		}}.start(t)
		before := runtime.NumGoroutine()
		var all sync.WaitGroup
		for i := range abandoned {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				defer time.AfterFunc(time.Duration(i)*10*time.Millisecond, cancel).Stop()
				if _, err := c.Scan(ctx, addressSweep(longSweep(t), i), coordinator.Client{}); err != nil && !errors.Is(err, coordinator.ErrBusy) {
					t.Errorf("Scan(abandoned) = %v, want nil or %v", err, coordinator.ErrBusy)
				}
			})
		}
		synctest.Wait()
		for _, one := range []scan.Task{forTarget(longSweep(t), "other sweep"), forTarget(newSweep(t, "1-3", 0, time.Minute), "other scan")} {
			all.Go(func() {
				if a := c.mustScan(t, 10*time.Second, one); !isComplete(a) || a.Source != coordinator.Fresh {
					t.Errorf("%s: got answer %+v, want a complete fresh one", one.Target, a)
				}
			})
		}
		all.Wait()
		synctest.Wait()
		if most.Load() > maxScans+1 || c.InFlight() != 1 {
			t.Errorf("got %d engines at once, %d scans in flight afterwards, want at most %d, 1", most.Load(), c.InFlight(), maxScans+1)
		}
		const perScan = 4
		if after := runtime.NumGoroutine(); after > before+perScan {
			t.Errorf("got %d goroutines with one detached sweep, want at most %d", after, before+perScan)
		}
		for _, one := range numbered(newSweep(t, "1-3", 0, time.Minute), maxScans) {
			all.Go(func() {
				started := time.Now()
				if a := c.mustScan(t, 10*time.Second, one); !isComplete(a) || time.Since(started) != time.Second {
					t.Errorf("%s: got complete %v after %v, want true after 1s", one.Target, isComplete(a), time.Since(started))
				}
			})
		}
		all.Wait()
		c.Close()
		if got := c.InFlight(); got != 0 {
			t.Errorf("InFlight() = %d after Close, want 0", got)
		}
	})
}

// TestGoneClients has 4,000 clients that disconnect at once, at addresses of one target.
func TestGoneClients(t *testing.T) { //nolint:paralleltest // counts goroutines
	before := runtime.NumGoroutine()
	c := setup{engine: closedAfter(time.Hour), maxScans: 4}.start(t)
	one := longSweep(t)
	var all sync.WaitGroup
	for i := range 4000 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if i%2 == 0 {
				cancel()
			} else {
				time.AfterFunc(time.Millisecond, cancel)
			}
			if _, err := c.Scan(ctx, addressSweep(one, i), coordinator.Client{}); err != nil && !errors.Is(err, coordinator.ErrBusy) {
				t.Errorf("Scan() = %v, want nil or %v", err, coordinator.ErrBusy)
			}
			cancel()
		})
	}
	all.Wait()
	c.Close()
	if got := c.InFlight(); got != 0 || len(c.Sweeps()) != 0 || len(c.UnderWay()) != 0 {
		t.Errorf("InFlight() = %d, Sweeps() = %v after Close, want none", got, c.Sweeps())
	}
	for range 100 { // goroutines of timers return shortly afterwards
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("got %d goroutines after Close, want %d", runtime.NumGoroutine(), before)
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
)

// TestSweepResumed has the exporter shut down during a sweep and start again with the same store.
func TestSweepResumed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		down     time.Duration // between shutdown and start
		tried    string        // by the second coordinator
		attempts int           // of its run
		resumed  bool
	}{
		"at once":       {0, "21-40", 20, true},
		"within time":   {20 * time.Second, "21-40", 20, true},
		"after timeout": {60 * time.Second, "1-40", 40, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			one, e := newSweep(t, "1-40", time.Minute, 75*time.Second), newPortEngine(time.Second)
			first := setup{engine: e.scan}.start(t)
			started := time.Now()
			first.mustScan(t, 20500*time.Millisecond, one)
			first.Close()
			if events := first.events(); len(events) != 1 || !events[0].Suspended || events[0].Attempts != 20 {
				t.Errorf("%s: got events %+v, want a suspended scan of 20 attempts", name, events)
			}
			time.Sleep(tc.down)
			clear(e.tried)
			second := setup{engine: e.scan, store: first.store}.start(t)
			defer second.Close()
			again := time.Now()
			a := second.mustScan(t, time.Minute, one)
			if got, _ := e.triedPorts(firstAddr); got.String() != tc.tried || !isComplete(a) {
				t.Errorf("%s: got attempts at %v, complete %v, %v, want %s, true", name, got, isComplete(a), a.Result.Failed, tc.tried)
			}
			want := started
			if !tc.resumed {
				want = again
			}
			r := a.Result
			if !r.Started.Equal(want) || r.Attempts != 40 {
				t.Errorf("%s: got start %v, %d attempts, want %v, 40", name, r.Started, r.Attempts, want)
			}
			if events := second.events(); len(events) != 1 || events[0].Suspended || events[0].Attempts != tc.attempts || !events[0].Started.Equal(again) {
				t.Errorf("%s: got events %+v, want one scan of %d attempts since %v", name, events, tc.attempts, again)
			}
			if got := r.Addresses[0].Control().TurnedOpen; got != 1 {
				t.Errorf("%s: Control().TurnedOpen = %d, want 1", name, got)
			}
			if a = second.mustScan(t, time.Second, one); a.Source != coordinator.Cached {
				t.Errorf("%s: got source %s of the next answer, want cached", name, a.Source)
			}
		})
	}
}

// TestSweepLastResponseResumed requires that a resumed sweep has the answers of its first run.
func TestSweepLastResponseResumed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, e := newSweep(t, "1-4", time.Minute, time.Minute), newPortEngine(time.Second)
		e.set(firstAddr, statesOf(scan.Filtered, 2, 3, 4))
		first := setup{engine: e.scan}.start(t)
		started := time.Now()
		first.mustScan(t, 2500*time.Millisecond, one)
		first.Close()
		second := setup{engine: e.scan, store: first.store}.start(t)
		defer second.Close()
		a := second.mustScan(t, 10*time.Second, one)
		if got, want := a.Result.Addresses[0].LastResponse(), started.Add(time.Second); !got.Equal(want) {
			t.Errorf("LastResponse() = %v, want the answer of port 1 at %v", got, want)
		}
	})
}

// TestSweepSuspendedTwice has a resumed sweep suspended again before its names are resolved: it
// keeps the results of its first run.
func TestSweepSuspendedTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, e := newSweep(t, "1-40", time.Hour, 10*time.Minute), newPortEngine(time.Second)
		first := setup{engine: e.scan}.start(t)
		first.mustScan(t, 20500*time.Millisecond, one)
		first.Close()
		hanging := setup{engine: e.scan, store: first.store, resolver: resolver{wait: time.Hour}}.start(t)
		hanging.mustScan(t, 5*time.Second, one)
		if sweeps := hanging.Sweeps(); len(sweeps) != 1 || sweeps[0].Result.Addresses[0].Count(scan.Closed) != 20 {
			t.Errorf("Sweeps() = %+v, want the 20 known ports", sweeps)
		}
		hanging.Close()
		if events := hanging.events(); len(events) != 1 || !events[0].Suspended || events[0].Attempts != 0 {
			t.Errorf("got events %+v, want a suspended scan without attempts", events)
		}
		third := setup{engine: e.scan, store: first.store}.start(t)
		defer third.Close()
		a := third.mustScan(t, time.Minute, one)
		if got, twice := e.triedPorts(firstAddr); got.String() != "1-40" || twice || !isComplete(a) || a.Result.Attempts != 40 {
			t.Errorf("got attempts at %v, twice %v, %d in the result, want one at each of 1-40", got, twice, a.Result.Attempts)
		}
	})
}

// TestSweepsResumed requires that the results that Sweeps returns, which a state file has after a
// crash, can be resumed.
func TestSweepsResumed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, e := newSweep(t, "1-40", time.Hour, 10*time.Minute), newPortEngine(time.Second)
		killed := setup{engine: e.scan}.start(t)
		defer killed.Close()
		killed.mustScan(t, 20500*time.Millisecond, one)
		saved := newStore(t)
		for _, u := range killed.Sweeps() {
			saved.Suspend(u.Task, u.ID, u.Result)
		}
		after := newPortEngine(time.Second)
		second := setup{engine: after.scan, store: saved}.start(t)
		defer second.Close()
		a := second.mustScan(t, time.Minute, one)
		if got, _ := after.triedPorts(firstAddr); got.String() != "21-40" || !isComplete(a) {
			t.Errorf("got attempts at %v, complete %v, want 21-40, true", got, isComplete(a))
		}
	})
}

// TestSweepsEnding requires that Sweeps returns a sweep that was canceled, by its timeout or for lack
// of a detached slot, until its engine has returned and the store has its result.
func TestSweepsEnding(t *testing.T) {
	t.Parallel()
	for name, leaves := range map[string]bool{"timeout": false, "no detached slot": true} {
		synctest.Test(t, func(t *testing.T) {
			one := newSweep(t, "1-3", time.Hour, 10*time.Second)
			slow := engine(func(ctx context.Context, req scan.Request, report func(scan.PortResult)) error {
				report(openPort(firstAddr, 1))
				<-ctx.Done()
				time.Sleep(time.Second)
				return nil
			})
			c := setup{engine: slow, maxScans: 2}.start(t)
			defer c.Close()
			if leaves {
				c.mustScan(t, time.Second, forTarget(one, "other"))
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			go func() { _, _ = c.Scan(ctx, one, coordinator.Client{}) }()
			time.Sleep(5 * time.Second)
			if leaves {
				cancel()
			} else {
				time.Sleep(5 * time.Second)
			}
			time.Sleep(500 * time.Millisecond) // the engine has not returned
			found := false
			for _, u := range c.Sweeps() {
				found = found || u.Task.Target == one.Target && u.Result.Addresses[0].Count(scan.Open) == 1
			}
			if !found {
				t.Errorf("%s: Sweeps() lacks the canceled sweep with its open port", name)
			}
			time.Sleep(time.Minute)
			if sweeps := c.Sweeps(); len(sweeps) != 0 {
				t.Errorf("%s: Sweeps() = %+v after all scans ended, want none", name, sweeps)
			}
		})
	}
}

// TestSweepSuspendedWithoutSlot has more sweeps without probes than detached slots.
func TestSweepSuspendedWithoutSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, e := forTarget(newSweep(t, "1-40", time.Hour, 10*time.Minute), "suspended"), newPortEngine(time.Second)
		c := setup{maxScans: 2, engine: func(ctx context.Context, req scan.Request, report func(scan.PortResult)) error {
			if req.Plan().Ports().Len() == 3 {
				return closedAfter(5*time.Minute)(ctx, req, report)
			}
			return e.scan(ctx, req, report)
		}}.start(t)
		defer c.Close()
		c.probe(t, newSweep(t, "1-3", time.Hour, 10*time.Minute)) // holds the detached slot
		for range 3 {
			if a := c.mustScan(t, 10500*time.Millisecond, one); isComplete(a) || c.InFlight() != 2 && a.Progress == 0 {
				t.Errorf("got answer %+v, want an incomplete one with progress", a)
			}
			time.Sleep(time.Minute) // suspended
			if c.InFlight() != 1 {
				t.Errorf("InFlight() = %d, want only the detached sweep", c.InFlight())
			}
		}
		a := c.mustScan(t, time.Minute, one)
		if got, twice := e.triedPorts(firstAddr); got.String() != "1-40" || twice || !isComplete(a) || a.Result.Attempts != 40 {
			t.Errorf("got attempts at %v, twice %v, %d in the result, complete %v, want one at each of 1-40", got, twice, a.Result.Attempts, isComplete(a))
		}
		attempts := 0
		for _, ev := range c.events() {
			attempts += ev.Attempts
		}
		if attempts != 40 || len(c.events()) != 4 {
			t.Errorf("got %d attempts in %d events, want 40 in 4", attempts, len(c.events()))
		}
	})
}

// TestSweepResumedWithoutNames has the lookup of a resumed sweep's names fail: the answer has the
// failure, and the results of the first run remain for the next one.
func TestSweepResumedWithoutNames(t *testing.T) {
	t.Parallel()
	for name, found := range map[string][]string{"all fail": nil, "one fails": {"192.0.2.2"}} {
		synctest.Test(t, func(t *testing.T) {
			one, e := newSweep(t, "1-40", time.Hour, 10*time.Minute), newPortEngine(time.Second)
			first := setup{engine: e.scan, resolver: resolver{addrs: []string{"192.0.2.1", "192.0.2.2"}}}.start(t)
			first.mustScan(t, 20500*time.Millisecond, one)
			first.Close()
			failing := resolver{addrs: found, failed: map[scan.Failure]error{scan.FailedDNS: errors.New("no answer")}}
			second := setup{engine: e.scan, store: first.store, resolver: failing}.start(t)
			defer second.Close()
			for range 2 {
				if a := second.mustScan(t, time.Minute, one); a.Result.Failed[scan.FailedDNS] == nil || a.Result.Attempts != 40*len(found) {
					t.Errorf("%s: got failures %v, %d attempts, want dns, %d", name, a.Result.Failed, a.Result.Attempts, 40*len(found))
				}
			}
			if got, want := len(second.events()), 2-len(found); got != want {
				t.Errorf("%s: got %d scans, want %d", name, got, want)
			}
			kept := second.store.Resume(one, time.Now())
			if kept == nil || len(kept.Addresses) == 0 || kept.Addresses[0].Count(scan.Closed) != 20 || kept.Attempts != 20+40*len(found) {
				t.Fatalf("%s: Resume() = %+v, want the 20 known ports of the first run", name, kept)
			}
		})
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
)

// TestScanWithoutProbesNotStarted has a probe leave while its scan is about to start.
func TestScanWithoutProbesNotStarted(t *testing.T) {
	t.Parallel()
	for _, maxAge := range []time.Duration{0, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			c := setup{allow: func(task scan.Task) (scan.Task, error) {
				time.Sleep(2 * time.Second)
				return task, nil
			}}.start(t)
			defer c.Close()
			c.wantError(t, time.Second, newSweep(t, "1-3", maxAge, time.Minute), coordinator.ErrBusy)
			time.Sleep(3 * time.Second)
			c.wantScans(t, 0, 0)
			if c.InFlight() != 0 || len(c.events()) != 0 {
				t.Errorf("max_age %v: got %d in flight, %d events, want 0, 0", maxAge, c.InFlight(), len(c.events()))
			}
		})
	}
}

// TestQueuedSweepDropped requires that a sweep whose last probe leaves the queue never starts.
func TestQueuedSweepDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup{engine: closedAfter(10 * time.Second)}.start(t)
		defer c.Close()
		go func() { c.mustScan(t, 12*time.Second, newSweep(t, "1-3", 0, time.Minute)) }()
		synctest.Wait()
		queued := forTarget(minuteSweep(t), "queued")
		c.wantError(t, time.Second, queued, coordinator.ErrBusy)
		ctx, cancel := context.WithCancel(within(t, time.Minute))
		time.AfterFunc(time.Second, cancel)
		if _, err := c.Scan(ctx, queued, coordinator.Client{}); !errors.Is(err, coordinator.ErrBusy) {
			t.Errorf("Scan(queued, client disconnects) = %v, want %v", err, coordinator.ErrBusy)
		}
		time.Sleep(20 * time.Second)
		c.wantScans(t, 1, 0)
		if got := c.store.Resume(queued, time.Now()); got != nil {
			t.Errorf("Resume(queued) = %+v, want nil", got)
		}
		if a := c.mustScan(t, time.Minute, queued); !isComplete(a) || a.Source != coordinator.Fresh {
			t.Errorf("got answer %+v, want that of a new scan", a)
		}
	})
}

// TestReloadWhileQueued requires that a queued sweep starts with the new configuration.
func TestReloadWhileQueued(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var changed atomic.Bool
		c := setup{engine: closedAfter(10 * time.Second), allow: func(task scan.Task) (scan.Task, error) {
			if changed.Load() && task.Target == "second" {
				task.MaxAge = 2 * time.Minute
			}
			return task.ResetDigest(), nil
		}}.start(t)
		defer c.Close()
		second := forTarget(minuteSweep(t), "second")
		var all sync.WaitGroup
		all.Go(func() { c.mustScan(t, 15*time.Second, newSweep(t, "1-3", 0, time.Minute)) })
		synctest.Wait()
		all.Go(func() {
			if a := c.mustScan(t, 25*time.Second, second); !isComplete(a) {
				t.Errorf("got answer %+v of the queued sweep, want a complete one", a)
			}
		})
		time.Sleep(time.Second)
		changed.Store(true)
		changedSecond := second
		changedSecond.MaxAge = 2 * time.Minute
		c.Reconfigure([]scan.Task{changedSecond.ResetDigest()})
		all.Wait()
		c.wantScans(t, 2, 0)
		if events := c.events(); events[1].Task.MaxAge != 2*time.Minute {
			t.Errorf("got a scan with max_age %v, want 2m", events[1].Task.MaxAge)
		}
	})
}

// TestReloadDuringStart has the configuration change after a scan was permitted, and before it
// has started.
func TestReloadDuringStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		forbidden := errors.New("not configured")
		var calls atomic.Int64
		var c *fixture
		c = setup{engine: closedAfter(time.Second), allow: func(task scan.Task) (scan.Task, error) {
			if calls.Add(1) > 1 {
				return scan.Task{}, forbidden
			}
			c.Reconfigure(nil)
			return task, nil
		}}.start(t)
		defer c.Close()
		c.wantError(t, 5*time.Second, minuteSweep(t), forbidden)
		c.wantScans(t, 0, 0)
	})
}

// TestReloadMakesTasksEqual has two queued sweeps that are the same scan after a reload. The one
// that starts last cannot be joined, and must still end with its probes and with the exporter.
func TestReloadMakesTasksEqual(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*fixture){
		"probe leaves": func(*fixture) { time.Sleep(20 * time.Second) },
		"shutdown":     func(*fixture) {},
	} {
		synctest.Test(t, func(t *testing.T) {
			current := newSweep(t, "1-3", time.Minute, 4*time.Hour)
			c := setup{engine: closedAfter(time.Hour), maxScans: 2, allow: func(scan.Task) (scan.Task, error) { return current, nil }}.start(t)
			for _, ports := range []string{"1-3", "1-2"} {
				go func() { c.mustScan(t, 10*time.Second, newSweep(t, ports, time.Minute, 4*time.Hour)) }()
				synctest.Wait()
			}
			if c.InFlight() != 2 {
				t.Errorf("%s: InFlight() = %d, want 2", name, c.InFlight())
			}
			end(c)
			if name == "probe leaves" && c.InFlight() != 1 {
				t.Errorf("%s: InFlight() = %d, want only the detached sweep", name, c.InFlight())
			}
			started := time.Now()
			c.Close()
			if took := time.Since(started); took != 0 {
				t.Errorf("%s: Close() returned after %v, want at once", name, took)
			}
		})
	}
}

// TestScanEndsAtExpiry has the target's authorization expire during a scan.
func TestScanEndsAtExpiry(t *testing.T) {
	t.Parallel()
	for _, maxAge := range []time.Duration{0, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			started := time.Now()
			var ended time.Duration
			c := setup{engine: func(ctx context.Context, _ scan.Request, _ func(scan.PortResult)) error {
				<-ctx.Done()
				ended = time.Since(started)
				return nil
			}}.start(t)
			defer c.Close()
			one := newSweep(t, "1-3", maxAge, 50*time.Second)
			one.Expires = started.Add(10 * time.Second)
			c.mustScan(t, 30*time.Second, one)
			if ended != 10*time.Second {
				t.Errorf("max_age %v: the engine was canceled after %v, want 10s", maxAge, ended)
			}
		})
	}
}

// TestReloadChangesExpiry has a reload change when the target's authorization expires.
func TestReloadChangesExpiry(t *testing.T) {
	t.Parallel()
	for _, maxAge := range []time.Duration{0, time.Minute} {
		for _, want := range []time.Duration{10 * time.Second, 20 * time.Second, 30 * time.Second} {
			synctest.Test(t, func(t *testing.T) {
				started := time.Now()
				var ended time.Duration
				c := setup{
					engine: func(ctx context.Context, _ scan.Request, _ func(scan.PortResult)) error {
						<-ctx.Done()
						ended = time.Since(started)
						return nil
					},
					allow: func(task scan.Task) (scan.Task, error) {
						if task.Expires = started.Add(20 * time.Second); time.Since(started) > 0 {
							task.Expires = started.Add(want)
						}
						return task, nil
					},
				}.start(t)
				defer c.Close()
				one := newSweep(t, "1-3", maxAge, 50*time.Second)
				time.AfterFunc(5*time.Second, func() { c.Reconfigure([]scan.Task{one}) })
				c.mustScan(t, 40*time.Second, one)
				if ended != want {
					t.Errorf("max_age %v: the engine was canceled after %v, want %v", maxAge, ended, want)
				}
			})
		}
	}
}

// TestReloadRemovesMaxAge has a reload set max_age to 0 while a sweep is queued.
func TestReloadRemovesMaxAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup{engine: closedAfter(time.Second), allow: func(task scan.Task) (scan.Task, error) {
			task.MaxAge = 0
			return task.ResetDigest(), nil
		}}.start(t)
		defer c.Close()
		if a := c.probe(t, minuteSweep(t)); !isComplete(a) || a.Source != coordinator.Fresh {
			t.Errorf("got answer %+v, want that of a complete scan", a)
		}
	})
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
)

// TestNobodyIsThereAnyMore has a probe leave while its scan is about to begin.
func TestNobodyIsThereAnyMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCounted(t, 1, closedAfter(0), func(task scan.Task) (scan.Task, error) {
			time.Sleep(2 * time.Second)
			return task, nil
		})
		defer c.Close()
		if _, err := c.Scan(within(t, time.Second), task(t)); !errors.Is(err, coordinator.ErrBusy) {
			t.Errorf("it was answered with %v", err)
		}
		time.Sleep(3 * time.Second)
		c.wantScans(t, 0, 0)
	})
}

// TestReloadWhileASweepWaits changes the configuration while a sweep waits for a place:
// it begins with what it has become by then.
func TestReloadWhileASweepWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var changed atomic.Bool
		c := newCounted(t, 1, closedAfter(10*time.Second), func(task scan.Task) (scan.Task, error) {
			if changed.Load() {
				task.MaxAge = 2 * time.Minute
			}
			return task, nil
		})
		defer c.Close()
		first, second := sweep(t), sweep(t)
		first.Target = "first"
		c.ask(t, first)
		var all sync.WaitGroup
		all.Go(func() {
			a, err := c.Scan(within(t, 25*time.Second), second)
			if err != nil || !a.Result.Success() {
				t.Errorf("the sweep that waited was answered with %+v, %v", a, err)
			}
		})
		time.Sleep(time.Second)
		changed.Store(true)
		c.Reconfigured(nil)
		all.Wait()
		c.wantScans(t, 2, 0)
	})
}

// TestReloadBetweenLeaveAndStart has the configuration change after a scan was allowed,
// and before it has begun.
func TestReloadBetweenLeaveAndStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gone := errors.New("it is not configured any more")
		var asked atomic.Int64
		var c *counted
		c = newCounted(t, 1, closedAfter(time.Second), func(task scan.Task) (scan.Task, error) {
			if asked.Add(1) > 1 {
				return scan.Task{}, gone
			}
			c.Reconfigured(nil)
			return task, nil
		})
		defer c.Close()
		if _, err := c.Scan(within(t, 5*time.Second), sweep(t)); !errors.Is(err, gone) {
			t.Errorf("it was answered with %v", err)
		}
		c.wantScans(t, 0, 0)
	})
}

// TestManyReloads has probes of sweeps come and go while the configuration changes: none
// is shown a result of a configuration that was no more when it came.
func TestManyReloads(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 2))
			upTo := func(d time.Duration) time.Duration { return time.Duration(random.Int64N(int64(d))) }
			var generation atomic.Int64
			now := func() scan.Task { // its ports tell which configuration it is of
				one := taskOf(t, "1-"+strconv.FormatInt(generation.Load()+2, 10))
				one.MaxAge = 20 * time.Millisecond
				return one
			}
			c := newCounted(t, 2, closedAfter(30*time.Millisecond), func(asked scan.Task) (scan.Task, error) {
				one := now()
				one.Target = asked.Target
				return one, nil
			})
			var all sync.WaitGroup
			for range 500 {
				deadline, one := 5*time.Millisecond+upTo(100*time.Millisecond), now()
				one.Target = string(rune('a' + random.IntN(3)))
				came := int(generation.Load() + 2)
				all.Go(func() {
					begun := time.Now()
					a, err := c.Scan(within(t, deadline), one)
					if took := time.Since(begun); took > deadline || err != nil && !errors.Is(err, coordinator.ErrBusy) {
						t.Errorf("deadline %v: answered after %v, %v", deadline, took, err)
					}
					if err == nil && a.Result.Plan.Ports().Len() < came {
						t.Errorf("it came when there were %d ports, and is shown %d", came, a.Result.Plan.Ports().Len())
					}
				})
				if time.Sleep(upTo(5 * time.Millisecond)); random.IntN(20) == 0 {
					generation.Add(1)
					c.Reconfigured([]scan.Task{now()})
				}
			}
			all.Wait()
			c.Close()
			if c.InFlight() != 0 || c.scans.Load() == 0 {
				t.Errorf("%d in flight, %d scans", c.InFlight(), c.scans.Load())
			}
		})
	}
}

// TestLeaveEndsDuringAScan has the owner's leave end while a sweep is under way.
func TestLeaveEndsDuringAScan(t *testing.T) {
	t.Parallel()
	for _, maxAge := range []time.Duration{0, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			var ended time.Duration
			c := newCounted(t, 1, func(ctx context.Context, _ scan.Request, _ func(scan.PortResult)) error {
				<-ctx.Done()
				ended = time.Since(begun)
				return nil
			}, nil)
			defer c.Close()
			one := sweep(t)
			one.MaxAge, one.Expires = maxAge, begun.Add(10*time.Second)
			if _, err := c.Scan(within(t, 30*time.Second), one); err != nil {
				t.Error(err)
			}
			if ended != 10*time.Second {
				t.Errorf("max_age %v: the scan ended after %v, and the leave after 10s", maxAge, ended)
			}
		})
	}
}

// TestUnderWay looks at scans on their way.
func TestUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCounted(t, 1, func(ctx context.Context, req scan.Request, report func(scan.PortResult)) error {
			report(scan.PortResult{Address: theHost, Port: 1, State: scan.Closed, Cause: scan.CauseRST})
			return closedAfter(10*time.Second)(ctx, req, report)
		}, nil)
		defer c.Close()
		begun := time.Now()
		whole := sweep(t)
		whole.Asked = "t"
		c.ask(t, whole)
		other := sweep(t)
		other.Target = "it waits for a place"
		c.ask0(t, other)
		all := c.UnderWay()
		if len(all) != 1 || all[0].Target != "t" || all[0].Module != "m" || !all[0].Started.Equal(begun) || all[0].Progress < 0.3 || all[0].Progress > 0.4 {
			t.Errorf("under way: %+v", all)
		}
	})
}

// ask0 asks for a sweep that gets no place in time.
func (c *counted) ask0(t *testing.T, one scan.Task) {
	t.Helper()
	if _, err := c.Scan(within(t, time.Second), one); !errors.Is(err, coordinator.ErrBusy) {
		t.Errorf("it was answered with %v", err)
	}
}

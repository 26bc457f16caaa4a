package coordinator_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"portscan_exporter/coordinator"
	"portscan_exporter/scan"
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
		c.ask(t, sweep(t))
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

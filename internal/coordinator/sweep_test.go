// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
)

// probe sends a probe with a deadline of 2 s.
func (f *fixture) probe(t *testing.T, one scan.Task) coordinator.Answer {
	t.Helper()
	return f.mustScan(t, 2*time.Second, one)
}

// TestSweepOutlivesProbes has a probe every 5 s for a sweep of 40 s.
func TestSweepOutlivesProbes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup{engine: closedAfter(40 * time.Second)}.start(t)
		defer c.Close()
		started := time.Now()
		var ended time.Time // of the scan of the last answer
		for range 60 {
			a := c.probe(t, minuteSweep(t))
			at := time.Since(started)
			switch r := a.Result; {
			case at < 40*time.Second:
				if len(r.Addresses) != 0 || !r.Finished.IsZero() || isComplete(a) || a.Progress != 0 || a.Source == coordinator.Cached || a.ScanID == "" {
					t.Errorf("after %v, during the first sweep: got answer %+v, want an empty one", at, a)
				}
			case !isComplete(a) || r.Finished.Before(ended) || time.Since(r.Finished) > 105*time.Second:
				t.Errorf("after %v: got complete %v, end %v, want a complete result that ended after %v", at, isComplete(a), r.Finished, ended)
			default:
				ended = r.Finished
			}
			time.Sleep(3 * time.Second)
		}
		// Of 300 s, a sweep takes 40 s and is fresh for 60 s.
		if n := c.scans.Load(); n < 3 || n > 4 {
			t.Errorf("got %d sweeps in 5 min, want 3 or 4", n)
		}
	})
}

func TestSweepProgress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup{engine: openThenClosedAfter(10 * time.Second)}.start(t)
		defer c.Close()
		if a := c.probe(t, minuteSweep(t)); a.Progress != 1.0/3 || len(a.Result.Addresses) != 0 {
			t.Errorf("got progress %v, %d addresses, want 1/3, 0", a.Progress, len(a.Result.Addresses))
		}
		time.Sleep(7 * time.Second)
		if a := c.probe(t, minuteSweep(t)); a.Progress != 1 || !isComplete(a) || a.Source != coordinator.Joined {
			t.Errorf("probe at the sweep's end: got answer %+v, want a complete one of source joined", a)
		}
		if a := c.probe(t, minuteSweep(t)); a.Progress != 1 || !isComplete(a) || a.Source != coordinator.Cached || a.ScanID == "" {
			t.Errorf("probe after the sweep: got answer %+v, want a complete cached one", a)
		}
		c.wantScans(t, 1, 1)
	})
}

// TestSweepTimeout requires that a sweep ends at its timeout, and that its incomplete result is
// fresh for as long, so that sweeps do not follow each other without a pause.
func TestSweepTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup{engine: openThenClosedAfter(time.Hour)}.start(t)
		defer c.Close()
		one := minuteSweep(t) // with a timeout of 50 s
		c.probe(t, one)
		time.Sleep(48 * time.Second)
		synctest.Wait()
		if c.InFlight() != 0 {
			t.Errorf("InFlight() = %d after the timeout, want 0", c.InFlight())
		}
		for _, at := range []time.Duration{0, 25 * time.Second, 50 * time.Second} { // from its end
			time.Sleep(time.Until(c.events()[0].Result.Finished.Add(at)))
			a := c.probe(t, one)
			if isComplete(a) || unverified(a)[scan.CauseDeadline] != 2 || a.Source != coordinator.Cached || a.Progress != 1 {
				t.Errorf("%v after an incomplete sweep: got answer %+v, want it cached with 2 ports unknown", at, a)
			}
		}
		c.wantScans(t, 1, 0)
		time.Sleep(time.Nanosecond)
		if a := c.probe(t, one); unverified(a)[scan.CauseDeadline] != 2 || a.Source != coordinator.Cached || a.Progress == 1 {
			t.Errorf("during the next sweep: got answer %+v, want the earlier one", a)
		}
		c.wantScans(t, 2, 0)
	})
}

// TestSweepThatSentNothingNotCached requires that a sweep without attempts does not delay the next one.
func TestSweepThatSentNothingNotCached(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &resolver{failed: map[scan.Failure]error{scan.FailedDNS: errors.New("no answer")}}
		c := setup{resolver: r}.start(t)
		defer c.Close()
		if a := c.probe(t, minuteSweep(t)); isComplete(a) || a.Result.Failed[scan.FailedDNS] == nil {
			t.Errorf("got answer %+v, want a DNS failure", a)
		}
		r.addrs, r.failed = []string{"192.0.2.1"}, nil
		if a := c.probe(t, minuteSweep(t)); !isComplete(a) || a.Source != coordinator.Fresh {
			t.Errorf("got answer %+v, want that of a new scan", a)
		}
	})
}

// TestReloadDuringSweep has the configuration change while there are results and a sweep is
// running for which a probe waits.
func TestReloadDuringSweep(t *testing.T) {
	t.Parallel()
	type allow = func(scan.Task) (scan.Task, error)
	same := func(task scan.Task) (scan.Task, error) { return task, nil }
	for name, changed := range map[string]allow{
		"same":      same,
		"forbidden": func(scan.Task) (scan.Task, error) { return scan.Task{}, errors.New("not configured") },
		"changed":   func(task scan.Task) (scan.Task, error) { task.MaxAddresses++; return task.ResetDigest(), nil },
	} {
		synctest.Test(t, func(t *testing.T) {
			var current atomic.Pointer[allow]
			current.Store(&same)
			c := setup{maxScans: 2, engine: closedAfter(10 * time.Second), allow: func(task scan.Task) (scan.Task, error) { return (*current.Load())(task) }}.start(t)
			defer c.Close()
			cached, running := minuteSweep(t), forTarget(minuteSweep(t), "running")
			c.probe(t, cached)
			time.Sleep(10 * time.Second)
			c.probe(t, running)
			waiting := make(chan coordinator.Answer, 1)
			go func() { waiting <- c.probe(t, running) }()
			synctest.Wait()
			current.Store(&changed)
			var tasks []scan.Task
			for _, one := range []scan.Task{cached, running} {
				if one, err := changed(one); err == nil {
					tasks = append(tasks, one)
				}
			}
			c.Reconfigure(tasks)
			a := <-waiting
			current.Store(&same)
			c.Reconfigure([]scan.Task{cached, running})
			stays := name == "same"
			if got := a.Result.Failed[scan.FailedCanceled] == nil; got != stays || isComplete(a) {
				t.Errorf("%s: got result %+v of the waiting probe, want it incomplete, and canceled: %v", name, a.Result, !stays)
			}
			if goesOn := c.InFlight() == 1; goesOn != stays {
				t.Errorf("%s: the sweep goes on: %v, want %v", name, goesOn, stays)
			}
			if kept := isComplete(c.probe(t, cached)); kept != stays {
				t.Errorf("%s: the earlier result is shown: %v, want %v", name, kept, stays)
			}
			if a := c.probe(t, running); len(a.Result.Addresses) != 0 {
				t.Errorf("%s: got result %+v of the canceled sweep, want none", name, a.Result)
			}
		})
	}
}

func TestCloseEndsDetachedSweep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup{engine: closedAfter(40 * time.Second)}.start(t)
		c.probe(t, minuteSweep(t))
		started := time.Now()
		c.Close()
		if took := time.Since(started); took != 0 || c.InFlight() != 0 {
			t.Errorf("Close() took %v, InFlight() = %d, want 0s, 0", took, c.InFlight())
		}
	})
}

// TestProbeAfterSweepTimeout sends probes while the engine of a sweep returns after the timeout:
// they wait for its result, because another sweep would follow without a pause.
func TestProbeAfterSweepTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup{maxScans: 8, engine: func(ctx context.Context, _ scan.Request, report func(scan.PortResult)) error {
			report(closedPort(firstAddr, 1))
			<-ctx.Done()
			time.Sleep(4 * time.Second)
			return nil
		}}.start(t)
		defer c.Close()
		one := minuteSweep(t)
		c.probe(t, one)
		time.Sleep(49 * time.Second) // a second after the timeout
		if a := c.mustScan(t, time.Second, one); len(a.Result.Addresses) != 0 {
			t.Errorf("got answer %+v before the sweep is recorded, want an empty one", a)
		}
		if a := c.mustScan(t, 10*time.Second, one); a.Source != coordinator.Joined || len(a.Result.Addresses) != 1 {
			t.Errorf("got answer %+v of the sweep, want one of source joined", a)
		}
		if a := c.probe(t, one); a.Source != coordinator.Cached || len(a.Result.Addresses) != 1 {
			t.Errorf("got answer %+v after the sweep, want one of source cached", a)
		}
		c.wantScans(t, 1, 2)
		if events := c.events(); len(events) != 1 || events[0].Suspended {
			t.Errorf("got events %+v, want one of a scan that was not suspended", events)
		}
	})
}

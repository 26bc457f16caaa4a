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

// TestInterleavings has thousands of probes start, join and disconnect at random times. Probes
// that wait long enough get a complete answer, all are answered in time, and no scan remains.
func TestInterleavings(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			upTo := func(d time.Duration) time.Duration { return time.Duration(random.Int64N(int64(d))) }
			const duration, probes = 50 * time.Millisecond, 500
			c := setup{engine: closedAfter(duration), maxScans: 4}.start(t)
			var all sync.WaitGroup
			for range probes {
				deadline, disconnects := 5*time.Millisecond+upTo(200*time.Millisecond), upTo(400*time.Millisecond)
				one := forTarget(newTask(t), string(rune('a'+random.IntN(3))))
				all.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), deadline)
					defer cancel()
					timer := time.AfterFunc(disconnects, cancel)
					defer timer.Stop()
					started := time.Now()
					a, err := c.Scan(ctx, one, coordinator.Client{})
					took, waits := time.Since(started), min(deadline, disconnects)
					if took > waits || err != nil && !errors.Is(err, coordinator.ErrBusy) {
						t.Errorf("deadline %v, disconnects after %v: got %v after %v", deadline, disconnects, err, took)
					}
					if waits > 2*duration && (err != nil || !isComplete(a)) {
						t.Errorf("deadline %v, disconnects after %v: Scan() = %+v, %v, want a complete result", deadline, disconnects, a.Result, err)
					}
				})
				time.Sleep(upTo(5 * time.Millisecond))
			}
			all.Wait()
			c.Close()
			if c.InFlight() != 0 || c.scans.Load() >= probes || c.joined.Load() == 0 {
				t.Errorf("got %d in flight, %d scans, %d probes that joined", c.InFlight(), c.scans.Load(), c.joined.Load())
			}
			if int64(len(c.events())) != c.scans.Load() {
				t.Errorf("got %d events, want %d", len(c.events()), c.scans.Load())
			}
		})
	}
}

// TestInterleavingsWithReloads has probes of sweeps come and go while the configuration changes.
// No answer has a configuration older than the probe, or a cached result older than max_age.
func TestInterleavingsWithReloads(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 2))
			upTo := func(d time.Duration) time.Duration { return time.Duration(random.Int64N(int64(d))) }
			const maxAge, timeout = 20 * time.Millisecond, time.Second
			var configuration atomic.Int64
			current := func(target string) scan.Task { // the number of ports is the configuration's
				one := withPorts(t, newTask(t), "1-"+strconv.FormatInt(configuration.Load()+2, 10))
				one.MaxAge = maxAge
				return forTarget(one, target)
			}
			reload := func(c *fixture) {
				configuration.Add(1)
				c.Reconfigure([]scan.Task{current("a"), current("b"), current("c")})
			}
			c := setup{engine: closedAfter(30 * time.Millisecond), maxScans: 2, allow: func(requested scan.Task) (scan.Task, error) {
				return current(requested.Target), nil
			}}.start(t)
			var all sync.WaitGroup
			for range 500 {
				deadline, one := 5*time.Millisecond+upTo(100*time.Millisecond), current(string(rune('a'+random.IntN(3))))
				oldest := int(configuration.Load() + 2)
				all.Go(func() {
					started := time.Now()
					a, err := c.Scan(within(t, deadline), one, coordinator.Client{})
					if took := time.Since(started); took > deadline || err != nil && !errors.Is(err, coordinator.ErrBusy) {
						t.Errorf("deadline %v: got %v after %v", deadline, err, took)
					}
					if err == nil && a.Result.Plan.Ports().Len() < oldest {
						t.Errorf("got a result of %d ports, want at least the %d of the probe", a.Result.Plan.Ports().Len(), oldest)
					}
					if err == nil && isComplete(a) && time.Since(a.Result.Finished) > maxAge+timeout {
						t.Errorf("got a result that is %v old, want at most %v", time.Since(a.Result.Finished), maxAge+timeout)
					}
				})
				if time.Sleep(upTo(5 * time.Millisecond)); random.IntN(20) == 0 {
					reload(c)
				}
			}
			all.Wait()
			c.Close()
			if c.InFlight() != 0 || c.scans.Load() == 0 || int64(len(c.events())) != c.scans.Load() {
				t.Errorf("got %d in flight, %d scans, %d events", c.InFlight(), c.scans.Load(), len(c.events()))
			}
		})
	}
}

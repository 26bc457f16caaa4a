// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
)

// TestEventOfSharedScan requires one event with the client of the first probe.
func TestEventOfSharedScan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup{engine: closedAfter(300 * time.Millisecond)}.start(t)
		defer c.Close()
		first := coordinator.Client{Remote: "192.0.2.200:1", User: "first"}
		started := time.Now()
		var all sync.WaitGroup
		for _, client := range []coordinator.Client{first, {Remote: "192.0.2.201:1"}, {}} {
			all.Go(func() {
				if _, err := c.Scan(within(t, time.Second), newTask(t), client); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		all.Wait()
		events := c.events()
		if len(events) != 1 {
			t.Fatalf("got %d events, want 1", len(events))
		}
		e := events[0]
		if e.Client != first || e.ID == "" || e.Task.Target != "t" || e.Attempts != 3 || !e.Started.Equal(started) || e.Suspended || !e.Result.Success() {
			t.Errorf("got event %+v, want a complete scan of 3 attempts by %+v", e, first)
		}
	})
}

// onePerTick is an engine that tries a port every 10 ms. It may be used concurrently.
func onePerTick(ctx context.Context, req scan.Request, report func(scan.PortResult)) error {
	for _, a := range req.Addresses() {
		for port := range req.Plan().Ports().Minus(req.Done(a.IP)).All() {
			select {
			case <-time.After(10 * time.Millisecond):
				report(closedPort(a.IP, port))
			case <-ctx.Done():
				return nil
			}
		}
	}
	return nil
}

// TestEventAttempts requires that events sum up to the attempts of the engine, for shared scans,
// and for sweeps that are detached, suspended and resumed, by several coordinators.
func TestEventAttempts(t *testing.T) {
	t.Parallel()
	suspended, resumed := 0, 0
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 3))
			upTo := func(d time.Duration) time.Duration { return time.Duration(random.Int64N(int64(d))) }
			results := newStore(t)
			for range 5 {
				c := setup{resolver: twoAddresses, engine: onePerTick, maxScans: 3, store: results}.start(t)
				var all sync.WaitGroup
				for range 50 {
					one := newSweep(t, "1-20", []time.Duration{0, 100 * time.Millisecond}[random.IntN(2)], 5*time.Second)
					one = forTarget(one, string(rune('a'+random.IntN(4))))
					if random.IntN(3) == 0 {
						one = one.ForAddress(firstAddr, "192.0.2.1")
					}
					deadline := 10*time.Millisecond + upTo(500*time.Millisecond)
					all.Go(func() { _, _ = c.Scan(within(t, deadline), one, coordinator.Client{}) })
					time.Sleep(upTo(50 * time.Millisecond))
				}
				c.Close()
				all.Wait()
				sum := int64(0)
				ids := make(map[string]bool)
				for _, e := range c.events() {
					sum += int64(e.Attempts)
					if e.Attempts < 0 || e.Attempts > e.Result.Attempts && len(e.Result.Addresses) > 0 || ids[e.ID] {
						t.Errorf("got %d attempts of %d in the result, ID %s seen %v", e.Attempts, e.Result.Attempts, e.ID, ids[e.ID])
					}
					if n := len(e.Result.Addresses); e.Result.Success() && e.Result.Attempts != 20*n {
						t.Errorf("got %d attempts in a complete result of %d addresses, want one for each of 20 ports", e.Result.Attempts, n)
					}
					ids[e.ID] = true
					if e.Suspended {
						suspended++
					}
					if e.Attempts < e.Result.Attempts {
						resumed++
					}
				}
				if sum != c.attempts.Load() || int64(len(ids)) != c.scans.Load() {
					t.Errorf("got %d attempts in %d events, want %d in %d", sum, len(ids), c.attempts.Load(), c.scans.Load())
				}
			}
		})
	}
	if suspended == 0 || resumed == 0 {
		t.Errorf("got %d suspended and %d resumed sweeps, want some", suspended, resumed)
	}
}

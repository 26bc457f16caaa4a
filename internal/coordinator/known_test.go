// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"testing"
	"testing/synctest"
	"time"

	"portscan_exporter/internal/scan"
)

// wantKnown scans and checks the states that the engine gets of an earlier scan.
func wantKnown(t *testing.T, c *fixture, e *portEngine, one scan.Task, open, closed, filtered string) {
	t.Helper()
	c.mustScan(t, time.Second, one)
	if k := e.known; k.Open.String() != open || k.Closed.String() != closed || k.Filtered.String() != filtered {
		t.Errorf("Known() = open %q, closed %q, filtered %q, want %q, %q, %q", k.Open, k.Closed, k.Filtered, open, closed, filtered)
	}
}

func statesOf(state scan.State, ports ...uint16) map[uint16]scan.State {
	states := make(map[uint16]scan.State)
	for _, port := range ports {
		states[port] = state
	}
	return states
}

// TestKnown requires that the engine gets the states of the last complete scan that the address
// responded to, until they are too old.
func TestKnown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newPortEngine(0)
		c, one := setup{engine: e.scan}.start(t), withPorts(t, newTask(t), "1-6")
		defer c.Close()
		e.set(firstAddr, map[uint16]scan.State{1: scan.Open, 2: scan.Filtered, 3: scan.Filtered, 4: scan.OpenFiltered})
		wantKnown(t, c, e, one, "", "", "")
		wantKnown(t, c, e, one, "1", "5-6", "2-3")
		for _, states := range []map[uint16]scan.State{
			statesOf(scan.Unknown, 1, 2, 3, 4, 5, 6),
			statesOf(scan.Unknown, 1),
			statesOf(scan.Filtered, 1, 2, 3, 4, 5, 6), // dark
			{1: scan.Unknown, 5: scan.Open},
		} {
			time.Sleep(10 * time.Minute)
			e.set(firstAddr, states)
			wantKnown(t, c, e, one, "1", "5-6", "2-3")
			wantKnown(t, c, e, one, "1", "5-6", "2-3")
		}
		time.Sleep(20 * time.Minute)
		wantKnown(t, c, e, one, "1", "5-6", "2-3")
		time.Sleep(time.Second)
		wantKnown(t, c, e, one, "", "", "")
		e.set(firstAddr, nil)
		c.mustScan(t, time.Second, one)
		wantKnown(t, c, e, one, "", "1-6", "")
	})
}

// TestKnownOfSweep requires that the states last for two rounds of a slow module.
func TestKnownOfSweep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newPortEngine(0)
		c, one := setup{engine: e.scan}.start(t), newSweep(t, "1-3", time.Hour, time.Second)
		defer c.Close()
		e.set(firstAddr, statesOf(scan.Open, 1))
		c.mustScan(t, time.Second, one)
		time.Sleep(2 * (time.Hour + time.Second))
		e.set(firstAddr, statesOf(scan.Unknown, 1))
		wantKnown(t, c, e, one, "1", "2-3", "")
		time.Sleep(time.Second + time.Nanosecond)
		wantKnown(t, c, e, one, "", "", "")
	})
}

// TestKnownOfDarkAddress requires that the engine gets no states of an address that never responded.
func TestKnownOfDarkAddress(t *testing.T) {
	t.Parallel()
	e := newPortEngine(0)
	c, one := setup{engine: e.scan}.start(t), newTask(t)
	defer c.Close()
	e.set(firstAddr, statesOf(scan.Filtered, 1, 2, 3))
	c.mustScan(t, time.Second, one)
	wantKnown(t, c, e, one, "", "", "")
	e.set(firstAddr, statesOf(scan.Filtered, 1, 2))
	c.mustScan(t, time.Second, one)
	wantKnown(t, c, e, one, "", "3", "1-2")
}

// TestKnownOfResumedSweep requires that a resumed sweep gets the states of the sweep before it.
func TestKnownOfResumedSweep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newPortEngine(time.Second)
		one := newSweep(t, "1-4", time.Minute, time.Minute)
		first := setup{engine: e.scan}.start(t)
		first.mustScan(t, 10*time.Second, one)
		time.Sleep(2 * time.Minute)
		first.mustScan(t, 2500*time.Millisecond, one)
		first.Close()
		clear(e.tried)
		second := setup{engine: e.scan, store: first.store}.start(t)
		defer second.Close()
		second.mustScan(t, 10*time.Second, one)
		if tried, _ := e.triedPorts(firstAddr); tried.String() != "3-4" || e.known.Closed.String() != "1-4" {
			t.Errorf("the resumed sweep tried %v, Known().Closed = %v, want 3-4, 1-4", tried, e.known.Closed)
		}
	})
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"maps"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
)

// twoAddresses resolves to firstAddr and secondAddr.
var twoAddresses = resolver{addrs: []string{"192.0.2.1", "192.0.2.2"}}

// openPorts returns the open ports of the answer by address.
func openPorts(a coordinator.Answer) map[netip.Addr]string {
	open := make(map[netip.Addr]string)
	for i := range a.Result.Addresses {
		open[a.Result.Addresses[i].IP] = a.Result.Addresses[i].ByState()[scan.Open].String()
	}
	return open
}

// wantAnswer checks the open ports of firstAddr and secondAddr, and the source of an answer.
func wantAnswer(t *testing.T, step string, a coordinator.Answer, source coordinator.Source, complete bool, first, second string) {
	t.Helper()
	if want := map[netip.Addr]string{firstAddr: first, secondAddr: second}; !maps.Equal(openPorts(a), want) {
		t.Errorf("%s: got open ports %v, want %v", step, openPorts(a), want)
	}
	if a.Source != source || isComplete(a) != complete {
		t.Errorf("%s: got source %s, complete %v, want %s, %v", step, a.Source, isComplete(a), source, complete)
	}
}

// TestIncompleteSweepReplacesKnownPorts has a complete sweep, then one in which one address has
// an unknown port, and the other one a new open port.
func TestIncompleteSweepReplacesKnownPorts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newPortEngine(0)
		c, one := setup{resolver: twoAddresses, engine: e.scan}.start(t), minuteSweep(t)
		defer c.Close()
		e.set(firstAddr, statesOf(scan.Open, 1))
		complete := c.mustScan(t, time.Second, one)
		wantAnswer(t, "complete sweep", complete, coordinator.Fresh, true, "1", "")
		time.Sleep(61 * time.Second)
		e.set(firstAddr, statesOf(scan.Unknown, 1))
		e.set(secondAddr, statesOf(scan.Open, 2))
		a := c.mustScan(t, time.Second, one)
		wantAnswer(t, "incomplete sweep", a, coordinator.Fresh, false, "1", "2")
		if got := unverified(a); got[scan.CauseNoRoute] != 1 || len(got) != 1 {
			t.Errorf("got unverified %v, want one port by no_route", got)
		}
		if !a.Result.Finished.After(complete.Result.Finished) || a.ScanID == complete.ScanID {
			t.Errorf("got end %v and ID %s, want those of the last sweep", a.Result.Finished, a.ScanID)
		}
		time.Sleep(49 * time.Second)
		wantAnswer(t, "49s later", c.mustScan(t, time.Second, one), coordinator.Cached, false, "1", "2")
		e.set(firstAddr, statesOf(scan.Unknown, 1))
		time.Sleep(50 * time.Second)
		a = c.mustScan(t, time.Second, one)
		wantAnswer(t, "another incomplete sweep", a, coordinator.Fresh, false, "1", "2")
		time.Sleep(time.Second) // more than max_age and twice timeout after the complete sweep
		a = c.mustScan(t, time.Second, one)
		wantAnswer(t, "earlier state is too old", a, coordinator.Cached, false, "", "2")
		if got := a.Result.Addresses[0].Count(scan.Unknown); got != 1 || unverified(a)[scan.CauseNoRoute] != 1 {
			t.Errorf("got %d unknown ports, unverified %v, want 1, 1 by no_route", got, unverified(a))
		}
		wantAnswer(t, "complete sweep before", complete, coordinator.Fresh, true, "1", "")
	})
}

// TestAddressAnsweredFromFullSweep requires that a fresh sweep of a target answers probes for its
// addresses.
func TestAddressAnsweredFromFullSweep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newPortEngine(0)
		c, full := setup{resolver: twoAddresses, engine: e.scan}.start(t), minuteSweep(t)
		defer c.Close()
		e.set(secondAddr, statesOf(scan.Open, 2))
		sweep := c.mustScan(t, time.Second, full)
		a := c.mustScan(t, time.Second, full.ForAddress(secondAddr, "192.0.2.2"))
		if len(a.Result.Addresses) != 1 || openPorts(a)[secondAddr] != "2" || a.Source != coordinator.Cached || !isComplete(a) || a.ScanID != sweep.ScanID {
			t.Errorf("got answer %+v, want that of 192.0.2.2 from the sweep", a)
		}
		c.wantScans(t, 1, 0)
		other := netip.MustParseAddr("192.0.2.3")
		a = c.mustScan(t, time.Second, full.ForAddress(other, "192.0.2.3"))
		if len(a.Result.Addresses) != 1 || a.Source != coordinator.Fresh || !isComplete(a) {
			t.Errorf("got answer %+v, want a scan of 192.0.2.3", a)
		}
		c.wantScans(t, 2, 0)
		wantAnswer(t, "full target", c.mustScan(t, time.Second, full), coordinator.Cached, true, "", "2")
	})
}

// TestFullAnswerHasNewerAddress requires that the answer for a target has newer results of a scan
// of one address, and is as old as its oldest address.
func TestFullAnswerHasNewerAddress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newPortEngine(time.Second)
		c, full := setup{resolver: twoAddresses, engine: e.scan}.start(t), minuteSweep(t)
		defer c.Close()
		e.set(secondAddr, statesOf(scan.Open, 2))
		sweep := c.mustScan(t, 10*time.Second, full)
		time.Sleep(61 * time.Second)
		e.set(secondAddr, statesOf(scan.Open, 3))
		address := c.mustScan(t, 10*time.Second, full.ForAddress(secondAddr, "192.0.2.2"))
		if address.Source != coordinator.Fresh || openPorts(address)[secondAddr] != "3" {
			t.Errorf("got answer %+v, want a new scan of 192.0.2.2", address)
		}
		a := c.mustScan(t, time.Second, full)
		wantAnswer(t, "during the next sweep", a, coordinator.Cached, true, "", "3")
		if !a.Result.Finished.Equal(sweep.Result.Finished) {
			t.Errorf("got end %v, want that of the oldest address, %v", a.Result.Finished, sweep.Result.Finished)
		}
		if at, ok := a.History.LastChange(secondAddr, 3); !ok || !at.Equal(address.Result.Finished) {
			t.Errorf("LastChange(192.0.2.2, 3) = %v, %v, want %v", at, ok, address.Result.Finished)
		}
	})
}

// TestAddressCompletesFullAnswer requires that a scan of the only address with an unknown port
// completes the answer for the target, which saves a sweep.
func TestAddressCompletesFullAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newPortEngine(0)
		c, full := setup{resolver: twoAddresses, engine: e.scan}.start(t), minuteSweep(t)
		defer c.Close()
		e.set(firstAddr, statesOf(scan.Unknown, 1))
		wantAnswer(t, "incomplete sweep", c.mustScan(t, time.Second, full), coordinator.Fresh, false, "", "")
		time.Sleep(51 * time.Second) // its timeout
		e.set(firstAddr, statesOf(scan.Open, 1))
		c.mustScan(t, time.Second, full.ForAddress(firstAddr, "192.0.2.1"))
		wantAnswer(t, "after a scan of the address", c.mustScan(t, time.Second, full), coordinator.Cached, true, "1", "")
		c.wantScans(t, 2, 0)
	})
}

// TestOnlyAddressIsFullTarget requires that probes for a target's only address and for the target
// share a scan.
func TestOnlyAddressIsFullTarget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup{engine: closedAfter(time.Second)}.start(t)
		defer c.Close()
		full := newTask(t)
		full.Hosts = []scan.Host{{Entry: "192.0.2.1", Network: netip.PrefixFrom(firstAddr, 32)}}
		go func() { c.mustScan(t, 5*time.Second, full) }()
		synctest.Wait()
		c.mustScan(t, 5*time.Second, full.ForAddress(firstAddr, "192.0.2.1"))
		c.wantScans(t, 1, 1)
	})
}

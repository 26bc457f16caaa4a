// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"net/netip"
	"testing"

	"portscan_exporter/internal/scan"
)

// TestReconfigureHistory has a reload remove ports, and then the target.
func TestReconfigureHistory(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-5")
	st.scan(t, hostStates{open: "2,3"})
	st.scan(t, hostStates{})
	response := st.now
	st.task = changed(st.task, func(task *scan.Task) { task.Plan = newPlan(t, "1-2,9") })
	st.Reconfigure([]scan.Task{st.task})
	st.checkSize(t)
	if got := st.Changes("t"); len(got) != 1 || got[0].Port != 2 {
		t.Errorf("Changes() = %v, want that of port 2", got)
	}
	if log := st.scan(t, hostStates{open: "9"}); len(log) != 0 {
		t.Errorf("log of the first scan with other ports = %q, want none", log)
	}
	st.wantOpened(t, "2,9")
	if _, ok := st.history().LastChange(addr1(), 3); ok {
		t.Error("LastChange(3) of a removed port has a time, want none")
	}
	if _, ok := st.history().LastChange(addr1(), 2); !ok {
		t.Error("LastChange(2) of a port that remains has no time")
	}
	if got := st.history().LastResponse(addr1()); got.Before(response) {
		t.Errorf("LastResponse() = %v, want at least %v", got, response)
	}
	st.Reconfigure(nil)
	st.checkSize(t)
	st.scan(t, hostStates{open: "2"}) // of a target that is gone
	if got := st.Changes("t"); len(got) != 0 || st.opened() != "" || st.size != 0 {
		t.Errorf("after the target's removal Changes() = %v, Opened() = %v, size %d, want none", got, st.opened(), st.size)
	}
	st.Reconfigure([]scan.Task{st.task})
	st.scan(t, hostStates{silent: true})
	if got := st.history().LastResponse(addr1()); !got.IsZero() || st.opened() != "" {
		t.Errorf("after the target's return LastResponse() = %v, Opened() = %v, want none", got, st.opened())
	}
}

// TestReconfigureScope requires that a reload removes the history of addresses outside the
// target's networks.
func TestReconfigureScope(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-5")
	for _, open := range []string{"1", ""} {
		st.scanHosts(t, st.task, map[string]hostStates{host1: {open: open}, host2: {open: open}})
	}
	st.task = changed(st.task, func(task *scan.Task) {
		var err error
		if task.Scope, err = scan.NewScope([]netip.Prefix{netip.MustParsePrefix("192.0.2.2/32")}, nil); err != nil {
			t.Fatal(err)
		}
	})
	st.Reconfigure([]scan.Task{st.task})
	st.checkSize(t)
	if st.opened() != "" || st.history().Opened(netip.MustParseAddr(host2)).String() != "1" {
		t.Errorf("Opened() = %q, %q, want none, 1", st.opened(), st.history().Opened(netip.MustParseAddr(host2)))
	}
	if got := st.Changes("t"); len(got) != 1 || got[0].IP.String() != host2 {
		t.Errorf("Changes() = %v, want that of %s", got, host2)
	}
}

// TestReconfigureProtocol requires that a reload that changes the protocol of a module removes the
// history of its ports, also if a scan with the earlier protocol ends afterwards.
func TestReconfigureProtocol(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-5")
	tcp := st.task
	st.Reconfigure([]scan.Task{tcp})
	st.scan(t, hostStates{})
	st.scan(t, hostStates{open: "2"})
	st.task = changed(tcp, func(task *scan.Task) {
		task.Plan = newPlan(t, "1-5", func(s *scan.Spec) { s.Protocol = scan.UDP })
	})
	st.Reconfigure([]scan.Task{st.task})
	for _, after := range []string{"the reload", "an outdated scan"} {
		st.checkSize(t)
		if _, ok := st.history().LastChange(addr1(), 2); ok || st.opened() != "" || len(st.Changes("t")) != 0 {
			t.Errorf("after %s Opened() = %q, LastChange(2) %v, Changes() = %v, want none", after, st.opened(), ok, st.Changes("t"))
		}
		if log := st.scanHosts(t, tcp, map[string]hostStates{host1: {open: "3"}}); len(log) != 0 {
			t.Errorf("log of an outdated scan = %q, want none", log)
		}
	}
}

// TestRecordOutdatedTask requires that a scan with an earlier configuration adds to the history of
// the ports that remain, and that its states are not shown.
func TestRecordOutdatedTask(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-5")
	old := st.task
	st.Reconfigure([]scan.Task{old})
	st.scan(t, hostStates{})
	st.task = changed(old, func(task *scan.Task) { task.Plan = newPlan(t, "1-3") })
	st.Reconfigure([]scan.Task{st.task})
	log := st.scanHosts(t, old, map[string]hostStates{host1: {open: "2,5"}})
	wantLog(t, "an outdated scan", log, changeLine(2, "closed", "open", "closed"))
	st.wantOpened(t, "2")
	if got := st.Changes("t"); len(got) != 1 || got[0].Port != 2 {
		t.Errorf("Changes() = %v, want that of port 2", got)
	}
	if v, sums := st.View(st.task, st.now), st.Summaries(); v != nil || len(sums) != 0 {
		t.Errorf("View() = %v, Summaries() = %v, want none", v, sums)
	}
	st.scan(t, hostStates{open: "1"})
	st.scanHosts(t, old.ForAddress(addr1(), host1), map[string]hostStates{host1: {open: "2"}})
	if got := st.View(st.task, st.now).Result.Addresses[0].ByState()[scan.Open]; got.String() != "1" {
		t.Errorf("View() after an outdated scan = open %v, want 1", got)
	}
}

// TestRecordOutdatedAfterEviction requires that a scan with an earlier configuration does not
// replace an evicted result.
func TestRecordOutdatedAfterEviction(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-5")
	old := st.task
	st.task = changed(old, func(task *scan.Task) { task.Plan = newPlan(t, "1-3") })
	st.Reconfigure([]scan.Task{st.task})
	st.scan(t, hostStates{open: "1"})
	st.evictAll(t)
	st.scanHosts(t, old, map[string]hostStates{host1: {open: "2"}})
	if v := st.View(st.task, st.now); v != nil {
		t.Errorf("View() = %v, want none", v)
	}
	if sum := st.Summaries()[0]; sum.Evicted != 1 || sum.Success() {
		t.Errorf("Summaries() = %d evicted, success %v, want 1, false", sum.Evicted, sum.Success())
	}
}

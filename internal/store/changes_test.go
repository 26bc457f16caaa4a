// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portscan_exporter/internal/scan"
)

// TestChangesSequence follows ports through scans: their history and the log.
func TestChangesSequence(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-5")
	for i, step := range []struct {
		states hostStates
		log    []string
		opened string
	}{
		{hostStates{open: "1"}, nil, "1"}, // the first scan
		{hostStates{open: "1"}, nil, "1"},
		{hostStates{open: "1,3"}, []string{changeLine(3, "closed", "open", "closed")}, "1,3"},
		{hostStates{open: "3"}, []string{changeLine(1, "open", "closed", "open")}, "1,3"},
		{hostStates{unknown: "3"}, nil, "1,3"},
		{hostStates{open: "3"}, nil, "1,3"}, // as in the last complete scan
		{hostStates{unknown: "3"}, nil, "1,3"},
		{hostStates{}, []string{changeLine(3, "open", "closed", "closed")}, "1,3"},
		{hostStates{filtered: "2,4"}, []string{changeLine(2, "closed", "filtered", "closed"), changeLine(4, "closed", "filtered", "closed")}, "1,3"},
	} {
		log := st.scan(t, step.states)
		if diff := cmp.Diff(step.log, log); diff != "" {
			t.Errorf("step %d: log (-want +got):\n%s", i, diff)
		}
		st.wantOpened(t, step.opened)
		for port := range st.task.Plan.Ports().All() {
			logged := strings.Contains(strings.Join(log, "\n"), fmt.Sprintf("port=%d ", port))
			if at, ok := st.history().LastChange(addr1(), port); logged != (ok && at.Equal(st.now)) {
				t.Errorf("step %d: LastChange(%d) = %v, %v; the scan ended at %v", i, port, at, ok, st.now)
			}
		}
	}
	if got := st.Opened(st.task, []scan.Address{{IP: addr1()}}); got.String() != "1,3" {
		t.Errorf("Opened() = %v, want 1,3", got)
	}
	var got []string
	for _, c := range st.Changes("t") {
		got = append(got, fmt.Sprintf("%d %v-%v %v", c.Port, c.From, c.To, c.Violating()))
	}
	want := []string{"2 closed-filtered false", "4 closed-filtered false", "3 open-closed false", "1 open-closed true", "3 closed-open true"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Changes() (-want +got):\n%s", diff)
	}
	if other := st.Changes("other"); len(other) != 0 {
		t.Errorf("Changes(other) = %v, want none", other)
	}
}

// TestChangesIncompleteScan requires that an incomplete scan shows open ports, and is no evidence
// of changes.
func TestChangesIncompleteScan(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-5")
	st.scan(t, hostStates{})
	for _, states := range []hostStates{{open: "2", unknown: "3"}, {}} {
		if log := st.scan(t, states); len(log) != 0 {
			t.Errorf("log after %+v = %q, want none", states, log)
		}
		st.wantOpened(t, "2")
	}
}

// TestChangesOutdatedScan requires that a scan that began before the last complete one shows open
// ports, and is no evidence of changes.
func TestChangesOutdatedScan(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-5")
	st.scan(t, hostStates{open: "1"})
	before := st.now.Add(-500 * time.Millisecond) // it overlaps with the first one
	log := st.record(t, st.forAddress(host1), resultSpec{
		started: before.Add(-time.Minute), finished: before, hosts: map[string]hostStates{host1: {open: "2"}},
	})
	if len(log) != 0 {
		t.Errorf("log of an older scan = %q, want none", log)
	}
	st.wantOpened(t, "1-2")
	if log := st.scan(t, hostStates{open: "1"}); len(log) != 0 {
		t.Errorf("log of a scan with the states of the newest = %q, want none", log)
	}
	if v := st.TargetViews("t")[0].Addresses[0]; v.States[scan.Open].String() != "1" {
		t.Errorf("States[Open] = %v, want 1", v.States[scan.Open])
	}
}

// TestChangesFlapping has a port change in each of 100 scans.
func TestChangesFlapping(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-5")
	lines, flapping := 0, 0
	for i := range 101 {
		log := st.scan(t, []hostStates{{}, {open: "4"}}[i%2])
		lines += len(log)
		flapping += strings.Count(strings.Join(log, ""), "flapping=")
	}
	st.scan(t, hostStates{open: "4"})
	if at, ok := st.history().LastChange(addr1(), 4); !ok || !at.Equal(st.now) {
		t.Errorf("LastChange(4) = %v, %v, want the last scan, %v", at, ok, st.now)
	}
	if lines != 10 || flapping != 1 || len(st.Changes("t")) != 10 {
		t.Errorf("got %d lines, %d of them flapping, %d changes; want 10, 1, 10", lines, flapping, len(st.Changes("t")))
	}
	st.now = st.now.Add(time.Hour)
	if log := st.scan(t, hostStates{}); len(log) != 1 || strings.Contains(log[0], "flapping") {
		t.Errorf("log after an hour = %q, want one change", log)
	}
}

// TestChangesMany has all ports of a host filtered at once, and a middlebox that answers for every
// port.
func TestChangesMany(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-3000")
	st.scan(t, hostStates{open: "1"})
	if log := st.scan(t, hostStates{open: "1-3000"}); len(log) != 0 {
		t.Errorf("log of a suspect address has %d lines, want none", len(log))
	}
	st.wantOpened(t, "1")
	log := st.scan(t, hostStates{rejected: "1-3000"})
	if len(log) != 1001 || log[0] != changeLine(1, "open", "filtered", "open") ||
		log[1000] != `"Omitted further port state changes" target=t module=m ports=2000` {
		t.Errorf("log has %d lines, from %q to %q", len(log), log[0], log[len(log)-1])
	}
	if changes := st.Changes("t"); len(changes) != 100 || changes[0].Port != 1 {
		t.Errorf("Changes() has %d changes, first %+v, want 100, port 1", len(changes), changes[0])
	}
	if at, ok := st.history().LastChange(addr1(), 3000); !ok || !at.Equal(st.now) {
		t.Errorf("LastChange(3000) = %v, %v, want %v", at, ok, st.now)
	}
}

// TestChangesOpenedLimit requires that of too many ports that were open once those remain that
// are open now, and then those that changed last.
func TestChangesOpenedLimit(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-3000")
	for _, open := range []string{"1", "10-409", "410-809", "810-1209"} {
		st.scan(t, hostStates{open: open})
	}
	opened := st.history().Opened(addr1())
	if opened.Len() != maxOpened || !mustPorts(t, "810-1209").Minus(opened).IsEmpty() || opened.Contains(1) {
		t.Errorf("Opened() = %v, want %d ports with 810-1209 and without 1", opened, maxOpened)
	}
}

// TestChangesLimitPerHour has many ports change in each scan, each of them rarely.
func TestChangesLimitPerHour(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-3000")
	scans := func(n int) (lines int) {
		for i := range n {
			first := 1 + 1000*(i%3)
			log := st.scan(t, hostStates{filtered: fmt.Sprintf("%d-%d", first, first+999)})
			lines += strings.Count(strings.Join(log, "\n"), "Port state changed")
		}
		return lines
	}
	if lines := scans(20); lines != maxLoggedSpan {
		t.Errorf("%d changes logged in an hour, want %d", lines, maxLoggedSpan)
	}
	if n := len(st.entries[entryID{"t", "m"}].changes.changes); n != maxChanges {
		t.Errorf("%d changes stored, want %d", n, maxChanges)
	}
	other := changed(st.task, func(task *scan.Task) { task.Module = "other" })
	st.scanHosts(t, other, map[string]hostStates{host1: {}})
	if log := st.scanHosts(t, other, map[string]hostStates{host1: {open: "2"}}); len(log) != 1 {
		t.Errorf("log of another module = %q, want one change", log)
	}
	st.now = st.now.Add(time.Hour)
	if lines := scans(1); lines != maxLogged {
		t.Errorf("%d changes logged in the next hour, want %d", lines, maxLogged)
	}
}

// TestChangesOrder requires that violations are logged first, and then ports that are open or
// were, of all addresses.
func TestChangesOrder(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-9")
	st.scanHosts(t, st.task, map[string]hostStates{host1: {open: "1,5"}, host2: {open: "1"}})
	st.scanHosts(t, st.task, map[string]hostStates{host1: {open: "1", filtered: "2"}, host2: {open: "3,9", filtered: "2,4"}})
	var got []string
	for _, c := range st.Changes("t") {
		got = append(got, fmt.Sprintf("%v %d", c.IP, c.Port))
	}
	want := []string{"192.0.2.2 1", "192.0.2.2 3", "192.0.2.2 9", "192.0.2.1 5", "192.0.2.1 2", "192.0.2.2 2", "192.0.2.2 4"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Changes() (-want +got):\n%s", diff)
	}
}

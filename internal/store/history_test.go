// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"net/netip"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// TestHistoryLastResponse requires that a scan without responses keeps the time of the last one,
// on the status page too.
func TestHistoryLastResponse(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-5")
	page := func() *AddressView { return st.TargetViews("t")[0].Addresses[0] }
	st.scan(t, hostStates{silent: true})
	if got := st.history().LastResponse(addr1()); !got.IsZero() || page().Responding || !page().LastResponse.IsZero() {
		t.Errorf("LastResponse() before the first = %v, page %v, %v, want none", got, page().Responding, page().LastResponse)
	}
	st.scan(t, hostStates{})
	first, last := st.history(), st.now
	if got := first.LastResponse(addr1()); !got.Equal(last) || !page().Responding {
		t.Errorf("LastResponse() = %v, page %v, want that of the scan, %v, true", got, page().Responding, last)
	}
	st.scan(t, hostStates{silent: true})
	if got := st.history().LastResponse(addr1()); !got.Equal(last) || page().Responding || !page().LastResponse.Equal(last) {
		t.Errorf("LastResponse() after a dark scan = %v, page %v, %v, want %v, false", got, page().Responding, page().LastResponse, last)
	}
	st.scan(t, hostStates{open: "1"})
	if got := st.history().LastResponse(addr1()); !got.Equal(st.now) {
		t.Errorf("LastResponse() after another response = %v, want %v", got, st.now)
	}
	if got := first.LastResponse(addr1()); !got.Equal(last) {
		t.Errorf("LastResponse() of an earlier history = %v after a later scan, want %v", got, last)
	}
}

// TestHistorySuspectAddress requires that a suspect address teaches nothing, and is shown.
func TestHistorySuspectAddress(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-1000")
	st.scan(t, hostStates{open: "2"})
	last := st.now
	if log := st.scan(t, hostStates{open: "1-1000"}); len(log) != 0 || !st.last.Addresses[0].Suspect() {
		t.Errorf("log = %q, Suspect() = %v, want none, true", log, st.last.Addresses[0].Suspect())
	}
	st.wantOpened(t, "2")
	if got := st.history().LastResponse(addr1()); !got.Equal(last) {
		t.Errorf("LastResponse() after a suspect scan = %v, want %v", got, last)
	}
	if known := st.Known(st.task, []scan.Address{{IP: addr1()}}, time.Time{}); known[addr1()].Open.String() != "2" {
		t.Errorf("Known().Open = %v, want 2", known[addr1()].Open)
	}
	v := st.TargetViews("t")[0]
	if a := v.Addresses[0]; a.Count(scan.Open) != 1000 || a.Suspicion != scan.ByOpenPorts || v.Suspect != 1 || !a.LastResponse.Equal(st.now) {
		t.Errorf("view = %d open ports, suspicion %v, %d suspect, last response %v; want 1000, %v, 1, %v",
			a.Count(scan.Open), a.Suspicion, v.Suspect, a.LastResponse, scan.ByOpenPorts, st.now)
	}
	if log := st.scan(t, hostStates{open: "2"}); len(log) != 0 {
		t.Errorf("log of the scan after that = %q, want none", log)
	}
}

// TestHistoryUnknownAddress requires that histories without the address are empty.
func TestHistoryUnknownAddress(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-5")
	result := newResult(t, st.task, resultSpec{finished: st.now, hosts: map[string]hostStates{host1: {}}})
	for name, h := range map[string]History{"zero": {}, "of an empty store": st.History(st.task, result)} {
		if _, ok := h.LastChange(addr1(), 1); ok || !h.Opened(addr1()).IsEmpty() || !h.LastResponse(addr1()).IsZero() {
			t.Errorf("%s: history = %v, %v, want empty", name, h.Opened(addr1()), h.LastResponse(addr1()))
		}
	}
}

// TestOpenedLimit requires that ports that were open once are those of the first addresses, if
// there are too many to watch.
func TestOpenedLimit(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-3000")
	st.scanHosts(t, st.task, map[string]hostStates{host1: {open: "1-500"}, host2: {open: "501-1000"}, "192.0.2.3": {open: "2001-2500"}})
	found := []scan.Address{{IP: netip.MustParseAddr("192.0.2.9")}, {IP: netip.MustParseAddr("::ffff:192.0.2.1")}, {IP: netip.MustParseAddr(host2)}}
	if got := st.Opened(st.task, found); got.String() != "1-1000" {
		t.Errorf("Opened() = %v, want 1-1000", got)
	}
	if got := st.Opened(st.task, append(found, scan.Address{IP: netip.MustParseAddr("192.0.2.3")})); got.String() != "1-1000" {
		t.Errorf("Opened() of three addresses = %v, want 1-1000", got)
	}
}

// TestKnownStates requires the states of the last complete scan that the address responded to,
// until that is too old.
func TestKnownStates(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-6")
	want := func(what string, oldest time.Time, open, closed, filtered string) {
		t.Helper()
		k := st.Known(st.task, []scan.Address{{IP: addr1()}}, oldest)[addr1()]
		if k.Open.String() != open || k.Closed.String() != closed || k.Filtered.String() != filtered {
			t.Errorf("%s: Known() = open %v, closed %v, filtered %v, want %q, %q, %q", what, k.Open, k.Closed, k.Filtered, open, closed, filtered)
		}
	}
	want("before a scan", time.Time{}, "", "", "")
	st.scan(t, hostStates{silent: true})
	want("without a response", time.Time{}, "", "", "")
	st.scan(t, hostStates{open: "1", filtered: "2-3", openFiltered: "4"})
	started := st.last.Started
	for name, h := range map[string]hostStates{
		"all unknown": {unknown: "1-6"}, "incomplete": {unknown: "1"}, "dark": {silent: true}, "incomplete with an open port": {unknown: "1", open: "5"},
	} {
		st.scan(t, h)
		want(name, started, "1", "5-6", "2-3")
		want(name+", too old", started.Add(1), "", "", "")
	}
	st.scan(t, hostStates{rejected: "1-6"})
	want("rejected by the address itself", st.last.Started, "", "", "1-6")
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// newCachedTest returns a store for a task with a max_age of an hour and a timeout of a minute.
func newCachedTest(tb testing.TB, ports string) *storeTest {
	tb.Helper()
	st := newStoreTest(tb, ports)
	st.task = changed(st.task, func(task *scan.Task) { task.MaxAge = time.Hour })
	return st
}

// viewText returns the states of each address and the unverified ports, for example
// "192.0.2.1: open 1, closed 2-3".
func viewText(v *View) string {
	if v == nil {
		return "none"
	}
	lines := make([]string, 0, len(v.Result.Addresses))
	for i := range v.Result.Addresses {
		a := &v.Result.Addresses[i]
		lines = append(lines, fmt.Sprintf("%v: %s", a.IP, statesText(a.ByState())))
	}
	for cause, n := range v.Unverified {
		lines = append(lines, fmt.Sprintf("%d unverified: %v", n, cause))
	}
	return strings.Join(lines, "; ")
}

// wantView requires the view of a task at the present.
func (st *storeTest) wantView(tb testing.TB, what string, task scan.Task, want string) *View {
	tb.Helper()
	v := st.View(task, st.now)
	if got := viewText(v); got != want {
		tb.Errorf("%s: View() = %q, want %q", what, got, want)
	}
	return v
}

// TestViewNewestResults requires that the view has the newest result of each address, and the times
// of the oldest one.
func TestViewNewestResults(t *testing.T) {
	t.Parallel()
	st := newCachedTest(t, "1-3")
	one := st.forAddress(host1)
	st.wantView(t, "before a scan", st.task, "none")
	st.scanHosts(t, one, map[string]hostStates{host1: {open: "3"}})
	st.wantView(t, "after a scan of one address", st.task, "none")
	st.wantView(t, "the address after its scan", one, "192.0.2.1: open 3, closed 1-2")
	st.scanHosts(t, st.task, map[string]hostStates{host1: {open: "1"}, host2: {open: "2"}})
	full := st.last
	st.wantView(t, "the address after a full scan", one, "192.0.2.1: open 1, closed 2-3")
	st.scanHosts(t, one, map[string]hostStates{host1: {open: "1-2"}})
	v := st.wantView(t, "after another scan of the address", st.task, "192.0.2.1: open 1-2, closed 3; 192.0.2.2: open 2, closed 1,3")
	if !v.Result.Started.Equal(full.Started) || !v.Result.Finished.Equal(full.Finished) || !v.Complete() || v.ScanID != fmt.Sprintf("scan at %v", full.Finished) {
		t.Errorf("View() = from %v to %v, complete %v, scan %q, want those of the full scan, %v to %v",
			v.Result.Started, v.Result.Finished, v.Complete(), v.ScanID, full.Started, full.Finished)
	}
	if at, ok := v.History.LastChange(addr1(), 2); !ok || !at.Equal(st.now) || v.History.Opened(addr1()).String() != "1-3" {
		t.Errorf("History = last change %v, %v, opened %v, want %v, 1-3", at, ok, v.History.Opened(addr1()), st.now)
	}
	if v := st.View(one, st.now); !v.Result.Finished.Equal(st.last.Finished) || v.Result.Attempts != 3 {
		t.Errorf("View(address) = end %v, %d attempts, want %v, 3", v.Result.Finished, v.Result.Attempts, st.last.Finished)
	}
	other := changed(st.task, func(task *scan.Task) { task.Plan = newPlan(t, "1-4") })
	st.wantView(t, "of another configuration", other, "none")
	st.wantView(t, "an address in another configuration", other.ForAddress(addr1(), host1), "none")
}

// TestViewEarlierStates requires that ports that incomplete scans do not know have earlier states,
// until the oldest of these are older than max_age and twice the timeout.
func TestViewEarlierStates(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		scans []hostStates // a minute apart
		want  string
		late  string // when the earlier states are too old
		first int    // scan with the oldest earlier states
	}{
		"complete": {scans: []hostStates{{open: "1"}, {open: "2"}}, want: "open 2, closed 1,3-5", late: "open 2, closed 1,3-5"},
		"incomplete": {
			scans: []hostStates{{open: "1,4"}, {open: "2", unknown: "4-5"}},
			want:  "open 2,4, closed 1,3,5; 2 unverified: no_route", late: "unknown 4-5, open 2, closed 1,3; 2 unverified: no_route",
		},
		"two incomplete": {
			scans: []hostStates{{open: "1"}, {open: "2", unknown: "4-5"}, {filtered: "3", unknown: "2,4"}},
			want:  "open 2, closed 1,4-5, filtered 3; 2 unverified: no_route", late: "unknown 2,4, closed 1,5, filtered 3; 2 unverified: no_route",
		},
		"only incomplete": {
			scans: []hostStates{{open: "1", unknown: "5"}, {unknown: "1,2"}},
			want:  "open 1, closed 2-5; 2 unverified: no_route", late: "unknown 1-2, closed 3-5; 2 unverified: no_route",
		},
		"complete again": {
			scans: []hostStates{{open: "1"}, {unknown: "1-5"}, {open: "2"}, {unknown: "2"}},
			want:  "open 2, closed 1,3-5; 1 unverified: no_route", late: "unknown 2, closed 1,3-5; 1 unverified: no_route", first: 2,
		},
	} {
		st := newCachedTest(t, "1-5")
		var ends []time.Time
		for _, h := range tc.scans {
			st.scan(t, h)
			ends = append(ends, st.now)
			st.now = st.now.Add(time.Minute)
		}
		want, late := host1+": "+tc.want, host1+": "+tc.late
		v := st.wantView(t, name, st.task, want)
		if !v.Result.Finished.Equal(ends[len(ends)-1]) || v.Complete() != (tc.want == tc.late) {
			t.Errorf("%s: View() = end %v, complete %v, want %v, %v", name, v.Result.Finished, v.Complete(), ends[len(ends)-1], tc.want == tc.late)
		}
		st.now = ends[tc.first].Add(time.Hour + 2*time.Minute)
		for range 2 { // the same view, then another one
			st.wantView(t, name+" at "+st.now.String(), st.task, want)
			st.wantView(t, name+", address at "+st.now.String(), st.forAddress(host1), want)
			want, st.now = late, st.now.Add(time.Nanosecond)
		}
	}
}

// TestViewEarlierStatesTooOld requires that a scan does not take over states that are too old at
// its end.
func TestViewEarlierStatesTooOld(t *testing.T) {
	t.Parallel()
	st := newCachedTest(t, "1-5")
	st.scan(t, hostStates{open: "1"})
	st.now = st.now.Add(30 * time.Minute)
	st.scan(t, hostStates{open: "2", unknown: "1,5"})
	st.now = st.now.Add(33 * time.Minute)
	st.scan(t, hostStates{unknown: "1-2"})
	st.wantView(t, "after the last scan", st.task, "192.0.2.1: unknown 1, open 2, closed 3-5; 2 unverified: no_route")
}

// TestViewWithoutMaxAge requires that an incomplete scan without a max_age has no earlier states.
func TestViewWithoutMaxAge(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-5")
	st.scan(t, hostStates{open: "1"})
	st.scan(t, hostStates{unknown: "1"})
	st.wantView(t, "an incomplete scan", st.task, "192.0.2.1: unknown 1, closed 2-5; 1 unverified: no_route")
	if st.entries[entryID{"t", "m"}].records[addr1()].previous != nil {
		t.Error("the record has an earlier result, which is never shown")
	}
}

// TestViewShared requires that the view is the same one until a result changes.
func TestViewShared(t *testing.T) {
	t.Parallel()
	st := newCachedTest(t, "1-5")
	other := st.target("other")
	st.Reconfigure([]scan.Task{st.task, other})
	st.scan(t, hostStates{open: "1"})
	st.scan(t, hostStates{unknown: "1"})
	first := st.View(st.task, st.now)
	st.scanHosts(t, other, map[string]hostStates{host1: {}})
	st.Reconfigure([]scan.Task{st.task})
	st.now = st.now.Add(time.Hour)
	if v := st.View(st.task, st.now); v != first {
		t.Error("View() after a scan of another target is another view, want the same")
	}
	if text := viewText(first); !strings.Contains(text, "open 1,") {
		t.Errorf("View() = %s, want port 1 open", text)
	}
	st.now = st.now.Add(2 * time.Minute)
	second := st.View(st.task, st.now)
	if second == first || second != st.View(st.task, st.now) {
		t.Error("View() with too old states = the earlier view, or not the same view twice")
	}
	st.scan(t, hostStates{unknown: "1"})
	if v := st.View(st.task, st.now); v == second {
		t.Error("View() after a scan = the earlier view, want another one")
	}
}

// TestViewIsFresh tests which views answer a probe without a new scan.
func TestViewIsFresh(t *testing.T) {
	t.Parallel()
	dns := map[scan.Failure]error{scan.FailedDNS: errors.New("no answer")}
	for name, tc := range map[string]struct {
		spec resultSpec
		age  time.Duration
		want bool
	}{
		"complete":                       {resultSpec{hosts: map[string]hostStates{host1: {}}}, 0, true},
		"complete at max_age":            {resultSpec{hosts: map[string]hostStates{host1: {}}}, time.Hour, true},
		"complete beyond max_age":        {resultSpec{hosts: map[string]hostStates{host1: {}}}, time.Hour + 1, false},
		"complete in the future":         {resultSpec{hosts: map[string]hostStates{host1: {}}}, -1, false},
		"incomplete":                     {resultSpec{hosts: map[string]hostStates{host1: {unknown: "1"}}}, 0, true},
		"incomplete at timeout":          {resultSpec{hosts: map[string]hostStates{host1: {unknown: "1"}}}, time.Minute, true},
		"incomplete beyond timeout":      {resultSpec{hosts: map[string]hostStates{host1: {unknown: "1"}}}, time.Minute + 1, false},
		"incomplete in the future":       {resultSpec{hosts: map[string]hostStates{host1: {unknown: "1"}}}, -1, false},
		"incomplete without an attempt":  {resultSpec{hosts: map[string]hostStates{host1: {unknown: "1-5"}}, noAttempts: true}, 0, false},
		"failed name resolution":         {resultSpec{hosts: map[string]hostStates{host1: {}}, failed: dns}, time.Minute + 1, false},
		"without an address":             {resultSpec{failed: dns}, 0, false},
		"an address outside the network": {resultSpec{hosts: map[string]hostStates{host1: {}, "198.51.100.1": {}}}, time.Minute + 1, false},
	} {
		st := newCachedTest(t, "1-5")
		tc.spec.started, tc.spec.finished = st.now, st.now.Add(time.Second)
		st.record(t, st.task, tc.spec)
		if got := st.View(st.task, st.now).IsFresh(st.task, st.now.Add(tc.age)); got != tc.want {
			t.Errorf("%s: IsFresh() at an age of %v = %v, want %v", name, tc.age, got, tc.want)
		}
	}
}

// TestViewIsFreshByAddress requires that the age of a complete view is that of its oldest address,
// and that of an incomplete one that of the last full scan.
func TestViewIsFreshByAddress(t *testing.T) {
	t.Parallel()
	st := newCachedTest(t, "1-5")
	st.scanHosts(t, st.task, map[string]hostStates{host1: {}, host2: {}})
	st.now = st.now.Add(time.Hour)
	st.scanHosts(t, st.forAddress(host1), map[string]hostStates{host1: {}})
	if st.View(st.task, st.now).IsFresh(st.task, st.now) || !st.View(st.forAddress(host1), st.now).IsFresh(st.forAddress(host1), st.now) {
		t.Error("IsFresh() of the target, of the address = true, or false, want false, true")
	}
	st.scanHosts(t, st.task, map[string]hostStates{host1: {unknown: "1"}, host2: {}})
	if !st.View(st.task, st.now).IsFresh(st.task, st.now) {
		t.Error("IsFresh() of an incomplete full scan = false, want true")
	}
}

// TestViewFailedResolution requires that a scan whose names were not resolved keeps earlier
// addresses with a max_age, and only then.
func TestViewFailedResolution(t *testing.T) {
	t.Parallel()
	both := host1 + ": open 1, closed 2-3; " + host2 + ": open 2, closed 1,3"
	failed := func(f scan.Failure) map[scan.Failure]error { return map[scan.Failure]error{f: errors.New("failed")} }
	for name, tc := range map[string]struct {
		maxAge time.Duration
		failed map[scan.Failure]error
		want   string
	}{
		"resolved":             {time.Hour, nil, "192.0.2.1: closed 1-3"},
		"not resolved":         {time.Hour, failed(scan.FailedDNS), strings.Replace(both, "open 1, closed 2-3", "closed 1-3", 1)},
		"canceled":             {time.Hour, failed(scan.FailedCanceled), strings.Replace(both, "open 1, closed 2-3", "closed 1-3", 1)},
		"resolved to others":   {time.Hour, failed(scan.FailedAddressRefused), "192.0.2.1: closed 1-3"},
		"without max_age":      {0, failed(scan.FailedDNS), "192.0.2.1: closed 1-3"},
		"resolved, no max_age": {0, nil, "192.0.2.1: closed 1-3"},
	} {
		st := newStoreTest(t, "1-3")
		st.task = changed(st.task, func(task *scan.Task) { task.MaxAge = tc.maxAge })
		st.scanHosts(t, st.task, map[string]hostStates{host1: {open: "1"}, host2: {open: "2"}})
		first := st.now
		for range 2 {
			st.record(t, st.task, resultSpec{started: st.now, finished: st.now.Add(time.Second), failed: tc.failed, hosts: map[string]hostStates{host1: {}}})
			v := st.wantView(t, name, st.task, tc.want)
			if keeps := strings.Contains(tc.want, host2); keeps != v.Result.Finished.Equal(first) || v.Complete() != (tc.failed == nil) || len(v.Result.Failed) != len(tc.failed) {
				t.Errorf("%s: View() = end %v, complete %v, failed %v", name, v.Result.Finished, v.Complete(), v.Result.Failed)
			}
		}
		st.scanHosts(t, st.task, map[string]hostStates{host1: {}, host2: {}})
		if v := st.View(st.task, st.now); len(v.Result.Addresses) != 2 || !v.Complete() {
			t.Errorf("%s: View() after another scan has %d addresses, complete %v, want 2, true", name, len(v.Result.Addresses), v.Complete())
		}
	}
}

// TestViewRemovedAddress requires that an address that the names no longer lead to is not shown,
// and that its history remains.
func TestViewRemovedAddress(t *testing.T) {
	t.Parallel()
	st := newCachedTest(t, "1-3")
	st.scanHosts(t, st.task, map[string]hostStates{host1: {open: "3"}, host2: {}})
	st.scanHosts(t, st.task, map[string]hostStates{host2: {}})
	st.wantView(t, "the target", st.task, "192.0.2.2: closed 1-3")
	st.wantView(t, "the address", st.forAddress(host1), "none")
	if v := st.TargetViews("t")[0]; v.Scanned != 1 || len(v.Addresses) != 1 {
		t.Errorf("TargetViews() = %d scanned, %d addresses, want 1", v.Scanned, len(v.Addresses))
	}
	wantLog(t, "the address's return", st.scan(t, hostStates{open: "2"}), changeLine(2, "closed", "open", "closed"), changeLine(3, "open", "closed", "closed"))
	st.wantOpened(t, "2-3")
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portscan_exporter/internal/scan"
)

// viewLines returns the target's views as text, a line for each address.
func (st *storeTest) viewLines(target string) (lines []string) {
	for _, v := range st.TargetViews(target) {
		line := fmt.Sprintf("%s/%s success=%v", v.Target, v.Module, v.Success())
		if v.Partial {
			line += " partial"
		}
		lines = append(lines, line)
		for _, a := range v.Addresses {
			line := fmt.Sprintf("%v: open %v, unexpected %v, missing %v, unknown %v, opened %v;", a.IP,
				a.States[scan.Open], a.Unexpected, a.Missing, a.States[scan.Unknown], a.Opened)
			lines = append(lines, strings.NewReplacer(" ,", " -,", " ;", " -", ";", "").Replace(line))
		}
	}
	return lines
}

func (st *storeTest) wantViewLines(tb testing.TB, what string, want ...string) {
	tb.Helper()
	for _, target := range []string{"t", ""} { // of this target, of all
		if diff := cmp.Diff(want, st.viewLines(target)); diff != "" {
			tb.Errorf("%s: TargetViews(%q) (-want +got):\n%s", what, target, diff)
		}
	}
	for i, sum := range st.Summaries() { // which may be an earlier one that the store keeps
		got, want := *sum, st.TargetViews("")[i].Summary
		got.until = time.Time{}
		samePlan := func(a, b scan.Plan) bool { return a.Ports().Equal(b.Ports()) }
		options := cmp.Options{cmp.AllowUnexported(Summary{}), cmp.Comparer(scan.PortSet.Equal), cmp.Comparer(samePlan)}
		if diff := cmp.Diff(want, got, options); diff != "" {
			tb.Errorf("%s: Summaries()[%d] (-view +summary):\n%s", what, i, diff)
		}
	}
}

// TestTargetViewsSequence scans a target, one address of it, and again with unknown ports.
func TestTargetViewsSequence(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-3")
	one := st.forAddress(host1)
	st.scanHosts(t, one, map[string]hostStates{host1: {open: "1"}})
	st.wantViewLines(t, "one address", "t/m success=false partial", "192.0.2.1: open 1, unexpected -, missing -, unknown -, opened 1")

	st.scanHosts(t, st.task, map[string]hostStates{host1: {open: "1,3"}, host2: {open: "2"}})
	full := st.last
	second := "192.0.2.2: open 2, unexpected 2, missing 1, unknown -, opened 2"
	st.wantViewLines(t, "the target", "t/m success=true", "192.0.2.1: open 1,3, unexpected 3, missing -, unknown -, opened 1,3", second)
	before := st.TargetViews("t")[0]
	if !before.Finished.Equal(full.Finished) || !before.Started.Equal(full.Started) || !before.FullScan {
		t.Errorf("TargetViews() = from %v to %v, want those of the full scan, %v to %v", before.Started, before.Finished, full.Started, full.Finished)
	}
	a := before.Addresses[0]
	if p, ok := a.Port(3); !ok || p.State != scan.Open || p.Cause != scan.CauseHandshake || p.RTT != time.Millisecond || !a.Responding || a.Hosts[0] != host1 {
		t.Errorf("Port(3) = %+v, %v, responding %v, hosts %v", p, ok, a.Responding, a.Hosts)
	}
	if at, ok := a.LastChange(3); !ok || !at.Equal(full.Finished) {
		t.Errorf("LastChange(3) = %v, %v, want %v", at, ok, full.Finished)
	}
	if _, ok := a.LastChange(1); ok {
		t.Error("LastChange(1) has a time, want none")
	}

	st.scanHosts(t, one, map[string]hostStates{host1: {open: "1"}})
	st.wantViewLines(t, "another scan of the address", "t/m success=true", "192.0.2.1: open 1, unexpected -, missing -, unknown -, opened 1,3", second)
	v := st.TargetViews("t")[0]
	if !v.Finished.Equal(full.Finished) || !v.Addresses[0].Finished.Equal(st.now) || !v.Addresses[1].Finished.Equal(full.Finished) {
		t.Errorf("Finished = %v, addresses %v, %v; want %v, %v, %v", v.Finished, v.Addresses[0].Finished, v.Addresses[1].Finished, full.Finished, st.now, full.Finished)
	}
	if a.States[scan.Open].String() != "1,3" {
		t.Errorf("States[Open] of an earlier view = %v after a scan, want 1,3", a.States[scan.Open])
	}

	st.scanHosts(t, st.task, map[string]hostStates{host1: {unknown: "2"}, host2: {open: "1"}})
	st.wantViewLines(t, "an incomplete scan", "t/m success=false", "192.0.2.1: open -, unexpected -, missing 1, unknown 2, opened 1,3",
		"192.0.2.2: open 1, unexpected -, missing -, unknown -, opened 1-2")
	if got := st.TargetViews("t")[0].Addresses[0].Unknown; got[scan.CauseNoRoute] != 1 || len(got) != 1 {
		t.Errorf("Unknown = %v, want 1 no_route", got)
	}
	st.scanHosts(t, one, map[string]hostStates{host1: {}})
	if !st.Summaries()[0].Success() {
		t.Error("Success() after a complete scan of the unknown port's address = false, want true")
	}
}

// TestTargetViewsReconfigured has the configuration change in ways that change the scan, or not.
func TestTargetViewsReconfigured(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*scan.Task)
		stays  bool
	}{
		"nothing":      {func(*scan.Task) {}, true},
		"owner":        {func(task *scan.Task) { task.Owner = "other" }, true},
		"fewer ports":  {func(task *scan.Task) { task.Plan = newPlan(t, "1-2") }, false},
		"more ports":   {func(task *scan.Task) { task.Plan = newPlan(t, "1-9") }, false},
		"hosts":        {func(task *scan.Task) { task.Hosts = addressHosts(host2) }, false},
		"another name": {func(task *scan.Task) { task.Target, task.Asked = "u", "u" }, false},
	} {
		st := newStoreTest(t, "1-3")
		old := st.task
		st.Reconfigure([]scan.Task{old})
		st.scanHosts(t, old, map[string]hostStates{host1: {open: "1"}, host2: {}})
		before := st.viewLines("")
		st.Reconfigure([]scan.Task{changed(old, tc.change)})
		st.checkSize(t)
		if after := st.viewLines(""); tc.stays != slices.Equal(before, after) || tc.stays != (len(after) > 0) || tc.stays != (len(st.Summaries()) > 0) {
			t.Errorf("%s: TargetViews() after a reload = %q, %d summaries, want them to stay: %v", name, after, len(st.Summaries()), tc.stays)
		}
		st.Reconfigure([]scan.Task{old})
		st.scanHosts(t, st.forAddress(host1), map[string]hostStates{host1: {open: "1"}})
		if after := st.viewLines(""); tc.stays == strings.Contains(after[0], "partial") {
			t.Errorf("%s: TargetViews() after the earlier configuration and a scan of one address = %q", name, after)
		}
	}
}

// TestTargetViewsByAddress has a target that is scanned only address by address.
func TestTargetViewsByAddress(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-3")
	st.Reconfigure([]scan.Task{st.task})
	st.scanHosts(t, st.forAddress(host1), map[string]hostStates{host1: {open: "1,3"}})
	first := st.last
	one := "192.0.2.1: open 1,3, unexpected 3, missing -, unknown -, opened 1,3"
	st.wantViewLines(t, "one of two addresses", "t/m success=false partial", one)
	st.Reconfigure([]scan.Task{st.task})
	st.wantViewLines(t, "after a reload", "t/m success=false partial", one)
	st.scanHosts(t, st.forAddress(host2), map[string]hostStates{host2: {open: "1"}})
	st.wantViewLines(t, "both", "t/m success=true", one, "192.0.2.2: open 1, unexpected -, missing -, unknown -, opened 1")
	sum := st.Summaries()[0]
	if sum.FullScan || !sum.Started.Equal(first.Started) || !sum.Finished.Equal(first.Finished) || sum.WithUnexpected != 1 || sum.Unexpected.String() != "3" || sum.Open != 3 {
		t.Errorf("Summaries() = %+v, want no full scan, 1 unexpected, 3 open, from %v to %v", sum, first.Started, first.Finished)
	}
	st.scanHosts(t, st.forAddress(host1), map[string]hostStates{host1: {open: "1"}})
	if sum := st.Summaries()[0]; sum.WithUnexpected != 0 || !sum.Unexpected.IsEmpty() || sum.Open != 2 || !sum.Success() {
		t.Errorf("Summaries() with the port closed = %+v, want none unexpected, 2 open", sum)
	}
	for entry, partial := range map[string]bool{"2001:db8::/64": false, "www.example.org": true} { // of the other family, and a name
		network, _ := netip.ParsePrefix(entry)
		st.task = changed(st.task, func(task *scan.Task) {
			task.Family, task.Hosts = scan.IPv4, append(slices.Clone(task.Hosts[:2]), scan.Host{Entry: entry, Network: network})
		})
		st.Reconfigure([]scan.Task{st.task})
		st.wantViewLines(t, "another configuration")
		for _, addr := range []string{host1, host2} {
			st.scanHosts(t, st.forAddress(addr), map[string]hostStates{addr: {}})
		}
		if sum := st.Summaries()[0]; sum.Scanned != 2 || sum.Partial != partial {
			t.Errorf("Summaries() of a target with %s = %d scanned, partial %v, want 2, %v", entry, sum.Scanned, sum.Partial, partial)
		}
	}
}

// TestTargetViewsConfiguredLater requires that results from before the first configuration remain
// if they are of its task.
func TestTargetViewsConfiguredLater(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-3")
	for _, addr := range []string{host1, host2} {
		st.scanHosts(t, st.forAddress(addr), map[string]hostStates{addr: {open: "1"}})
	}
	if sum := st.Summaries()[0]; !sum.Partial {
		t.Error("Partial without a configuration = false, want true")
	}
	st.Reconfigure([]scan.Task{st.task})
	st.wantViewLines(t, "after the configuration", "t/m success=true", "192.0.2.1: open 1, unexpected -, missing -, unknown -, opened 1",
		"192.0.2.2: open 1, unexpected -, missing -, unknown -, opened 1")
}

// TestTargetViewsOutdatedScan has the configuration change during scans.
func TestTargetViewsOutdatedScan(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-3")
	both := map[string]hostStates{host1: {open: "1"}, host2: {}}
	old := st.task
	st.Reconfigure([]scan.Task{old})
	st.scanHosts(t, old, both)
	st.task = changed(old, func(task *scan.Task) { task.Plan = newPlan(t, "1-4") })
	st.Reconfigure([]scan.Task{st.task})
	st.scanHosts(t, old, both)
	st.wantViewLines(t, "a scan with the earlier configuration")
	st.scanHosts(t, st.task, both)
	st.scanHosts(t, old.ForAddress(addr1(), host1), map[string]hostStates{host1: {open: "2"}})
	st.wantViewLines(t, "a scan of one address with the earlier configuration", "t/m success=true",
		"192.0.2.1: open 1, unexpected -, missing -, unknown -, opened 1-2", "192.0.2.2: open -, unexpected -, missing 1, unknown -, opened -")
}

// TestTargetViewsOrder requires the order of target and module.
func TestTargetViewsOrder(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-3")
	for _, name := range []string{"b/x", "a/y", "b/m", "a/x"} {
		target, module, _ := strings.Cut(name, "/")
		task := changed(st.task, func(task *scan.Task) { task.Target, task.Module = target, module })
		st.scanHosts(t, task, map[string]hostStates{host1: {}})
	}
	var got []string
	for _, s := range st.Summaries() {
		got = append(got, s.Target+"/"+s.Module)
	}
	for _, v := range st.TargetViews("b") {
		got = append(got, v.Target+"/"+v.Module)
	}
	if diff := cmp.Diff([]string{"a/x", "a/y", "b/m", "b/x", "b/m", "b/x"}, got); diff != "" {
		t.Errorf("Summaries() and TargetViews(b) (-want +got):\n%s", diff)
	}
}

// TestSummariesShared requires that a summary is the same one until a result changes.
func TestSummariesShared(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-3")
	st.scan(t, hostStates{open: "1"})
	first := st.Summaries()[0]
	st.scanHosts(t, st.target("u"), map[string]hostStates{host1: {}})
	if again := st.Summaries()[0]; again != first {
		t.Error("Summaries() after a scan of another target = another summary, want the same")
	}
	st.scan(t, hostStates{open: "1-2"})
	if again := st.Summaries()[0]; again == first || again.Open != 2 || first.Open != 1 {
		t.Errorf("Summaries() after a scan = %d open ports, the earlier one %d, want 2, 1", again.Open, first.Open)
	}
}

// TestSummaryEarlierStates requires that a summary that the store keeps has no states that are too
// old.
func TestSummaryEarlierStates(t *testing.T) {
	t.Parallel()
	st := newCachedTest(t, "1-3")
	st.scan(t, hostStates{open: "1"})
	until := st.now.Add(time.Hour + 2*time.Minute)
	st.scan(t, hostStates{unknown: "1"})
	e := st.entries[entryID{"t", "m"}]
	for _, tc := range []struct {
		now  time.Time
		open int
	}{{st.now, 1}, {until, 1}, {until.Add(1), 0}} {
		if sum := e.summarize(tc.now); sum.Open != tc.open || sum.Unknown != 1 {
			t.Errorf("summarize(%v) = %d open, %d unknown ports, want %d, 1", tc.now, sum.Open, sum.Unknown, tc.open)
		}
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"net/netip"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// soFar returns the result so far of a scan of the task that started now.
func (st *storeTest) soFar(tb testing.TB, task scan.Task, h hostStates) *scan.Result {
	tb.Helper()
	return newResult(tb, task, resultSpec{started: st.now, finished: st.now.Add(time.Second), hosts: map[string]hostStates{host1: h}})
}

// TestResumeOnce requires that a suspended scan is resumed once, by the scan of the same addresses,
// and that its states are not shown before.
func TestResumeOnce(t *testing.T) {
	t.Parallel()
	st := newCachedTest(t, "1-5")
	one := st.forAddress(host1)
	first, second := st.soFar(t, st.task, hostStates{unknown: "3-5"}), st.soFar(t, one, hostStates{unknown: "5"})
	st.Suspend(st.task, "first", st.soFar(t, st.task, hostStates{unknown: "1-5"}))
	st.Suspend(st.task, "first", first) // replaces it
	st.Suspend(one, "second", second)
	st.checkSize(t)
	if v := st.View(st.task, st.now); v != nil || st.size < first.Size()+second.Size() {
		t.Errorf("View() = %v, size %d, want none, at least %d", v, st.size, first.Size()+second.Size())
	}
	if got := st.Resume(one, st.now); got != second {
		t.Errorf("Resume(address) = %p, want %p", got, second)
	}
	if got := st.Resume(st.task, st.now); got != first {
		t.Errorf("Resume() = %p, want %p", got, first)
	}
	if got := st.Resume(st.task, st.now); got != nil || st.size != 0 {
		t.Errorf("Resume() again = %p, size %d, want nil, 0", got, st.size)
	}
}

// TestResumeExpired requires that a suspended scan without time left is recorded.
func TestResumeExpired(t *testing.T) {
	t.Parallel()
	st := newCachedTest(t, "1-5")
	st.Suspend(st.task, "first", st.soFar(t, st.task, hostStates{open: "1", unknown: "5"}))
	if got := st.Resume(st.task, st.now.Add(time.Minute)); got != nil {
		t.Errorf("Resume() at the timeout = %p, want nil", got)
	}
	st.checkSize(t)
	v := st.wantView(t, "the expired scan", st.task, "192.0.2.1: unknown 5, open 1, closed 2-4; 1 unverified: no_route")
	if v.ScanID != "first" {
		t.Errorf("ScanID = %q, want first", v.ScanID)
	}
}

// TestResumeReconfigured requires that a reload that changes the scan removes its suspended scans,
// and that scans with an earlier configuration are not suspended.
func TestResumeReconfigured(t *testing.T) {
	t.Parallel()
	st := newCachedTest(t, "1-5")
	old := st.task
	st.Reconfigure([]scan.Task{old})
	st.Suspend(old, "first", st.soFar(t, old, hostStates{unknown: "5"}))
	st.Reconfigure([]scan.Task{old})
	if st.size == 0 {
		t.Error("size after a reload without changes = 0, want the suspended scan")
	}
	st.task = changed(old, func(task *scan.Task) { task.Plan = newPlan(t, "1-4") })
	st.Reconfigure([]scan.Task{st.task})
	st.Suspend(old, "second", st.soFar(t, old, hostStates{unknown: "5"}))
	st.checkSize(t)
	for _, task := range []scan.Task{old, st.task} {
		if got := st.Resume(task, st.now); got != nil || st.size != 0 {
			t.Errorf("Resume() = %p, size %d, want nil, 0", got, st.size)
		}
	}
	st.Reconfigure(nil)
	st.Suspend(st.task, "third", st.soFar(t, st.task, hostStates{unknown: "4"}))
	if got := st.Resume(st.task, st.now); got != nil || st.size != 0 {
		t.Errorf("Resume() of a removed target = %p, size %d, want nil, 0", got, st.size)
	}
}

// TestSuspendedScansEvicted suspends scans without results of many addresses: they have a size and
// are evicted.
func TestSuspendedScansEvicted(t *testing.T) {
	t.Parallel()
	st := newCachedTest(t, "1-5")
	st.limit = 100_000
	for i := range 1000 {
		addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}).As16()
		addr[0], addr[1] = 0x20, byte(i>>8)
		one := st.task.ForAddress(netip.AddrFrom16(addr), "entry")
		st.Suspend(one, "id", &scan.Result{Plan: one.Plan, Started: st.now, Finished: st.now})
		st.checkSize(t)
	}
	if got := len(st.all("t")[0].unfinished); got == 0 || got > 100 {
		t.Errorf("got %d suspended scans in 100,000 bytes, want 1 to 100", got)
	}
}

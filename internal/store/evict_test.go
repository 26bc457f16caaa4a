// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portscan_exporter/internal/scan"
)

// target returns the task with another target.
func (st *storeTest) target(name string) scan.Task {
	return changed(st.task, func(task *scan.Task) { task.Target, task.Asked = name, name })
}

// stored returns the addresses of the entries that have results or history, by entry, the last
// used entry first.
func (st *storeTest) stored() (all []string) {
	for place := st.used.Front(); place != nil; place = place.Next() {
		e, _ := place.Value.(*entry)
		var ips []string
		for ip := range e.records {
			ips = append(ips, ip.String())
		}
		slices.Sort(ips)
		all = append(all, e.id.target+" "+strings.Join(ips, " "))
	}
	return all
}

func (st *storeTest) wantStored(tb testing.TB, what string, want ...string) {
	tb.Helper()
	st.checkSize(tb)
	if diff := cmp.Diff(want, st.stored()); diff != "" {
		tb.Errorf("%s: stored addresses (-want +got):\n%s", what, diff)
	}
}

// TestEvictOrder requires that entries are evicted in the order in which they were last used,
// whether by a scan or by a probe.
func TestEvictOrder(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-5")
	for _, name := range []string{"a", "b", "c"} {
		st.scanHosts(t, st.target(name), map[string]hostStates{host1: {}})
		st.scanHosts(t, st.target(name).ForAddress(addr1().Next(), host2), map[string]hostStates{host2: {}})
	}
	st.wantStored(t, "at first", "c 192.0.2.1 192.0.2.2", "b 192.0.2.1 192.0.2.2", "a 192.0.2.1 192.0.2.2")
	one := st.size / 6
	st.View(st.target("a"), st.now)
	st.limit = st.size - 1
	st.evict()
	st.wantStored(t, "after a probe of a, without room", "a 192.0.2.1 192.0.2.2", "c 192.0.2.1 192.0.2.2", "b 192.0.2.2")
	st.limit = st.size - one
	st.evict()
	st.wantStored(t, "with less room", "a 192.0.2.1 192.0.2.2", "c 192.0.2.2")
	log := st.scanHosts(t, st.target("d"), map[string]hostStates{host1: {}, host2: {}})
	st.wantStored(t, "after a scan of d", "d 192.0.2.1 192.0.2.2", "a 192.0.2.2")
	if want := `"Evicted results and port history of addresses" addresses=2`; !slices.Contains(log, want) {
		t.Errorf("log = %q, want %q", log, want)
	}
	if st.size > st.limit {
		t.Errorf("size after eviction = %d, want at most %d", st.size, st.limit)
	}
}

// TestEvictOneLargeEntry has a scan that is larger than the store.
func TestEvictOneLargeEntry(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-5")
	hosts := make(map[string]hostStates)
	for i := range 250 {
		hosts[fmt.Sprintf("192.0.2.%d", i+1)] = hostStates{}
	}
	st.scanHosts(t, st.task, map[string]hostStates{host1: {}})
	const kept = 50
	st.limit = st.size * kept
	st.scanHosts(t, st.task, hosts)
	if n := len(st.entries[entryID{"t", "m"}].records); st.size > st.limit || n < kept/2 || n > kept {
		t.Errorf("%d addresses with %d bytes are stored, want about %d with at most %d bytes", n, st.size, kept, st.limit)
	}
	sum := st.Summaries()[0]
	if st.View(st.task, st.now) != nil || sum.Success() || sum.Scanned+sum.Evicted != 250 {
		t.Errorf("Summaries() = %d scanned, %d evicted, success %v, want 250 in all, false", sum.Scanned, sum.Evicted, sum.Success())
	}
}

// TestEvictedAddresses requires that a target with evicted addresses has no view until each of
// them was scanned again.
func TestEvictedAddresses(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-5")
	st.scanHosts(t, st.task, map[string]hostStates{host1: {open: "1"}, host2: {open: "1"}})
	st.Suspend(st.task, "id", newResult(t, st.task, resultSpec{started: st.now, finished: st.now, hosts: map[string]hostStates{host1: {}}}))
	st.evictAll(t)
	if st.size != 0 || st.Resume(st.task, st.now) != nil {
		t.Errorf("size after eviction = %d, want 0 without a suspended scan", st.size)
	}
	for i, addr := range []string{host1, host2} {
		if v := st.View(st.task, st.now); v != nil || st.View(st.forAddress(addr), st.now) != nil {
			t.Errorf("View() with %d evicted addresses = %v, want none", 2-i, v)
		}
		if sum := st.Summaries()[0]; sum.Evicted != 2-i || sum.Scanned != i || sum.Success() {
			t.Errorf("Summaries() = %d evicted, %d scanned, success %v, want %d, %d, false", sum.Evicted, sum.Scanned, sum.Success(), 2-i, i)
		}
		st.scanHosts(t, st.forAddress(addr), map[string]hostStates{addr: {open: "1"}})
		if st.View(st.forAddress(addr), st.now) == nil {
			t.Errorf("View(%s) after another scan = nil", addr)
		}
	}
	if v := st.View(st.task, st.now); v == nil || len(v.Result.Addresses) != 2 || !st.Summaries()[0].Success() {
		t.Errorf("View() after scans of all addresses = %+v, want two addresses", v)
	}
	st.evictAll(t)
	st.scanHosts(t, st.task, map[string]hostStates{host1: {open: "1"}})
	if sum := st.Summaries()[0]; sum.Evicted != 0 || !sum.Success() {
		t.Errorf("Summaries() after a full scan = %d evicted, want 0", sum.Evicted)
	}
}

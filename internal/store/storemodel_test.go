// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portscan_exporter/internal/scan"
)

// storeModel does random operations with a store and the model of it.
type storeModel struct {
	*storeTest

	random   *rand.Rand
	variants map[string][]scan.Task // configurations of each target
	targets  map[string]*targetModel
	evicts   bool
}

func newStoreModel(tb testing.TB, seed uint64) *storeModel {
	tb.Helper()
	m := &storeModel{
		storeTest: newStoreTest(tb, "1-6"), random: rand.New(rand.NewPCG(seed, 5)),
		variants: make(map[string][]scan.Task), targets: make(map[string]*targetModel), evicts: seed%2 == 1,
	}
	for _, name := range []string{"a", "b", "c"} {
		for i, ports := range []string{"1-6", "1-4", "2-8"} {
			m.variants[name] = append(m.variants[name], changed(m.target(name), func(task *scan.Task) {
				task.Plan, task.MaxAge = newPlan(tb, ports), []time.Duration{0, time.Hour}[i%2]
			}))
		}
		m.targets[name] = &targetModel{}
	}
	m.reconfigure()
	if m.evicts {
		m.limit = 6000
	}
	return m
}

func (m *storeModel) reconfigure() {
	var tasks []scan.Task
	for _, name := range slices.Sorted(maps.Keys(m.targets)) {
		t := m.targets[name]
		task := t.task
		if m.random.IntN(3) == 0 || task.Target == "" {
			task = m.variants[name][m.random.IntN(3)]
		}
		if m.random.IntN(10) == 0 {
			task = scan.Task{}
		} else {
			tasks = append(tasks, task)
		}
		t.configure(task)
	}
	m.Reconfigure(tasks)
}

// randomTask returns a task of the target, which is seldom an outdated one.
func (m *storeModel) randomTask(name string) scan.Task {
	task := m.targets[name].task
	if task.Target == "" || m.random.IntN(8) == 0 {
		task = m.variants[name][m.random.IntN(3)]
	}
	if m.random.IntN(2) == 0 {
		addr := netip.MustParseAddr(fmt.Sprintf("192.0.2.%d", 1+m.random.IntN(3)))
		task = task.ForAddress(addr, addr.String())
	}
	return task
}

// randomResult returns the result of a scan of the task that ends now.
func (m *storeModel) randomResult(tb testing.TB, task scan.Task) *scan.Result {
	tb.Helper()
	started := m.now.Add(time.Duration(1+m.random.IntN(900)) * time.Second)
	spec := resultSpec{started: started, finished: started.Add(time.Second), hosts: make(map[string]hostStates)}
	m.now = spec.finished
	for i := 1; i <= 3; i++ {
		ip := fmt.Sprintf("192.0.2.%d", i)
		if task.Addr.IsValid() && task.Addr.String() == ip || !task.Addr.IsValid() && m.random.IntN(4) > 0 {
			spec.hosts[ip] = m.randomHost()
		}
	}
	if m.random.IntN(5) == 0 {
		spec.failed = map[scan.Failure]error{scan.FailedDNS: errors.New("no answer")}
	}
	return newResult(tb, task, spec)
}

func (m *storeModel) randomHost() (h hostStates) {
	if m.random.IntN(5) == 0 {
		return hostStates{silent: true}
	}
	for port := 1; port <= 8; port++ {
		text := fmt.Sprintf("%d,", port)
		switch m.random.IntN(24) {
		case 0:
			h.unknown += text
		case 1, 2, 3:
			h.filtered += text
		case 4, 5, 6, 7:
			h.open += text
		}
	}
	for _, set := range []*string{&h.unknown, &h.filtered, &h.open} {
		*set = (*set)[:max(0, len(*set)-1)]
	}
	return h
}

// step does a random operation.
func (m *storeModel) step(tb testing.TB) {
	tb.Helper()
	name := []string{"a", "b", "c"}[m.random.IntN(3)]
	t, task := m.targets[name], m.randomTask(name)
	same, addr := t.task.Target != "" && t.task.Key().Digest == task.Key().Digest, ""
	if task.Addr.IsValid() {
		addr = task.Addr.String()
	}
	switch m.random.IntN(12) {
	case 0:
		m.reconfigure()
	case 1:
		r := m.randomResult(tb, task)
		m.Suspend(task, "id", r)
		if same {
			t.unfinished[addr] = r
		}
	case 2:
		now, want := m.now.Add(time.Duration(m.random.IntN(90))*time.Second), t.unfinished[addr]
		if !same {
			want = nil
		} else {
			delete(t.unfinished, addr)
		}
		if want != nil && now.Sub(want.Started) >= task.Plan.Spec().Timeout {
			if want.Finished.Before(m.now) {
				now = want.Started // the model has no scan that ends before an earlier one
			} else {
				t.record(task, want)
				want = nil
			}
		}
		if got := m.Resume(task, now); got != want {
			tb.Errorf("Resume() = %p, want %p", got, want)
		}
	case 3:
		m.now = m.now.Add(time.Duration(m.random.IntN(3600)) * time.Second)
	default:
		r := m.randomResult(tb, task)
		m.Record(task, "id", r)
		t.record(task, r)
	}
	m.checkSize(tb)
	if m.size > m.limit || m.size < 0 {
		tb.Errorf("size = %d, want 0 to %d", m.size, m.limit)
	}
	if m.evicts {
		m.evictModel()
	}
}

// evictModel removes from the model the addresses that the store does not have.
func (m *storeModel) evictModel() {
	for name, t := range m.targets {
		e := m.entries[entryID{name, "m"}]
		if e == nil {
			continue
		}
		for ip := range t.addresses {
			if e.records[netip.MustParseAddr(ip)] == nil {
				delete(t.addresses, ip)
				if t.full[ip] {
					t.evicted[ip] = true
				}
			}
		}
		if len(e.records) == 0 && len(e.unfinished) == 0 {
			clear(t.unfinished)
		}
	}
}

// check compares the store with the model.
func (m *storeModel) check(tb testing.TB) {
	tb.Helper()
	for name, t := range m.targets {
		if t.task.Target == "" {
			if v := m.TargetViews(name); len(v) != 0 || m.View(m.variants[name][0], m.now) != nil {
				tb.Errorf("target %s is not configured and has views", name)
			}
			continue
		}
		m.checkFull(tb, t)
		for i := 1; i <= 3; i++ {
			m.checkAddress(tb, t, fmt.Sprintf("192.0.2.%d", i))
		}
	}
}

func (m *storeModel) checkFull(tb testing.TB, t *targetModel) {
	tb.Helper()
	var want, got []string
	for _, ip := range slices.Sorted(maps.Keys(t.full)) {
		text, _ := t.wantAddress(ip, m.now)
		want = append(want, text)
	}
	v := m.View(t.task, m.now)
	if exists := t.full != nil && len(t.evicted) == 0; exists != (v != nil) {
		tb.Fatalf("View(%s) = %v, want one: %v", t.task.Target, v, exists)
	}
	if v == nil {
		return
	}
	for i := range v.Result.Addresses {
		got = append(got, fmt.Sprintf("%v: %s", v.Result.Addresses[i].IP, statesText(v.Result.Addresses[i].ByState())))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		tb.Fatalf("View(%s) (-want +got):\n%s", t.task.Target, diff)
	}
}

func (m *storeModel) checkAddress(tb testing.TB, t *targetModel, ip string) {
	tb.Helper()
	addr := netip.MustParseAddr(ip)
	task := t.task.ForAddress(addr, ip)
	want, ok := t.wantAddress(ip, m.now)
	v := m.View(task, m.now)
	if ok != (v != nil) || ok && fmt.Sprintf("%s: %s", ip, statesText(v.Result.Addresses[0].ByState())) != want {
		tb.Fatalf("View(%s, %s) = %s, want %q", task.Target, ip, viewText(v), want)
	}
	a := t.addresses[ip]
	if a == nil {
		a = &addressModel{}
	}
	h := m.History(task, &scan.Result{Addresses: []scan.AddressResult{{Address: scan.Address{IP: addr}}}})
	if got, want := h.Opened(addr), scan.NewPortSet(slices.Collect(maps.Keys(a.opened))...); !got.Equal(want) || !h.LastResponse(addr).Equal(a.responded) {
		tb.Fatalf("History(%s, %s) = opened %v, last response %v, want %v, %v", task.Target, ip, got, h.LastResponse(addr), want, a.responded)
	}
	for port := uint16(1); port <= 8; port++ {
		if at, _ := h.LastChange(addr, port); !at.Equal(a.changed[port]) {
			tb.Fatalf("LastChange(%s, %s, %d) = %v, want %v", task.Target, ip, port, at, a.changed[port])
		}
	}
	if e := m.entries[entryID{task.Target, "m"}].records[addr]; e != nil && !e.dark.IsZero() != !a.dark.IsZero() {
		tb.Fatalf("%s, %s: dark since %v, want %v", task.Target, ip, e.dark, a.dark)
	}
}

// TestStoreModel does random operations and compares the store with a model that keeps all scans.
func TestStoreModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		m := newStoreModel(t, seed)
		evictions := 0
		for step := range 400 {
			m.step(t)
			m.check(t)
			for _, target := range m.targets {
				evictions += len(target.evicted)
			}
			if t.Failed() {
				t.Fatalf("seed %d, step %d", seed, step)
			}
		}
		if m.evicts != (evictions > 0) {
			t.Errorf("seed %d: %d evicted addresses seen, want some: %v", seed, evictions, m.evicts)
		}
	}
}

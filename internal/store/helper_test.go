// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// hostStates describes the result of an address: its ports by state. The others are closed, or
// filtered if the address is silent.
type hostStates struct {
	open, filtered, openFiltered, unknown string

	rejected string // filtered, by ICMP errors of the address itself
	silent   bool
}

// resultSpec describes the result of a scan.
type resultSpec struct {
	started, finished time.Time
	hosts             map[string]hostStates // by address
	failed            map[scan.Failure]error
	noAttempts        bool
	answered          time.Time // of the addresses that answer; zero: finished
}

func mustPorts(tb testing.TB, text string) scan.PortSet {
	tb.Helper()
	ports, err := scan.ParsePortSet(text)
	if err != nil {
		tb.Fatal(err)
	}
	return ports
}

// newResult returns the result of a scan of the task.
func newResult(tb testing.TB, task scan.Task, spec resultSpec) *scan.Result {
	tb.Helper()
	found := make([]scan.Address, 0, len(spec.hosts))
	for ip := range spec.hosts {
		found = append(found, scan.Address{IP: netip.MustParseAddr(ip), Hosts: []string{ip}})
	}
	req, refused, err := scan.NewRequest(task.Plan, task.Scope, found)
	if err != nil {
		tb.Fatal(err)
	}
	recorder, err := scan.NewRecorder(req)
	if err != nil {
		tb.Fatal(err)
	}
	answered := spec.answered
	if answered.IsZero() {
		answered = spec.finished
	}
	for ip, states := range spec.hosts {
		states.record(tb, recorder, netip.MustParseAddr(ip), task.Plan.Ports(), answered)
	}
	r := &scan.Result{Plan: task.Plan, Started: spec.started, Finished: spec.finished, Refused: refused, Failed: spec.failed}
	r.Addresses, r.Attempts, r.Retries = recorder.Snapshot(scan.CauseDeadline)
	if spec.noAttempts {
		r.Attempts = 0
	}
	return r
}

// record records the ports, all at the same time.
func (h hostStates) record(tb testing.TB, recorder *scan.Recorder, ip netip.Addr, ports scan.PortSet, at time.Time) {
	tb.Helper()
	rest := scan.PortResult{State: scan.Closed, Cause: scan.CauseRST}
	if h.silent {
		rest = scan.PortResult{State: scan.Filtered, Cause: scan.CauseSilence}
	}
	for _, part := range []struct {
		ports string
		scan.PortResult
	}{
		{h.open, scan.PortResult{State: scan.Open, Cause: scan.CauseHandshake, RTT: time.Millisecond}},
		{h.rejected, scan.PortResult{State: scan.Filtered, Cause: scan.CauseICMP}},
		{h.filtered, scan.PortResult{State: scan.Filtered, Cause: scan.CauseSilence}},
		{h.openFiltered, scan.PortResult{State: scan.OpenFiltered, Cause: scan.CauseSilence}},
		{h.unknown, scan.PortResult{State: scan.Unknown, Cause: scan.CauseNoRoute}},
		{ports.String(), rest},
	} {
		set := mustPorts(tb, part.ports).Intersect(ports)
		ports = ports.Minus(set)
		if set.IsEmpty() {
			continue
		}
		p := part.PortResult
		p.Address, p.Ports, p.Attempts = ip, &set, set.Len()
		if p.Cause.Answered() {
			p.LastResponse = at
		}
		recorder.Record(p)
		if p.State == scan.Open { // one by one, because several ports have no response time
			for p.Port = range set.All() {
				p.Ports, p.Attempts = nil, 0
				recorder.Record(p)
			}
		}
	}
}

// addressHosts returns numeric entries of hosts.
func addressHosts(addrs ...string) (hosts []scan.Host) {
	for _, a := range addrs {
		ip := netip.MustParseAddr(a)
		hosts = append(hosts, scan.Host{Entry: a, Network: netip.PrefixFrom(ip, ip.BitLen())})
	}
	return hosts
}

// networkHost returns an entry of hosts for a network.
func networkHost(network string) scan.Host {
	return scan.Host{Entry: network, Network: netip.MustParsePrefix(network)}
}

// newPlan returns a plan for TCP ports, of which port 1 must be open.
func newPlan(tb testing.TB, ports string, change ...func(*scan.Spec)) scan.Plan {
	tb.Helper()
	spec := scan.Spec{
		Protocol: scan.TCP, Method: scan.Connect, Ports: mustPorts(tb, ports), Timeout: time.Minute, PortTimeout: time.Second,
		MaxInFlight: 1, MaxOpenAttempts: 3, ControlPorts: 2, Expect: &scan.Expectation{Open: scan.NewPortSet(1)},
	}
	for _, c := range change {
		c(&spec)
	}
	plan, err := scan.NewPlan(spec)
	if err != nil {
		tb.Fatal(err)
	}
	return plan
}

// newTask returns the task of target t with module m and two addresses.
func newTask(tb testing.TB, ports string) scan.Task {
	tb.Helper()
	scope, err := scan.NewScope([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return scan.Task{
		Asked: "t", Target: "t", Module: "m", Plan: newPlan(tb, ports), Scope: scope, MaxAddresses: 1000,
		Hosts: addressHosts("192.0.2.1", "192.0.2.2"),
	}.WithDigest()
}

// changed returns the task with changed fields.
func changed(task scan.Task, change func(*scan.Task)) scan.Task {
	change(&task)
	return task.ResetDigest()
}

// storeTest is a store with a clock and a log.
type storeTest struct {
	*Store

	task scan.Task
	now  time.Time
	log  bytes.Buffer
	last *scan.Result // the last recorded one
}

// testStart is the time of the first scan.
func testStart() time.Time { return time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC) }

func newStoreTest(tb testing.TB, ports string) *storeTest {
	tb.Helper()
	st := &storeTest{task: newTask(tb, ports), now: testStart()}
	var err error
	if st.Store, err = New(slog.New(slog.NewTextHandler(&st.log, nil))); err != nil {
		tb.Fatal(err)
	}
	return st
}

const (
	host1 = "192.0.2.1"
	host2 = "192.0.2.2"
)

func addr1() netip.Addr { return netip.MustParseAddr(host1) }

// forAddress returns the task of one address.
func (st *storeTest) forAddress(addr string) scan.Task {
	return st.task.ForAddress(netip.MustParseAddr(addr), addr)
}

// scan records a scan of the first address as that of the complete target. It returns the log.
func (st *storeTest) scan(tb testing.TB, h hostStates) []string {
	tb.Helper()
	return st.scanHosts(tb, st.task, map[string]hostStates{host1: h})
}

// scanHosts records a scan of a task, which takes a second. It returns the log.
func (st *storeTest) scanHosts(tb testing.TB, task scan.Task, hosts map[string]hostStates) []string {
	tb.Helper()
	started := st.now.Add(time.Second)
	return st.record(tb, task, resultSpec{started: started, finished: started.Add(time.Second), hosts: hosts})
}

// record records a result and sets the clock to its end. It returns the log.
func (st *storeTest) record(tb testing.TB, task scan.Task, spec resultSpec) (lines []string) {
	tb.Helper()
	st.last = newResult(tb, task, spec)
	st.log.Reset()
	st.Record(task, fmt.Sprintf("scan at %v", spec.finished), st.last)
	if spec.finished.After(st.now) {
		st.now = spec.finished
	}
	st.checkSize(tb)
	for line := range strings.Lines(st.log.String()) {
		_, line, _ = strings.Cut(strings.TrimSpace(line), "msg=")
		lines = append(lines, line)
	}
	return lines
}

// history returns the history of the addresses of the last result.
func (st *storeTest) history() History { return st.History(st.task, st.last) }

// opened returns the ports that were open once on the first address.
func (st *storeTest) opened() string { return st.history().Opened(addr1()).String() }

// wantOpened requires the ports that were open once on the first address.
func (st *storeTest) wantOpened(tb testing.TB, want string) {
	tb.Helper()
	if got := st.opened(); got != want {
		tb.Errorf("Opened(%s) = %q, want %q", host1, got, want)
	}
}

// checkSize requires that the sizes of the store and its entries are those of their content. No
// other goroutine uses the store.
func (st *storeTest) checkSize(tb testing.TB) { tb.Helper(); checkSize(tb, st.Store) }

func checkSize(tb testing.TB, s *Store) {
	tb.Helper()
	total := 0
	for _, e := range s.all("") {
		e.mu.Lock()
		size := e.totalSize()
		e.mu.Unlock()
		if e.size != size || (e.place != nil) != (size > 0) {
			tb.Errorf("size of entry %v = %d, listed %v; content has %d bytes", e.id, e.size, e.place != nil, size)
		}
		total += size
	}
	if s.size != total || s.used.Len() > len(s.entries) {
		tb.Errorf("size of the store = %d with %d used entries, want %d, at most %d", s.size, s.used.Len(), total, len(s.entries))
	}
}

// changeLine returns the log line of a change of the first address.
func changeLine(port int, from, to, expected string) string {
	return fmt.Sprintf(`"Port state changed" target=t module=m ip=192.0.2.1 port=%d protocol=tcp from=%s to=%s expected=%s`, port, from, to, expected)
}

// evictAll evicts all addresses.
func (st *storeTest) evictAll(tb testing.TB) {
	tb.Helper()
	limit := st.limit
	st.limit = 0
	st.evict()
	st.limit = limit
	st.checkSize(tb)
}

// statesText returns the ports by state, for example "open 1, closed 2-3".
func statesText(byState map[scan.State]scan.PortSet) string {
	var parts []string
	for _, s := range slices.SortedFunc(maps.Keys(byState), func(a, b scan.State) int { return cmp.Compare(a, b) }) {
		if !byState[s].IsEmpty() {
			parts = append(parts, fmt.Sprintf("%v %v", s, byState[s]))
		}
	}
	return strings.Join(parts, ", ")
}

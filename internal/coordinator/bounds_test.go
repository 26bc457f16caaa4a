// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"net/netip"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// TestMemoryIsBounded remembers more addresses than there is room for.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	m := newMemory()
	begun := time.Now()
	ip := netip.MustParseAddr("10.0.0.0")
	g := group{target: "t", module: "m", protocol: scan.TCP}
	for i := range mostAddresses + 20_000 {
		ip = ip.Next()
		m.put(g, ip, &remembered{last: begun.Add(time.Duration(i)), opened: scan.NewPortSet(22)})
	}
	if m.count > mostAddresses || m.count < mostAddresses*3/4 || m.count != len(m.seen[g]) {
		t.Errorf("%d addresses are remembered, and %d counted", len(m.seen[g]), m.count)
	}
	if m.seen[g][ip] == nil || m.seen[g][netip.MustParseAddr("10.0.0.1")] != nil || m.evicted == 0 {
		t.Errorf("the first is remembered rather than the last; %d were forgotten", m.evicted)
	}
	var many []uint16
	for p := uint16(1); p < 60_000; p += 2 {
		many = append(many, p)
	}
	scattered := scan.NewPortSet(many...)
	for range 500 {
		ip = ip.Next()
		begun = begun.Add(time.Hour)
		m.put(g, ip, &remembered{last: begun, states: map[scan.State]scan.PortSet{scan.Closed: scattered}})
	}
	if m.size > mostBytes || m.seen[g][ip] == nil {
		t.Errorf("%d bytes are remembered", m.size)
	}
}

// TestSightsAreBounded shows more than there is room for: of the pictures those of
// addresses without a violation go first, and the verdict stays with every one.
func TestSightsAreBounded(t *testing.T) {
	t.Parallel()
	s := newSights()
	task, g := boundsTask(t)
	begun := time.Now()
	bad, all := netip.MustParseAddr("10.0.0.1"), mostAddresses*9/10
	last := showMany(&s, g, task, begun, all, bad)
	in := s.of[g]
	if s.size > mostSights || s.count != all || len(in.addresses) != all {
		t.Errorf("%d bytes of %d addresses, want %d", s.size, s.count, all)
	}
	if sum := in.sum(); sum.WithUnexpected != 1 || sum.Unexpected.String() != "23" || sum.Gone != 0 || sum.Scanned != all || sum.Open != 2*all {
		t.Errorf("the sum is %+v", sum)
	}
	if in.addresses[bad].Forgotten || in.addresses[last].Forgotten || !in.addresses[bad.Next()].Forgotten {
		t.Error("it is not the picture of the oldest address without a violation that is forgotten")
	}
	if a := in.addresses[bad.Next()]; a.Count(scan.Open) != 2 || !a.Responding || a.States != nil {
		t.Errorf("where a picture is forgotten there is %+v", a)
	}
	s.outdate(nil)
	if s.size != 0 || s.count != 0 {
		t.Errorf("when all has left the configuration %d bytes and %d addresses are left", s.size, s.count)
	}
}

// TestShownAddressesAreBounded shows more addresses than are remembered.
func TestShownAddressesAreBounded(t *testing.T) {
	t.Parallel()
	s := newSights()
	task, g := boundsTask(t)
	bad := netip.MustParseAddr("10.0.0.1")
	const more = 1000
	showMany(&s, g, task, time.Now(), mostAddresses+more, bad)
	in := s.of[g]
	sum := in.sum()
	if s.count > mostAddresses || s.count != len(in.addresses) || sum.Scanned != s.count || sum.Gone != mostAddresses+more-s.count {
		t.Errorf("%d addresses, the sum is %+v", s.count, sum)
	}
	if sum.WithUnexpected != 1 || in.addresses[bad] == nil || sum.Success() {
		t.Errorf("the one with a violation is gone: %+v", sum)
	}
}

func boundsTask(t *testing.T) (scan.Task, group) {
	t.Helper()
	plan, err := scan.NewPlan(scan.Spec{
		Protocol: scan.TCP, Method: scan.Connect, Ports: scan.NewPortSet(22, 23, 80), Timeout: time.Second, PortTimeout: time.Second,
		MaxInFlight: 1, Expect: &scan.Expectation{Open: scan.NewPortSet(22), Allow: scan.NewPortSet(80)},
	})
	if err != nil {
		t.Fatal(err)
	}
	task := scan.Task{Asked: "t", Target: "t", Module: "m", Plan: plan}
	return task, groupOf(task)
}

// showMany notes a scan of so many addresses, each seen later than the one before, of which
// one has port 23 open. It returns the last.
func showMany(s *sights, g group, task scan.Task, begun time.Time, n int, bad netip.Addr) netip.Addr {
	r := &scan.Result{Started: begun, Finished: begun}
	var seen []*AddressSight
	ip := bad.Prev()
	good := map[scan.State]scan.PortSet{scan.Open: scan.NewPortSet(22, 80), scan.Closed: scan.NewPortSet(23)}
	for i := range n {
		ip = ip.Next()
		a := &AddressSight{Address: scan.Address{IP: ip}, Finished: begun.Add(time.Duration(i)), Responding: true, States: good}
		if ip == bad {
			a.States = map[scan.State]scan.PortSet{scan.Open: scan.NewPortSet(22, 23)}
		}
		seen = append(seen, a)
		r.Addresses = append(r.Addresses, scan.AddressResult{Address: a.Address})
	}
	s.note(g, task, scan.Task{}, r, seen)
	return ip
}

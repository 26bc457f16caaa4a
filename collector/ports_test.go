// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package collector_test

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"portscan_exporter/collector"
	"portscan_exporter/internal/scan"
)

// networkResult returns the result of a scan of all ports of a /24, with three open ports per
// address.
func networkResult(tb testing.TB) collector.ProbeResult {
	tb.Helper()
	all, err := scan.ParsePortSet("1-65535")
	if err != nil {
		tb.Fatal(err)
	}
	f := fixture{spec: scan.Spec{Ports: all, Expect: &scan.Expectation{Open: scan.NewPortSet(22, 443)}}}
	for ip := netip.MustParseAddr("192.0.2.1"); ip != netip.MustParseAddr("192.0.2.255"); ip = ip.Next() {
		others := closed(ip, 0)
		others.Ports = &all
		f.found = append(f.found, ip)
		f.ports = append(f.ports, others, open(ip, 22), open(ip, 443), open(ip, 8080))
	}
	return probeResult(f.result(tb))
}

// rankOf returns the rank of a port that ReportedPorts must use, or -1 if it is not reported.
func rankOf(p collector.ProbeResult, openBefore scan.PortSet, r scan.PortResult) int {
	plan := p.Result.Plan
	expected := plan.Expected(r.Port)
	switch {
	case r.State == scan.Unknown:
		return -1
	case expected == scan.ExpectClosed && r.State == scan.Open:
		return 0
	case expected == scan.ExpectOpen:
		return 1
	case plan.Declared(r.Port):
		return 2
	case r.State == scan.Open:
		return 3
	case openBefore.Contains(r.Port):
		return 4
	case p.AllPorts:
		return 5
	default:
		return -1
	}
}

// rankEach returns the reported ports by a loop over all ports for each rank.
func rankEach(p collector.ProbeResult) (ports []collector.ReportedPort, omitted map[netip.Addr]int) {
	omitted = make(map[netip.Addr]int)
	for rank := range 6 {
		for i := range p.Result.Addresses {
			a := &p.Result.Addresses[i]
			for r := range a.All() {
				switch {
				case rankOf(p, p.PortHistory.Opened(a.IP), r) != rank:
				case len(ports) < p.MaxPorts:
					ports = append(ports, collector.ReportedPort{PortResult: r, Expected: p.Result.Plan.Expected(r.Port)})
				default:
					omitted[a.IP]++
				}
			}
		}
	}
	return ports, omitted
}

// randomFixture returns a scan of two addresses with ports in all states, and in some cases
// with an expectation.
func randomFixture(random *rand.Rand) fixture {
	f := fixture{spec: scan.Spec{AllPorts: true}, found: []netip.Addr{ip4, ip6}, missing: scan.CauseDeadline}
	var all, expected, allowed []uint16
	for port := uint16(1); port <= 60; port++ {
		all = append(all, port)
		switch random.IntN(8) {
		case 0:
			expected = append(expected, port)
		case 1:
			allowed = append(allowed, port)
		}
		for _, ip := range f.found {
			switch random.IntN(5) {
			case 0:
				f.ports = append(f.ports, open(ip, port))
			case 1:
				f.ports = append(f.ports, closed(ip, port))
			case 2:
				f.ports = append(f.ports, silent(ip, port, scan.Filtered))
			case 3:
				f.ports = append(f.ports, silent(ip, port, scan.OpenFiltered))
			}
		}
	}
	f.spec.Ports = scan.NewPortSet(all...)
	if random.IntN(3) > 0 {
		f.spec.Expect = &scan.Expectation{Open: scan.NewPortSet(expected...), Allow: scan.NewPortSet(append(allowed, 22)...)}
	}
	return f
}

// TestReportedPortsRandom compares ReportedPorts with a loop over all ports.
func TestReportedPortsRandom(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		p := probeResult(randomFixture(random).result(t))
		p.AllPorts, p.MaxPorts = random.IntN(2) == 0, random.IntN(130)
		ports, omitted := p.ReportedPorts()
		wantPorts, wantOmitted := rankEach(p)
		if !slices.Equal(ports, wantPorts) {
			t.Fatalf("ReportedPorts() with AllPorts %v and MaxPorts %d = %v, want %v", p.AllPorts, p.MaxPorts, ports, wantPorts)
		}
		for _, ip := range []netip.Addr{ip4, ip6} {
			if omitted[ip] != wantOmitted[ip] {
				t.Fatalf("ReportedPorts() omits %d ports of %v, want %d", omitted[ip], ip, wantOmitted[ip])
			}
		}
	}
}

func BenchmarkReportedPorts(b *testing.B) {
	a := networkResult(b)
	for name, all := range map[string]bool{"notable": false, "all": true} {
		a.AllPorts = all
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				a.ReportedPorts()
			}
		})
	}
}

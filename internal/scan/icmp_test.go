// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"portscan_exporter/internal/scan"
)

func TestICMPErrorMessage(t *testing.T) {
	t.Parallel()
	for text, e := range map[string]scan.ICMPError{
		"net-unreachable from 192.0.2.254":          icmpFrom("192.0.2.254", 3, 0),
		"host-unreachable from 192.0.2.254":         icmpFrom("192.0.2.254", 3, 1),
		"proto-unreachable from 192.0.2.254":        icmpFrom("192.0.2.254", 3, 2),
		"port-unreachable from 192.0.2.254":         icmpFrom("192.0.2.254", 3, 3),
		"frag-needed from 192.0.2.254":              icmpFrom("192.0.2.254", 3, 4),
		"source-route-failed from 192.0.2.254":      icmpFrom("192.0.2.254", 3, 5),
		"net-prohibited from 192.0.2.254":           icmpFrom("192.0.2.254", 3, 9),
		"host-prohibited from 192.0.2.254":          icmpFrom("192.0.2.254", 3, 10),
		"admin-prohibited from 192.0.2.254":         icmpFrom("192.0.2.254", 3, 13),
		"host-precedence from 192.0.2.254":          icmpFrom("192.0.2.254", 3, 14),
		"precedence-cutoff from 192.0.2.254":        icmpFrom("192.0.2.254", 3, 15),
		"type 3 code 16 from 192.0.2.254":           icmpFrom("192.0.2.254", 3, 16),
		"type 3 code 255 from 192.0.2.254":          icmpFrom("192.0.2.254", 3, 255),
		"time-exceeded from 192.0.2.254":            icmpFrom("192.0.2.254", 11, 0),
		"reassembly-time-exceeded from 192.0.2.254": icmpFrom("192.0.2.254", 11, 1),
		"parameter-problem from 192.0.2.254":        icmpFrom("192.0.2.254", 12, 0),
		"type 1 code 0 from 192.0.2.254":            icmpFrom("192.0.2.254", 1, 0), // of ICMPv6
		"no-route from 2001:db8::1":                 icmpFrom("2001:db8::1", 1, 0),
		"admin-prohibited from 2001:db8::1":         icmpFrom("2001:db8::1", 1, 1),
		"beyond-scope from 2001:db8::1":             icmpFrom("2001:db8::1", 1, 2),
		"addr-unreachable from 2001:db8::1":         icmpFrom("2001:db8::1", 1, 3),
		"port-unreachable from 2001:db8::1":         icmpFrom("2001:db8::1", 1, 4),
		"policy-failed from 2001:db8::1":            icmpFrom("2001:db8::1", 1, 5),
		"reject-route from 2001:db8::1":             icmpFrom("2001:db8::1", 1, 6),
		"type 1 code 9 from 2001:db8::1":            icmpFrom("2001:db8::1", 1, 9),
		"packet-too-big from 2001:db8::1":           icmpFrom("2001:db8::1", 2, 0),
		"time-exceeded from 2001:db8::1":            icmpFrom("2001:db8::1", 3, 0),
		"next-header-unknown from 2001:db8::1":      icmpFrom("2001:db8::1", 4, 1),
		"type 11 code 0 from 2001:db8::1":           icmpFrom("2001:db8::1", 11, 0), // of ICMP
		"unknown":                                   {Type: 3, Code: 13},
	} {
		if got := e.String(); got != text {
			t.Errorf("String() of type %d, code %d from %v = %q, want %q", e.Type, e.Code, e.From, got, text)
		}
	}
}

func icmpFrom(from string, kind, code uint8) scan.ICMPError {
	return scan.ICMPError{From: netip.MustParseAddr(from), Type: kind, Code: code}
}

// rejected returns the result of a port for which an ICMP error came.
func rejected(port uint16, e scan.ICMPError) scan.PortResult {
	return scan.PortResult{Address: testAddress, Port: port, State: scan.Filtered, Cause: scan.CauseICMP, ICMP: e, Attempts: 1}
}

// icmpLines returns the ICMP errors and their ports, one per line, then the evidence of each
// port that has one.
func icmpLines(a *scan.AddressResult) (lines []string) {
	for _, e := range a.ICMPErrors() {
		lines = append(lines, fmt.Sprintf("%v: %v", e.ICMPError, e.Ports))
	}
	for p := range a.All() {
		if p.ICMP.IsKnown() {
			lines = append(lines, fmt.Sprintf("%d %v %v", p.Port, p.State, p.Evidence()))
		}
	}
	return lines
}

// TestRecorderICMP records ICMP errors. Each port must have that of its last result.
func TestRecorderICMP(t *testing.T) {
	t.Parallel()
	router, host := icmpFrom("198.51.100.1", 3, 13), icmpFrom("::ffff:192.0.2.1", 3, 3)
	ports := scan.NewPortSet(2, 3, 9)
	several := rejected(0, router)
	several.Ports = &ports
	silent := scan.PortResult{Address: testAddress, Ports: &ports, State: scan.Filtered, Cause: scan.CauseSilence}
	one := scan.NewPortSet(1)
	unresponsive := scan.PortResult{Address: testAddress, Ports: &one, Cause: scan.CauseUnresponsive}
	unknown := scan.PortResult{Address: testAddress, Port: 1, Cause: scan.CauseDeadline, ICMP: router}
	closed := rejected(1, host)
	closed.State = scan.Closed
	contradiction := rejected(1, router)
	contradiction.State = scan.Unknown
	for name, tc := range map[string]struct {
		results []scan.PortResult
		want    []string
	}{
		"none":              {results: []scan.PortResult{silent}},
		"unknown senders":   {results: []scan.PortResult{rejected(1, scan.ICMPError{}), rejected(2, scan.ICMPError{Type: 3})}},
		"one":               {[]scan.PortResult{rejected(2, router)}, []string{"admin-prohibited from 198.51.100.1: 2", "2 filtered icmp admin-prohibited from 198.51.100.1"}},
		"an IPv4-mapped":    {[]scan.PortResult{closed}, []string{"port-unreachable from 192.0.2.1: 1", "1 closed icmp port-unreachable from 192.0.2.1"}},
		"replaced":          {[]scan.PortResult{rejected(2, router), rejected(2, host)}, []string{"port-unreachable from 192.0.2.1: 2", "2 filtered icmp port-unreachable from 192.0.2.1"}},
		"sender unknown":    {results: []scan.PortResult{rejected(2, router), rejected(2, scan.ICMPError{})}},
		"then unresponsive": {[]scan.PortResult{rejected(1, router), unresponsive}, []string{"admin-prohibited from 198.51.100.1: 1", "1 unknown unresponsive after icmp admin-prohibited from 198.51.100.1"}},
		"unresponsive":      {results: []scan.PortResult{unresponsive}},
		"then no time":      {results: []scan.PortResult{rejected(1, router), unknown}},
		"then silent":       {results: []scan.PortResult{several, silent}},
		"not with unknown":  {results: []scan.PortResult{unknown, contradiction}},
		"several, one open": {[]scan.PortResult{several, rejected(1, host), {Address: testAddress, Port: 3, State: scan.Open, Cause: scan.CauseHandshake}}, []string{"port-unreachable from 192.0.2.1: 1", "admin-prohibited from 198.51.100.1: 2", "1 filtered icmp port-unreachable from 192.0.2.1", "2 filtered icmp admin-prohibited from 198.51.100.1"}},
		"most first":        {[]scan.PortResult{rejected(1, host), several}, []string{"admin-prohibited from 198.51.100.1: 2-3", "port-unreachable from 192.0.2.1: 1", "1 filtered icmp port-unreachable from 192.0.2.1", "2 filtered icmp admin-prohibited from 198.51.100.1", "3 filtered icmp admin-prohibited from 198.51.100.1"}},
	} {
		r := recorder(t, spec(1, 2, 3, 4), "192.0.2.1", "192.0.2.2")
		for _, p := range tc.results {
			r.Record(p)
		}
		addresses, _, _ := r.Snapshot(scan.CauseDeadline)
		got := icmpLines(&addresses[0])
		if diff := cmp.Diff(tc.want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if got := icmpLines(&addresses[1]); len(got) > 0 {
			t.Errorf("%s: ICMP errors of another address = %v, want none", name, got)
		}
		r.Record(rejected(4, icmpFrom("198.51.100.2", 3, 1)))
		if diff := cmp.Diff(tc.want, icmpLines(&addresses[0]), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: Record() changed an earlier Snapshot() (-want +got):\n%s", name, diff)
		}
	}
}

// TestRecorderManyICMP records more different errors than an address can have. Those ports must
// have none, and the errors of all others must stay.
func TestRecorderManyICMP(t *testing.T) {
	t.Parallel()
	const most, all = 255, 400
	ports := make([]uint16, 0, all)
	for port := range uint16(all) {
		ports = append(ports, port+1)
	}
	r := recorder(t, spec(ports...), "192.0.2.1")
	from := netip.MustParseAddr("198.51.100.1")
	for _, port := range ports {
		r.Record(rejected(port, scan.ICMPError{From: from, Type: 3, Code: 1}))
		from = from.Next()
	}
	addresses, _, _ := r.Snapshot(scan.CauseDeadline)
	if got := len(addresses[0].ICMPErrors()); got != most {
		t.Errorf("ICMPErrors() = %d errors, want %d", got, most)
	}
	from = netip.MustParseAddr("198.51.100.1")
	for p := range addresses[0].All() {
		if known := p.Port <= most; p.State != scan.Filtered || p.Cause != scan.CauseICMP || p.ICMP.IsKnown() != known || known && p.ICMP.From != from {
			t.Errorf("port %d is %v, %v, want one from %v: %v", p.Port, p.State, p.Evidence(), from, known)
		}
		from = from.Next()
	}
}

// TestResultSaveICMP requires a compact form of many ports with the same ICMP error.
func TestResultSaveICMP(t *testing.T) {
	t.Parallel()
	s := spec()
	s.Ports, _ = scan.ParsePortSet("1-65535")
	r := recorder(t, s, "192.0.2.1", "192.0.2.2")
	ports := s.Ports
	all := rejected(0, icmpFrom("198.51.100.1", 3, 13))
	for port := range ports.All() {
		all.Port = port
		r.Record(all)
	}
	var result scan.Result
	result.Addresses, _, _ = r.Snapshot(scan.CauseDeadline)
	data, err := result.Save()
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > 1000 {
		t.Errorf("Save() = %d bytes, want at most 1000", len(data))
	}
}

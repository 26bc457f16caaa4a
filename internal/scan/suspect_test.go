// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"cmp"
	"testing"

	"portscan_exporter/internal/scan"
)

// TestSuspectManyOpen tests numbers of open ports around the threshold.
func TestSuspectManyOpen(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name             string
		ports, open      int
		declared         bool // the open ports are declared
		unknownRemainder bool
		want             bool
	}{
		{name: "a SYN proxy over the default ports", ports: 1024, open: 1024, want: true},
		{name: "more than half", ports: 1200, open: 601, want: true},
		{name: "half", ports: 1200, open: 600, want: false},
		{name: "a host with 300 open ports", ports: 300, open: 300, want: false},
		{name: "at the threshold", ports: 512, open: 512, want: false},
		{name: "above the threshold", ports: 513, open: 513, want: true},
		{name: "declared", ports: 1024, open: 1024, declared: true, want: false},
		{name: "the rest is unknown", ports: 5000, open: 600, unknownRemainder: true, want: true},
	} {
		var all []uint16
		for p := 1; p <= tc.ports; p++ {
			all = append(all, uint16(p))
		}
		s := spec(all...)
		if tc.declared {
			s.Expect = &scan.Expectation{Allow: scan.NewPortSet(all...)}
		}
		r := recorder(t, s, "192.0.2.1")
		for i, p := range all {
			switch {
			case i < tc.open:
				r.Record(scan.PortResult{Address: testAddress, Port: p, State: scan.Open, Cause: scan.CauseHandshake})
			case !tc.unknownRemainder:
				r.Record(scan.PortResult{Address: testAddress, Port: p, State: scan.Closed, Cause: scan.CauseRST})
			}
		}
		addresses, _, _ := r.Snapshot(scan.CauseDeadline)
		if got := addresses[0].Suspect(); got != tc.want {
			t.Errorf("%s: Suspect() = %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestSuspectFewOpen(t *testing.T) {
	t.Parallel()
	const byWindows, byResets, byMail = scan.ByZeroWindows, scan.ByResets, scan.ByMailProxy
	silent := scan.PortResult{State: scan.Filtered, Cause: scan.CauseSilence}
	closed := scan.PortResult{State: scan.Closed, Cause: scan.CauseRST}
	open := scan.PortResult{State: scan.Open, Cause: scan.CauseSYNACK}
	window := scan.PortResult{State: scan.Open, Cause: scan.CauseZeroWindow}
	reset := scan.PortResult{State: scan.Open, Cause: scan.CauseHandshakeReset}
	for _, tc := range []struct {
		name     string
		others   scan.PortResult
		ports    map[uint16]scan.PortResult
		declared []uint16
		last     uint16 // port scanned, apart from 110; by default 500
		want     scan.Suspicion
	}{
		{name: "a tarpit at some ports", others: closed, ports: map[uint16]scan.PortResult{1: window, 2: window, 3: window}, want: byWindows},
		{name: "a tarpit and as many services", others: closed, ports: map[uint16]scan.PortResult{1: window, 2: window, 3: window, 4: open, 5: open, 6: open}},
		{name: "a tarpit and fewer services", others: closed, ports: map[uint16]scan.PortResult{1: window, 2: window, 3: window, 4: open, 5: open}, want: byWindows},
		{name: "two ports of an overloaded server", others: closed, ports: map[uint16]scan.PortResult{1: window, 2: window}},
		{name: "a declared tarpit", others: closed, ports: map[uint16]scan.PortResult{1: window, 2: window, 3: window}, declared: []uint16{1, 2, 3}},
		{name: "a SYN proxy and services", others: closed, ports: map[uint16]scan.PortResult{1: reset, 2: reset, 3: reset, 4: open, 5: open}, want: byResets},
		{name: "a SYN proxy and as many services", others: closed, ports: map[uint16]scan.PortResult{1: reset, 2: reset, 3: reset, 4: open, 5: open, 6: open}},
		{name: "two ports that reset connections", others: closed, ports: map[uint16]scan.PortResult{1: reset, 2: reset}},
		{name: "declared ports that reset connections", others: closed, ports: map[uint16]scan.PortResult{1: reset, 2: reset, 3: reset}, declared: []uint16{1, 2, 3}},
		{name: "resets and zero windows", others: closed, ports: map[uint16]scan.PortResult{1: reset, 2: reset, 3: window, 4: window}},
		{name: "a mail proxy", others: silent, ports: map[uint16]scan.PortResult{25: open, 110: open}, want: byMail},
		{name: "a declared mail server", others: silent, ports: map[uint16]scan.PortResult{25: open, 110: open}, declared: []uint16{25, 110}},
		{name: "a mail server with one declared port", others: silent, ports: map[uint16]scan.PortResult{25: open, 110: open}, declared: []uint16{25}},
		{name: "a mail server with another port", others: silent, ports: map[uint16]scan.PortResult{25: open, 110: open, 143: open}},
		{name: "a mail server with closed ports", others: closed, ports: map[uint16]scan.PortResult{25: open, 110: open}},
		{name: "one closed port", others: silent, ports: map[uint16]scan.PortResult{25: open, 110: open, 80: closed}},
		{name: "one of the mail ports", others: silent, ports: map[uint16]scan.PortResult{25: open}},
		{name: "a mail proxy and 16 silent ports", others: silent, ports: map[uint16]scan.PortResult{9: open, 25: open, 110: open}, declared: []uint16{9, 1, 2, 3, 4, 5, 6, 7}, last: 25, want: byMail},
		{name: "a mail proxy and 15 silent ports", others: silent, ports: map[uint16]scan.PortResult{25: open, 110: open}, declared: []uint16{1, 2, 3, 4, 5, 6, 7, 8, 9}, last: 25},
		{name: "a web server behind a filter", others: silent, ports: map[uint16]scan.PortResult{80: open, 443: open}},
	} {
		all := []uint16{110}
		for p := uint16(1); p <= cmp.Or(tc.last, 500); p++ {
			all = append(all, p)
		}
		s := spec(all...)
		if tc.declared != nil {
			s.Expect = &scan.Expectation{Open: scan.NewPortSet(tc.declared...)}
		}
		r := recorder(t, s, "192.0.2.1")
		for _, p := range all {
			one, ok := tc.ports[p]
			if !ok {
				one = tc.others
			}
			one.Address, one.Port = testAddress, p
			r.Record(one)
		}
		addresses, _, _ := r.Snapshot(scan.CauseDeadline)
		if got := addresses[0].SuspectedBy(); got != tc.want {
			t.Errorf("%s: SuspectedBy() = %v, want %v", tc.name, got, tc.want)
		}
	}
}

// TestSuspectControl tests the answers to attempts that detect an interceptor.
func TestSuspectControl(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name         string
		open, closed int // ports
		declared     bool
		control      []scan.Control
		want         scan.Suspicion
	}{
		{name: "a redirect of two ports", open: 2, control: []scan.Control{{Open: 2}}, want: scan.ByControlPorts},
		{name: "a redirect of declared ports", open: 2, declared: true, control: []scan.Control{{Open: 2}}, want: scan.ByControlPorts},
		{name: "one control port is unknown", open: 2, control: []scan.Control{{Open: 1}}, want: scan.ByControlPorts},
		{name: "one control port is closed", open: 2, control: []scan.Control{{Open: 1, NotOpen: 1}}},
		{name: "several reports", open: 2, control: []scan.Control{{Open: 1}, {NotOpen: 1}, {NotOpen: 1}}},
		{name: "a closed port", open: 2, closed: 1, control: []scan.Control{{Open: 2}}},
		{name: "no port is known", control: []scan.Control{{Open: 2}}},
		{name: "two ports turned open", open: 20, closed: 50, control: []scan.Control{{TurnedOpen: 1}, {TurnedOpen: 1}}, want: scan.ByTurnedPorts},
		{name: "ports turned open and closed", open: 20, closed: 50, control: []scan.Control{{TurnedOpen: 1, TurnedClosed: 1}}, want: scan.ByTurnedPorts},
		{name: "one port turned", open: 20, closed: 50, control: []scan.Control{{TurnedOpen: 1}}},
		{name: "few open ports", open: 19, closed: 50, control: []scan.Control{{TurnedClosed: 6}}},
		{name: "declared ports turned", open: 20, closed: 50, declared: true, control: []scan.Control{{TurnedClosed: 6}}},
	} {
		var all []uint16
		for p := 1; p <= tc.open+tc.closed+5; p++ { // five unknown ones
			all = append(all, uint16(p))
		}
		s := spec(all...)
		if tc.declared {
			s.Expect = &scan.Expectation{Allow: scan.NewPortSet(all...)}
		}
		r := recorder(t, s, "192.0.2.1")
		for _, p := range all[:tc.open] {
			r.Record(scan.PortResult{Address: testAddress, Port: p, State: scan.Open, Cause: scan.CauseHandshake, Attempts: 1})
		}
		for _, p := range all[tc.open : tc.open+tc.closed] {
			r.Record(scan.PortResult{Address: testAddress, Port: p, State: scan.Closed, Cause: scan.CauseRST, Attempts: 1})
		}
		for _, c := range tc.control {
			ports := scan.NewPortSet(60000, 60001)
			r.Record(scan.PortResult{Address: testAddress, Ports: &ports, Attempts: 3, Control: &c})
		}
		addresses, attempts, retries := r.Snapshot(scan.CauseDeadline)
		if got := addresses[0].SuspectedBy(); got != tc.want {
			t.Errorf("%s: SuspectedBy() = %v, want %v", tc.name, got, tc.want)
		}
		if got := addresses[0].Count(scan.Unknown); got != 5 {
			t.Errorf("%s: number of unknown ports = %d, want 5", tc.name, got)
		}
		if attempts != tc.open+tc.closed+3*len(tc.control) || retries != len(tc.control) {
			t.Errorf("%s: Snapshot() = %d attempts and %d retries, want %d and %d", tc.name, attempts, retries, tc.open+tc.closed+3*len(tc.control), len(tc.control))
		}
	}
}

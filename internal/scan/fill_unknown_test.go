// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portscan_exporter/internal/scan"
)

// TestAddressResultFillUnknown compares FillUnknown with a loop over all ports. The older
// result can have other ports.
func TestAddressResultFillUnknown(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 6))
	filled := 0
	for range 200 {
		s := randomSpec(random)
		old := s
		old.Exclude = scan.NewPortSet(uint16(1+random.IntN(300)), uint16(1+random.IntN(300)), 65535)
		a, want := randomResult(t, random, s)
		older, olderPorts := randomResult(t, random, old)
		before := slices.Clone(want)
		byPort := make(map[uint16]scan.PortResult)
		for _, p := range olderPorts {
			byPort[p.Port] = p
		}
		for i, p := range want {
			if o, ok := byPort[p.Port]; ok && p.State == scan.Unknown && o.State != scan.Unknown {
				want[i] = o
				filled++
			}
		}
		got := a.FillUnknown(&older)
		checkAddressResult(t, &got, want, plan(t, s))
		checkAddressResult(t, &a, before, plan(t, s))
		checkAddressResult(t, &older, olderPorts, plan(t, old))
		if got.IP != a.IP || !got.LastResponse().Equal(a.LastResponse()) || got.Control() != a.Control() {
			t.Fatalf("FillUnknown() = %v, %v, %v, want those of the newer result", got.IP, got.LastResponse(), got.Control())
		}
	}
	if filled < 1000 {
		t.Errorf("only %d ports were filled, want at least 1000", filled)
	}
}

// TestAddressResultFillUnknownOther requires that data other than the ports stays.
func TestAddressResultFillUnknownOther(t *testing.T) {
	t.Parallel()
	result := func(control scan.Control, results ...scan.PortResult) scan.AddressResult {
		r := recorder(t, spec(1, 2, 3), testAddress.String())
		for _, p := range results {
			p.Address = testAddress
			r.Record(p)
		}
		r.Record(scan.PortResult{Address: testAddress, Ports: new(scan.PortSet), Control: &control})
		addresses, _, _ := r.Snapshot(scan.CauseDeadline)
		return addresses[0]
	}
	first := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	older := result(scan.Control{Open: 2},
		scan.PortResult{Port: 1, State: scan.Open, Cause: scan.CauseHandshake, RTT: 5, LastResponse: first.Add(time.Hour)},
		scan.PortResult{Port: 2, State: scan.Open, Cause: scan.CauseHandshake, RTT: 6}, rejected(3, icmpFrom("198.51.100.1", 3, 1)))
	one := scan.NewPortSet(3)
	newer := result(scan.Control{NotOpen: 1},
		scan.PortResult{Port: 1, State: scan.Closed, Cause: scan.CauseRST, LastResponse: first},
		rejected(3, icmpFrom("198.51.100.1", 3, 13)), scan.PortResult{Ports: &one, Cause: scan.CauseUnresponsive})
	got := newer.FillUnknown(&older)
	want := []scan.PortResult{
		{Address: testAddress, Port: 1, State: scan.Closed, Cause: scan.CauseRST},
		{Address: testAddress, Port: 2, State: scan.Open, Cause: scan.CauseHandshake, RTT: 6},
		{Address: testAddress, Port: 3, State: scan.Filtered, Cause: scan.CauseICMP, ICMP: icmpFrom("198.51.100.1", 3, 1)},
	}
	if diff := cmp.Diff(want, slices.Collect(got.All()), equateAddrs); diff != "" {
		t.Errorf("FillUnknown() (-want +got):\n%s", diff)
	}
	if errors := got.ICMPErrors(); len(errors) != 1 || errors[0].Code != 1 {
		t.Errorf("ICMPErrors() = %v, want only that of the older result", errors)
	}
	if !got.LastResponse().Equal(first) || got.Control() != (scan.Control{NotOpen: 1}) {
		t.Errorf("FillUnknown() = last response %v, control %v, want those of the newer result", got.LastResponse(), got.Control())
	}
}

func TestAddressResultFillUnknownZero(t *testing.T) {
	t.Parallel()
	var a, older scan.AddressResult
	if got := a.FillUnknown(&older); len(got.ByState()) > 0 {
		t.Errorf("FillUnknown() of zero values = %v, want no ports", got.ByState())
	}
}

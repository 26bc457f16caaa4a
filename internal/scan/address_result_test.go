// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"portscan_exporter/internal/scan"
)

var equateAddrs = cmpopts.EquateComparable(netip.Addr{})

// randomSpec returns a spec with several ranges of ports, some of them declared.
func randomSpec(random *rand.Rand) scan.Spec {
	var ports, declared, allowed []uint16
	for port := uint16(1); port <= 300; port++ {
		if random.IntN(20) > 0 {
			ports = append(ports, port)
		}
		if random.IntN(20) == 0 {
			declared = append(declared, port)
		}
		if random.IntN(20) == 0 {
			allowed = append(allowed, port)
		}
	}
	s := spec(append(ports, 65535)...)
	s.AllPorts = random.IntN(2) == 0
	if random.IntN(3) > 0 {
		s.Expect = &scan.Expectation{Open: scan.NewPortSet(declared...), Allow: scan.NewPortSet(allowed...)}
	}
	return s
}

// randomPort returns a result for a port with any state, cause and ICMP error.
func randomPort(random *rand.Rand, port uint16) scan.PortResult {
	p := []scan.PortResult{
		{State: scan.Open, Cause: scan.CauseHandshake},
		{State: scan.Open, Cause: scan.CauseZeroWindow},
		{State: scan.Closed, Cause: scan.CauseRST},
		{State: scan.Closed, Cause: scan.CauseICMP, ICMP: icmpFrom("192.0.2.1", 3, 3)},
		{State: scan.Filtered, Cause: scan.CauseICMP, ICMP: icmpFrom("198.51.100.1", 3, 13)},
		{State: scan.Filtered, Cause: scan.CauseICMP, ICMP: icmpFrom("198.51.100.2", 3, uint8(random.IntN(4)))},
		{State: scan.Filtered, Cause: scan.CauseSilence},
		{Cause: scan.CauseUnresponsive, ICMP: icmpFrom("198.51.100.1", 3, 13)},
		{Cause: scan.CauseDeadline},
		{Cause: scan.CauseNoRoute},
	}[random.IntN(10)]
	p.Address, p.Port, p.Attempts = testAddress, port, 1
	if p.Cause.Answered() {
		p.RTT, p.LastResponse = time.Duration(1+random.IntN(1000)), time.Unix(int64(random.IntN(1000)), 0)
	}
	return p
}

// randomResult returns a result for runs of ports with the same state, and the ports that it
// must have.
func randomResult(tb testing.TB, random *rand.Rand, s scan.Spec) (scan.AddressResult, []scan.PortResult) {
	tb.Helper()
	r := recorder(tb, s, testAddress.String())
	covered := plan(tb, s)
	var want []scan.PortResult
	p, longest := randomPort(random, 1), 1+random.IntN(30)
	for port := range covered.Ports().All() {
		if p.Port = port; random.IntN(longest) == 0 {
			p = randomPort(random, port)
		}
		r.Record(p)
		one := p
		if one.Attempts, one.LastResponse = 0, (time.Time{}); !s.AllPorts && p.State != scan.Open && !covered.Declared(port) {
			one.RTT = 0
		}
		want = append(want, one)
	}
	addresses, _, _ := r.Snapshot(scan.CauseDeadline)
	return addresses[0], want
}

// countingLines returns the numbers that a result must have for the ports.
func countingLines(ports []scan.PortResult, covered scan.Plan) (lines []string) {
	states, unknown, violating := make(map[scan.State]int), make(map[scan.Cause]int), make(map[scan.Expected]int)
	for _, p := range ports {
		states[p.State]++
		if p.State == scan.Unknown {
			unknown[p.Cause]++
		}
		if e := covered.Expected(p.Port); e.ViolatedBy(p.State) {
			violating[e]++
		}
	}
	return []string{fmt.Sprint(states), fmt.Sprint(unknown), fmt.Sprint(violating[scan.ExpectClosed], violating[scan.ExpectOpen])}
}

// checkAddressResult compares all methods with the ports that the result must have.
func checkAddressResult(t *testing.T, a *scan.AddressResult, want []scan.PortResult, covered scan.Plan) {
	t.Helper()
	if got := slices.Collect(a.All()); !slices.Equal(got, want) {
		t.Fatalf("All() (-want +got):\n%s", cmp.Diff(want, got, equateAddrs))
	}
	byState := make(map[scan.State][]uint16)
	for _, p := range want {
		byState[p.State] = append(byState[p.State], p.Port)
		if got, ok := a.Port(p.Port); !ok || got != p {
			t.Fatalf("Port(%d) = %+v, %v, want %+v", p.Port, got, ok, p)
		}
	}
	states, all := make(map[scan.State]int), a.ByState()
	for _, s := range scan.States() {
		ports := scan.NewPortSet(byState[s]...)
		if got := a.Ports(s); !got.Equal(ports) || !all[s].Equal(ports) {
			t.Fatalf("Ports(%v) = %v and ByState() = %v, want %v", s, got, all[s], ports)
		}
		if n := a.Count(s); n > 0 {
			states[s] = n
		}
	}
	unexpected, missing := a.CountViolations()
	got := []string{fmt.Sprint(states), fmt.Sprint(a.UnknownByCause()), fmt.Sprint(unexpected, missing)}
	if diff := cmp.Diff(countingLines(want, covered), got); diff != "" {
		t.Fatalf("Count(), UnknownByCause() and CountViolations() (-want +got):\n%s", diff)
	}
}

// TestAddressResultRandom compares results with the ports that were recorded.
func TestAddressResultRandom(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		s := randomSpec(random)
		a, want := randomResult(t, random, s)
		checkAddressResult(t, &a, want, plan(t, s))
		for _, port := range []uint16{0, 301, 65534} {
			if got, ok := a.Port(port); ok || got != (scan.PortResult{}) {
				t.Fatalf("Port(%d) = %+v, %v, want none", port, got, ok)
			}
		}
	}
}

func TestAddressResultZero(t *testing.T) {
	t.Parallel()
	var a scan.AddressResult
	if got := slices.Collect(a.All()); len(got) > 0 || a.Count(scan.Unknown) > 0 || a.Suspect() || len(a.ICMPErrors()) > 0 {
		t.Errorf("zero AddressResult has ports %v", got)
	}
}

// TestSnapshotDropsRTT requires that a port without an answer has no response time, also if it
// had answered before.
func TestSnapshotDropsRTT(t *testing.T) {
	t.Parallel()
	r := recorder(t, spec(1, 2), testAddress.String())
	ports := scan.NewPortSet(1)
	for port := range uint16(2) {
		r.Record(scan.PortResult{Address: testAddress, Port: port + 1, State: scan.Open, Cause: scan.CauseHandshake, RTT: 5})
	}
	r.Record(scan.PortResult{Address: testAddress, Ports: &ports, Cause: scan.CauseUnresponsive})
	addresses, _, _ := r.Snapshot(scan.CauseDeadline)
	if data, err := addresses[0].Save(); err != nil || !strings.Contains(string(data), `"rtts":{"2":5}`) {
		t.Errorf("Save() = %s, %v, want only the response time of port 2", data, err)
	}
}

// TestAddressResultSize requires that a host with all ports closed takes at most 1 KiB, and
// that ranges, response times and ICMP errors count.
func TestAddressResultSize(t *testing.T) {
	t.Parallel()
	typical, _, _ := fullRecorder(t, false).Snapshot(scan.CauseDeadline)
	if got := typical[0].Size(); got > 1024 {
		t.Errorf("Size() = %d, want at most 1024", got)
	}
	alternating, _, _ := fullRecorder(t, true).Snapshot(scan.CauseDeadline)
	if got := alternating[0].Size(); got < 4*65535 || got > 8*65535 {
		t.Errorf("Size() of alternating states = %d, want 4 to 8 bytes per port", got)
	}
	result := scan.Result{Addresses: []scan.AddressResult{typical[0], alternating[0]}}
	if got, want := result.Size(), typical[0].Size()+alternating[0].Size(); got != want {
		t.Errorf("Result.Size() = %d, want the sum %d", got, want)
	}
	size := func(p scan.PortResult) int {
		r := recorder(t, spec(1), testAddress.String())
		r.Record(p)
		addresses, _, _ := r.Snapshot(scan.CauseDeadline)
		return addresses[0].Size()
	}
	base := size(scan.PortResult{Address: testAddress, Port: 1, State: scan.Open, Cause: scan.CauseHandshake})
	timed := size(scan.PortResult{Address: testAddress, Port: 1, State: scan.Open, Cause: scan.CauseHandshake, RTT: 1})
	icmp := size(rejected(1, icmpFrom("198.51.100.1", 3, 13)))
	if timed <= base || icmp <= base {
		t.Errorf("Size() = %d with a response time, %d with an ICMP error, want more than %d", timed, icmp, base)
	}
}

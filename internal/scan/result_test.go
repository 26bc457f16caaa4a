// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portscan_exporter/internal/scan"
)

var testAddress = netip.MustParseAddr("192.0.2.1")

func recorder(t *testing.T, s scan.Spec, addrs ...string) *scan.Recorder {
	t.Helper()
	req, _, err := scan.NewRequest(plan(t, s), scope(t, []string{"192.0.2.0/24"}, nil), found(addrs...))
	if err != nil {
		t.Fatal(err)
	}
	r, err := scan.NewRecorder(req)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestNewPlan(t *testing.T) {
	t.Parallel()
	s := spec(22, 80, 443)
	s.Exclude = scan.NewPortSet(80, 8080)
	s.Expect = &scan.Expectation{Open: scan.NewPortSet(22, 8080, 9090), Allow: scan.NewPortSet(443, 7000)}
	p := plan(t, s)
	if got := p.Ports().String(); got != "22,443,9090" {
		t.Errorf("Ports() = %s, want 22,443,9090 (module and expected ports without excluded and allowed ones)", got)
	}
	for port, want := range map[uint16]scan.Expected{22: scan.ExpectOpen, 443: scan.ExpectAny, 80: scan.ExpectClosed, 1: scan.ExpectClosed} {
		if got := p.Expected(port); got != want {
			t.Errorf("Expected(%d) = %v, want %v", port, got, want)
		}
	}
	if got := plan(t, spec(1)).Expected(1); got != scan.ExpectAny {
		t.Errorf("Expected(1) without an expectation = %v, want any", got)
	}
}

func TestNewPlanInvalid(t *testing.T) {
	t.Parallel()
	for name, modify := range map[string]func(*scan.Spec){
		"no protocol":     func(s *scan.Spec) { s.Protocol = 0 },
		"no method":       func(s *scan.Spec) { s.Method = 0 },
		"no timeout":      func(s *scan.Spec) { s.Timeout = 0 },
		"no port timeout": func(s *scan.Spec) { s.PortTimeout = -1 },
		"retries":         func(s *scan.Spec) { s.Retries = 1 },
		"in flight":       func(s *scan.Spec) { s.MaxInFlight = 0 },
		"rate":            func(s *scan.Spec) { s.Rate = -1 },
	} {
		s := spec(22)
		modify(&s)
		if _, err := scan.NewPlan(s); err == nil {
			t.Errorf("NewPlan() with invalid value (%s) = nil error, want an error", name)
		}
	}
	s := spec(22)
	s.Exclude = scan.NewPortSet(22)
	if _, err := scan.NewPlan(s); !errors.Is(err, scan.ErrEmptyPlan) {
		t.Errorf("NewPlan() without ports = %v, want ErrEmptyPlan", err)
	}
}

func TestRecorder(t *testing.T) {
	t.Parallel()
	s := spec(1, 2, 3, 4, 5, 6)
	s.Expect = &scan.Expectation{Open: scan.NewPortSet(2, 5)}
	r := recorder(t, s, "192.0.2.1")
	for _, p := range []scan.PortResult{
		{Address: testAddress, Port: 1, State: scan.Open, Cause: scan.CauseHandshake, RTT: 5 * time.Millisecond, Attempts: 1},
		{Address: testAddress, Port: 2, State: scan.Closed, Cause: scan.CauseRST, RTT: 6 * time.Millisecond, Attempts: 1},
		{Address: testAddress, Port: 3, State: scan.Filtered, Cause: scan.CauseSilence, Attempts: 3},
		{Address: testAddress, Port: 4, State: scan.Closed, Cause: scan.CauseRST, RTT: time.Millisecond, Attempts: 1},
		{Address: testAddress, Port: 5, State: scan.Closed, Cause: scan.CauseNoRoute, Attempts: 1}, // contradiction
		{Address: testAddress, Port: 99, State: scan.Open, Cause: scan.CauseHandshake, Attempts: 1},
		{Address: netip.MustParseAddr("192.0.2.2"), Port: 1, State: scan.Open, Cause: scan.CauseHandshake, Attempts: 1},
	} {
		r.Record(p)
	}
	addresses, attempts, retries := r.Snapshot(scan.CauseDeadline)
	if attempts != 7 || retries != 2 {
		t.Errorf("got %d attempts and %d retries, want 7 and 2", attempts, retries)
	}
	var got []scan.PortResult
	for p := range addresses[0].All() {
		got = append(got, p)
	}
	want := []scan.PortResult{
		{Address: testAddress, Port: 1, State: scan.Open, Cause: scan.CauseHandshake, RTT: 5 * time.Millisecond},
		{Address: testAddress, Port: 2, State: scan.Closed, Cause: scan.CauseRST, RTT: 6 * time.Millisecond},
		{Address: testAddress, Port: 3, State: scan.Filtered, Cause: scan.CauseSilence},
		{Address: testAddress, Port: 4, State: scan.Closed, Cause: scan.CauseRST}, // not notable: no response time
		{Address: testAddress, Port: 5, State: scan.Unknown, Cause: scan.CauseInternal},
		{Address: testAddress, Port: 6, State: scan.Unknown, Cause: scan.CauseDeadline}, // no result
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("ports (-want +got):\n%s", diff)
	}
	unexpected, missing := addresses[0].CountViolations()
	if unexpected != 1 || missing != 1 {
		t.Errorf("CountViolations() = %d, %d, want 1, 1", unexpected, missing)
	}
	if by := addresses[0].UnknownByCause(); by[scan.CauseInternal] != 1 || by[scan.CauseDeadline] != 1 || len(by) != 2 {
		t.Errorf("UnknownByCause() = %v, want one internal and one deadline", by)
	}

	r.Record(scan.PortResult{Address: testAddress, Port: 6, State: scan.Open, Cause: scan.CauseHandshake, Attempts: 1})
	if addresses[0].Count(scan.Open) != 1 {
		t.Error("Record() changed an earlier Snapshot()")
	}
}

func TestRecorderAllPorts(t *testing.T) {
	t.Parallel()
	s := spec(4)
	s.AllPorts = true
	r := recorder(t, s, "192.0.2.1")
	r.Record(scan.PortResult{Address: testAddress, Port: 4, State: scan.Closed, Cause: scan.CauseRST, RTT: time.Millisecond})
	addresses, _, _ := r.Snapshot(scan.CauseDeadline)
	for p := range addresses[0].All() {
		if p.RTT != time.Millisecond {
			t.Errorf("RTT = %v, want 1ms", p.RTT)
		}
	}
}

func TestResultSuccess(t *testing.T) {
	t.Parallel()
	complete := func() *scan.Result {
		r := recorder(t, spec(1), "192.0.2.1")
		r.Record(scan.PortResult{Address: testAddress, Port: 1, State: scan.Closed, Cause: scan.CauseRST})
		a, _, _ := r.Snapshot(scan.CauseDeadline)
		return &scan.Result{Addresses: a}
	}
	if !complete().Success() {
		t.Error("Success() of a complete scan = false, want true")
	}
	for name, modify := range map[string]func(*scan.Result){
		"no address": func(r *scan.Result) { r.Addresses = nil },
		"refused":    func(r *scan.Result) { r.Refused = []netip.Addr{testAddress} },
		"failed":     func(r *scan.Result) { r.Failed = map[scan.Failure]error{scan.FailedDNS: errors.New("x")} },
		"unknown port": func(r *scan.Result) {
			r.Addresses, _, _ = recorder(t, spec(1), "192.0.2.1").Snapshot(scan.CauseDeadline)
		},
	} {
		r := complete()
		modify(r)
		if r.Success() {
			t.Errorf("%s: Success() = true, want false", name)
		}
	}
}

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
	silent := scan.PortResult{State: scan.Filtered, Cause: scan.CauseSilence}
	closed := scan.PortResult{State: scan.Closed, Cause: scan.CauseRST}
	open := scan.PortResult{State: scan.Open, Cause: scan.CauseSYNACK}
	window := scan.PortResult{State: scan.Open, Cause: scan.CauseZeroWindow}
	for _, tc := range []struct {
		name     string
		others   scan.PortResult
		ports    map[uint16]scan.PortResult
		declared []uint16
		fewer    bool // ports scanned
		want     bool
	}{
		{name: "a tarpit at some ports", others: closed, ports: map[uint16]scan.PortResult{1: window, 2: window, 3: window}, want: true},
		{name: "a tarpit and as many services", others: closed, ports: map[uint16]scan.PortResult{1: window, 2: window, 3: window, 4: open, 5: open, 6: open}},
		{name: "a tarpit and fewer services", others: closed, ports: map[uint16]scan.PortResult{1: window, 2: window, 3: window, 4: open, 5: open}, want: true},
		{name: "two ports of an overloaded server", others: closed, ports: map[uint16]scan.PortResult{1: window, 2: window}},
		{name: "a declared tarpit", others: closed, ports: map[uint16]scan.PortResult{1: window, 2: window, 3: window}, declared: []uint16{1, 2, 3}},
		{name: "a mail proxy", others: silent, ports: map[uint16]scan.PortResult{25: open, 110: open}, want: true},
		{name: "a declared mail server", others: silent, ports: map[uint16]scan.PortResult{25: open, 110: open}, declared: []uint16{25, 110}},
		{name: "a mail server with one declared port", others: silent, ports: map[uint16]scan.PortResult{25: open, 110: open}, declared: []uint16{25}},
		{name: "a mail server with another port", others: silent, ports: map[uint16]scan.PortResult{25: open, 110: open, 143: open}},
		{name: "a mail server with closed ports", others: closed, ports: map[uint16]scan.PortResult{25: open, 110: open}},
		{name: "one closed port", others: silent, ports: map[uint16]scan.PortResult{25: open, 110: open, 80: closed}},
		{name: "one of the mail ports", others: silent, ports: map[uint16]scan.PortResult{25: open}},
		{name: "few ports scanned", others: silent, ports: map[uint16]scan.PortResult{25: open, 110: open}, fewer: true},
		{name: "a web server behind a filter", others: silent, ports: map[uint16]scan.PortResult{80: open, 443: open}},
	} {
		last := uint16(500)
		if tc.fewer {
			last = 100
		}
		all := []uint16{110}
		for p := uint16(1); p <= last; p++ {
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
		if got := addresses[0].Suspect(); got != tc.want {
			t.Errorf("%s: Suspect() = %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestAddressResultResponding(t *testing.T) {
	t.Parallel()
	for cause, want := range map[scan.Cause]bool{
		scan.CauseHandshake: true, scan.CauseHandshakeReset: true, scan.CauseRST: true, scan.CauseICMP: true,
		scan.CauseReply: true, scan.CauseSilence: false, scan.CauseDeadline: false, scan.CauseNoRoute: false,
	} {
		r := recorder(t, spec(1), "192.0.2.1")
		state := scan.Filtered
		if cause >= scan.CauseDeadline {
			state = scan.Unknown
		}
		r.Record(scan.PortResult{Address: testAddress, Port: 1, State: state, Cause: cause})
		addresses, _, _ := r.Snapshot(scan.CauseDeadline)
		if got := addresses[0].Responding(); got != want {
			t.Errorf("Responding() with %v = %v, want %v", cause, got, want)
		}
	}
}

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

func recorder(tb testing.TB, s scan.Spec, addrs ...string) *scan.Recorder {
	tb.Helper()
	req, _, err := scan.NewRequest(plan(tb, s), scope(tb, []string{"192.0.2.0/24"}, nil), found(addrs...))
	if err != nil {
		tb.Fatal(err)
	}
	r, err := scan.NewRecorder(req)
	if err != nil {
		tb.Fatal(err)
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
		"open attempts":   func(s *scan.Spec) { s.MaxOpenAttempts = 0 },
		"control ports":   func(s *scan.Spec) { s.ControlPorts = -1 },
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

// TestRecorderSet records several ports with one call: ports of the request only, each once
// in the progress, and all attempts.
func TestRecorderSet(t *testing.T) {
	t.Parallel()
	r := recorder(t, spec(1, 2, 3, 7, 8, 9, 20), "192.0.2.1")
	r.Record(scan.PortResult{Address: testAddress, Port: 2, State: scan.Open, Cause: scan.CauseHandshake, Attempts: 1})
	silent, rest := scan.NewPortSet(1, 3, 8), scan.NewPortSet(4, 5, 6, 7, 9, 10, 20, 65535)
	r.Record(scan.PortResult{Address: testAddress, Ports: &silent, State: scan.Filtered, Cause: scan.CauseSilence, Attempts: 7})
	if got := r.Progress(); got != 4.0/7 {
		t.Errorf("Progress() = %v, want 4/7", got)
	}
	r.Record(scan.PortResult{Address: testAddress, Ports: &rest, Cause: scan.CauseUnresponsive, Attempts: 2})
	r.Record(scan.PortResult{Address: netip.MustParseAddr("192.0.2.2"), Ports: &rest, Cause: scan.CauseUnresponsive, Attempts: 2})
	if got := r.Progress(); got != 1 {
		t.Errorf("Progress() = %v, want 1", got)
	}
	addresses, attempts, retries := r.Snapshot(scan.CauseDeadline)
	if attempts != 10 || retries != 4 {
		t.Errorf("got %d attempts and %d retries, want 10 and 4", attempts, retries)
	}
	by := addresses[0].ByState()
	if by[scan.Open].String() != "2" || by[scan.Filtered].String() != "1,3,8" || by[scan.Unknown].String() != "7,9,20" {
		t.Errorf("ByState() = %v, want open 2, filtered 1,3,8 and unknown 7,9,20", by)
	}
	if got := addresses[0].UnknownByCause()[scan.CauseUnresponsive]; got != 3 {
		t.Errorf("%d ports are unknown by %v, want 3", got, scan.CauseUnresponsive)
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

func TestAddressResultLastResponse(t *testing.T) {
	t.Parallel()
	first := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	icmp := scan.PortResult{Address: testAddress, Port: 1, State: scan.Filtered, Cause: scan.CauseICMP}
	withResponse := func(at time.Time) scan.PortResult { r := icmp; r.LastResponse = at; return r }
	other := withResponse(first)
	other.Address = netip.MustParseAddr("192.0.2.2")
	for _, tc := range []struct {
		name  string
		ports []scan.PortResult
		want  time.Time
	}{
		{name: "an ICMP error of a router", ports: []scan.PortResult{icmp}},
		{name: "an ICMP error of the address", ports: []scan.PortResult{withResponse(first)}, want: first},
		{name: "an answer, then silence", ports: []scan.PortResult{withResponse(first), icmp}, want: first},
		{name: "answers in disorder", ports: []scan.PortResult{withResponse(first.Add(1)), withResponse(first)}, want: first.Add(1)},
		{name: "an answer of another address", ports: []scan.PortResult{other}},
	} {
		r := recorder(t, spec(1), "192.0.2.1")
		for _, p := range tc.ports {
			r.Record(p)
		}
		addresses, _, _ := r.Snapshot(scan.CauseDeadline)
		a := addresses[0]
		if got := a.LastResponse(); !got.Equal(tc.want) || a.Responding() == tc.want.IsZero() {
			t.Errorf("%s: LastResponse() = %v, want %v; Responding() = %v", tc.name, got, tc.want, a.Responding())
		}
	}
}

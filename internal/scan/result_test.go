package scan_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portscan_exporter/internal/scan"
)

var home = netip.MustParseAddr("192.0.2.1")

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
		t.Errorf("the plan covers %s, want 22,443,9090: module and expected ports, less the excluded, and not the allowed", got)
	}
	for port, want := range map[uint16]scan.Expected{22: scan.ExpectOpen, 443: scan.ExpectAny, 80: scan.ExpectClosed, 1: scan.ExpectClosed} {
		if got := p.Expected(port); got != want {
			t.Errorf("Expected(%d) = %v, want %v", port, got, want)
		}
	}
	if got := plan(t, spec(1)).Expected(1); got != scan.ExpectAny {
		t.Errorf("without expectations a port is expected %v, want any", got)
	}
}

func TestNewPlanRefuses(t *testing.T) {
	t.Parallel()
	for name, breakIt := range map[string]func(*scan.Spec){
		"no protocol":     func(s *scan.Spec) { s.Protocol = 0 },
		"no method":       func(s *scan.Spec) { s.Method = 0 },
		"no timeout":      func(s *scan.Spec) { s.Timeout = 0 },
		"no port timeout": func(s *scan.Spec) { s.PortTimeout = -1 },
		"retries":         func(s *scan.Spec) { s.Retries = 1 },
		"in flight":       func(s *scan.Spec) { s.MaxInFlight = 0 },
		"rate":            func(s *scan.Spec) { s.Rate = -1 },
	} {
		s := spec(22)
		breakIt(&s)
		if _, err := scan.NewPlan(s); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	s := spec(22)
	s.Exclude = scan.NewPortSet(22)
	if _, err := scan.NewPlan(s); !errors.Is(err, scan.ErrEmptyPlan) {
		t.Errorf("an empty plan: %v", err)
	}
}

func TestRecorder(t *testing.T) {
	t.Parallel()
	s := spec(1, 2, 3, 4, 5, 6)
	s.Expect = &scan.Expectation{Open: scan.NewPortSet(2, 5)}
	r := recorder(t, s, "192.0.2.1")
	for _, p := range []scan.PortResult{
		{Address: home, Port: 1, State: scan.Open, Cause: scan.CauseHandshake, RTT: 5 * time.Millisecond, Attempts: 1},
		{Address: home, Port: 2, State: scan.Closed, Cause: scan.CauseRST, RTT: 6 * time.Millisecond, Attempts: 1},
		{Address: home, Port: 3, State: scan.Filtered, Cause: scan.CauseSilence, Attempts: 3},
		{Address: home, Port: 4, State: scan.Closed, Cause: scan.CauseRST, RTT: time.Millisecond, Attempts: 1},
		{Address: home, Port: 5, State: scan.Closed, Cause: scan.CauseNoRoute, Attempts: 1}, // contradicts itself
		{Address: home, Port: 99, State: scan.Open, Cause: scan.CauseHandshake, Attempts: 1},
		{Address: netip.MustParseAddr("192.0.2.2"), Port: 1, State: scan.Open, Cause: scan.CauseHandshake, Attempts: 1},
	} {
		r.Record(p)
	}
	addresses, attempts, retries := r.Snapshot(scan.CauseDeadline)
	if attempts != 7 || retries != 2 {
		t.Errorf("%d attempts, %d retries; want 7, 2", attempts, retries)
	}
	var got []scan.PortResult
	for p := range addresses[0].All() {
		got = append(got, p)
	}
	want := []scan.PortResult{
		{Address: home, Port: 1, State: scan.Open, Cause: scan.CauseHandshake, RTT: 5 * time.Millisecond},
		{Address: home, Port: 2, State: scan.Closed, Cause: scan.CauseRST, RTT: 6 * time.Millisecond},
		{Address: home, Port: 3, State: scan.Filtered, Cause: scan.CauseSilence},
		{Address: home, Port: 4, State: scan.Closed, Cause: scan.CauseRST}, // of no note: no details
		{Address: home, Port: 5, State: scan.Unknown, Cause: scan.CauseInternal},
		{Address: home, Port: 6, State: scan.Unknown, Cause: scan.CauseDeadline}, // never reported
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("ports (-want +got):\n%s", diff)
	}
	open, notOpen := addresses[0].Violating()
	if open != 1 || notOpen != 1 {
		t.Errorf("violating %d open, %d not open; want 1, 1: an unknown port violates nothing", open, notOpen)
	}
	if by := addresses[0].UnknownByCause(); by[scan.CauseInternal] != 1 || by[scan.CauseDeadline] != 1 || len(by) != 2 {
		t.Errorf("unknown by cause: %v", by)
	}

	r.Record(scan.PortResult{Address: home, Port: 6, State: scan.Open, Cause: scan.CauseHandshake, Attempts: 1})
	if addresses[0].Count(scan.Open) != 1 {
		t.Error("a snapshot changed after it was taken")
	}
}

func TestKeepAll(t *testing.T) {
	t.Parallel()
	s := spec(4)
	s.AllPorts = true
	r := recorder(t, s, "192.0.2.1")
	r.Record(scan.PortResult{Address: home, Port: 4, State: scan.Closed, Cause: scan.CauseRST, RTT: time.Millisecond})
	addresses, _, _ := r.Snapshot(scan.CauseDeadline)
	for p := range addresses[0].All() {
		if p.RTT != time.Millisecond {
			t.Errorf("response time %v, want 1ms", p.RTT)
		}
	}
}

func TestSuccess(t *testing.T) {
	t.Parallel()
	whole := func() *scan.Result {
		r := recorder(t, spec(1), "192.0.2.1")
		r.Record(scan.PortResult{Address: home, Port: 1, State: scan.Closed, Cause: scan.CauseRST})
		a, _, _ := r.Snapshot(scan.CauseDeadline)
		return &scan.Result{Addresses: a}
	}
	if !whole().Success() {
		t.Error("a whole scan is no success")
	}
	for name, breakIt := range map[string]func(*scan.Result){
		"nothing scanned": func(r *scan.Result) { r.Addresses = nil },
		"refused":         func(r *scan.Result) { r.Refused = []netip.Addr{home} },
		"failed":          func(r *scan.Result) { r.Failed = map[scan.Failure]error{scan.FailedDNS: errors.New("x")} },
		"unknown port": func(r *scan.Result) {
			r.Addresses, _, _ = recorder(t, spec(1), "192.0.2.1").Snapshot(scan.CauseDeadline)
		},
	} {
		r := whole()
		breakIt(r)
		if r.Success() {
			t.Errorf("%s: counted as success", name)
		}
	}
}

// TestSuspect draws the line from both sides.
func TestSuspect(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name             string
		ports, open      int
		declared         bool // the owner named the open ones
		unknownRemainder bool
		want             bool
	}{
		{name: "a SYN proxy over the default ports", ports: 1024, open: 1024, want: true},
		{name: "more than half", ports: 1200, open: 601, want: true},
		{name: "half", ports: 1200, open: 600, want: false},
		{name: "an honest host with 300 open ports", ports: 300, open: 300, want: false},
		{name: "at the line", ports: 512, open: 512, want: false},
		{name: "over the line", ports: 513, open: 513, want: true},
		{name: "named by the owner", ports: 1024, open: 1024, declared: true, want: false},
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
				r.Record(scan.PortResult{Address: home, Port: p, State: scan.Open, Cause: scan.CauseHandshake})
			case !tc.unknownRemainder:
				r.Record(scan.PortResult{Address: home, Port: p, State: scan.Closed, Cause: scan.CauseRST})
			}
		}
		addresses, _, _ := r.Snapshot(scan.CauseDeadline)
		if got := addresses[0].Suspect(); got != tc.want {
			t.Errorf("%s: suspect %v, want %v", tc.name, got, tc.want)
		}
	}
}

// TestSuspectFew draws the other lines: of hosts with few open ports.
func TestSuspectFew(t *testing.T) {
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
		{name: "a tarpit that the owner named", others: closed, ports: map[uint16]scan.PortResult{1: window, 2: window, 3: window}, declared: []uint16{1, 2, 3}},
		{name: "a mail proxy", others: silent, ports: map[uint16]scan.PortResult{25: open, 110: open}, want: true},
		{name: "a mail server that the owner named", others: silent, ports: map[uint16]scan.PortResult{25: open, 110: open}, declared: []uint16{25, 110}},
		{name: "a mail server with one port named", others: silent, ports: map[uint16]scan.PortResult{25: open, 110: open}, declared: []uint16{25}},
		{name: "a mail server with more to it", others: silent, ports: map[uint16]scan.PortResult{25: open, 110: open, 143: open}},
		{name: "a mail server that refuses elsewhere", others: closed, ports: map[uint16]scan.PortResult{25: open, 110: open}},
		{name: "one refusal amid silence", others: silent, ports: map[uint16]scan.PortResult{25: open, 110: open, 80: closed}},
		{name: "one of the two", others: silent, ports: map[uint16]scan.PortResult{25: open}},
		{name: "hardly anything was scanned", others: silent, ports: map[uint16]scan.PortResult{25: open, 110: open}, fewer: true},
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
			one.Address, one.Port = home, p
			r.Record(one)
		}
		addresses, _, _ := r.Snapshot(scan.CauseDeadline)
		if got := addresses[0].Suspect(); got != tc.want {
			t.Errorf("%s: suspect %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestResponding(t *testing.T) {
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
		r.Record(scan.PortResult{Address: home, Port: 1, State: state, Cause: cause})
		addresses, _, _ := r.Snapshot(scan.CauseDeadline)
		if got := addresses[0].Responding(); got != want {
			t.Errorf("after %v: responding %v, want %v", cause, got, want)
		}
	}
}

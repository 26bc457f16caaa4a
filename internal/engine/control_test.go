// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// hostScanner is a [scan.Scanner] for simulated hosts. It reports the state that answer returns
// for each attempt, in random order.
type hostScanner struct {
	answer func(port uint16, attempt int) scan.State

	mu       sync.Mutex
	attempts map[uint16]int
	err      error
}

func (h *hostScanner) Scan(_ context.Context, req scan.Request, report func(scan.PortResult)) error {
	if err := req.Check(); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	ports := req.Plan().Ports()
	for _, a := range req.Addresses() {
		for _, i := range rand.Perm(ports.Len()) {
			port := ports.At(i)
			h.attempts[port]++
			r := scan.PortResult{Address: a.IP, Port: port, State: h.answer(port, h.attempts[port]), RTT: time.Millisecond, Attempts: 1, LastResponse: time.Now()}
			r.Cause = map[scan.State]scan.Cause{
				scan.Open: scan.CauseHandshake, scan.Closed: scan.CauseRST, scan.Filtered: scan.CauseSilence, scan.Unknown: scan.CauseDeadline,
			}[r.State]
			report(r)
		}
	}
	return h.err
}

// scanControlled scans a simulated host, and returns its result and the number of attempts by
// port.
func scanControlled(t *testing.T, spec scan.Spec, answer func(port uint16, attempt int) scan.State) (scan.AddressResult, map[uint16]int) {
	t.Helper()
	h := &hostScanner{answer: answer, attempts: make(map[uint16]int)}
	req := testRequest(t, spec, target4)
	recorder, err := scan.NewRecorder(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := WithControl(h).Scan(t.Context(), req, recorder.Record); err != nil {
		t.Fatal(err)
	}
	results, attempts, _ := recorder.Snapshot(scan.CauseInternal)
	sum := 0
	for _, n := range h.attempts {
		sum += n
	}
	if attempts != sum {
		t.Errorf("recorded attempts = %d, want %d", attempts, sum)
	}
	return results[0], h.attempts
}

// withoutPlan returns the ports that are not part of the plan.
func withoutPlan(attempts map[uint16]int, spec scan.Spec) (others []uint16) {
	for port := range attempts {
		if !spec.Ports.Contains(port) {
			others = append(others, port)
		}
	}
	return others
}

// TestControlPorts requires that control ports are tried on an address on which every known
// port is open, and on no other.
func TestControlPorts(t *testing.T) {
	t.Parallel()
	states := func(first, second, others scan.State) func(uint16, int) scan.State {
		return func(port uint16, _ int) scan.State {
			switch port {
			case 1:
				return first
			case 2:
				return second
			default:
				return others
			}
		}
	}
	for name, tc := range map[string]struct {
		answer  func(uint16, int) scan.State
		count   int // value of control_ports
		want    int // number of control ports that are tried
		suspect scan.Suspicion
	}{
		"all open":               {states(scan.Open, scan.Open, scan.Open), 2, 2, scan.ByControlPorts},
		"known open":             {states(scan.Open, scan.Unknown, scan.Open), 3, 3, scan.ByControlPorts},
		"control ports closed":   {states(scan.Open, scan.Open, scan.Closed), 2, 2, scan.NotSuspect},
		"control ports silent":   {states(scan.Open, scan.Open, scan.Filtered), 2, 2, scan.NotSuspect},
		"control ports unknown":  {states(scan.Open, scan.Open, scan.Unknown), 2, 2, scan.NotSuspect},
		"one closed":             {states(scan.Open, scan.Closed, scan.Open), 2, 0, scan.NotSuspect},
		"one filtered":           {states(scan.Open, scan.Filtered, scan.Open), 2, 0, scan.NotSuspect},
		"none known":             {states(scan.Unknown, scan.Unknown, scan.Open), 2, 0, scan.NotSuspect},
		"control ports disabled": {states(scan.Open, scan.Open, scan.Open), 0, 0, scan.NotSuspect},
	} {
		spec := testSpec("1-2")
		spec.ControlPorts, spec.Expect = tc.count, &scan.Expectation{Open: scan.NewPortSet(1, 2)}
		a, attempts := scanControlled(t, spec, tc.answer)
		if got := withoutPlan(attempts, spec); len(got) != tc.want || a.SuspectedBy() != tc.suspect {
			t.Errorf("%s: tried %v and suspected by %q, want %d ports and %q", name, got, a.SuspectedBy(), tc.want, tc.suspect)
		}
	}
}

// TestControlPortsUDP requires that UDP scans try no control ports.
func TestControlPortsUDP(t *testing.T) {
	t.Parallel()
	spec := testSpec("53")
	spec.Protocol = scan.UDP
	_, attempts := scanControlled(t, spec, func(uint16, int) scan.State { return scan.Open })
	if got := withoutPlan(attempts, spec); len(got) > 0 {
		t.Errorf("tried %v, want none", got)
	}
}

// TestControlPortsChoice requires that control ports are neither part of the plan nor excluded
// or declared, even if few ports are left.
func TestControlPortsChoice(t *testing.T) {
	t.Parallel()
	set := func(text string) scan.PortSet {
		ports, err := scan.ParsePortSet(text)
		if err != nil {
			t.Fatal(err)
		}
		return ports
	}
	spec := testSpec("1-1023,40000-60999")
	spec.ControlPorts = 4
	spec.Exclude = set("2000-39999")
	spec.Expect = &scan.Expectation{Open: set("61000-65535"), Allow: set("1024-1996")}
	if got := controlPorts(spec); got.String() != "1997-1999" {
		t.Errorf("controlPorts() = %v, want 1997-1999", got)
	}
	spec = testSpec("1-1000")
	spec.ControlPorts = 2
	first := controlPorts(spec)
	for range 50 {
		if got := controlPorts(spec); !got.Equal(first) && got.Len() == 2 && got.Minus(set(controlRange)).IsEmpty() {
			return
		}
	}
	t.Errorf("controlPorts() = %v each time, want random ports in %s", first, controlRange)
}

// TestControlSYNProxyAtRate scans hosts with 20 services behind a SYN proxy that starts during
// the scan and answers for a quarter of the ports. Afterwards it is on, off, or on for half of
// the SYNs. Open ports must have at most one further attempt. A host without the proxy must
// not be suspect.
func TestControlSYNProxyAtRate(t *testing.T) {
	t.Parallel()
	const scans, ports, start = 500, 1000, 735
	for name, tc := range map[string]struct {
		proxied func() bool // afterwards
		during  bool
		missed  int // maximum number of scans
	}{
		"on":     {func() bool { return true }, true, 0},
		"off":    {func() bool { return false }, true, 1},
		"half":   {func() bool { return rand.IntN(2) == 0 }, true, scans / 50},
		"honest": {func() bool { return false }, false, scans},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := 0
			for range scans {
				syns, open := 0, make(map[uint16]bool)
				a, attempts := scanControlled(t, testSpec("1-1000"), func(port uint16, _ int) scan.State {
					syns++
					if port%50 == 22 || tc.during && syns > start && (syns <= ports || tc.proxied()) {
						open[port] = open[port] || syns <= ports
						return scan.Open
					}
					return scan.Closed
				})
				for port := range open {
					if attempts[port] > 2 {
						t.Fatalf("attempts at open port %d = %d, want at most 2", port, attempts[port])
					}
				}
				switch a.SuspectedBy() {
				case scan.ByTurnedPorts:
					found++
				case scan.NotSuspect:
				default:
					t.Fatalf("SuspectedBy() = %v, want %v", a.SuspectedBy(), scan.ByTurnedPorts)
				}
			}
			if !tc.during && found > 0 || tc.during && scans-found > tc.missed {
				t.Errorf("suspect in %d of %d scans, want all but %d", found, scans, tc.missed)
			}
		})
	}
}

// TestControlOpenAttempts requires that open ports are not tried again if max_open_attempts does
// not permit it.
func TestControlOpenAttempts(t *testing.T) {
	t.Parallel()
	spec := testSpec("1-100")
	spec.MaxOpenAttempts = 1
	_, attempts := scanControlled(t, spec, func(port uint16, _ int) scan.State {
		if port%2 == 0 {
			return scan.Open
		}
		return scan.Closed
	})
	for port, n := range attempts {
		if port%2 == 0 && n > 1 {
			t.Errorf("attempts at open port %d = %d, want 1", port, n)
		}
	}
}

// TestControlError requires that no control port is tried after an error or the end of the
// context, and that a scanner's error is returned.
func TestControlError(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for ctx, want := range map[context.Context]error{t.Context(): broken, ended: nil} {
		h := &hostScanner{answer: func(uint16, int) scan.State { return scan.Open }, attempts: make(map[uint16]int), err: want}
		err := WithControl(h).Scan(ctx, testRequest(t, testSpec("1-2"), target4), func(scan.PortResult) {})
		if !errors.Is(err, want) || len(h.attempts) != 2 {
			t.Errorf("Scan() = %v after attempts at %d ports, want %v after 2", err, len(h.attempts), want)
		}
	}
	if err := WithControl(&hostScanner{}).Scan(t.Context(), scan.Request{}, nil); !errors.Is(err, scan.ErrUncheckedRequest) {
		t.Errorf("Scan(unchecked request) = %v, want %v", err, scan.ErrUncheckedRequest)
	}
}

// TestControlSeveralAddresses requires that only addresses on which all ports are open get
// attempts at control ports.
func TestControlSeveralAddresses(t *testing.T) {
	t.Parallel()
	other := netip.MustParseAddr("192.0.2.77")
	tried := make(map[netip.Addr]int)
	s := scanFunc(func(req scan.Request, report func(scan.PortResult)) {
		for _, a := range req.Addresses() {
			for port := range req.Plan().Ports().All() {
				r := scan.PortResult{Address: a.IP, Port: port, State: scan.Open, Cause: scan.CauseHandshake, Attempts: 1}
				if a.IP == other && port == 2 {
					r.State, r.Cause = scan.Closed, scan.CauseRST
				}
				report(r)
				tried[a.IP]++
			}
		}
	})
	if err := WithControl(s).Scan(t.Context(), testRequest(t, testSpec("1-2"), target4, other), func(scan.PortResult) {}); err != nil {
		t.Fatal(err)
	}
	if tried[target4] != 4 || tried[other] != 2 {
		t.Errorf("attempts = %v, want 4 at %v and 2 at %v", tried, target4, other)
	}
}

// TestControlUnresponsive requires that an address which has banned the scanner is not tried, even
// if all its known ports are open, or many.
func TestControlUnresponsive(t *testing.T) {
	t.Parallel()
	for name, known := range map[string]scan.PortSet{"control ports": {}, "ports again": scan.NewPortSet(41, 42)} {
		tried := 0
		s := scanFunc(func(req scan.Request, report func(scan.PortResult)) {
			tried += req.Plan().Ports().Len()
			for port := range req.Plan().Ports().All() {
				r := scan.PortResult{Address: target4, Port: port, State: scan.Open, Cause: scan.CauseHandshake, Attempts: 1}
				if port > 40 {
					r.State, r.Cause = scan.Unknown, scan.CauseUnresponsive
				}
				if known.Contains(port) {
					r.State, r.Cause = scan.Closed, scan.CauseRST
				}
				report(r)
			}
		})
		if err := WithControl(s).Scan(t.Context(), testRequest(t, testSpec("1-50"), target4), func(scan.PortResult) {}); err != nil {
			t.Fatal(err)
		}
		if tried != 50 {
			t.Errorf("%s: tried %d ports, want 50", name, tried)
		}
	}
}

// TestControlPortsMany requires that a large number of control ports is no work.
func TestControlPortsMany(t *testing.T) {
	t.Parallel()
	spec := testSpec("1-1000")
	spec.ControlPorts = 100_000
	if got := controlPorts(spec); got.String() != widerRange {
		t.Errorf("controlPorts() = %v, want %s", got, widerRange)
	}
}

// scanFunc implements [scan.Scanner].
type scanFunc func(req scan.Request, report func(scan.PortResult))

func (f scanFunc) Scan(_ context.Context, req scan.Request, report func(scan.PortResult)) error {
	f(req, report)
	return nil
}

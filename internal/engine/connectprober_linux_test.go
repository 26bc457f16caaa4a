// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/netip"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// testConnectProber returns a prober with one slot, and a function that makes an attempt and
// waits until its answer has arrived.
func testConnectProber(t *testing.T, addr netip.Addr) (s *connectProber, attempt func(port uint16) (slot int32)) {
	t.Helper()
	s, err := newConnectProber(&connectSystem{}, netip.Addr{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	slot, _ := s.open(slotFamily(addr))
	return s, func(port uint16) int32 {
		if cause := s.send(attemptID{slot: slot}, netip.AddrPortFrom(addr, port), attemptOptions{}); cause != scan.CauseNone {
			t.Fatalf("send() to port %d of %v = %v, want none", port, addr, cause)
		}
		time.Sleep(200 * time.Millisecond)
		return slot
	}
}

// lastVerdict returns the verdict of the prober's last completion, the zero value if it has none.
func lastVerdict(s *connectProber) (v verdict) {
	for more := true; more; {
		var ended []completion
		ended, more = s.wait(0, nil)
		for _, e := range ended {
			v = e.verdict
		}
	}
	return v
}

// TestConnectErrorBeforeDrop drops an attempt after an ICMP error for it has arrived: the next
// attempt with the same socket, to a port that refuses, must be closed (rst).
func TestConnectErrorBeforeDrop(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	testnet.Start(t, testnet.Host{Addrs: []netip.Addr{target4, target6}, Ports: map[string]testnet.Answer{"1000": testnet.RejectPort}, ICMPsPerSecond: -1})
	for _, addr := range []netip.Addr{target4, target6} {
		s, attempt := testConnectProber(t, addr)
		attempt(1000)
		if got := lastVerdict(s); got.cause != scan.CauseICMP {
			t.Errorf("verdict of the rejected port of %v = %v (%v), want cause icmp", addr, got.state, got.cause)
		}
		s.drop(attempt(1000))
		attempt(1001)
		if got := lastVerdict(s); got.cause != scan.CauseRST {
			t.Errorf("verdict of the next port of %v, which refuses, = %v (%v), want cause rst", addr, got.state, got.cause)
		}
	}
}

// TestConnectAnswerBeforeWait makes an attempt for each kind of answer, which arrives after
// connect() has returned and before the prober waits: the verdict must be right.
func TestConnectAnswerBeforeWait(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	answers := map[uint16]testnet.Answer{1: testnet.RejectPort, 2: testnet.RejectHost, 3: testnet.RejectAdmin, 4: testnet.Refuse, 5: testnet.Accept, 6: testnet.AcceptReset, 7: testnet.Drop}
	remote6 := netip.MustParseAddr("2001:db8:7::7")
	testnet.StartSimulation(t, testnet.Simulation{
		Prefixes: []netip.Prefix{netip.PrefixFrom(remote4, 32), netip.PrefixFrom(remote6, 128)},
		Reply: func(_ netip.Addr, port uint16, _ int) testnet.Reply {
			return testnet.Reply{Answer: answers[port], Delay: 30 * time.Millisecond}
		},
	})
	for _, addr := range []netip.Addr{remote4, remote6} {
		for port, answer := range answers {
			s, attempt := testConnectProber(t, addr)
			attempt(port)
			got := lastVerdict(s)
			want := answer.State()
			if answer == testnet.Drop {
				want = scan.Unknown // no answer has arrived
			}
			if got.state != want || (got.cause == scan.CauseICMP) != (want == scan.Filtered) {
				t.Errorf("verdict of %v for %v = %v (%v), want %v", addr, answer, got.state, got.cause, want)
			}
		}
	}
}

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

// oneSocket returns a line with one slot, and a function that makes an attempt
// and gives whatever comes of it the time to come.
func oneSocket(t *testing.T, addr netip.Addr) (s *sockets, attempt func(port uint16) (slot int32)) {
	t.Helper()
	s, err := newSockets(&linux{}, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	slot, _ := s.open(slotFamily(addr))
	return s, func(port uint16) int32 {
		if cause := s.send(attemptID{slot: slot}, netip.AddrPortFrom(addr, port), 0); cause != scan.CauseNone {
			t.Fatalf("%v: %v", addr, cause)
		}
		time.Sleep(200 * time.Millisecond)
		return slot
	}
}

// whatCame returns what has come of the line's only attempt by now.
func whatCame(s *sockets) (v verdict) {
	for more := true; more; {
		var ended []ending
		ended, more = s.wait(0, nil)
		for _, e := range ended {
			v = e.verdict
		}
	}
	return v
}

// TestErrorOfAnotherPort drops an attempt just when an ICMP error for it has
// come: the next attempt with the same socket is not to blame.
func TestErrorOfAnotherPort(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	four, six := netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::10")
	testnet.Start(t, testnet.Host{Addrs: []netip.Addr{four, six}, Ports: map[string]testnet.Answer{"1000": testnet.RejectPort}, ICMPsPerSecond: -1})
	for _, addr := range []netip.Addr{four, six} {
		s, attempt := oneSocket(t, addr)
		attempt(1000)
		if got := whatCame(s); got.cause != scan.CauseICMP {
			t.Errorf("%v: the port that is rejected is %+v", addr, got)
		}
		s.drop(attempt(1000))
		attempt(1001)
		if got := whatCame(s); got.cause != scan.CauseRST {
			t.Errorf("%v: the port that refuses is %+v after one that was rejected", addr, got)
		}
	}
}

// TestAnswersBeforeTheFirstLook has each kind of answer come while nobody looks,
// neither connect() nor epoll: it ends the attempt, and is read all the same.
func TestAnswersBeforeTheFirstLook(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	answers := map[uint16]testnet.Answer{1: testnet.RejectPort, 2: testnet.RejectHost, 3: testnet.RejectAdmin, 4: testnet.Refuse, 5: testnet.Accept, 6: testnet.AcceptReset, 7: testnet.Drop}
	four, six := netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("2001:db8:7::7")
	testnet.StartSimulation(t, testnet.Simulation{
		Prefixes: []netip.Prefix{netip.PrefixFrom(four, 32), netip.PrefixFrom(six, 128)},
		Reply: func(_ netip.Addr, port uint16, _ int) testnet.Reply {
			return testnet.Reply{Answer: answers[port], Delay: 30 * time.Millisecond}
		},
	})
	for _, addr := range []netip.Addr{four, six} {
		for port, answer := range answers {
			s, attempt := oneSocket(t, addr)
			attempt(port)
			got := whatCame(s)
			want := answer.State()
			if answer == testnet.Drop {
				want = scan.Unknown // nothing has come
			}
			if got.state != want || (got.cause == scan.CauseICMP) != (want == scan.Filtered) {
				t.Errorf("%v, %v: %+v", addr, answer, got)
			}
		}
	}
}

// TestOwnResetsAreNotLate has connections that we reset, which is no sign of late
// answers; those that come after their attempt was dropped are.
func TestOwnResetsAreNotLate(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	four := netip.MustParseAddr("192.0.2.10")
	testnet.Start(t, testnet.Host{Addrs: []netip.Addr{four}, Ports: map[string]testnet.Answer{"1-200": testnet.Accept, "201-300": testnet.AcceptReset}})
	e := engines(t, Limits{})["epoll"]
	before, ok := e.system.late()
	if !ok {
		t.Fatal("late answers can't be told")
	}
	got := census(scanAll(t.Context(), t, e, testRequest(t, defaultSpec("1-1000"), four)))
	if got["open handshake"]+got["open handshake_reset"] != 300 || got["closed rst"] != 700 {
		t.Errorf("%v", got)
	}
	if after, _ := e.system.late(); after > before {
		t.Errorf("%d of our own resets read as late answers", after-before)
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// simulatedAnswers returns answers that kernels do not give, with the behavior for a client.
func simulatedAnswers() map[testnet.Answer]string {
	return map[testnet.Answer]string{
		testnet.ForgedAccept:    "silent",
		testnet.ForgedReset:     "silent",
		testnet.BrokenAccept:    "silent",
		testnet.ZeroWindow:      "accepted, then held",
		testnet.AcceptThenReset: "accepted, then reset",
	}
}

// TestSimulationSpecialAnswers checks the simulated packets with the kernel's connections.
func TestSimulationSpecialAnswers(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	far := simulateTCP(t, func(_ netip.Addr, port uint16, _ int) testnet.Reply {
		return testnet.Reply{Answer: testnet.Answer(port - 1000)}
	})
	var wait sync.WaitGroup
	for _, to := range both() {
		for answer, want := range simulatedAnswers() {
			wait.Go(func() {
				if got := observe(t, to, 1000+uint16(answer)); got != want {
					t.Errorf("%v, %v: got %s, want %s", to, answer, got, want)
				}
			})
		}
	}
	wait.Wait()
	attempts := make(map[testnet.Answer]int)
	for answer, want := range simulatedAnswers() {
		for _, to := range both() {
			n := far.Attempts(to, 1000+uint16(answer))
			if silent := want == "silent"; silent != (n > 1) || n == 0 { // the kernel retries after at most a second
				t.Errorf("Attempts(%v, %v) = %d", to, answer, n)
			}
			attempts[answer] += n
		}
	}
	n := far.Counts()
	accepts := attempts[testnet.ForgedAccept] + attempts[testnet.BrokenAccept] + attempts[testnet.ZeroWindow] + attempts[testnet.AcceptThenReset]
	resets := attempts[testnet.ForgedReset] + attempts[testnet.AcceptThenReset]
	if n.SYNACKsOut != accepts || n.RSTsOut != resets || n.BrokenIn != 0 {
		t.Errorf("Counts() = %+v, want %d SYN+ACKs and %d RSTs", n, accepts, resets)
	}
	for answer, want := range map[testnet.Answer]scan.State{
		testnet.ForgedAccept: scan.Filtered, testnet.ForgedReset: scan.Filtered, testnet.BrokenAccept: scan.Filtered,
		testnet.ZeroWindow: scan.Open, testnet.AcceptThenReset: scan.Open,
	} {
		if got := answer.State(); got != want {
			t.Errorf("%v.State() = %v, want %v", answer, got, want)
		}
	}
}

func TestSimulationZeroWindow(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	far := simulateTCP(t, func(netip.Addr, uint16, int) testnet.Reply { return testnet.Reply{Answer: testnet.ZeroWindow} })
	for _, to := range both() {
		conn, err := dial(t, to, 80, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("hello")); err != nil {
			t.Error(err)
		}
	}
	time.Sleep(100 * time.Millisecond)
	if n := far.Counts(); n.DataIn != 0 || n.ACKsIn < 2 {
		t.Errorf("Counts() = %+v", n)
	}
}

func TestSimulatorSourcesAndSequences(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	far := simulateTCP(t, func(netip.Addr, uint16, int) testnet.Reply { return testnet.Reply{Answer: testnet.Accept} })
	for _, to := range both() {
		var want []uint16
		for range 3 {
			conn, err := dial(t, to, 80, 5*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			want = append(want, netip.MustParseAddrPort(conn.LocalAddr().String()).Port())
		}
		if got := far.Sources(to, 80); !slices.Equal(got, want) {
			t.Errorf("Sources(%v) = %v, want %v", to, got, want)
		}
		if got := far.Sequences(to, 80); len(got) != 3 || got[0] == got[1] || got[1] == got[2] {
			t.Errorf("Sequences(%v) = %v, want three different numbers", to, got)
		}
	}
	conn := openRaw(t, both()[0])
	conn.syn(t, 81, 0)
	conn.syn(t, 81, 0)
	conn.answers(t)
	if a, b := far.Sources(both()[0], 81), far.Sequences(both()[0], 81); !slices.Equal(a, []uint16{61000, 61000}) || !slices.Equal(b, []uint32{0xfffffff0, 0xfffffff0}) {
		t.Errorf("Sources() = %v, Sequences() = %x", a, b)
	}
	if a, b := far.Sources(both()[0], 82), far.Sequences(both()[0], 82); len(a) != 0 || len(b) != 0 {
		t.Errorf("Sources(), Sequences() of an unused port = %v, %v, want none", a, b)
	}
}

// TestSimulationCopies answers a SYN many times, at once and at intervals.
func TestSimulationCopies(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	far := simulateTCP(t, func(_ netip.Addr, port uint16, _ int) testnet.Reply {
		if port == 80 {
			return testnet.Reply{Answer: testnet.Accept, Copies: 499}
		}
		return testnet.Reply{Answer: testnet.Accept, Copies: 499, Every: time.Millisecond, Delay: 10 * time.Millisecond}
	})
	conn := openRaw(t, both()[0])
	for port, least := range map[uint16]time.Duration{80: 0, 81: 509 * time.Millisecond} {
		started := time.Now()
		conn.syn(t, port, 0)
		if synacks, _ := conn.answers(t); synacks != 500 {
			t.Errorf("port %d: got %d SYN+ACKs, want 500", port, synacks)
		}
		if took := time.Since(started) - 200*time.Millisecond; took < least || took > least+200*time.Millisecond {
			t.Errorf("port %d: answers took %v, want at least %v", port, took, least)
		}
	}
	if n := far.Counts(); n.SYNACKsOut != 1000 || n.LostOut != 0 {
		t.Errorf("Counts() = %+v", n)
	}
	if got := observe(t, both()[1], 80); got != "accepted, then held" {
		t.Errorf("client of copied answers: got %s", got)
	}
}

func TestSendUnsolicited(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	far := simulateTCP(t, nil)
	from, ours := both()[0], netip.MustParseAddrPort("198.51.100.254:61000")
	conn := openRaw(t, from)
	far.SendUnsolicited(netip.AddrPortFrom(from, 0), ours, 100)
	far.SendUnsolicited(netip.AddrPortFrom(from, 443), ours, 100)
	sources, acks := make(map[uint16]int), make(map[uint32]bool)
	for segment := make([]byte, 100); ; {
		conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		n, _, err := conn.ReadFromIP(segment)
		if err != nil {
			break
		}
		if n == 20 && segment[13] == 0x12 && binary.BigEndian.Uint16(segment[2:]) == ours.Port() {
			sources[binary.BigEndian.Uint16(segment)]++
			acks[binary.BigEndian.Uint32(segment[8:])] = true
		}
	}
	if len(acks) != 200 || sources[443] < 100 || len(sources) < 80 {
		t.Errorf("got %d acknowledgment numbers from %d ports, and %d from 443", len(acks), len(sources), sources[443])
	}
	// The kernel accepts them as intact SYN+ACKs.
	n := far.Counts()
	for range 100 {
		if n = far.Counts(); n.RSTsIn >= 200 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if n.SYNACKsOut != 200 || n.RSTsIn != 200 || n.SYNsIn != 0 {
		t.Errorf("Counts() = %+v", n)
	}
	far.SendUnsolicited(netip.AddrPortFrom(both()[1], 443), netip.MustParseAddrPort("[2001:db8:ffff::fe]:61000"), 10)
	time.Sleep(20 * time.Millisecond)
	if n := far.Counts(); n.RSTsIn != 210 {
		t.Errorf("IPv6: Counts() = %+v", n)
	}
	if _, err := (&net.Dialer{Timeout: 100 * time.Millisecond}).DialContext(t.Context(), "tcp", netip.AddrPortFrom(from, 80).String()); err == nil {
		t.Error("connecting to a port without a reply succeeded")
	}
}

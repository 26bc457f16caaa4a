// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"portscan_exporter/internal/testnet"
)

// simulateTCP simulates the prefixes of [both] for TCP.
func simulateTCP(t *testing.T, reply func(netip.Addr, uint16, int) testnet.Reply) *testnet.Simulator {
	t.Helper()
	return testnet.StartSimulation(t, testnet.Simulation{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/48")},
		Reply:    reply,
	})
}

// TestSimulationAnswers checks the simulated packets with the kernel's connections.
func TestSimulationAnswers(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	look := make(map[uint16]testnet.Answer)
	for _, answer := range testnet.Answers() {
		look[1000+uint16(answer)] = answer
	}
	far := simulateTCP(t, func(_ netip.Addr, port uint16, _ int) testnet.Reply { return testnet.Reply{Answer: look[port]} })
	observeAll(t, look)
	n := far.Counts()
	if n.BrokenIn != 0 || n.SYNACKsOut != 6 || n.RSTsOut < 6 || n.ICMPsOut < 6 || n.FINsIn != 4 {
		t.Errorf("Counts() = %+v", n)
	}
	if got := far.Attempts(both()[0], 1000); got != 1 {
		t.Errorf("Attempts() of a closed port = %d, want 1", got)
	}
	if got := far.Attempts(both()[1], 1004); got < 2 {
		t.Errorf("Attempts() of a silent port = %d, want retries of the kernel", got)
	}
}

func TestSimulationClose(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	far := simulateTCP(t, func(_ netip.Addr, port uint16, _ int) testnet.Reply {
		return map[uint16]testnet.Reply{22: {Answer: testnet.Accept}, 80: {Answer: testnet.AcceptClose}}[port]
	})
	for _, to := range both() {
		for _, port := range []uint16{22, 80} {
			conn, err := dial(t, to, port, time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Write([]byte("hello")); err != nil {
				t.Error(err)
			}
			conn.(*net.TCPConn).CloseWrite()
			if got := observeConn(conn); got != "closed" {
				t.Errorf("%v port %d: got %s after both sides have closed", to, port, got)
			}
			conn.Close()
		}
	}
	n := far.Counts()
	for range 100 { // until the last segments are received
		if n = far.Counts(); n.FINsIn == 4 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if n.FINsIn != 4 || n.RSTsIn != 0 || n.DataIn != 4 {
		t.Errorf("Counts() = %+v", n)
	}
}

func TestSimulationDelay(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	simulateTCP(t, func(_ netip.Addr, port uint16, _ int) testnet.Reply {
		return testnet.Reply{Delay: time.Duration(port) * time.Millisecond}
	})
	// Earlier packets have longer delays, so that each overtakes all before it.
	var (
		wait  sync.WaitGroup
		mu    sync.Mutex
		order []uint16
	)
	for _, port := range []uint16{450, 350, 250, 150, 50} {
		wait.Go(func() {
			started := time.Now()
			got := observe(t, both()[port/50%2], port)
			took := time.Since(started)
			if least := time.Duration(port) * time.Millisecond; got != "refused" || took < least || took > least+100*time.Millisecond {
				t.Errorf("got %s after %v, want refused after %v", got, took, least)
			}
			mu.Lock()
			defer mu.Unlock()
			order = append(order, port)
		})
	}
	wait.Wait()
	if got := fmt.Sprint(order); got != "[50 150 250 350 450]" {
		t.Errorf("got answers in order %s", got)
	}
}

func TestSimulatorCounts(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	far := simulateTCP(t, func(_ netip.Addr, port uint16, attempt int) testnet.Reply {
		switch {
		case attempt < 3:
			return testnet.Reply{Answer: testnet.Drop}
		case port == 22:
			return testnet.Reply{Answer: testnet.Accept, Copies: 2}
		default:
			return testnet.Reply{Copies: 4, Delay: 10 * time.Millisecond}
		}
	})
	to := both()[0]
	conn := openRaw(t, to)
	for range 3 {
		conn.syn(t, 22, 0)
		conn.syn(t, 23, 0)
		conn.syn(t, 24, 1)
	}
	if synacks, resets := conn.answers(t); synacks != 3 || resets != 5 {
		t.Errorf("got %d SYN+ACKs and %d RSTs, want 3 and 5", synacks, resets)
	}
	for port, want := range map[uint16]int{22: 3, 23: 3, 24: 0, 25: 0} {
		if got := far.Attempts(to, port); got != want {
			t.Errorf("Attempts(%d) = %d, want %d", port, got, want)
		}
	}
	n := far.Counts()
	if n.SYNsIn != 6 || n.BrokenIn != 3 || n.SYNACKsOut != 3 || n.RSTsOut != 5 {
		t.Errorf("Counts() = %+v", n)
	}
	if n.RSTsIn != 3 { // by the kernel, which has no connection
		t.Errorf("got %d RSTs, want one per SYN+ACK", n.RSTsIn)
	}
}

func TestSimulationErrorFromRouter(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	router := addr("203.0.113.9")
	simulateTCP(t, func(netip.Addr, uint16, int) testnet.Reply {
		return testnet.Reply{Answer: testnet.RejectHost, From: router}
	})
	errors, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "ip4:icmp", "0.0.0.0")
	if err != nil {
		t.Fatal(err)
	}
	defer errors.Close()
	if got := observe(t, both()[0], 80); got != "host unreachable" {
		t.Error(got)
	}
	packet := make([]byte, 1500)
	errors.SetReadDeadline(time.Now().Add(time.Second))
	n, from, err := errors.ReadFrom(packet)
	if err != nil || from.String() != router.String() || n < 8+20+8 || packet[0] != 3 || packet[1] != 1 {
		t.Errorf("got % x from %v, %v", packet[:n], from, err)
	}
}

func TestSimulationFullQueue(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	far := testnet.StartSimulation(t, testnet.Simulation{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")},
		Reply:    func(netip.Addr, uint16, int) testnet.Reply { return testnet.Reply{Delay: 500 * time.Millisecond} },
		Queue:    10,
	})
	conn := openRaw(t, addr("192.0.2.1"))
	conn.flood(t, 100)
	time.Sleep(600 * time.Millisecond)
	if _, resets := conn.answers(t); resets != 10 {
		t.Errorf("got %d RSTs, want 10", resets)
	}
	if n := far.Counts(); n.SYNsIn != 100 || n.LostOut != 90 {
		t.Errorf("Counts() = %+v", n)
	}
}

// TestSimulationFlood sends as many SYNs as fit into the device's queue.
func TestSimulationFlood(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	const sent = 15_000
	far := simulateTCP(t, func(netip.Addr, uint16, int) testnet.Reply { return testnet.Reply{Delay: 5 * time.Millisecond} })
	conn := openRaw(t, addr("192.0.2.1"))
	answered := testnet.MeasureWithoutDrops(t, func() int {
		before := far.Counts().RSTsOut
		started := time.Now()
		for range sent {
			conn.syn(t, 80, 0)
		}
		for far.Counts().RSTsOut < before+sent && time.Since(started) < 5*time.Second {
			time.Sleep(time.Millisecond)
		}
		t.Logf("%.0f packets per second", sent/time.Since(started).Seconds())
		return far.Counts().RSTsOut - before
	})
	if answered != sent {
		t.Errorf("sent %d SYNs, got %d answers", sent, answered)
	}
}

func TestMeasureWithoutDropsRepeats(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	runs := 0
	got := testnet.MeasureWithoutDrops(t, func() int {
		runs++
		if runs == 1 {
			dropPacket(t)
		}
		return runs
	})
	if got != 2 || runs != 2 {
		t.Errorf("got %d runs and the result of run %d", runs, got)
	}
	losses := testnet.WatchDrops(t)
	dropPacket(t)
	// Some kernels also count the packet as dropped by the other end.
	if got, want := losses.Increase(t), "interface outside of the scanner sent: 1"; !strings.HasSuffix(got, want) {
		t.Errorf("Increase() = %q, want %q", got, want)
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// TestHome scans addresses of this very machine, whose every port's state is
// known.
func TestHome(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	testnet.AddAddress(t, home, home6)
	testnet.Filter(t, `table inet truth { chain in { type filter hook input priority 0 ;
		tcp flags syn tcp dport 100-119 drop
		tcp flags syn tcp dport 120 reject with tcp reset
		tcp flags syn tcp dport 121 reject with icmpx port-unreachable
		tcp flags syn tcp dport 122 reject with icmpx host-unreachable
	}
	}
	`)
	for _, addr := range []netip.Addr{home, home6} {
		listen(t, addr, 22, hold)
		listen(t, addr, 80, func(c net.Conn) { _ = c.Close() })
		listen(t, addr, 81, hangUp) // accepted, and reset at once
		listen(t, addr, 110, hold)  // behind the filter
	}
	want := func(port uint16) string {
		switch {
		case port == 22 || port == 80 || port == 81:
			return "open"
		case port >= 100 && port <= 119:
			return "filtered"
		case port == 121:
			// Linux may hold an ICMP error back until its own retransmission,
			// and what it then says of this one is what it says of a RST.
			return "closed filtered"
		case port == 122:
			// The same; and from our own network it can't be told from a
			// neighbour that does not resolve.
			return "unknown filtered"
		default:
			return "closed"
		}
	}
	withEach(t, Limits{}, func(t *testing.T, e *Engine) {
		t.Helper()
		for at, r := range scanAll(t.Context(), t, e, testRequest(t, testSpec("1-2000"), home, home6)) {
			allowed := strings.Fields(want(at.Port()))
			if t.Name() != "TestHome/dial" {
				allowed = allowed[len(allowed)-1:] // it reads the error queue
			}
			if got := r.State.String(); !slices.Contains(allowed, got) {
				t.Errorf("%v is %s (%v), want %v", at, got, r.Cause, allowed)
			}
			if answered := r.Cause.Answered(); answered != (r.RTT > 0) {
				t.Errorf("%v: cause %v with a response time of %v", at, r.Cause, r.RTT)
			}
		}
	})
}

// TestLeavesNothingBehind counts what a scan of an open port costs the host: no
// byte, no connection that lingers.
func TestLeavesNothingBehind(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	testnet.AddAddress(t, home)
	got := make(chan int64, 10)
	listen(t, home, 22, func(c net.Conn) {
		n, _ := io.Copy(io.Discard, c)
		_ = c.Close()
		got <- n
	})
	withEach(t, Limits{}, func(t *testing.T, e *Engine) {
		t.Helper()
		if t.Name() == "TestLeavesNothingBehind/syn" {
			return // it never connects; see TestHalfOpen
		}
		for range 5 {
			scanAll(t.Context(), t, e, testRequest(t, testSpec("22"), home))
			if n := <-got; n != 0 {
				t.Errorf("the service was sent %d bytes", n)
			}
		}
		const timeWait, established = " 06 ", " 01 "
		table, err := os.ReadFile("/proc/self/net/tcp")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(table), timeWait) || strings.Contains(string(table), established) {
			t.Errorf("connections are left:\n%s", table)
		}
	})
}

// TestDarkHost counts what an address that never answers is sent.
func TestDarkHost(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	testnet.DefaultRoute(t)
	far := netip.MustParseAddr("203.0.113.1")
	counter := testnet.CountTo(t, far)
	withEach(t, Limits{}, func(t *testing.T, e *Engine) {
		t.Helper()
		before := counter.Packets(t, far)
		got := census(scanAll(t.Context(), t, e, testRequest(t, testSpec("1-300"), far)))
		if got["filtered silence"] != 300 {
			t.Errorf("a dark host reads as %v", got)
		}
		if n := counter.Packets(t, far) - before; n != 600 {
			t.Errorf("%d packets were sent, want 600: each port tried once more", n)
		}
	})
}

// TestSelfConnect scans closed ports that are the very ones the system picks its
// source ports from: a connection of a socket with itself is no open port, and
// is tried again.
func TestSelfConnect(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	testnet.AddAddress(t, home)
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("40000 40015"), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := testSpec("40000-40015")
	spec.MaxInFlight = 1
	withEach(t, Limits{}, func(t *testing.T, e *Engine) {
		t.Helper()
		again := 0
		for range 50 {
			for at, r := range scanAll(t.Context(), t, e, testRequest(t, spec, home)) {
				if r.State != scan.Closed {
					t.Fatalf("%v is %v (%v), and nothing listens there", at, r.State, r.Cause)
				}
				again += r.Attempts - 1
			}
		}
		if t.Name() == "TestSelfConnect/epoll" && again == 0 { // a net.Dialer has some of it done for it
			t.Error("no connection met itself, so nothing was tested")
		}
	})
}

// TestComesHome ends a scan of silent ports early: it returns soon, and leaves
// no goroutine and no descriptor.
func TestComesHome(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	testnet.DefaultRoute(t)
	spec := testSpec("1-9000")
	spec.PortTimeout = time.Minute
	withEach(t, Limits{}, func(t *testing.T, e *Engine) {
		t.Helper()
		ignore := goleak.IgnoreCurrent()
		before := descriptors(t)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(300*time.Millisecond, cancel)
		got := census(scanAll(ctx, t, e, testRequest(t, spec, netip.MustParseAddr("203.0.113.1"))))
		if got["unknown deadline"] != 9000 {
			t.Errorf("cut short: %v", got)
		}
		e.Close() // gives back what it keeps for the next scan
		if after := descriptors(t); after > before {
			t.Errorf("%d descriptors were open before, and %d after", before, after)
		}
		goleak.VerifyNone(t, ignore)
	})
}

// descriptors counts this process's.
func descriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

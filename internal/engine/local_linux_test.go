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

// TestScanOwnAddresses scans two addresses of this machine, with listeners and an input
// filter: the state of each port must be right, and exactly the ports that answered must have
// a response time.
func TestScanOwnAddresses(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	testnet.AddAddress(t, own4, own6)
	testnet.Filter(t, `table inet truth { chain in { type filter hook input priority 0 ;
		tcp flags syn tcp dport 100-119 drop
		tcp flags syn tcp dport 120 reject with tcp reset
		tcp flags syn tcp dport 121 reject with icmpx port-unreachable
		tcp flags syn tcp dport 122 reject with icmpx host-unreachable
	}
	}
	`)
	for _, addr := range []netip.Addr{own4, own6} {
		serveTCP(t, addr, 22, discardData)
		serveTCP(t, addr, 80, func(c net.Conn) { _ = c.Close() })
		serveTCP(t, addr, 81, hangUp)       // accepts, and resets at once
		serveTCP(t, addr, 110, discardData) // behind the filter
	}
	want := func(port uint16) string {
		switch {
		case port == 22 || port == 80 || port == 81:
			return "open"
		case port >= 100 && port <= 119:
			return "filtered"
		case port == 121:
			// Linux may delay an ICMP error until it retransmits the SYN, and then
			// returns the same error as for a RST.
			return "closed filtered"
		case port == 122:
			// As above. On an own network it is the same error as that of a neighbor
			// that does not resolve.
			return "unknown filtered"
		default:
			return "closed"
		}
	}
	withEach(t, Limits{}, func(t *testing.T, e *Engine) {
		t.Helper()
		for at, r := range scanAll(t.Context(), t, e, testRequest(t, testSpec("1-2000"), own4, own6)) {
			allowed := strings.Fields(want(at.Port()))
			if t.Name() != "TestScanOwnAddresses/dial" {
				allowed = allowed[len(allowed)-1:] // the engine reads the error queue
			}
			if got := r.State.String(); !slices.Contains(allowed, got) {
				t.Errorf("state of %v = %s (%v), want one of %v", at, got, r.Cause, allowed)
			}
			if answered := r.Cause.Answered(); answered != (r.RTT > 0) {
				t.Errorf("response time of %v (%v) = %v, want one: %v", at, r.Cause, r.RTT, answered)
			}
		}
	})
}

// TestScanClosesConnections scans an open port of this machine: the service must receive no
// data, and afterwards the kernel must have no connection, in the state TIME-WAIT neither.
func TestScanClosesConnections(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	testnet.AddAddress(t, own4)
	got := make(chan int64, 10)
	serveTCP(t, own4, 22, func(c net.Conn) {
		n, _ := io.Copy(io.Discard, c)
		_ = c.Close()
		got <- n
	})
	withEach(t, Limits{}, func(t *testing.T, e *Engine) {
		t.Helper()
		if t.Name() == "TestScanClosesConnections/syn" {
			return // it never connects; see TestSYNHalfOpen
		}
		for range 5 {
			scanAll(t.Context(), t, e, testRequest(t, testSpec("22"), own4))
			if n := <-got; n != 0 {
				t.Errorf("bytes received by the service = %d, want 0", n)
			}
		}
		const timeWait, established = " 06 ", " 01 "
		table, err := os.ReadFile("/proc/self/net/tcp")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(table), timeWait) || strings.Contains(string(table), established) {
			t.Errorf("connections after the scan, want none:\n%s", table)
		}
	})
}

// TestScanDarkHost scans an address that never answers: all ports must be filtered, with two
// packets for each.
func TestScanDarkHost(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	testnet.DefaultRoute(t)
	dark := netip.MustParseAddr("203.0.113.1")
	counter := testnet.CountTo(t, dark)
	withEach(t, Limits{}, func(t *testing.T, e *Engine) {
		t.Helper()
		before := counter.Packets(t, dark)
		got := census(scanAll(t.Context(), t, e, testRequest(t, testSpec("1-300"), dark)))
		if got["filtered silence"] != 300 {
			t.Errorf("states = %v, want 300 filtered (silence)", got)
		}
		if n := counter.Packets(t, dark) - before; n != 600 {
			t.Errorf("packets to the host = %d, want 600: one retry for each port", n)
		}
	})
}

// TestScanSelfConnect scans closed ports of this machine that are also its ephemeral ports, so
// that sockets connect to themselves. The engine must retry such an attempt and report the
// port as closed.
func TestScanSelfConnect(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	testnet.AddAddress(t, own4)
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("40000 40015"), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := testSpec("40000-40015")
	spec.MaxInFlight = 1
	all := engines(t, Limits{})
	// A self-connection of a net.Dialer leaves the port in TIME_WAIT, so that it cannot have another.
	for _, name := range []string{"connect", "syn", "dial"} {
		t.Run(name, func(t *testing.T) {
			ports := 0
			for range 50 {
				for at, r := range scanAll(t.Context(), t, all[name], testRequest(t, spec, own4)) {
					if r.State != scan.Closed {
						t.Fatalf("state of %v = %v (%v), want closed", at, r.State, r.Cause)
					}
					ports++
				}
			}
			retries := int(all[name].budget.Stats().TCPAttempts) - ports
			if name == "connect" && retries == 0 { // a net.Dialer retries some itself
				t.Error("retries = 0, want some: no socket connected to itself, so the test tests nothing")
			}
		})
	}
}

// TestCancelReleasesResources cancels a scan of silent ports: all ports must be unknown for
// lack of time. When the engine is closed, no goroutine and no descriptor of it may be left.
func TestCancelReleasesResources(t *testing.T) {
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
			t.Errorf("states = %v, want 9000 unknown (deadline)", got)
		}
		e.Close() // releases sockets that it keeps for the next scan
		if after := descriptors(t); after > before {
			t.Errorf("open descriptors after the scan = %d, want at most %d, as before", after, before)
		}
		goleak.VerifyNone(t, ignore)
	})
}

// descriptors returns the number of open descriptors of this process.
func descriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

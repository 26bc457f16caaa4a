// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"portscan_exporter/internal/engine/payload"
	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// TestUDPSecondDatagramNotSent scans port 500, whose attempts have two datagrams: a filter
// drops the second one, and the first one is answered with an ICMP error. Only port 500 must
// be closed. The ports whose attempts use the same slot next must not be.
func TestUDPSecondDatagramNotSent(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	testnet.AddAddress(t, own4)
	const udpHeader = 8
	testnet.Filter(t, fmt.Sprintf(`table inet second { chain out { type filter hook output priority 0 ;
		udp dport 500 udp length %d drop
	}
	}
	`, len(payload.ForPort(500)[1].Data)+udpHeader))
	const first, last = 600, 639
	for port := first; port <= last; port++ {
		listenSilently(t, netip.AddrPortFrom(own4, uint16(port)))
	}
	e, err := NewUDP(testBudget(t, Limits{}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
	defer cancel()
	for at, r := range scanAll(ctx, t, e, testRequest(t, udpSpec(fmt.Sprintf("500,%d-%d", first, last)), own4)) {
		switch {
		case at.Port() == 500 && r.State != scan.Closed:
			t.Errorf("state of %v = %v (%v), want closed", at, r.State, r.Cause)
		case at.Port() != 500 && r.State != scan.OpenFiltered && r.State != scan.Unknown:
			t.Errorf("state of %v = %v (%v), want open_filtered or unknown: its listener never answers", at, r.State, r.Cause)
		}
	}
}

// TestUDPAttemptsPartlySent scans the same port of another host. The datagrams that were sent must
// count, the dropped ones must not.
func TestUDPAttemptsPartlySent(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{target4}, UDP: map[string]testnet.UDPAnswer{"500": testnet.UDPDrop}})[0]
	const udpHeader = 8
	testnet.Filter(t, fmt.Sprintf("table inet second { chain out { type filter hook output priority 0 ; udp dport 500 udp length %d drop\n}\n}\n",
		len(payload.ForPort(500)[1].Data)+udpHeader))
	e, err := NewUDP(testBudget(t, Limits{}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	attempts := 0
	if err := e.Scan(ctx, testRequest(t, udpSpec("500,600"), target4), func(r scan.PortResult) { attempts += r.Attempts }); err != nil {
		t.Fatal(err)
	}
	if n := host.Counts(t).UDPIn; n < 3 || attempts != n || int(e.budget.Stats().UDPAttempts) != n {
		t.Errorf("datagrams received = %d, reported = %d, counted = %d, want the same, at least 3", n, attempts, e.budget.Stats().UDPAttempts)
	}
}

// listenSilently listens on a UDP port until the test ends and never answers.
func listenSilently(t *testing.T, at netip.AddrPort) {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
}

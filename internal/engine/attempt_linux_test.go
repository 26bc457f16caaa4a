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

// TestUDPAnswerStaysWithItsPort has the first datagram of an attempt answered while
// the second cannot be sent: the answer is that port's, and not the next one's that
// the slot is used for.
func TestUDPAnswerStaysWithItsPort(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	testnet.AddAddress(t, home)
	const udpHeader = 8
	testnet.Filter(t, fmt.Sprintf(`table inet second { chain out { type filter hook output priority 0 ;
		udp dport 500 udp length %d drop
	}
	}
	`, len(payload.ForPort(500)[1].Data)+udpHeader))
	const first, last = 600, 639
	for port := first; port <= last; port++ {
		listenSilently(t, netip.AddrPortFrom(home, uint16(port)))
	}
	e, err := NewUDP(testBudget(t, Limits{}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
	defer cancel()
	for at, r := range scanAll(ctx, t, e, testRequest(t, udpSpec(fmt.Sprintf("500,%d-%d", first, last)), home)) {
		switch {
		case at.Port() == 500 && r.State != scan.Closed:
			t.Errorf("%v is %v (%v), want closed", at, r.State, r.Cause)
		case at.Port() != 500 && r.State != scan.OpenFiltered && r.State != scan.Unknown:
			t.Errorf("%v is %v (%v), and its listener never answers", at, r.State, r.Cause)
		}
	}
}

// listenSilently holds a UDP port until the test ends, and never answers.
func listenSilently(t *testing.T, at netip.AddrPort) {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
}

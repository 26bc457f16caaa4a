// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net"
	"net/netip"
	"sync/atomic"
	"testing"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// TestConnectQuiet scans a server with one declared and one other port. The server must accept a
// connection at the other port only: the kernel withholds the last packet of the handshake at
// ports that are probably open.
func TestConnectQuiet(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	loopback := netip.MustParseAddr("127.0.0.1")
	var accepted [2]atomic.Int64
	for i, port := range []int{2201, 2202} {
		l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: loopback.AsSlice(), Port: port})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				accepted[i].Add(1)
				_ = c.Close()
			}
		}()
	}
	spec := testSpec("2200-2203")
	spec.Expect = &scan.Expectation{Open: scan.NewPortSet(2201)}
	e, err := NewConnect(testBudget(t, Limits{}))
	if err != nil {
		t.Fatal(err)
	}
	const scans = 20
	for range scans {
		ports := scanAll(t.Context(), t, e, testRequest(t, spec, loopback))
		for port, want := range map[uint16]scan.State{2200: scan.Closed, 2201: scan.Open, 2202: scan.Open, 2203: scan.Closed} {
			if got := ports[netip.AddrPortFrom(loopback, port)].State; got != want {
				t.Fatalf("state of port %d = %v, want %v", port, got, want)
			}
		}
	}
	if declared, other := accepted[0].Load(), accepted[1].Load(); declared > 0 || other < scans/2 {
		t.Errorf("accepted connections in %d scans = %d at the declared port and %d at the other, want none and one a scan", scans, declared, other)
	}
}

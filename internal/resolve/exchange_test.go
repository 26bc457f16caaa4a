// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package resolve_test

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"portscan_exporter/internal/resolve"
	"portscan_exporter/internal/scan"
)

// TestAskQueries requires few queries to a server whose packets are not responses.
func TestAskQueries(t *testing.T) {
	t.Parallel()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	received := make(chan int)
	go func() {
		buffer, queries := make([]byte, 512), 0
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buffer)
			if err != nil {
				received <- queries
				return
			}
			queries++
			conn.WriteToUDPAddrPort(buffer[:n], from) // the query
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
	defer cancel()
	question := resolve.Question{Name: "www.example.org.", Family: scan.IPv4, Servers: []netip.AddrPort{conn.LocalAddr().(*net.UDPAddr).AddrPort()}}
	addrs, err := resolve.System(9).Ask(ctx, question)
	conn.Close()
	if queries := <-received; queries < 1 || queries > 4 || err == nil {
		t.Errorf("Ask() = %v, %v after %d queries, want an error after at most 4", addrs, err, queries)
	}
}

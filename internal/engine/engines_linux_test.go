// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// engines returns the engines for TCP by name. Except for speed they must behave alike.
func engines(tb testing.TB, l Limits) map[string]*Engine {
	tb.Helper()
	connect, err := NewConnect(testBudget(tb, l))
	if err != nil {
		tb.Fatal(err)
	}
	all := map[string]*Engine{"connect": connect, "dial": testDial(tb, l)}
	syn, err := NewSYN(testBudget(tb, l))
	if err != nil {
		testnet.Skip(tb, err.Error())
	}
	tb.Cleanup(syn.Close)
	all["syn"] = syn
	return all
}

// withEach runs the test with each engine for TCP.
func withEach(t *testing.T, l Limits, test func(t *testing.T, e *Engine)) {
	t.Helper()
	for name, e := range engines(t, l) {
		t.Run(name, func(t *testing.T) { test(t, e) })
	}
}

// defaultSpec returns a module with the default settings of config.yml.
func defaultSpec(ports string) scan.Spec {
	spec := testSpec(ports)
	spec.Timeout, spec.PortTimeout = 9*time.Second, 950*time.Millisecond
	spec.Retries, spec.MaxRetries, spec.MaxInFlight = 2, 10, 10000
	return spec
}

// serveTCP accepts connections on the port, until the test ends, and calls serve for each.
func serveTCP(t *testing.T, addr netip.Addr, port uint16, serve func(net.Conn)) {
	t.Helper()
	l, err := net.Listen("tcp", netip.AddrPortFrom(addr, port).String())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
}

// discardData reads and discards, until the client closes the connection.
func discardData(c net.Conn) { go func() { _, _ = io.Copy(io.Discard, c); _ = c.Close() }() }

// BenchmarkClosed scans closed ports of loopback with each engine for TCP.
func BenchmarkClosed(b *testing.B) {
	for name, e := range engines(b, Limits{}) {
		for _, ports := range []string{"1-1000", "1-9999"} {
			b.Run(name+"/"+ports, func(b *testing.B) {
				req := testRequest(b, defaultSpec(ports), netip.MustParseAddr("127.0.0.1"))
				b.ReportAllocs()
				for b.Loop() {
					if err := e.Scan(b.Context(), req, func(scan.PortResult) {}); err != nil {
						b.Fatal(err)
					}
				}
				count := float64(req.Plan().Ports().Len())
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/count, "ns/port")
			})
		}
	}
}

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

var home6 = netip.MustParseAddr("2001:db8::1")

// engines are the engines for TCP, which must agree wherever speed is not in
// question.
func engines(tb testing.TB, l Limits) map[string]*Engine {
	tb.Helper()
	kept, err := NewConnect(testBudget(tb, l))
	if err != nil {
		tb.Fatal(err)
	}
	all := map[string]*Engine{"epoll": kept, "dial": testDial(tb, l)}
	half, err := NewSYN(testBudget(tb, l))
	if err != nil {
		testnet.Skip(tb, err.Error())
	}
	tb.Cleanup(half.Close)
	all["syn"] = half
	return all
}

// withEach runs a test with every engine.
func withEach(t *testing.T, l Limits, test func(t *testing.T, e *Engine)) {
	t.Helper()
	for name, e := range engines(t, l) {
		t.Run(name, func(t *testing.T) { test(t, e) })
	}
}

// defaultSpec is a module as config.yml has it by default.
func defaultSpec(ports string) scan.Spec {
	spec := testSpec(ports)
	spec.Timeout, spec.PortTimeout = 9*time.Second, 950*time.Millisecond
	spec.Retries, spec.MaxRetries, spec.MaxInFlight = 2, 10, 10000
	return spec
}

// listen accepts on the port and hands the connections to serve.
func listen(t *testing.T, addr netip.Addr, port uint16, serve func(net.Conn)) {
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

func hold(c net.Conn) { go func() { _, _ = io.Copy(io.Discard, c); _ = c.Close() }() }

// BenchmarkClosed scans closed ports of loopback with every engine.
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

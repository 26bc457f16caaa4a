// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

var home = netip.MustParseAddr("192.0.2.1")

// testSpec is a module with short waits.
func testSpec(ports string) scan.Spec {
	set, err := scan.ParsePortSet(ports)
	if err != nil {
		panic(err)
	}
	return scan.Spec{
		Protocol: scan.TCP, Method: scan.Connect, Ports: set,
		Timeout: 10 * time.Second, PortTimeout: 200 * time.Millisecond,
		Retries: 1, MaxRetries: 10, MaxInFlight: 1000,
	}
}

func testRequest(tb testing.TB, spec scan.Spec, addrs ...netip.Addr) scan.Request {
	tb.Helper()
	plan, err := scan.NewPlan(spec)
	if err != nil {
		tb.Fatal(err)
	}
	var networks []netip.Prefix
	var found []scan.Address
	for _, a := range addrs {
		networks = append(networks, netip.PrefixFrom(a, a.BitLen()))
		found = append(found, scan.Address{IP: a})
	}
	scope, err := scan.NewScope(networks, nil)
	if err != nil {
		tb.Fatal(err)
	}
	req, refused, err := scan.NewRequest(plan, scope, found)
	if err != nil || len(refused) > 0 {
		tb.Fatal(err, refused)
	}
	return req
}

func testBudget(tb testing.TB, l Limits) *Budget {
	tb.Helper()
	b, err := NewBudget(l)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func testDial(tb testing.TB, l Limits) *Engine {
	tb.Helper()
	d, err := NewDial(testBudget(tb, l))
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// outcome is a whole scan: every port that was reported, which must be once.
type outcome struct {
	mu    sync.Mutex
	ports map[netip.AddrPort]scan.PortResult
}

func scanAll(ctx context.Context, tb testing.TB, d *Engine, req scan.Request) map[netip.AddrPort]scan.PortResult {
	tb.Helper()
	ports := scanBeside(ctx, tb, d, req)
	if b := d.budget.Stats(); b.InFlight != 0 {
		tb.Errorf("%d attempts are still in flight after the scan", b.InFlight)
	}
	return ports
}

// scanBeside scans while other scans may be under way.
func scanBeside(ctx context.Context, tb testing.TB, d *Engine, req scan.Request) map[netip.AddrPort]scan.PortResult {
	tb.Helper()
	o := outcome{ports: make(map[netip.AddrPort]scan.PortResult)}
	err := d.Scan(ctx, req, func(r scan.PortResult) {
		o.mu.Lock()
		defer o.mu.Unlock()
		at := netip.AddrPortFrom(r.Address, r.Port)
		if _, twice := o.ports[at]; twice {
			tb.Errorf("%v was reported twice", at)
		}
		o.ports[at] = r
	})
	if err != nil {
		tb.Fatal(err)
	}
	for _, a := range req.Addresses() {
		for p := range req.Plan().Ports().All() {
			if _, ok := o.ports[netip.AddrPortFrom(a.IP, p)]; !ok {
				tb.Errorf("port %d of %v was not reported", p, a.IP)
			}
		}
	}
	return o.ports
}

// census counts the ports by state and cause.
func census(ports map[netip.AddrPort]scan.PortResult) map[string]int {
	counts := make(map[string]int)
	for _, r := range ports {
		counts[r.State.String()+" "+r.Cause.String()]++
	}
	return counts
}

// network is a made-up one: it says for each attempt at a port what comes of
// it, in fake time.
type network func(ctx context.Context, port uint16, attempt int) error

// system returns a system whose dialFunc asks the host; nil errors are connections.
func (h network) system() system { return &dialer{dial: h.dialer()} }

func (h network) dialer() dialFunc {
	var mu sync.Mutex
	attempts := make(map[uint16]int)
	return func(ctx context.Context, _ netip.Addr, _ string, to netip.AddrPort) (net.Conn, error) {
		mu.Lock()
		attempts[to.Port()]++
		n := attempts[to.Port()]
		mu.Unlock()
		if err := h(ctx, to.Port(), n); err != nil {
			return nil, err
		}
		return fakeConn{to: to}, nil
	}
}

// silence waits until the attempt gives up.
func silence(ctx context.Context) error {
	<-ctx.Done()
	return &net.OpError{Op: "dial", Err: ctx.Err()}
}

type fakeConn struct {
	net.Conn

	to netip.AddrPort
}

func (fakeConn) Close() error           { return nil }
func (fakeConn) LocalAddr() net.Addr    { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 40000} }
func (c fakeConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.to) }

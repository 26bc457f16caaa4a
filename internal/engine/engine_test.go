// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

var (
	// target4 and target6 are the addresses of a test's first host, or of a simulated one.
	target4, target6 = netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::10")

	// own4 and own6 are addresses of the scanner, if a test adds them.
	own4, own6 = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
)

// testSpec returns a module with short timeouts.
func testSpec(ports string) scan.Spec {
	set, err := scan.ParsePortSet(ports)
	if err != nil {
		panic(err)
	}
	return scan.Spec{
		Protocol: scan.TCP, Method: scan.Connect, Ports: set,
		Timeout: 10 * time.Second, PortTimeout: 200 * time.Millisecond,
		Retries: 1, MaxRetries: 10, MaxInFlight: 1000, MaxOpenAttempts: 3, ControlPorts: 2,
	}
}

// testRequest returns a request for addresses that the scope allows.
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

// outcome is the reported ports of a scan.
type outcome struct {
	mu    sync.Mutex
	ports map[netip.AddrPort]scan.PortResult
}

// TestStartOrder requires the addresses that responded to an earlier scan to start first.
func TestStartOrder(t *testing.T) {
	t.Parallel()
	var addrs []netip.Addr
	for i := range byte(6) {
		addrs = append(addrs, netip.AddrFrom4([4]byte{192, 0, 2, i}))
	}
	req := testRequest(t, testSpec("1-3"), addrs...).WithKnown(map[netip.Addr]scan.Known{
		addrs[2]: {Open: scan.NewPortSet(1)}, addrs[4]: {Closed: scan.NewPortSet(1, 2)}, addrs[1]: {},
	})
	var got []byte
	for _, a := range startOrder(req) {
		got = append(got, a.IP.As4()[3])
	}
	if want := []byte{2, 4, 0, 1, 3, 5}; !slices.Equal(got, want) {
		t.Errorf("startOrder = %v, want %v", got, want)
	}
}

// scanAll scans and returns the results by port. Each port must be reported once, unless the
// result was withdrawn. Afterwards
// the budget must have no attempts in flight and no places in use.
func scanAll(ctx context.Context, tb testing.TB, d *Engine, req scan.Request) map[netip.AddrPort]scan.PortResult {
	tb.Helper()
	ports := scanConcurrently(ctx, tb, d, req)
	if b := d.budget.Stats(); b.InFlight != 0 {
		tb.Errorf("attempts in flight after the scan = %d, want 0", b.InFlight)
	}
	if d.budget.used != 0 {
		tb.Errorf("places in use after the scan = %d, want 0", d.budget.used)
	}
	return ports
}

// scanConcurrently does the same as scanAll while other scans of the engine may run.
func scanConcurrently(ctx context.Context, tb testing.TB, d *Engine, req scan.Request) map[netip.AddrPort]scan.PortResult {
	tb.Helper()
	o := outcome{ports: make(map[netip.AddrPort]scan.PortResult)}
	err := d.Scan(ctx, req, func(r scan.PortResult) {
		o.mu.Lock()
		defer o.mu.Unlock()
		for r := range testnet.EachPort(r) {
			at := netip.AddrPortFrom(r.Address, r.Port)
			if was, twice := o.ports[at]; twice && was.Cause != scan.CauseICMP && was.Cause != scan.CauseRST {
				tb.Errorf("%v is reported twice, want once unless it was rejected or closed", at)
			}
			o.ports[at] = r
		}
	})
	if err != nil {
		tb.Fatal(err)
	}
	for _, a := range req.Addresses() {
		for p := range req.Plan().Ports().All() {
			if _, ok := o.ports[netip.AddrPortFrom(a.IP, p)]; !ok {
				tb.Errorf("port %d of %v is not reported, want once", p, a.IP)
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

// network is a simulated network in fake time: it returns the error of each attempt at a
// port. A nil error is a connection.
type network func(ctx context.Context, port uint16, attempt int) error

// system returns a system whose connections the network answers.
func (h network) system() system { return &dialSystem{dial: h.dialer()} }

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

// silence waits until the attempt times out.
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

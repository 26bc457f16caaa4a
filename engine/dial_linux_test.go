package engine

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"portscan_exporter/lab"
	"portscan_exporter/scan"
)

var home6 = netip.MustParseAddr("2001:db8::1")

// listen accepts on the port and hands what the connections hold to got.
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

// TestTruth scans a host whose every port's state is known: real sockets, real
// packets, real filters.
func TestTruth(t *testing.T) {
	if !lab.Isolated(t) {
		return
	}
	lab.AddAddress(t, home, home6)
	lab.Filter(t, `table inet truth { chain in { type filter hook input priority 0 ;
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
	d := testDial(t, Limits{})
	for at, r := range scanAll(t.Context(), t, d, testRequest(t, testSpec("1-2000"), home, home6)) {
		if got := r.State.String(); !slices.Contains(strings.Fields(want(at.Port())), got) {
			t.Errorf("%v is %s (%v), want %s", at, got, r.Cause, want(at.Port()))
		}
		if answered := r.Cause.Answered(); answered != (r.RTT > 0) {
			t.Errorf("%v: cause %v with a response time of %v", at, r.Cause, r.RTT)
		}
	}
}

// TestLeavesNothingBehind counts what a scan of an open port costs the host: no
// byte, no connection that lingers.
func TestLeavesNothingBehind(t *testing.T) {
	if !lab.Isolated(t) {
		return
	}
	lab.AddAddress(t, home)
	got := make(chan int64, 10)
	listen(t, home, 22, func(c net.Conn) {
		n, _ := io.Copy(io.Discard, c)
		_ = c.Close()
		got <- n
	})
	for range 5 {
		scanAll(t.Context(), t, testDial(t, Limits{}), testRequest(t, testSpec("22"), home))
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
}

func TestNoWay(t *testing.T) {
	if !lab.Isolated(t) {
		return
	}
	lab.AddAddress(t, home)
	far, far6 := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8:1::1")
	d := testDial(t, Limits{})
	if got := census(scanAll(t.Context(), t, d, testRequest(t, testSpec("1-50"), far, far6))); got["unknown no_route"] != 100 {
		t.Errorf("without a route: %v", got)
	}
	spec := testSpec("1-50")
	spec.Source = netip.MustParseAddr("192.0.2.77")
	if got := census(scanAll(t.Context(), t, d, testRequest(t, spec, home))); got["unknown no_route"] != 50 {
		t.Errorf("from an address that is not ours: %v", got)
	}
	spec.Source = home
	if got := census(scanAll(t.Context(), t, d, testRequest(t, spec, home))); got["closed rst"] != 50 {
		t.Errorf("from an address of ours: %v", got)
	}
	spec.Source = home6
	if got := census(scanAll(t.Context(), t, d, testRequest(t, spec, home))); got["unknown no_route"]+got["unknown internal"] != 50 {
		t.Errorf("from an address of the other family: %v", got)
	}
}

func TestDarkHost(t *testing.T) {
	if !lab.Isolated(t) {
		return
	}
	lab.DefaultRoute(t)
	far := netip.MustParseAddr("203.0.113.1")
	counter := lab.CountTo(t, far)
	got := census(scanAll(t.Context(), t, testDial(t, Limits{}), testRequest(t, testSpec("1-300"), far)))
	if got["filtered silence"] != 300 {
		t.Errorf("a dark host reads as %v", got)
	}
	if n := counter.Packets(t, far); n != 600 {
		t.Errorf("%d packets were sent, want 600: each port tried once more", n)
	}
}

// TestFewDescriptors takes the process's descriptors away, for good and for a
// while.
func TestFewDescriptors(t *testing.T) {
	if !lab.Isolated(t) {
		return
	}
	lab.AddAddress(t, home)
	d := testDial(t, Limits{MaxInFlight: 500})
	give := takeDescriptors(t)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if got := census(scanAll(ctx, t, d, testRequest(t, testSpec("1-300"), home))); got["unknown descriptors"] != 300 {
		t.Errorf("without descriptors: %v", got)
	}
	time.AfterFunc(300*time.Millisecond, give)
	if got := census(scanAll(t.Context(), t, d, testRequest(t, testSpec("1-300"), home))); got["closed rst"] != 300 {
		t.Errorf("after descriptors came back: %v", got)
	}
}

// takeDescriptors leaves the process no descriptor, until give is called.
func takeDescriptors(t *testing.T) (give func()) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	few := unix.Rlimit{Cur: 64, Max: limit.Max}
	if err := syscall.Setrlimit(unix.RLIMIT_NOFILE, (*syscall.Rlimit)(&few)); err != nil {
		t.Fatal(err)
	}
	var taken []int
	for {
		fd, err := unix.Dup(1)
		if err != nil {
			break
		}
		taken = append(taken, fd)
	}
	return func() {
		for _, fd := range taken {
			_ = unix.Close(fd)
		}
	}
}

// TestFewSourcePorts has every local port taken.
func TestFewSourcePorts(t *testing.T) {
	if !lab.Isolated(t) {
		return
	}
	lab.AddAddress(t, home)
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("40000 40003"), 0o600); err != nil {
		t.Fatal(err)
	}
	var holders []net.Listener
	for port := uint16(40000); port <= 40003; port++ {
		l, err := net.Listen("tcp4", netip.AddrPortFrom(netip.IPv4Unspecified(), port).String())
		if err != nil {
			t.Fatal(err)
		}
		holders = append(holders, l)
	}
	d := testDial(t, Limits{})
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if got := census(scanAll(ctx, t, d, testRequest(t, testSpec("1-100"), home))); got["unknown source_ports"] != 100 {
		t.Errorf("without source ports: %v", got)
	}
	for _, l := range holders {
		_ = l.Close()
	}
	if got := census(scanAll(t.Context(), t, d, testRequest(t, testSpec("1-100"), home))); got["closed rst"] != 100 {
		t.Errorf("after source ports came back: %v", got)
	}
}

// TestSelfConnect scans closed ports that are the very ones the system picks its
// source ports from: a connection of a socket with itself is no open port.
func TestSelfConnect(t *testing.T) {
	if !lab.Isolated(t) {
		return
	}
	lab.AddAddress(t, home)
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("40000 40001"), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := testSpec("40000-40001")
	spec.MaxInFlight = 1
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	for range 50 {
		for at, r := range scanAll(ctx, t, testDial(t, Limits{}), testRequest(t, spec, home)) {
			if r.State != scan.Closed && r.State != scan.Unknown {
				t.Fatalf("%v is %v (%v), and nothing listens there", at, r.State, r.Cause)
			}
		}
	}
}

// TestComesHome ends a scan of silent ports early: it returns soon, and leaves
// no goroutine.
func TestComesHome(t *testing.T) {
	if !lab.Isolated(t) {
		return
	}
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	lab.DefaultRoute(t)
	spec := testSpec("1-3000")
	spec.PortTimeout = time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(300*time.Millisecond, cancel)
	got := census(scanAll(ctx, t, testDial(t, Limits{}), testRequest(t, spec, netip.MustParseAddr("203.0.113.1"))))
	if got["unknown deadline"] != 3000 {
		t.Errorf("cut short: %v", got)
	}
}

func BenchmarkDialClosed(b *testing.B) {
	addr := netip.MustParseAddr("127.0.0.1")
	d := testDial(b, Limits{})
	req := testRequest(b, testSpec("1-1000"), addr)
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Scan(b.Context(), req, func(scan.PortResult) {}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "us/port")
}

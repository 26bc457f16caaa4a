// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// replyTimeout is the maximum wait for a datagram.
const replyTimeout = 300 * time.Millisecond

// openUDP opens a socket that receives all ICMP errors, and datagrams from all addresses.
func openUDP(t *testing.T, to netip.Addr) *net.UDPConn {
	t.Helper()
	network, level, option := "udp4", unix.SOL_IP, unix.IP_RECVERR
	if to.Is6() {
		network, level, option = "udp6", unix.SOL_IPV6, unix.IPV6_RECVERR
	}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), level, option, 1) })
	}}
	conn, err := config.ListenPacket(t.Context(), network, ":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.UDPConn)
}

// ask sends a datagram to the port and returns the first reply.
func ask(t *testing.T, to netip.AddrPort, data string) string {
	t.Helper()
	conn := openUDP(t, to.Addr())
	if _, err := conn.WriteToUDPAddrPort([]byte(data), to); err != nil {
		t.Error(err)
	}
	return receive(conn, to)
}

// receive returns the next reply from the port.
func receive(conn *net.UDPConn, to netip.AddrPort) string {
	conn.SetReadDeadline(time.Now().Add(replyTimeout))
	reply := make([]byte, 1500)
	n, from, err := conn.ReadFromUDPAddrPort(reply)
	switch {
	case err == nil && from == to:
		return fmt.Sprintf("%q", reply[:n])
	case err == nil && from.Addr() == to.Addr():
		return fmt.Sprintf("%q from another port", reply[:n])
	case err == nil:
		return fmt.Sprintf("%q from %v", reply[:n], from)
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.EHOSTUNREACH):
		return "host unreachable"
	case errors.Is(err, syscall.EACCES):
		return "prohibited"
	case os.IsTimeout(err):
		return "silent"
	default:
		return err.Error()
	}
}

// askAll sends datagrams to the ports concurrently and checks the replies.
func askAll(t *testing.T, look map[netip.AddrPort]string) {
	t.Helper()
	var wait sync.WaitGroup
	for at, want := range look {
		for _, data := range []string{"", "hello"} {
			wait.Go(func() {
				if got := ask(t, at, data); got != want {
					t.Errorf("%v, sent %q: got %s, want %s", at, data, got, want)
				}
			})
		}
	}
	wait.Wait()
}

func TestHostUDPAnswers(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	const tftp = `"\x00\x05\x00\x01no\x00" from another port`
	addrs := []netip.Addr{addr("192.0.2.1"), addr("192.0.2.2"), addr("2001:db8::1"), addr("2001:db8::2")}
	is := map[testnet.UDPAnswer]struct {
		state       scan.State
		seen, seen6 string
	}{
		testnet.UDPRefuse:         {scan.Closed, "refused", "refused"},
		testnet.UDPReply:          {scan.Open, `"testnet"`, `"testnet"`},
		testnet.UDPMute:           {scan.OpenFiltered, "silent", "silent"},
		testnet.UDPDrop:           {scan.OpenFiltered, "silent", "silent"},
		testnet.UDPRejectHost:     {scan.Filtered, "host unreachable", "host unreachable"},
		testnet.UDPRejectAdmin:    {scan.Filtered, "host unreachable", "prohibited"},
		testnet.UDPRejectPort:     {scan.Closed, "refused", "refused"},
		testnet.UDPReplyElsewhere: {scan.Open, tftp, tftp},
		testnet.UDPReplyOtherAddr: {scan.OpenFiltered, `"testnet" from 192.0.2.2:1008`, `"testnet" from [2001:db8::2]:1008`},
	}
	ports := map[string]testnet.UDPAnswer{"3000-33000": testnet.UDPRejectPort}
	look := make(map[netip.AddrPort]string)
	for _, answer := range testnet.UDPAnswers() {
		port := 1000 + uint16(answer)
		ports[strconv.Itoa(int(port))] = answer
		look[netip.AddrPortFrom(addrs[0], port)] = is[answer].seen
		look[netip.AddrPortFrom(addrs[2], port)] = is[answer].seen6
	}
	for _, to := range addrs {
		look[netip.AddrPortFrom(to, 7)] = "silent"       // by default
		look[netip.AddrPortFrom(to, 1001)] = `"testnet"` // from the requested address
		look[netip.AddrPortFrom(to, 33000)] = "refused"  // one of many
	}
	host := testnet.Start(t, testnet.Host{Addrs: addrs, DefaultUDP: testnet.UDPDrop, UDP: ports, ICMPsPerSecond: -1})[0]
	askAll(t, look)
	for _, answer := range testnet.UDPAnswers() {
		if got := host.UDPState(addrs[2], 1000+uint16(answer)); got != is[answer].state {
			t.Errorf("UDPState() of %v = %v, want %v", answer, got, is[answer].state)
		}
	}
	truth := testnet.TruthUDP(host)
	if a, b := truth(addrs[0], 1001), truth(addr("192.0.2.3"), 1001); a != scan.Open || b != scan.Unknown {
		t.Errorf("UDPState() = %v, and %v of another address", a, b)
	}
	if got := host.State(addrs[0], 1001); got != scan.Closed {
		t.Errorf("State() = %v", got)
	}
}

func TestPlainHostUDP(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	addrs := both()
	testnet.Start(t, testnet.Host{
		Addrs: addrs[:], Plain: true, ICMPsPerSecond: -1, UDP: map[string]testnet.UDPAnswer{
			"53,1000-1990": testnet.UDPReply, "54": testnet.UDPMute, "55": testnet.UDPReplyOtherAddr,
		},
	})
	look := make(map[netip.AddrPort]string)
	for _, to := range addrs {
		for port, want := range map[uint16]string{53: `"testnet"`, 1990: `"testnet"`, 54: "silent", 55: "silent", 56: "refused"} {
			look[netip.AddrPortFrom(to, port)] = want
		}
	}
	askAll(t, look)
}

// burst sends n datagrams to different ports, as fast as queues permit.
func burst(t *testing.T, to netip.Addr, n int) *net.UDPConn {
	t.Helper()
	network := "udp4"
	if to.Is6() {
		network = "udp6"
	}
	packets, err := (&net.ListenConfig{}).ListenPacket(t.Context(), network, ":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { packets.Close() })
	conn := packets.(*net.UDPConn)
	for i := range n {
		if _, err := conn.WriteToUDPAddrPort([]byte("x"), netip.AddrPortFrom(to, uint16(10_000+i))); err != nil {
			t.Fatal(err)
		}
		if i%100 == 99 {
			time.Sleep(time.Millisecond)
		}
	}
	return conn
}

func TestHostUDPLoss(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	const sent = 500 // all replies fit into the socket buffer
	addrs := both()
	host := testnet.Start(t, testnet.Host{Addrs: addrs[:], LossIn: 0.2, LossOut: 0.5, UDP: map[string]testnet.UDPAnswer{"10000-10499": testnet.UDPReply}})[0]
	back := 0
	for _, to := range addrs {
		conn := burst(t, to, sent)
		for conn.SetReadDeadline(time.Now().Add(replyTimeout)); ; back++ {
			if _, err := conn.Read(make([]byte, 10)); err != nil {
				break
			}
		}
	}
	n := host.Counts(t)
	within(t, "datagrams", n.UDPIn, 2*sent, 2*sent)
	// Plus or minus six standard deviations.
	within(t, "lost on the way there", n.LostIn, 124, 276)
	within(t, "lost on the way back", n.LostOut, 307, 493)
	if n.UDPOut != n.UDPIn-n.LostIn || back != n.UDPOut-n.LostOut || n.ICMPsOut != 0 || n.SYNsIn != 0 {
		t.Errorf("got %d replies, which do not match the counts %+v", back, n)
	}
}

// TestHostICMPLimits counts the ICMP errors of closed ports.
func TestHostICMPLimits(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	const sent = 2000
	addrs := func(last int) []netip.Addr {
		return []netip.Addr{addr(fmt.Sprintf("192.0.2.%d", last)), addr(fmt.Sprintf("2001:db8::%d", last))}
	}
	hosts := testnet.Start(t,
		testnet.Host{Addrs: addrs(1), ICMPsPerSecond: -1},
		testnet.Host{Addrs: addrs(2)},
		testnet.Host{Addrs: addrs(3), ICMPsPerSecond: 100},
		testnet.Host{Addrs: addrs(4), ICMPsPerSecond: -1, DefaultUDP: testnet.UDPRejectPort},
	)
	for i, host := range hosts {
		for _, to := range addrs(i + 1) {
			before, started := host.Counts(t), time.Now()
			burst(t, to, sent)
			time.Sleep(20 * time.Millisecond)
			n := host.Counts(t)
			said := n.ICMPsOut - before.ICMPsOut
			passed := said - (n.Limited - before.Limited)
			t.Logf("%v: %d errors in %v, of which %d were received", to, said, time.Since(started), passed)
			within(t, "arrived", n.UDPIn-before.UDPIn, sent, sent)
			switch i {
			case 1:
				within(t, "with the kernel's limit", passed, 1, 20)
			case 2:
				within(t, "said", said, sent, sent)
				within(t, "with a limit", passed, 1, 6+int(time.Since(started).Seconds()*100))
			default:
				within(t, "without a limit", passed, sent, sent)
			}
		}
	}
}

// TestRunningHostServe runs a program on a host.
func TestRunningHostServe(t *testing.T) { //nolint:tparallel // the subtest must end before the rest
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	addrs := both()
	host := testnet.Start(t, testnet.Host{Addrs: addrs[:], ICMPsPerSecond: -1})[0]
	at := netip.AddrPortFrom(addrs[1], 5353)
	if got := ask(t, at, ""); got != "refused" {
		t.Errorf("before the service: got %s", got)
	}
	t.Run("service", func(t *testing.T) {
		host.Serve(t, binary, "-test.run=^TestOutcome$", "-outcome=serves")
		for range 100 {
			if ask(t, at, "") == `"a service"` {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Error("service does not reply")
	})
	if got := ask(t, at, ""); got != "refused" {
		t.Errorf("after the service: got %s", got)
	}
	namespace := strings.TrimSpace(host.Exec(t, "readlink", "/proc/self/ns/net"))
	if pids := inNamespace(t, namespace); len(pids) != 1 {
		t.Errorf("processes %v are running on the host, want only its own", pids)
	}
}

// TestRunningHostConnections counts half-open and established connections.
func TestRunningHostConnections(t *testing.T) { //nolint:tparallel // subtests use the same addresses
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	addrs := both()
	for name, accept := range map[string]string{"a listener each": "22", "a shared one": "1-2000"} {
		t.Run(name, func(t *testing.T) {
			host := testnet.Start(t, testnet.Host{Addrs: addrs[:], Ports: map[string]testnet.Answer{accept: testnet.Accept, "3000": testnet.BacklogFull}})[0]
			holds := func(halfOpen, established int) {
				t.Helper()
				a, b := 0, 0
				for range 100 { // until the kernel has updated its table
					if a, b = host.HalfOpen(t), host.Established(t); a == halfOpen && b == established {
						return
					}
					time.Sleep(5 * time.Millisecond)
				}
				t.Errorf("HalfOpen() = %d, Established() = %d, want %d and %d", a, b, halfOpen, established)
			}
			connect := func() []net.Conn {
				var conns []net.Conn
				for _, to := range addrs {
					conn, err := dial(t, to, 22, 5*time.Second)
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { conn.Close() })
					conns = append(conns, conn)
				}
				return conns
			}
			dial(t, addrs[0], 3000, 50*time.Millisecond)
			holds(0, 0)
			established := connect()
			holds(0, 2)
			host.Filter(t, "table inet mute { chain in { type filter hook prerouting priority 0 ; tcp dport 22 tcp flags & (syn | ack | rst) == ack drop ; }\n}\n")
			halfOpen := connect()
			holds(2, 2)
			for _, conn := range established {
				conn.(*net.TCPConn).SetLinger(0)
				conn.Close()
			}
			holds(2, 0)
			for _, conn := range halfOpen {
				conn.(*net.TCPConn).SetLinger(0)
				conn.Close()
			}
			holds(0, 0)
		})
	}
}

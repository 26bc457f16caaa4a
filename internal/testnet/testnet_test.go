// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"errors"
	"flag"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"portscan_exporter/internal/testnet"
)

// outcome selects the outcome of TestOutcome.
var outcome = flag.String("outcome", "", "how TestOutcome ends")

// quickExit shortens the wait of programs with the race detector before they exit.
const quickExit = "GORACE=atexit_sleep_ms=10"

// addr parses an address.
func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// send sends a UDP datagram to the address.
func send(t *testing.T, to netip.Addr) error {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "udp", netip.AddrPortFrom(to, 9).String())
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Write([]byte("x"))
	return err
}

func TestCounterDatagrams(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	testnet.DefaultRoute(t)
	used := []netip.Addr{addr("192.0.2.1"), addr("2001:db8::1")}
	unused := []netip.Addr{addr("192.0.2.2"), addr("2001:db8::2"), addr("169.254.169.254")}
	counter := testnet.CountTo(t, append(used, unused...)...)
	if n := counter.Left(t); n != 0 {
		t.Errorf("Left() before a packet was sent = %d, want 0", n)
	}
	for _, to := range used {
		for range 3 {
			if err := send(t, to); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, to := range used {
		if n := counter.Packets(t, to); n != 3 {
			t.Errorf("Packets(%v) = %d, want 3", to, n)
		}
	}
	for _, to := range unused {
		if n := counter.Packets(t, to); n != 0 {
			t.Errorf("Packets(%v) = %d, want 0", to, n)
		}
	}
	if n := counter.Packets(t, addr("::ffff:192.0.2.1")); n != 3 {
		t.Errorf("Packets() of the IPv4-mapped address = %d, want 3", n)
	}
	if n := counter.Left(t); n != 6 {
		t.Errorf("Left() = %d, want 6", n)
	}
}

func TestCounterConnect(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	testnet.DefaultRoute(t)
	dark := addr("203.0.113.7")
	counter := testnet.CountTo(t, dark)
	dialer := net.Dialer{Timeout: 100 * time.Millisecond}
	_, err := dialer.DialContext(t.Context(), "tcp", netip.AddrPortFrom(dark, 22).String())
	if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
		t.Errorf("connecting to an unused address = %v, want a timeout", err)
	}
	if n := counter.Packets(t, dark); n != 1 {
		t.Errorf("Packets() = %d, want 1", n)
	}
}

func TestCounterNoRoute(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	counter := testnet.CountTo(t, addr("192.0.2.1"), addr("2001:db8::1"))
	for _, to := range []netip.Addr{addr("192.0.2.1"), addr("2001:db8::1")} {
		if err := send(t, to); !errors.Is(err, syscall.ENETUNREACH) {
			t.Errorf("send(%v) = %v, want ENETUNREACH", to, err)
		}
		if n := counter.Packets(t, to); n != 0 {
			t.Errorf("Packets(%v) = %d, want 0", to, n)
		}
	}
}

func TestAddAddressLocal(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	testnet.DefaultRoute(t)
	local := []netip.Addr{addr("192.0.2.10"), addr("2001:db8::10")}
	testnet.AddAddress(t, local...)
	counter := testnet.CountTo(t, local...)
	for _, to := range local {
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", netip.AddrPortFrom(to, 0).String())
		if err != nil {
			t.Fatal(err)
		}
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", listener.Addr().String())
		if err != nil {
			t.Errorf("connecting to the listener of %v: %v", to, err)
		} else {
			conn.Close()
		}
		listener.Close()
		_, err = (&net.Dialer{}).DialContext(t.Context(), "tcp", listener.Addr().String())
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("connecting to %v without a listener = %v, want ECONNREFUSED", to, err)
		}
		if n := counter.Packets(t, to); n < 4 {
			t.Errorf("Packets(%v) = %d, want at least 4", to, n)
		}
	}
	if n := counter.Left(t); n != 0 {
		t.Errorf("Left() = %d, want 0, because all packets are local", n)
	}
}

// TestIsolatedNewNamespace requires a namespace without the addresses of other tests.
func TestIsolatedNewNamespace(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	if len(interfaces) != 1 || interfaces[0].Flags&net.FlagLoopback == 0 || interfaces[0].Flags&net.FlagUp == 0 {
		t.Errorf("Interfaces() = %v, want only loopback, and up", interfaces)
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	if len(addrs) != 2 {
		t.Errorf("InterfaceAddrs() = %v, want the two of loopback", addrs)
	}
	t.Run("subtest", func(t *testing.T) {
		if again, err := net.Interfaces(); err != nil || len(again) != 1 {
			t.Errorf("Interfaces() in a subtest = %v, %v, want only loopback", again, err)
		}
	})
}

// dropPacket makes this machine drop a packet, by sending it into a veth pair whose other end
// is down.
func dropPacket(t *testing.T) {
	t.Helper()
	if _, err := net.InterfaceByName("outside"); err != nil {
		testnet.DefaultRoute(t)
		if out, err := exec.CommandContext(t.Context(), "ip", "link", "set", "nowhere", "down").CombinedOutput(); err != nil {
			t.Fatalf("running ip: %v: %s", err, out)
		}
	}
	if err := send(t, addr("192.0.2.1")); err != nil {
		t.Fatal(err)
	}
}

// TestOutcome does nothing unless TestIsolatedOutcome executes it.
func TestOutcome(t *testing.T) {
	switch *outcome {
	case "":
		return
	case "subtest":
		t.Run("subtest", func(t *testing.T) { testnet.Isolated(t) })
		return
	case "changes":
		testnet.AddAddress(t, addr("192.0.2.1"))
		return
	case "serves":
		packets, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", ":5353")
		for err == nil {
			var from net.Addr
			if _, from, err = packets.ReadFrom(make([]byte, 10)); err == nil {
				_, err = packets.WriteTo([]byte("a service"), from)
			}
		}
		t.Fatal(err)
	case "lacks":
		testnet.NeedProgram(t, "sh", "no-such-program")
		return
	}
	if !testnet.Isolated(t) {
		return
	}
	switch *outcome {
	case "passes":
		t.Log("in the namespace")
	case "fails":
		t.Error("failure in the namespace")
	case "skips":
		t.Skip("skip in the namespace")
	case "outside":
		testnet.AddAddress(t, addr("10.0.0.1"))
	case "uncounted":
		testnet.CountTo(t).Packets(t, addr("192.0.2.1"))
	case "cleanup":
		t.Cleanup(func() { t.Error("failure in a cleanup") })
	case "hangs":
		select {}
	case "dies":
		host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{addr("192.0.2.1")}})[0]
		host.Serve(t, "sleep", "60")
		os.Stdout.WriteString("NAMESPACE " + host.Exec(t, "readlink", "/proc/self/ns/net") + "\n")
		self, err := os.FindProcess(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		self.Kill()
		select {}
	case "hostless":
		testnet.Start(t, testnet.Host{})
	case "foreign":
		testnet.Start(t, testnet.Host{Addrs: []netip.Addr{addr("10.0.0.1")}})
	case "own":
		testnet.Start(t, testnet.Host{Addrs: []netip.Addr{addr("198.51.100.254")}})
	case "twice":
		one := testnet.Host{Addrs: []netip.Addr{addr("192.0.2.1")}}
		testnet.Start(t, one, one)
	case "overlap":
		testnet.Start(t, testnet.Host{Addrs: []netip.Addr{addr("192.0.2.1")}, Ports: map[string]testnet.Answer{"1-10": testnet.Drop, "10-20": testnet.Accept}})
	case "noports":
		testnet.Start(t, testnet.Host{Addrs: []netip.Addr{addr("192.0.2.1")}, Ports: map[string]testnet.Answer{"http": testnet.Drop}})
	case "overlap_udp":
		testnet.Start(t, testnet.Host{Addrs: []netip.Addr{addr("192.0.2.1")}, UDP: map[string]testnet.UDPAnswer{"1-10": testnet.UDPDrop, "10-20": testnet.UDPReply}})
	case "listeners":
		testnet.Start(t, testnet.Host{Addrs: []netip.Addr{addr("192.0.2.1")}, UDP: map[string]testnet.UDPAnswer{"1-600": testnet.UDPMute, "1000-1400": testnet.UDPReply}})
	case "filterless":
		testnet.Start(t, testnet.Host{Addrs: []netip.Addr{addr("192.0.2.1")}, Plain: true, DefaultUDP: testnet.UDPRejectHost})
	case "quits":
		host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{addr("192.0.2.1")}})[0]
		host.Serve(t, "sh", "-c", "echo service exits")
		time.Sleep(500 * time.Millisecond)
	case "uninstalled":
		testnet.Start(t, testnet.Host{Addrs: []netip.Addr{addr("192.0.2.1")}})[0].Serve(t, "no-such-service")
	case "farther":
		testnet.StartSimulation(t, testnet.Simulation{Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.0.0/16")}})
	case "dropped":
		testnet.MeasureWithoutDrops(t, func() int { dropPacket(t); return 0 })
	case "exits":
		syscall.Exit(0)
	}
}

func TestIsolatedOutcome(t *testing.T) {
	t.Parallel()
	testnet.NeedNamespaces(t)
	for _, c := range []struct {
		outcome, noSkip string
		ok              bool
		output          []string
	}{
		{outcome: "passes", ok: true, output: []string{"in the namespace", "--- PASS: TestOutcome"}},
		{outcome: "passes", noSkip: "1", ok: true, output: []string{"--- PASS: TestOutcome"}},
		{outcome: "fails", output: []string{"failure in the namespace", "TestOutcome in its namespace: exit status", "--- FAIL: TestOutcome"}},
		{outcome: "cleanup", output: []string{"failure in a cleanup", "TestOutcome in its namespace: exit status"}},
		{outcome: "skips", ok: true, output: []string{"skip in the namespace", "--- SKIP: TestOutcome"}},
		{outcome: "skips", noSkip: "1", output: []string{"skip in the namespace", "--- FAIL: TestOutcome"}},
		{outcome: "lacks", ok: true, output: []string{"not installed: no-such-program", "--- SKIP: TestOutcome"}},
		{outcome: "lacks", noSkip: "1", output: []string{"not installed: no-such-program", "--- FAIL: TestOutcome"}},
		{outcome: "subtest", output: []string{"TestOutcome/subtest is a subtest"}},
		{outcome: "changes", output: []string{"call testnet.Isolated first"}},
		{outcome: "outside", output: []string{"10.0.0.1 is not reserved for documentation"}},
		{outcome: "uncounted", output: []string{"192.0.2.1 are not counted"}},
		{outcome: "hostless", output: []string{"has no address"}},
		{outcome: "foreign", output: []string{"10.0.0.1 is not reserved for documentation"}},
		{outcome: "own", output: []string{"198.51.100.254 is the scanner's own address"}},
		{outcome: "twice", output: []string{"192.0.2.1 is used twice"}},
		{outcome: "overlap", output: []string{"overlap with others"}},
		{outcome: "noports", output: []string{`"http" is not a port`}},
		{outcome: "overlap_udp", output: []string{"overlap with others"}},
		{outcome: "listeners", output: []string{"has 1001 UDP ports with a listener, at most 1000 are allowed"}},
		{outcome: "filterless", output: []string{"has no packet filter for answer reject_host"}},
		{outcome: "quits", output: []string{"sh exited before the end of the test: exit status 0", "service exits"}},
		{outcome: "uninstalled", ok: true, output: []string{"not installed: no-such-service", "--- SKIP: TestOutcome"}},
		{outcome: "farther", output: []string{"192.0.0.0/16 is not reserved for documentation"}},
		{outcome: "dropped", output: []string{"run 3 of 3 is invalid", "interface outside of the scanner sent: 1", "in each of 3 runs"}},
		{outcome: "hangs", output: []string{"test timed out", "TestOutcome in its namespace: exit status"}},
		{outcome: "exits", output: []string{"TestOutcome did not run in its namespace"}},
	} {
		t.Run(strings.TrimSuffix(c.outcome+"/"+c.noSkip, "/"), func(t *testing.T) {
			t.Parallel()
			binary, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			timeout := "1m"
			if c.outcome == "hangs" {
				timeout = "8s"
			}
			cmd := exec.CommandContext(t.Context(), binary, "-test.run=^TestOutcome$", "-test.v", "-test.timeout="+timeout, "-outcome="+c.outcome)
			cmd.Env = append(os.Environ(), "PORTSCAN_TEST_NO_SKIP="+c.noSkip, quickExit)
			out, err := cmd.CombinedOutput()
			if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
				t.Fatal(err)
			}
			if (err == nil) != c.ok {
				t.Errorf("passed = %v, want %v", err == nil, c.ok)
			}
			for _, text := range c.output {
				if !strings.Contains(string(out), text) {
					t.Errorf("output does not contain %q", text)
				}
			}
			if t.Failed() {
				t.Logf("%s", out)
			}
		})
	}
}

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

// ends makes TestEnds, which exists to be run as a program of its own, end in
// different ways.
var ends = flag.String("ends", "", "how TestEnds ends")

// quickExit spares a program with the race detector in it its second of sleep
// before it exits.
const quickExit = "GORACE=atexit_sleep_ms=10"

// addr is short for what every test here needs.
func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// send sends one UDP datagram to the address and leaves it at that.
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

func TestCounterCountsWhatIsSentAndNothingElse(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	testnet.DefaultRoute(t)
	used := []netip.Addr{addr("192.0.2.1"), addr("2001:db8::1")}
	unused := []netip.Addr{addr("192.0.2.2"), addr("2001:db8::2"), addr("169.254.169.254")}
	counter := testnet.CountTo(t, append(used, unused...)...)
	if n := counter.Left(t); n != 0 {
		t.Errorf("%d packets left before one was sent", n)
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
			t.Errorf("%v: %d packets counted, 3 sent", to, n)
		}
	}
	for _, to := range unused {
		if n := counter.Packets(t, to); n != 0 {
			t.Errorf("%v: %d packets counted, none sent", to, n)
		}
	}
	if n := counter.Packets(t, addr("::ffff:192.0.2.1")); n != 3 {
		t.Errorf("as an IPv4-mapped address: %d packets counted, 3 sent", n)
	}
	if n := counter.Left(t); n != 6 {
		t.Errorf("%d packets left, 6 sent", n)
	}
}

func TestCounterSeesConnects(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	testnet.DefaultRoute(t)
	dark := addr("203.0.113.7")
	counter := testnet.CountTo(t, dark)
	dialer := net.Dialer{Timeout: 100 * time.Millisecond}
	_, err := dialer.DialContext(t.Context(), "tcp", netip.AddrPortFrom(dark, 22).String())
	if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
		t.Errorf("connect to an address that nobody has: %v, not a timeout", err)
	}
	if n := counter.Packets(t, dark); n != 1 {
		t.Errorf("%d packets counted, one SYN sent", n)
	}
}

func TestNothingLeavesWithoutARoute(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	counter := testnet.CountTo(t, addr("192.0.2.1"), addr("2001:db8::1"))
	for _, to := range []netip.Addr{addr("192.0.2.1"), addr("2001:db8::1")} {
		if err := send(t, to); !errors.Is(err, syscall.ENETUNREACH) {
			t.Errorf("%v: %v, not ENETUNREACH", to, err)
		}
		if n := counter.Packets(t, to); n != 0 {
			t.Errorf("%v: %d packets counted, none can have been sent", to, n)
		}
	}
}

func TestAddedAddressesAreOurOwn(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	testnet.DefaultRoute(t)
	ours := []netip.Addr{addr("192.0.2.10"), addr("2001:db8::10")}
	testnet.AddAddress(t, ours...)
	counter := testnet.CountTo(t, ours...)
	for _, to := range ours {
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", netip.AddrPortFrom(to, 0).String())
		if err != nil {
			t.Fatal(err)
		}
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", listener.Addr().String())
		if err != nil {
			t.Errorf("%v: a listener does not answer: %v", to, err)
		} else {
			conn.Close()
		}
		listener.Close()
		_, err = (&net.Dialer{}).DialContext(t.Context(), "tcp", listener.Addr().String())
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%v: %v where nobody listens, not ECONNREFUSED", to, err)
		}
		if n := counter.Packets(t, to); n < 4 {
			t.Errorf("%v: only %d packets counted", to, n)
		}
	}
	if n := counter.Left(t); n != 0 {
		t.Errorf("%d packets left; all of them are for this machine", n)
	}
}

// Two tests must not see each other's networks: 192.0.2.10 is there above.
func TestANamespaceIsFresh(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	if len(interfaces) != 1 || interfaces[0].Flags&net.FlagLoopback == 0 || interfaces[0].Flags&net.FlagUp == 0 {
		t.Errorf("not loopback alone, and up: %v", interfaces)
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	if len(addrs) != 2 {
		t.Errorf("not the two of loopback alone: %v", addrs)
	}
	t.Run("and its subtests are in it", func(t *testing.T) {
		if again, err := net.Interfaces(); err != nil || len(again) != 1 {
			t.Errorf("%v, %v", again, err)
		}
	})
}

// dropOne makes this machine drop a packet: one that goes into a wire whose other
// end is not in use.
func dropOne(t *testing.T) {
	t.Helper()
	if _, err := net.InterfaceByName("outside"); err != nil {
		testnet.DefaultRoute(t)
		if out, err := exec.CommandContext(t.Context(), "ip", "link", "set", "nowhere", "down").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if err := send(t, addr("192.0.2.1")); err != nil {
		t.Fatal(err)
	}
}

// TestEnds is what TestIsolatedPassesTheOutcomeOn runs; on its own it does nothing.
func TestEnds(t *testing.T) {
	switch *ends {
	case "":
		return
	case "subtest":
		t.Run("below", func(t *testing.T) { testnet.Isolated(t) })
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
	switch *ends {
	case "passes":
		t.Log("in the namespace")
	case "fails":
		t.Error("wrong in the namespace")
	case "skips":
		t.Skip("no use in the namespace")
	case "outside":
		testnet.AddAddress(t, addr("10.0.0.1"))
	case "uncounted":
		testnet.CountTo(t).Packets(t, addr("192.0.2.1"))
	case "cleanup":
		t.Cleanup(func() { t.Error("wrong in a cleanup") })
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
		host.Serve(t, "sh", "-c", "echo my service is no more")
		time.Sleep(500 * time.Millisecond)
	case "uninstalled":
		testnet.Start(t, testnet.Host{Addrs: []netip.Addr{addr("192.0.2.1")}})[0].Serve(t, "no-such-service")
	case "farther":
		testnet.StartSimulation(t, testnet.Simulation{Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.0.0/16")}})
	case "void":
		testnet.MeasureWithoutDrops(t, func() int { dropOne(t); return 0 })
	case "exits":
		syscall.Exit(0)
	}
}

func TestIsolatedPassesTheOutcomeOn(t *testing.T) {
	t.Parallel()
	testnet.NeedProgram(t, "unshare", "ip", "nft")
	for _, c := range []struct {
		ends, noSkip string
		ok           bool
		says         []string
	}{
		{ends: "passes", ok: true, says: []string{"in the namespace", "--- PASS: TestEnds"}},
		{ends: "passes", noSkip: "1", ok: true, says: []string{"--- PASS: TestEnds"}},
		{ends: "fails", says: []string{"wrong in the namespace", "TestEnds failed in its namespace", "--- FAIL: TestEnds"}},
		{ends: "cleanup", says: []string{"wrong in a cleanup", "TestEnds failed in its namespace"}},
		{ends: "skips", ok: true, says: []string{"no use in the namespace", "--- SKIP: TestEnds"}},
		{ends: "skips", noSkip: "1", says: []string{"no use in the namespace", "--- FAIL: TestEnds"}},
		{ends: "lacks", ok: true, says: []string{"not installed: no-such-program", "--- SKIP: TestEnds"}},
		{ends: "lacks", noSkip: "1", says: []string{"not installed: no-such-program", "--- FAIL: TestEnds"}},
		{ends: "subtest", says: []string{"TestEnds/below is a subtest"}},
		{ends: "changes", says: []string{"call testnet.Isolated at the beginning"}},
		{ends: "outside", says: []string{"10.0.0.1 is not an address for documentation"}},
		{ends: "uncounted", says: []string{"192.0.2.1 are not counted"}},
		{ends: "hostless", says: []string{"has no address"}},
		{ends: "foreign", says: []string{"10.0.0.1 is not an address for documentation"}},
		{ends: "own", says: []string{"198.51.100.254 is the scanner's own address"}},
		{ends: "twice", says: []string{"192.0.2.1 is given twice"}},
		{ends: "overlap", says: []string{"are named twice"}},
		{ends: "noports", says: []string{`"http" is not a port`}},
		{ends: "overlap_udp", says: []string{"are named twice"}},
		{ends: "listeners", says: []string{"has 1001 UDP ports with a listener, and can have 1000"}},
		{ends: "filterless", says: []string{"has no packet filter, and is to reject_host datagrams"}},
		{ends: "quits", says: []string{"sh ended before the test: exit status 0", "my service is no more"}},
		{ends: "uninstalled", ok: true, says: []string{"not installed: no-such-service", "--- SKIP: TestEnds"}},
		{ends: "farther", says: []string{"192.0.0.0/16 is not a prefix for documentation"}},
		{ends: "void", says: []string{"run 3 of 3 is void", "interface outside of this side sent: 1", "in each of 3 runs"}},
		{ends: "hangs", says: []string{"test timed out", "TestEnds failed in its namespace"}},
		{ends: "exits", says: []string{"TestEnds was never run in its namespace"}},
	} {
		t.Run(strings.TrimSuffix(c.ends+"/"+c.noSkip, "/"), func(t *testing.T) {
			t.Parallel()
			binary, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			timeout := "1m"
			if c.ends == "hangs" {
				timeout = "3s"
			}
			cmd := exec.CommandContext(t.Context(), binary, "-test.run=^TestEnds$", "-test.v", "-test.timeout="+timeout, "-ends="+c.ends)
			cmd.Env = append(os.Environ(), "PORTSCAN_TEST_NO_SKIP="+c.noSkip, quickExit)
			out, err := cmd.CombinedOutput()
			if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
				t.Fatal(err)
			}
			if (err == nil) != c.ok {
				t.Errorf("passed is %v, want %v", err == nil, c.ok)
			}
			for _, text := range c.says {
				if !strings.Contains(string(out), text) {
					t.Errorf("it does not say %q", text)
				}
			}
			if t.Failed() {
				t.Logf("%s", out)
			}
		})
	}
}

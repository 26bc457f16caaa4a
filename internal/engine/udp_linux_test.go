// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// withUDP runs a test with either engine of UDP.
func withUDP(t *testing.T, test func(t *testing.T, e *Engine)) {
	t.Helper()
	for name, maker := range map[string]func(*Budget) (*Engine, error){"queue": NewUDP, "dial": NewDialUDP} {
		e, err := maker(testBudget(t, Limits{}))
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) { test(t, e) })
	}
}

func udpSpec(ports string) scan.Spec {
	spec := defaultSpec(ports)
	spec.Protocol = scan.UDP
	return spec
}

// scanUDP scans for so long at the most and measures the scan at the truth.
func scanUDP(t *testing.T, e *Engine, spec scan.Spec, within time.Duration, truth func(netip.Addr, uint16) scan.State, addrs ...netip.Addr) testnet.Score {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	begun := time.Now()
	score := testnet.CompareReports(truth, scanAll(ctx, t, e, testRequest(t, spec, addrs...)))
	t.Logf("%v\n%v", time.Since(begun), score)
	return score
}

// TestUDPTruth has ports of every kind on a host without a limit.
func TestUDPTruth(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{
		Addrs: []netip.Addr{four, six, netip.MustParseAddr("192.0.2.77")}, ICMPsPerSecond: -1,
		UDP: map[string]testnet.UDPAnswer{
			"53,1000-1009": testnet.UDPReply, "69": testnet.UDPReplyElsewhere, "200-209": testnet.UDPMute, "300-349": testnet.UDPDrop,
			"400-409": testnet.UDPRejectHost, "500-509": testnet.UDPRejectAdmin, "600-609": testnet.UDPRejectPort, "700": testnet.UDPReplyOtherAddr,
		},
	})[0]
	withUDP(t, func(t *testing.T, e *Engine) {
		t.Helper()
		ports := "1-1500"
		if t.Name() == "TestUDPTruth/dial" {
			ports = "1-68,70-399,510-1500" // it can't tell the others
		}
		score := scanUDP(t, e, udpSpec(ports), 20*time.Second, host.UDPState, four, six)
		if score.Wrong() > 0 || score.Unknown() > 0 {
			t.Errorf("\n%v", score)
		}
	})
}

// TestUDPSilence has hosts that drop, and that is all that can be said.
func TestUDPSilence(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	dark := netip.MustParseAddr("192.0.2.11")
	hosts := testnet.Start(
		t, testnet.Host{Addrs: []netip.Addr{four, six}, DefaultUDP: testnet.UDPDrop, UDP: map[string]testnet.UDPAnswer{"53,1000-1004": testnet.UDPReply}},
		testnet.Host{Addrs: []netip.Addr{dark}, DefaultUDP: testnet.UDPDrop},
	)
	withUDP(t, func(t *testing.T, e *Engine) {
		t.Helper()
		score := scanUDP(t, e, udpSpec("1-2000"), 20*time.Second, testnet.TruthUDP(hosts...), four, six, dark)
		if score.Wrong() > 0 || score.Unknown() > 0 {
			t.Errorf("\n%v", score)
		}
	})
}

// TestUDPLimits has hosts that say "closed" as often as real ones do, and one of two
// addresses that share a limit: no closed port is said to be anything else, and
// what there was no time for is unknown.
func TestUDPLimits(t *testing.T) { //nolint:tparallel // its parts have the same addresses
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	other := netip.MustParseAddr("192.0.2.11")
	for name, tc := range map[string]struct {
		host          testnet.Host
		ports         string
		within        time.Duration
		closed, whole int // at least; 1: no port is unknown
	}{
		"the kernel's own, few ports":  {testnet.Host{Addrs: []netip.Addr{four}, UDP: map[string]testnet.UDPAnswer{"53": testnet.UDPReply}}, "50-59", 20 * time.Second, 9, 1},
		"the kernel's own, many ports": {testnet.Host{Addrs: []netip.Addr{four}, UDP: map[string]testnet.UDPAnswer{"53": testnet.UDPReply}}, "1-1000", 9 * time.Second, 7, 0},
		"the kernel's own, IPv6":       {testnet.Host{Addrs: []netip.Addr{six}, UDP: map[string]testnet.UDPAnswer{"53": testnet.UDPReply}}, "1-100", 9 * time.Second, 40, 0},
		"100 a second":                 {testnet.Host{Addrs: []netip.Addr{four}, ICMPsPerSecond: 100, UDP: map[string]testnet.UDPAnswer{"53": testnet.UDPReply}}, "1-300", 20 * time.Second, 299, 1},
		"50 a second, shared":          {testnet.Host{Addrs: []netip.Addr{four, other}, ICMPsPerSecond: 50}, "1-100", 15 * time.Second, 60, 0},
		"100 a second, some silent":    {testnet.Host{Addrs: []netip.Addr{four}, ICMPsPerSecond: 100, UDP: map[string]testnet.UDPAnswer{"10-19": testnet.UDPMute, "30-39": testnet.UDPDrop}}, "1-150", 30 * time.Second, 130, 0},
	} {
		t.Run(name, func(t *testing.T) {
			host := testnet.Start(t, tc.host)[0]
			e, err := NewUDP(testBudget(t, Limits{}))
			if err != nil {
				t.Fatal(err)
			}
			score := scanUDP(t, e, udpSpec(tc.ports), tc.within, host.UDPState, tc.host.Addrs...)
			if score.Wrong() > 0 || score.Right(scan.Closed) < tc.closed || tc.whole == 1 && score.Unknown() > 0 ||
				score.Unknown() != score.UnknownByCause(scan.CauseDeadline)+score.UnknownByCause(scan.CauseUnresponsive) {
				t.Errorf("\n%v", score)
			}
		})
	}
}

// TestUDPLoss loses a tenth of all packets each way.
func TestUDPLoss(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{
		Addrs: []netip.Addr{four}, ICMPsPerSecond: -1, LossIn: .1, LossOut: .1,
		UDP: map[string]testnet.UDPAnswer{"53,123,161": testnet.UDPReply, "500-509": testnet.UDPMute},
	})[0]
	e, err := NewUDP(testBudget(t, Limits{}))
	if err != nil {
		t.Fatal(err)
	}
	score := scanUDP(t, e, udpSpec("1-1000"), 20*time.Second, host.UDPState, four)
	if score.Wrong() > 0 || score.Right(scan.Open) != 3 || score.Right(scan.Closed) != 987 {
		t.Errorf("\n%v", score)
	}
}

// TestUDPHome scans this very machine, all ports: those of the scan itself are as
// they would be without it.
func TestUDPHome(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	lo := netip.MustParseAddr("127.0.0.1")
	withUDP(t, func(t *testing.T, e *Engine) {
		t.Helper()
		if got := census(scanAll(t.Context(), t, e, testRequest(t, udpSpec("1-65535"), lo))); got["closed icmp"] != 65535 {
			t.Errorf("nobody listens here: %v", got)
		}
	})
}

// TestUDPStrangeAnswers has late answers, answers from elsewhere, and errors of
// routers.
func TestUDPStrangeAnswers(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	target, router := netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("203.0.113.1")
	reply := func(port uint16) (testnet.DatagramReply, scan.State) {
		switch port % 100 {
		case 1:
			return testnet.DatagramReply{Data: []byte("x")}, scan.Open
		case 2:
			return testnet.DatagramReply{Data: []byte{}, Delay: 800 * time.Millisecond}, scan.Open
		case 3:
			return testnet.DatagramReply{Data: []byte("x"), Copies: 5}, scan.Open
		case 4:
			return testnet.DatagramReply{Data: []byte("x"), From: router}, scan.OpenFiltered
		case 5:
			return testnet.DatagramReply{Data: []byte("x"), FromPort: 40000}, scan.OpenFiltered
		case 6:
			return testnet.DatagramReply{Error: new(testnet.TimeExceeded), From: router}, scan.Filtered
		case 7:
			return testnet.DatagramReply{Error: new(testnet.RejectAdmin), From: router}, scan.Filtered
		case 8:
			return testnet.DatagramReply{Silent: true}, scan.OpenFiltered
		case 9:
			return testnet.DatagramReply{Error: new(testnet.RejectPort), Delay: 300 * time.Millisecond}, scan.Closed
		default:
			return testnet.DatagramReply{Error: new(testnet.RejectPort)}, scan.Closed
		}
	}
	testnet.StartSimulation(t, testnet.Simulation{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")},
		Datagram: func(_ netip.Addr, port uint16, _ int, _ []byte) testnet.DatagramReply { r, _ := reply(port); return r },
	})
	e, err := NewUDP(testBudget(t, Limits{}))
	if err != nil {
		t.Fatal(err)
	}
	truth := func(_ netip.Addr, port uint16) scan.State { _, s := reply(port); return s }
	if score := scanUDP(t, e, udpSpec("1-1000"), 20*time.Second, truth, target); score.Wrong() > 0 || score.Unknown() > 0 {
		t.Errorf("\n%v", score)
	}
}

// TestUDPLocalFilter has a rule of this machine itself that drops, which is not the
// target's doing.
func TestUDPLocalFilter(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{four}, ICMPsPerSecond: -1, UDP: map[string]testnet.UDPAnswer{"53": testnet.UDPReply}})[0]
	testnet.Filter(t, "table inet ours { chain out { type filter hook output priority 0 ; udp dport 100-119 drop\n}\n}\n")
	e, err := NewUDP(testBudget(t, Limits{}))
	if err != nil {
		t.Fatal(err)
	}
	for at, r := range scanAll(t.Context(), t, e, testRequest(t, udpSpec("1-200"), four)) {
		want, cause := host.UDPState(at.Addr(), at.Port()), r.Cause
		if at.Port() >= 100 && at.Port() < 120 {
			want, cause = scan.Unknown, scan.CausePermission
		}
		if r.State != want || r.Cause != cause {
			t.Errorf("%v is %v (%v), want %v", at, r.State, r.Cause, want)
		}
	}
}

// TestUDPServers asks real servers of Debian's, at the ports where they belong.
func TestUDPServers(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{four}, ICMPsPerSecond: -1})[0]
	dir := t.TempDir()
	conf := func(name, text string) string {
		file := dir + "/" + name
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	host.Serve(t, "dnsmasq", "--keep-in-foreground", "--user=root", "--conf-file="+conf("dnsmasq", ""), "--no-resolv", "--no-hosts", "--pid-file=", "--bind-interfaces", "--except-interface=lo")
	host.Serve(t, "chronyd", "-d", "-x", "-U", "-u", "root", "-f", conf("chrony", "allow all\nlocal stratum 10\ncmdport 0\nbindcmdaddress /\npidfile "+dir+"/chrony.pid\n"))
	host.Serve(t, "snmpd", "-f", "-Lo", "-C", "-c", conf("snmpd", "rocommunity public\n[snmp] persistentDir "+dir+"\n"), "-I", "-smux", "-p", dir+"/snmpd.pid", "udp:161")
	host.Serve(t, "atftpd", "--daemon", "--no-fork", "--logfile", "-", "--port", "69", "--user", "root", dir)
	host.Serve(t, "memcached", "-u", "root", "-l", four.String(), "-p", "0", "-U", "11211")
	e, err := NewUDP(testBudget(t, Limits{}))
	if err != nil {
		t.Fatal(err)
	}
	want := map[uint16]scan.State{53: scan.Open, 69: scan.Open, 123: scan.Open, 161: scan.Open, 11211: scan.Open, 54: scan.Closed, 162: scan.Closed}
	var got map[netip.AddrPort]scan.PortResult
	for range 20 { // they take a moment to begin
		right := 0
		got = scanAll(t.Context(), t, e, testRequest(t, udpSpec("53,54,69,123,161,162,11211"), four))
		for at, r := range got {
			if r.State == want[at.Port()] {
				right++
			}
		}
		if right == len(want) {
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	for at, r := range got {
		t.Errorf("%v is %v (%v), want %v", at, r.State, r.Cause, want[at.Port()])
	}
}

// TestUDPRate holds a scan to a module's rate by what the target sees, ports that
// are sent several datagrams at an attempt included.
func TestUDPRate(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{four}, DefaultUDP: testnet.UDPDrop})[0]
	e, err := NewUDP(testBudget(t, Limits{}))
	if err != nil {
		t.Fatal(err)
	}
	spec := udpSpec("161,443,500,853,4500,8443")
	spec.Rate, spec.Retries, spec.MaxRetries = 20, 0, 0
	attempts, begun := 0, time.Now()
	err = e.Scan(t.Context(), testRequest(t, spec, four), func(r scan.PortResult) { attempts += r.Attempts })
	took := time.Since(begun)
	if err != nil {
		t.Fatal(err)
	}
	const datagrams = 3 + 5*2 // SNMP in three versions, the others in two
	if n := host.Counts(t).UDPIn; n != datagrams || attempts != datagrams || int(e.budget.Stats().UDPAttempts) != datagrams {
		t.Errorf("the target saw %d datagrams, %d are reported and %d counted, want %d", n, attempts, e.budget.Stats().UDPAttempts, datagrams)
	}
	if least := (datagrams-4)*time.Second/20 + spec.PortTimeout; took < least {
		t.Errorf("at 20 a second it took %v, want %v at least", took, least)
	}
}

// farUDP makes a distant network of one program's, and returns an engine.
func farUDP(t *testing.T, l Limits, reply func(port uint16) testnet.DatagramReply) (*testnet.Simulator, *Engine) {
	t.Helper()
	far := testnet.StartSimulation(t, testnet.Simulation{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")},
		Datagram: func(_ netip.Addr, port uint16, _ int, _ []byte) testnet.DatagramReply { return reply(port) },
	})
	e, err := NewUDP(testBudget(t, l))
	if err != nil {
		t.Fatal(err)
	}
	return far, e
}

var distant = netip.MustParseAddr("203.0.113.7")

// TestUDPServiceWithALimit has a service that answers seldom, amid silence: it is not
// asked again to see whether the host lives, and the rest is what silence is.
func TestUDPServiceWithALimit(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	answered := false
	_, e := farUDP(t, Limits{}, func(port uint16) testnet.DatagramReply {
		if port == 123 && !answered {
			answered = true
			return testnet.DatagramReply{Data: []byte("x")}
		}
		return testnet.DatagramReply{Silent: true}
	})
	got := census(scanAll(t.Context(), t, e, testRequest(t, udpSpec("1-2000"), distant)))
	if got["open reply"] != 1 || got["open_filtered silence"] != 1999 {
		t.Errorf("%v", got)
	}
}

// TestUDPAnswersOfAnotherKind has a port answer as a TFTP server would from a new one.
func TestUDPAnswersOfAnotherKind(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	_, e := farUDP(t, Limits{}, func(port uint16) testnet.DatagramReply {
		if port == 1069 {
			return testnet.DatagramReply{Data: []byte("\x00\x05\x00\x04no\x00")}
		}
		return testnet.DatagramReply{Silent: true}
	})
	for at, r := range scanAll(t.Context(), t, e, testRequest(t, udpSpec("69,70,1069"), distant)) {
		if (r.State == scan.Open) != (at.Port() == 1069) {
			t.Errorf("%v is %v (%v)", at, r.State, r.Cause)
		}
	}
}

// TestUDPLimitsOfAll holds all scans to the limit of packets a second, where an
// attempt takes three.
func TestUDPLimitsOfAll(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	const rate, seconds = 50, 3
	far, e := farUDP(t, Limits{Rate: rate}, func(uint16) testnet.DatagramReply { return testnet.DatagramReply{Silent: true} })
	var addrs []netip.Addr
	for a := netip.MustParseAddr("203.0.113.1"); len(addrs) < 200; a = a.Next() {
		addrs = append(addrs, a)
	}
	ctx, cancel := context.WithTimeout(t.Context(), seconds*time.Second)
	defer cancel()
	scanAll(ctx, t, e, testRequest(t, udpSpec("161"), addrs...))
	const first = 3 * firstHelping
	if n := far.Counts().UDPIn; n > rate*seconds+first {
		t.Errorf("%d datagrams in %d s, at %d a second", n, seconds, rate)
	}
}

// TestUDPHomeTwice has several scans of this very machine at once: each needs ports
// that others hold.
func TestUDPHomeTwice(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	e, err := NewUDP(testBudget(t, Limits{}))
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 3 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			got := census(scanBeside(ctx, t, e, testRequest(t, udpSpec("1-65535"), netip.MustParseAddr("127.0.0.1"))))
			if got["closed icmp"] != 65535 || ctx.Err() != nil {
				t.Errorf("scan %d: %v, %v", i, got, ctx.Err())
			}
		})
	}
	all.Wait()
}

// TestUDPTooBig has a path too narrow for the longest datagram: that says nothing of
// the port.
func TestUDPTooBig(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	r := icmpReport{fromNetwork: true, to: netip.AddrPortFrom(four, 443)}
	for _, tc := range []struct {
		to         netip.Addr
		kind, code uint8
		want       bool
	}{{four, 3, 4, true}, {four, 3, 3, false}, {four, 3, 1, false}, {six, 2, 0, true}, {six, 1, 4, false}, {four, 2, 0, false}} {
		r.to, r.kind, r.code = netip.AddrPortFrom(tc.to, 443), tc.kind, tc.code
		if r.tooBig() != tc.want {
			t.Errorf("%+v: %v", tc, r.tooBig())
		}
	}
}

// TestUDPRefusedByRouter has a router say "port unreachable" in the place of hosts:
// that is a filter's answer. Only the address itself says that a port is closed.
func TestUDPRefusedByRouter(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	distant6 := netip.MustParseAddr("2001:db8:7::7")
	routers := map[netip.Addr]netip.Addr{distant: netip.MustParseAddr("203.0.113.1"), distant6: netip.MustParseAddr("2001:db8:7::1")}
	testnet.StartSimulation(t, testnet.Simulation{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8:7::/64")},
		Datagram: func(addr netip.Addr, port uint16, _ int, _ []byte) testnet.DatagramReply {
			r := testnet.DatagramReply{Error: new(testnet.RejectPort)}
			if port > 10 {
				r.From = routers[addr]
			}
			return r
		},
	})
	e, err := NewUDP(testBudget(t, Limits{}))
	if err != nil {
		t.Fatal(err)
	}
	for at, r := range scanAll(t.Context(), t, e, testRequest(t, udpSpec("1-20"), distant, distant6)) {
		want := scan.Closed
		if at.Port() > 10 {
			want = scan.Filtered
		}
		if r.State != want || r.Cause != scan.CauseICMP {
			t.Errorf("%v is %v (%v), want %v (%v)", at, r.State, r.Cause, want, scan.CauseICMP)
		}
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// withUDP runs the test with each engine for UDP.
func withUDP(t *testing.T, test func(t *testing.T, e *Engine)) {
	t.Helper()
	for name, newEngine := range map[string]func(*Budget) (*Engine, error){"udp": NewUDP, "dial": NewDialUDP} {
		e, err := newEngine(testBudget(t, Limits{}))
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) { test(t, e) })
	}
}

// udpSpec returns a UDP module with the default settings of config.yml.
func udpSpec(ports string) scan.Spec {
	spec := defaultSpec(ports)
	spec.Protocol = scan.UDP
	return spec
}

// scanUDP scans with a time limit and compares the results with the true states.
func scanUDP(t *testing.T, e *Engine, spec scan.Spec, within time.Duration, truth func(netip.Addr, uint16) scan.State, addrs ...netip.Addr) testnet.Score {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	start := time.Now()
	score := testnet.CompareReports(truth, scanAll(ctx, t, e, testRequest(t, spec, addrs...)))
	t.Logf("%v\n%v", time.Since(start), score)
	return score
}

// TestUDPTruth scans a host with ports of each kind that does not limit its ICMP errors: all
// states must be right.
func TestUDPTruth(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{
		Addrs: []netip.Addr{target4, target6, netip.MustParseAddr("192.0.2.77")}, ICMPsPerSecond: -1,
		UDP: map[string]testnet.UDPAnswer{
			"53,1000-1009": testnet.UDPReply, "69": testnet.UDPReplyElsewhere, "200-209": testnet.UDPMute, "300-349": testnet.UDPDrop,
			"400-409": testnet.UDPRejectHost, "500-509": testnet.UDPRejectAdmin, "600-609": testnet.UDPRejectPort, "700": testnet.UDPReplyOtherAddr,
		},
	})[0]
	withUDP(t, func(t *testing.T, e *Engine) {
		t.Helper()
		ports := "1-1500"
		if t.Name() == "TestUDPTruth/dial" {
			ports = "1-68,70-399,510-1500" // the portable engine cannot distinguish the others
		}
		score := scanUDP(t, e, udpSpec(ports), 20*time.Second, host.UDPState, target4, target6)
		if score.Wrong() > 0 || score.Unknown() > 0 {
			t.Errorf("\n%v", score)
		}
	})
}

// TestUDPSilence scans hosts that drop datagrams to most or all ports: the silent ports must be
// open_filtered.
func TestUDPSilence(t *testing.T) { //nolint:tparallel // its parts have the same addresses
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	dark := netip.MustParseAddr("192.0.2.11")
	hosts := testnet.Start(
		t, testnet.Host{Addrs: []netip.Addr{target4, target6}, DefaultUDP: testnet.UDPDrop, UDP: map[string]testnet.UDPAnswer{"53,1000-1004": testnet.UDPReply}},
		testnet.Host{Addrs: []netip.Addr{dark}, DefaultUDP: testnet.UDPDrop},
	)
	withUDP(t, func(t *testing.T, e *Engine) {
		t.Helper()
		score := scanUDP(t, e, udpSpec("1-2000"), 20*time.Second, testnet.TruthUDP(hosts...), target4, target6, dark)
		if score.Wrong() > 0 || score.Unknown() > 0 {
			t.Errorf("\n%v", score)
		}
	})
}

// TestUDPICMPRateLimit scans hosts that limit their ICMP errors, one of them with two addresses
// that share a limit: no state may be wrong, a minimum of ports must be closed, and unknown
// ports must have the cause deadline or unresponsive.
func TestUDPICMPRateLimit(t *testing.T) { //nolint:tparallel // its parts have the same addresses
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	other := netip.MustParseAddr("192.0.2.11")
	for name, tc := range map[string]struct {
		host     testnet.Host
		ports    string
		within   time.Duration
		closed   int  // at least
		complete bool // no port may be unknown
	}{
		"the kernel's limit, few ports":  {testnet.Host{Addrs: []netip.Addr{target4}, UDP: map[string]testnet.UDPAnswer{"53": testnet.UDPReply}}, "50-59", 20 * time.Second, 9, true},
		"the kernel's limit, one silent": {testnet.Host{Addrs: []netip.Addr{target4}, UDP: map[string]testnet.UDPAnswer{"53,123": testnet.UDPReply, "1194": testnet.UDPMute}}, "53,69,123,1194", 9 * time.Second, 1, true},
		"the kernel's limit, many ports": {testnet.Host{Addrs: []netip.Addr{target4}, UDP: map[string]testnet.UDPAnswer{"53": testnet.UDPReply}}, "1-1000", 9 * time.Second, 7, false},
		"the kernel's limit, IPv6":       {testnet.Host{Addrs: []netip.Addr{target6}, UDP: map[string]testnet.UDPAnswer{"53": testnet.UDPReply}}, "1-100", 9 * time.Second, 40, false},
		"100 a second":                   {testnet.Host{Addrs: []netip.Addr{target4}, ICMPsPerSecond: 100, UDP: map[string]testnet.UDPAnswer{"53": testnet.UDPReply}}, "1-300", 20 * time.Second, 299, true},
		"50 a second, shared":            {testnet.Host{Addrs: []netip.Addr{target4, other}, ICMPsPerSecond: 50}, "1-100", 15 * time.Second, 60, false},
		"100 a second, some silent":      {testnet.Host{Addrs: []netip.Addr{target4}, ICMPsPerSecond: 100, UDP: map[string]testnet.UDPAnswer{"10-19": testnet.UDPMute, "30-39": testnet.UDPDrop}}, "1-150", 30 * time.Second, 130, false},
	} {
		t.Run(name, func(t *testing.T) {
			host := testnet.Start(t, tc.host)[0]
			e, err := NewUDP(testBudget(t, Limits{}))
			if err != nil {
				t.Fatal(err)
			}
			score := scanUDP(t, e, udpSpec(tc.ports), tc.within, host.UDPState, tc.host.Addrs...)
			if score.Wrong() > 0 || score.Right(scan.Closed) < tc.closed || tc.complete && score.Unknown() > 0 ||
				score.Unknown() != score.UnknownByCause(scan.CauseDeadline)+score.UnknownByCause(scan.CauseUnresponsive) {
				t.Errorf("\n%v", score)
			}
		})
	}
}

// TestUDPRejects scans a host with a filter that rejects ports with each kind of ICMP error, at the
// kernel's limit. They must be filtered, and the silent port among them open_filtered.
func TestUDPRejects(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{target4}, UDP: map[string]testnet.UDPAnswer{"53": testnet.UDPReply, "1194": testnet.UDPMute}})[0]
	var rules strings.Builder
	rules.WriteString("table inet rejects { chain in { type filter hook input priority 0 ;\n")
	for i, kind := range []string{"net-unreachable", "host-unreachable", "prot-unreachable", "net-prohibited", "host-prohibited", "admin-prohibited"} {
		fmt.Fprintf(&rules, "udp dport %d-%d reject with icmp type %s\n", 3000+2*i, 3001+2*i, kind)
	}
	host.Filter(t, rules.String()+"}\n}\n")
	e, err := NewUDP(testBudget(t, Limits{}))
	if err != nil {
		t.Fatal(err)
	}
	truth := func(addr netip.Addr, port uint16) scan.State {
		if port >= 3000 {
			return scan.Filtered
		}
		return host.UDPState(addr, port)
	}
	spec := udpSpec("53,1194,3000-3011")
	spec.Timeout = 45 * time.Second
	if score := scanUDP(t, e, spec, spec.Timeout, truth, target4); score.Wrong() > 0 || score.Unknown() > 0 {
		t.Errorf("\n%v", score)
	}
}

// TestUDPLoss scans a host that loses a tenth of all packets in each direction: no state may be
// wrong, and all open and closed ports must be found.
func TestUDPLoss(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{
		Addrs: []netip.Addr{target4}, ICMPsPerSecond: -1, LossIn: .1, LossOut: .1,
		UDP: map[string]testnet.UDPAnswer{"53,123,161": testnet.UDPReply, "500-509": testnet.UDPMute},
	})[0]
	e, err := NewUDP(testBudget(t, Limits{}))
	if err != nil {
		t.Fatal(err)
	}
	score := scanUDP(t, e, udpSpec("1-1000"), 20*time.Second, host.UDPState, target4)
	if score.Wrong() > 0 || score.Right(scan.Open) != 3 || score.Right(scan.Closed) != 987 {
		t.Errorf("\n%v", score)
	}
}

// TestUDPOwnAddress scans all ports of loopback. Those that the scan itself uses as source ports
// must also be closed.
func TestUDPOwnAddress(t *testing.T) { //nolint:tparallel // its parts have the same addresses
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	lo := netip.MustParseAddr("127.0.0.1")
	withUDP(t, func(t *testing.T, e *Engine) {
		t.Helper()
		if got := census(scanAll(t.Context(), t, e, testRequest(t, udpSpec("1-65535"), lo))); got["closed icmp"] != 65535 {
			t.Errorf("states = %v, want 65535 closed (icmp)", got)
		}
	})
}

// TestUDPUnusualAnswers scans a host with late, duplicate and empty answers, answers from
// another address or port, and ICMP errors of routers: all states must be right.
func TestUDPUnusualAnswers(t *testing.T) {
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

// TestUDPLocalFilter scans through an output filter of this machine that drops datagrams to
// some ports: those ports must be unknown (permission).
func TestUDPLocalFilter(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{target4}, ICMPsPerSecond: -1, UDP: map[string]testnet.UDPAnswer{"53": testnet.UDPReply}})[0]
	testnet.Filter(t, "table inet ours { chain out { type filter hook output priority 0 ; udp dport 100-119 drop\n}\n}\n")
	e, err := NewUDP(testBudget(t, Limits{}))
	if err != nil {
		t.Fatal(err)
	}
	for at, r := range scanAll(t.Context(), t, e, testRequest(t, udpSpec("1-200"), target4)) {
		want, cause := host.UDPState(at.Addr(), at.Port()), r.Cause
		if at.Port() >= 100 && at.Port() < 120 {
			want, cause = scan.Unknown, scan.CausePermission
		}
		if r.State != want || r.Cause != cause {
			t.Errorf("state of %v = %v (%v), want %v (%v)", at, r.State, r.Cause, want, cause)
		}
	}
}

// TestUDPServers scans servers from Debian packages on their standard ports: each must be open.
func TestUDPServers(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{target4}, ICMPsPerSecond: -1})[0]
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
	host.Serve(t, "memcached", "-u", "root", "-l", target4.String(), "-p", "0", "-U", "11211")
	e, err := NewUDP(testBudget(t, Limits{}))
	if err != nil {
		t.Fatal(err)
	}
	want := map[uint16]scan.State{53: scan.Open, 69: scan.Open, 123: scan.Open, 161: scan.Open, 11211: scan.Open, 54: scan.Closed, 162: scan.Closed}
	var got map[netip.AddrPort]scan.PortResult
	for range 20 { // the servers need time to start
		right := 0
		got = scanAll(t.Context(), t, e, testRequest(t, udpSpec("53,54,69,123,161,162,11211"), target4))
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
		t.Errorf("state of %v = %v (%v), want %v", at, r.State, r.Cause, want[at.Port()])
	}
}

// TestUDPRateLimit scans ports whose attempts have several datagrams with a module's rate limit.
// The limit must apply to datagrams, and the target must receive as many as are reported.
func TestUDPRateLimit(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{target4}, DefaultUDP: testnet.UDPDrop})[0]
	e, err := NewUDP(testBudget(t, Limits{}))
	if err != nil {
		t.Fatal(err)
	}
	spec := udpSpec("161,443,500,853,4500,8443")
	spec.Rate, spec.Retries, spec.MaxRetries = 20, 0, 0
	attempts, start := 0, time.Now()
	err = e.Scan(t.Context(), testRequest(t, spec, target4), func(r scan.PortResult) { attempts += r.Attempts })
	took := time.Since(start)
	if err != nil {
		t.Fatal(err)
	}
	const datagrams = 3 + 5*2 // SNMP in three versions, the others in two
	if n := host.Counts(t).UDPIn; n != datagrams || attempts != datagrams || int(e.budget.Stats().UDPAttempts) != datagrams {
		t.Errorf("datagrams received = %d, reported = %d, counted = %d, want %d", n, attempts, e.budget.Stats().UDPAttempts, datagrams)
	}
	if least := (datagrams-4)*time.Second/20 + spec.PortTimeout; took < least {
		t.Errorf("duration at 20 a second = %v, want at least %v", took, least)
	}
}

// simulateUDP starts a simulated network and returns it with an engine.
func simulateUDP(t *testing.T, l Limits, reply func(port uint16) testnet.DatagramReply) (*testnet.Simulator, *Engine) {
	t.Helper()
	sim := testnet.StartSimulation(t, testnet.Simulation{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")},
		Datagram: func(_ netip.Addr, port uint16, _ int, _ []byte) testnet.DatagramReply { return reply(port) },
	})
	e, err := NewUDP(testBudget(t, l))
	if err != nil {
		t.Fatal(err)
	}
	return sim, e
}

// remote4 is a simulated address behind a router.
var remote4 = netip.MustParseAddr("203.0.113.7")

// TestUDPRateLimitedService scans a host with one service, which answers only once. That the
// service is silent later does not show that the host has stopped answering: the silent ports
// must be open_filtered, not unknown.
func TestUDPRateLimitedService(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	answered := false
	_, e := simulateUDP(t, Limits{}, func(port uint16) testnet.DatagramReply {
		if port == 123 && !answered {
			answered = true
			return testnet.DatagramReply{Data: []byte("x")}
		}
		return testnet.DatagramReply{Silent: true}
	})
	got := census(scanAll(t.Context(), t, e, testRequest(t, udpSpec("1-2000"), remote4)))
	if got["open reply"] != 1 || got["open_filtered silence"] != 1999 {
		t.Errorf("states = %v, want 1 open (reply) and 1999 open_filtered (silence)", got)
	}
}

// TestUDPAnswerLikeTFTP scans a port that answers with a TFTP packet, as a TFTP server does from
// a new port. Only that port must be open, not port 69.
func TestUDPAnswerLikeTFTP(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	_, e := simulateUDP(t, Limits{}, func(port uint16) testnet.DatagramReply {
		if port == 1069 {
			return testnet.DatagramReply{Data: []byte("\x00\x05\x00\x04no\x00")}
		}
		return testnet.DatagramReply{Silent: true}
	})
	for at, r := range scanAll(t.Context(), t, e, testRequest(t, udpSpec("69,70,1069"), remote4)) {
		if (r.State == scan.Open) != (at.Port() == 1069) {
			t.Errorf("state of %v = %v (%v), want open: %v", at, r.State, r.Cause, at.Port() == 1069)
		}
	}
}

// TestUDPBudgetRateLimit scans 200 addresses with a rate limit of all scans and three datagrams
// an attempt: the limit must apply to datagrams.
func TestUDPBudgetRateLimit(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	const rate, seconds = 50, 3
	sim, e := simulateUDP(t, Limits{Rate: rate}, func(uint16) testnet.DatagramReply { return testnet.DatagramReply{Silent: true} })
	var addrs []netip.Addr
	for a := netip.MustParseAddr("203.0.113.1"); len(addrs) < 200; a = a.Next() {
		addrs = append(addrs, a)
	}
	ctx, cancel := context.WithTimeout(t.Context(), seconds*time.Second)
	defer cancel()
	scanAll(ctx, t, e, testRequest(t, udpSpec("161"), addrs...))
	const first = 3 * initialQuota
	if n := sim.Counts().UDPIn; n > rate*seconds+first {
		t.Errorf("datagrams in %d s at %d a second = %d, want at most %d", seconds, rate, n, rate*seconds+first)
	}
}

// TestUDPConcurrentOwnAddress runs three scans of loopback at the same time, of which each scans
// the source ports of the others: all ports must be closed.
func TestUDPConcurrentOwnAddress(t *testing.T) {
	t.Parallel() // it waits more than it works
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
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			got := census(scanConcurrently(ctx, t, e, testRequest(t, udpSpec("1-65535"), netip.MustParseAddr("127.0.0.1"))))
			if got["closed icmp"] != 65535 || ctx.Err() != nil {
				t.Errorf("scan %d: states = %v, want 65535 closed (icmp); deadline: %v, want none", i, got, ctx.Err())
			}
		})
	}
	all.Wait()
}

// TestUDPReplyFromAnotherAddress scans two addresses of a host that replies from the second only,
// and a port that replies from an address outside the request. Replies must count for the address
// that was asked if they come from an address of the request. Copies of the second address's own
// replies must not.
func TestUDPReplyFromAnotherAddress(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	second, outside := netip.MustParseAddr("203.0.113.8"), netip.MustParseAddr("203.0.113.9")
	const everywhere, notOfRequest, onlySecond = 53, 54, 55
	testnet.StartSimulation(t, testnet.Simulation{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")},
		Datagram: func(addr netip.Addr, port uint16, _ int, _ []byte) testnet.DatagramReply {
			switch {
			case port == everywhere:
				return testnet.DatagramReply{Data: []byte("x"), From: second}
			case port == notOfRequest:
				return testnet.DatagramReply{Data: []byte("x"), From: outside}
			case port == onlySecond && addr == second:
				return testnet.DatagramReply{Data: []byte("x"), Copies: 200}
			default:
				return testnet.DatagramReply{Silent: true}
			}
		},
	})
	e, err := NewUDP(testBudget(t, Limits{}))
	if err != nil {
		t.Fatal(err)
	}
	truth := func(addr netip.Addr, port uint16) scan.State {
		if port == everywhere || port == onlySecond && addr == second {
			return scan.Open
		}
		return scan.OpenFiltered
	}
	if score := scanUDP(t, e, udpSpec("50-59"), 20*time.Second, truth, remote4, second); score.Wrong() > 0 || score.Unknown() > 0 {
		t.Errorf("\n%v", score)
	}
}

// TestUDPLateAnswerUnresolved requires that a late answer to an attempt through a next hop that was
// not resolved counts as one to a first attempt, from which its round trip is measured.
func TestUDPLateAnswerUnresolved(t *testing.T) {
	t.Parallel()
	service, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = service.Close() }()
	e, err := NewUDP(testBudget(t, Limits{}))
	if err != nil {
		t.Fatal(err)
	}
	p, err := e.system.newProber(t.Context(), netip.Addr{}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	at := netip.MustParseAddrPort(service.LocalAddr().String())
	for options, first := range map[attemptOptions]bool{{}: true, {variant: 1}: false, {unresolved: true}: true} {
		slot, cause := p.open(slotFamily(at.Addr()))
		if cause == scan.CauseNone {
			cause = p.send(attemptID{slot: slot, number: 1}, at, options)
		}
		if cause != scan.CauseNone {
			t.Fatalf("attempt failed: %v", cause)
		}
		p.drop(slot)
		_, from, err := service.ReadFrom(make([]byte, 1500))
		if err == nil {
			_, err = service.WriteTo([]byte("answer"), from)
		}
		if err != nil {
			t.Fatal(err)
		}
		var late []completion
		for len(late) == 0 && t.Context().Err() == nil {
			late, _ = p.wait(time.Second, nil)
		}
		if len(late) != 1 || late[0].id.slot != lateAnswer || late[0].first != first {
			t.Errorf("late answers with %+v = %+v, want one, first: %v", options, late, first)
		}
		p.shut(slot)
	}
}

// TestUDPTooBig requires that exactly the ICMP errors for a datagram that exceeds the path's MTU
// are recognized, because they are no answer of the port.
func TestUDPTooBig(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	r := icmpReport{fromNetwork: true, to: netip.AddrPortFrom(target4, 443)}
	for _, tc := range []struct {
		to         netip.Addr
		kind, code uint8
		want       bool
	}{{target4, 3, 4, true}, {target4, 3, 3, false}, {target4, 3, 1, false}, {target6, 2, 0, true}, {target6, 1, 4, false}, {target4, 2, 0, false}} {
		r.to, r.kind, r.code = netip.AddrPortFrom(tc.to, 443), tc.kind, tc.code
		if r.tooBig() != tc.want {
			t.Errorf("tooBig() of type %d, code %d from %v = %v, want %v", tc.kind, tc.code, tc.to, r.tooBig(), tc.want)
		}
	}
}

// TestUDPPortUnreachableByRouter has a router send "port unreachable" errors for some ports of
// two addresses. Those ports must be filtered. Only ports for which the address itself sends the
// error must be closed.
func TestUDPPortUnreachableByRouter(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	remote6 := netip.MustParseAddr("2001:db8:7::7")
	routers := map[netip.Addr]netip.Addr{remote4: netip.MustParseAddr("203.0.113.1"), remote6: netip.MustParseAddr("2001:db8:7::1")}
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
	for at, r := range scanAll(t.Context(), t, e, testRequest(t, udpSpec("1-20"), remote4, remote6)) {
		want := scan.Closed
		if at.Port() > 10 {
			want = scan.Filtered
		}
		if r.State != want || r.Cause != scan.CauseICMP {
			t.Errorf("state of %v = %v (%v), want %v (%v)", at, r.State, r.Cause, want, scan.CauseICMP)
		}
	}
}

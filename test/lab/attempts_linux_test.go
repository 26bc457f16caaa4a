// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package lab_test

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"portscan_exporter/internal/engine"
	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// attemptsCase is a host, and a scan whose attempts are compared with the packets that the
// host receives.
type attemptsCase struct {
	name    string
	host    testnet.Host
	ports   string
	open    string                        // expected
	rate    int                           // packets per second; 0: no limit
	timeout time.Duration                 // of the scan; 0: one that no case needs
	during  func(*testing.T, *packetHost) // at a third of a scan with a rate; nil: none
	want    scan.State                    // a state that some ports must have
}

// packetHost is the host of an attemptsCase.
type packetHost struct {
	*testnet.RunningHost

	addr netip.Addr
}

func (p *packetHost) block(t *testing.T, action string) {
	t.Helper()
	p.Exec(t, "sh", "-c", "iptables -I INPUT -p tcp -j "+action)
}

// attemptsCases returns the cases for TCP. Ports are few, so that the test's machine drops no
// packets, except in the case of several workers.
func attemptsCases() []attemptsCase {
	mixed := map[string]testnet.Answer{"22,80": testnet.Accept, "211-220": testnet.Accept, "300-309": testnet.Drop, "310-319": testnet.RejectAdmin}
	ban := func(action string) func(*testing.T, *packetHost) {
		return func(t *testing.T, p *packetHost) { t.Helper(); p.block(t, action) }
	}
	return []attemptsCase{
		{name: "closed", host: testnet.Host{Ports: mixed}, ports: "1-600", open: "22,80", want: scan.Closed},
		{name: "open", host: testnet.Host{Default: testnet.Accept}, ports: "1-40", want: scan.Open}, // with control ports
		{name: "many open", host: testnet.Host{Ports: map[string]testnet.Answer{"1-300": testnet.Accept}}, ports: "1-600", want: scan.Open},
		{name: "filtered", host: testnet.Host{Default: testnet.Drop, Ports: map[string]testnet.Answer{"22,80,443": testnet.Accept}}, ports: "1-600", want: scan.Filtered},
		{name: "dark", host: testnet.Host{Default: testnet.Drop}, ports: "1-200", want: scan.Filtered},
		{name: "rejected", host: testnet.Host{Default: testnet.RejectAdmin, Ports: map[string]testnet.Answer{"22": testnet.Accept}, ICMPsPerSecond: -1}, ports: "1-600", want: scan.Filtered},
		{name: "few rejects", host: testnet.Host{Default: testnet.RejectPort, Ports: map[string]testnet.Answer{"22,80": testnet.Accept}}, ports: "1-300", want: scan.Filtered},
		{name: "loss", host: testnet.Host{Ports: mixed, LossIn: .1, LossOut: .1}, ports: "1-600", open: "22,80", want: scan.Closed},
		{name: "loss amid silence", host: testnet.Host{Default: testnet.Drop, Ports: map[string]testnet.Answer{"22,80,443": testnet.Accept}, LossIn: .1, LossOut: .1}, ports: "1-300", want: scan.Filtered},
		{name: "dropping ban", host: testnet.Host{Ports: mixed}, ports: "1-600", rate: 300, during: ban(dropSilent), want: scan.Unknown},
		{name: "rejecting ban", host: testnet.Host{Ports: mixed, ICMPsPerSecond: -1}, ports: "1-600", rate: 300, during: ban(rejectAdmin), want: scan.Unknown},
		{name: "resetting ban", host: testnet.Host{Ports: mixed}, ports: "1-600", rate: 300, during: ban(rejectReset), want: scan.Unknown},
		{name: "deadline", host: testnet.Host{Ports: mixed}, ports: "1-600", rate: 300, timeout: time.Second, want: scan.Unknown},
		{name: "deadline amid silence", host: testnet.Host{Default: testnet.Drop}, ports: "1-600", timeout: 300 * time.Millisecond, want: scan.Unknown},
		{name: "ban of several workers", host: testnet.Host{Ports: mixed}, ports: "1-20000", rate: 10000, during: ban(dropSilent), want: scan.Unknown},
		{name: "deadline of several workers", host: testnet.Host{Default: testnet.Drop}, ports: "1-20000", timeout: 300 * time.Millisecond, want: scan.Unknown},
		{name: "several workers", host: testnet.Host{Ports: mixed}, ports: "1-6000", want: scan.Closed},
	}
}

// TestAttempts requires that a scan reports as many attempts as SYNs arrive, and as the budget
// counts.
func TestAttempts(t *testing.T) {
	t.Parallel()
	if !isolated(t) {
		return
	}
	for i, running := range startEach(t, attemptsCases(), len(methods())) {
		t.Run(methods()[i].String(), func(t *testing.T) {
			t.Parallel()
			for j, tc := range attemptsCases() {
				t.Run(tc.name, func(t *testing.T) {
					spec := defaultSpec(t, tc.ports, tc.open)
					spec.Method = methods()[i]
					tc.test(t, spec, running[j], func(c testnet.Counts) int { return c.SYNsIn })
				})
			}
		})
	}
}

// startEach starts a number of hosts for each case.
func startEach(t *testing.T, cases []attemptsCase, count int) [][]*packetHost {
	t.Helper()
	addr := netip.MustParseAddr("192.0.2.1")
	var hosts []testnet.Host
	for range count {
		for _, tc := range cases {
			tc.host.Addrs = []netip.Addr{addr}
			hosts, addr = append(hosts, tc.host), addr.Next()
		}
	}
	all := make([][]*packetHost, count)
	for i, running := range testnet.Start(t, hosts...) {
		all[i/len(cases)] = append(all[i/len(cases)], &packetHost{running, hosts[i].Addrs[0]})
	}
	return all
}

// retransmittedSYNs returns the number of SYNs that the kernel has retransmitted in this
// namespace. They are no attempts. On a busy machine, the engine can end attempts so late that
// there are some.
func retransmittedSYNs(t *testing.T) int {
	t.Helper()
	data, err := os.ReadFile("/proc/self/net/netstat")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(data), "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		names, values := strings.Fields(lines[i]), strings.Fields(lines[i+1])
		if at := slices.Index(names, "TCPSynRetrans"); at >= 0 {
			n, err := strconv.Atoi(values[at])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no counter TCPSynRetrans in:\n%s", data)
	return 0
}

// TestAttemptsUDP requires that a scan reports as many attempts as datagrams arrive. Attempts at
// some ports have several datagrams.
func TestAttemptsUDP(t *testing.T) {
	t.Parallel()
	if !isolated(t) {
		return
	}
	const ports = "53,69,123,161,443,500,853,1000-1020,4500,8443"
	reply := map[string]testnet.UDPAnswer{"53,161,1000": testnet.UDPReply, "500,4500,1001": testnet.UDPDrop, "443": testnet.UDPRejectAdmin}
	cases := []attemptsCase{
		{name: "closed", host: testnet.Host{UDP: reply, ICMPsPerSecond: -1}, want: scan.Closed},
		{name: "few ICMP errors", host: testnet.Host{UDP: reply}, want: scan.Closed},
		{name: "silent", host: testnet.Host{DefaultUDP: testnet.UDPDrop, UDP: map[string]testnet.UDPAnswer{"53,161": testnet.UDPReply}}, want: scan.OpenFiltered},
		{name: "loss", host: testnet.Host{UDP: reply, ICMPsPerSecond: -1, LossIn: .1, LossOut: .1}, want: scan.Closed},
		{name: "deadline", host: testnet.Host{UDP: reply}, rate: 20, timeout: time.Second, want: scan.Unknown},
	}
	hosts := startEach(t, cases, 1)[0]
	for i, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			spec := defaultSpec(t, ports, "")
			spec.Protocol = scan.UDP
			tc.test(t, spec, hosts[i], func(c testnet.Counts) int { return c.UDPIn })
		})
	}
}

// TestAttemptsNotSent scans an address to which this machine sends no packets. Attempts must
// not count, except for connections whose packets the kernel drops after it has accepted them.
func TestAttemptsNotSent(t *testing.T) { //nolint:tparallel // its parts have the same address
	t.Parallel()
	if !isolated(t) {
		return
	}
	testnet.NeedProgram(t, "ip", "iptables")
	addr := netip.MustParseAddr("192.0.2.1")
	host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{addr}})[0]
	counter := testnet.CountTo(t, addr)
	udp := defaultSpec(t, "53,500,600-610", "")
	udp.Protocol = scan.UDP
	specs := map[string]scan.Spec{"udp": udp}
	for _, method := range methods() {
		spec := defaultSpec(t, "1-20", "")
		spec.Method = method
		specs[method.String()] = spec
	}
	for _, tc := range []struct{ name, setUp, tearDown string }{
		{"no route", "ip route add unreachable 192.0.2.1 metric 0 table local", "ip route del unreachable 192.0.2.1 table local"},
		{"prohibited", "ip route add prohibit 192.0.2.1 table local", "ip route del prohibit 192.0.2.1 table local"},
		{"discarding route", "ip route add blackhole 192.0.2.1 table local", "ip route del blackhole 192.0.2.1 table local"},
		{"filter", "iptables -I OUTPUT -d 192.0.2.1 -j DROP", "iptables -D OUTPUT -d 192.0.2.1 -j DROP"},
	} {
		for name, spec := range specs {
			t.Run(tc.name+"/"+name, func(t *testing.T) {
				runHere(t, tc.setUp)
				defer runHere(t, tc.tearDown)
				before, retransmitted := counter.Packets(t, addr), retransmittedSYNs(t)
				spec.Timeout, spec.PortTimeout = 5*time.Second, 500*time.Millisecond
				result, counted := scanCounted(t, spec, addr)
				want := 0
				if tc.name == "filter" && name == "connect" {
					want = counter.Packets(t, addr) - before - retransmittedSYNs(t) + retransmitted
				}
				if result.Attempts != want || counted != want {
					t.Errorf("attempts = %d, the budget counted %d, want %d", result.Attempts, counted, want)
				}
			})
		}
	}
	if c := host.Counts(t); c.SYNsIn+c.UDPIn > 0 {
		t.Errorf("packets at the host = %+v, want none", c)
	}
}

// runHere runs a command in the scanner's namespace.
func runHere(t *testing.T, command string) {
	t.Helper()
	if out, err := exec.Command("sh", "-c", "PATH=$PATH:/usr/sbin:/sbin; "+command).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

// test scans the host once.
func (tc attemptsCase) test(t *testing.T, spec scan.Spec, host *packetHost, packets func(testnet.Counts) int) {
	t.Helper()
	spec.Rate = tc.rate
	spec.PortTimeout = 500 * time.Millisecond // far below the first retransmission of the kernel
	if tc.timeout > 0 {
		spec.Timeout = tc.timeout
	}
	if tc.during != nil {
		changed := make(chan struct{})
		defer func() { <-changed }()
		time.AfterFunc(time.Duration(spec.Ports.Len())*time.Second/time.Duration(3*spec.Rate), func() {
			defer close(changed)
			tc.during(t, host)
		})
	}
	retransmitted := -retransmittedSYNs(t)
	result, counted := scanCounted(t, spec, host.addr)
	retransmitted += retransmittedSYNs(t)
	states := make(map[scan.State]int)
	for _, s := range scan.States() {
		states[s] = result.Addresses[0].Count(s)
	}
	got, arrived := result.Attempts, packets(host.Counts(t))
	t.Logf("%d attempts, %d of them retries, %d packets, budget counts %d, %v", got, result.Retries, arrived, counted, states)
	if spec.Protocol == scan.TCP && spec.Method == scan.Connect {
		arrived -= retransmitted
	}
	if got != arrived || got != counted {
		t.Errorf("attempts = %d, want %d packets; the budget counted %d", got, arrived, counted)
	}
	if states[tc.want] == 0 {
		t.Errorf("states = %v, want some %v", states, tc.want)
	}
}

// scanCounted scans the addresses, and returns the result and the attempts that the budget
// counted.
func scanCounted(t *testing.T, spec scan.Spec, addrs ...netip.Addr) (result *scan.Result, counted int) {
	t.Helper()
	plan, err := scan.NewPlan(spec)
	if err != nil {
		t.Fatal(err)
	}
	networks, found := make([]netip.Prefix, 0, len(addrs)), make([]scan.Address, 0, len(addrs))
	for _, a := range addrs {
		networks, found = append(networks, netip.PrefixFrom(a, a.BitLen())), append(found, scan.Address{IP: a})
	}
	scope, err := scan.NewScope(networks, nil)
	if err != nil {
		t.Fatal(err)
	}
	request, refused, err := scan.NewRequest(plan, scope, found)
	if err != nil || len(refused) > 0 {
		t.Fatal(err, refused)
	}
	recorder, err := scan.NewRecorder(request)
	if err != nil {
		t.Fatal(err)
	}
	budget, scanner := newBudgetScanner(t, spec)
	ctx, cancel := context.WithTimeout(t.Context(), spec.Timeout)
	defer cancel()
	if err := scanner.Scan(ctx, request, recorder.Record); err != nil {
		t.Fatal(err)
	}
	result = &scan.Result{Plan: plan}
	result.Addresses, result.Attempts, result.Retries = recorder.Snapshot(scan.CauseDeadline)
	stats := budget.Stats()
	return result, int(stats.TCPAttempts + stats.UDPAttempts)
}

// newBudgetScanner returns a new scanner, as the exporter makes it, and its budget.
func newBudgetScanner(t *testing.T, spec scan.Spec) (*engine.Budget, scan.Scanner) {
	t.Helper()
	budget, err := engine.NewBudget(engine.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	create := engine.NewConnect
	switch {
	case spec.Protocol == scan.UDP:
		create = engine.NewUDP
	case spec.Method == scan.SYN:
		create = engine.NewSYN
	}
	e, err := create(budget)
	if err != nil {
		testnet.Skip(t, err.Error())
	}
	t.Cleanup(e.Close)
	return budget, engine.WithControl(e)
}

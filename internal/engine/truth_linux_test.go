// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// truthCase is a scan of a test host, whose states are known.
type truthCase struct {
	host    testnet.Host
	ports   string
	open    string // expected
	unknown int    // maximum number of unknown ports
	within  time.Duration
	with    []string // names of engines; nil: those of linuxEngines
}

// linuxEngines returns the names of the engines that only Linux has.
func linuxEngines() []string { return []string{"connect", "syn"} }

// withLinuxEngines runs the test with each engine that only Linux has.
func withLinuxEngines(t *testing.T, test func(t *testing.T, e *Engine)) {
	t.Helper()
	all := engines(t, Limits{})
	for _, name := range linuxEngines() {
		t.Run(name, func(t *testing.T) { test(t, all[name]) })
	}
}

// run scans with each engine: no state may be wrong, and at most c.unknown ports unknown.
func (c truthCase) run(t *testing.T) {
	t.Helper()
	host := testnet.Start(t, c.host)[0]
	with := c.with
	if with == nil {
		with = linuxEngines()
	}
	all := engines(t, Limits{})
	for _, name := range with {
		e := all[name]
		spec := defaultSpec(c.ports)
		if c.open != "" {
			set, err := scan.ParsePortSet(c.open)
			if err != nil {
				t.Fatal(err)
			}
			spec.Expect = &scan.Expectation{Open: set}
		}
		start := time.Now()
		score := testnet.MeasureWithoutDrops(t, func() testnet.Score {
			start = time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), max(c.within, 60*time.Second))
			defer cancel()
			return testnet.CompareReports(host.State, scanAll(ctx, t, e, testRequest(t, spec, c.host.Addrs...)))
		}, host)
		t.Logf("%s: %v, %+v", name, time.Since(start), host.Counts(t))
		if score.Wrong() > 0 || score.Unknown() > c.unknown {
			t.Errorf("%s:\n%v", name, score)
		}
	}
}

// TestTruthClosed scans a host that refuses most ports.
func TestTruthClosed(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	truthCase{host: testnet.Host{Addrs: []netip.Addr{target4, target6}, Ports: map[string]testnet.Answer{"22,80,8080,50000-50004": testnet.Accept, "25": testnet.AcceptReset}}, ports: "1-65535"}.run(t)
}

// TestTruthDrops scans a host that drops packets to most ports.
func TestTruthDrops(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	truthCase{host: testnet.Host{Addrs: []netip.Addr{target4}, Default: testnet.Drop, Ports: map[string]testnet.Answer{"22,80,443,8080,50000": testnet.Accept}}, ports: "1-65535", open: "22,80,443"}.run(t)
}

// TestTruthRejects scans a host that rejects most ports with ICMP errors.
func TestTruthRejects(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	truthCase{host: testnet.Host{Addrs: []netip.Addr{target4}, Default: testnet.RejectPort, Ports: map[string]testnet.Answer{"22,80,443,8080,50000": testnet.Accept}}, ports: "1-65535", open: "22,80,443"}.run(t)
}

// TestTruthDark scans a host that drops packets to all ports.
func TestTruthDark(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	truthCase{host: testnet.Host{Addrs: []netip.Addr{target4}, Default: testnet.Drop}, ports: "1-65535"}.run(t)
}

// TestTruthLoss scans a host that loses a tenth of all packets in each direction.
func TestTruthLoss(t *testing.T) { //nolint:tparallel // its parts have the same addresses
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	lossy := testnet.Host{Addrs: []netip.Addr{target4}, LossIn: .1, LossOut: .1, Ports: map[string]testnet.Answer{"22,80,443,8080,9000-9004": testnet.Accept}}
	for run := range 10 {
		t.Run(strconv.Itoa(run), func(t *testing.T) {
			truthCase{host: lossy, ports: "1-10000"}.run(t)
		})
	}
}

// TestTruthLimitedResets scans a host that sends at most 200 RSTs a second.
func TestTruthLimitedResets(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	truthCase{host: testnet.Host{Addrs: []netip.Addr{target4}, RSTsPerSecond: 200}, ports: "1-3000", within: 60 * time.Second, unknown: 0}.run(t)
}

// TestTruthMixed scans a host with ports of each kind.
func TestTruthMixed(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	truthCase{host: testnet.Host{Addrs: []netip.Addr{target4, target6}, Ports: map[string]testnet.Answer{
		"22,80": testnet.Accept, "81": testnet.AcceptReset, "82": testnet.AcceptClose, "1000-1499": testnet.Drop, "1500-1509": testnet.RejectReset,
		"1510-1529": testnet.RejectAdmin, "1530-1549": testnet.RejectHost, "1550-1569": testnet.RejectPort, "2000": testnet.BacklogFull,
	}, ICMPsPerSecond: -1}, ports: "1-4000"}.run(t)
}

// TestTruthAllEngines scans, with the portable engine too, a host with the kinds of ports that
// it can distinguish.
func TestTruthAllEngines(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	truthCase{host: testnet.Host{Addrs: []netip.Addr{target4, target6}, Ports: map[string]testnet.Answer{
		"22,80": testnet.Accept, "81": testnet.AcceptReset, "1000-1099": testnet.Drop, "1500-1509": testnet.RejectReset,
	}}, ports: "1-2000", with: []string{"connect", "dial", "syn"}}.run(t)
}

// TestTruthNetwork scans 254 addresses.
func TestTruthNetwork(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	var addrs []netip.Addr
	for a := netip.MustParseAddr("192.0.2.1"); len(addrs) < 254; a = a.Next() {
		addrs = append(addrs, a)
	}
	truthCase{host: testnet.Host{Addrs: addrs, Ports: map[string]testnet.Answer{"22,443": testnet.Accept, "100-119": testnet.Drop}}, ports: "1-500"}.run(t)
}

// TestTruthAllOpen scans a host with a listener on each port.
func TestTruthAllOpen(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	truthCase{host: testnet.Host{Addrs: []netip.Addr{target4}, Default: testnet.Accept}, ports: "1-10000"}.run(t)
}

// scanSimulated scans a simulated host with each engine that only Linux has: no state may be wrong, and
// at most the given number of ports unknown.
func scanSimulated(t *testing.T, spec scan.Spec, unknown int, reply func(port uint16, attempt int) testnet.Reply) {
	t.Helper()
	addr := netip.MustParseAddr("203.0.113.7")
	testnet.StartSimulation(t, testnet.Simulation{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")},
		Reply:    func(_ netip.Addr, port uint16, attempt int) testnet.Reply { return reply(port, attempt) },
	})
	truth := func(_ netip.Addr, port uint16) scan.State { return reply(port, 1).Answer.State() }
	withLinuxEngines(t, func(t *testing.T, e *Engine) {
		t.Helper()
		start := time.Now()
		score := testnet.MeasureWithoutDrops(t, func() testnet.Score {
			start = time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
			defer cancel()
			return testnet.CompareReports(truth, scanAll(ctx, t, e, testRequest(t, spec, addr)))
		})
		t.Logf("%v", time.Since(start))
		if score.Wrong() > 0 || score.Unknown() > unknown {
			t.Errorf("\n%v", score)
		}
	})
}

// TestTruthLateAnswers scans a host that drops packets to most ports and has open ports that
// answer late.
func TestTruthLateAnswers(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	late := map[uint16]time.Duration{
		22: 0, 443: 0, 8080: 0, 5000: 50 * time.Millisecond, 10000: 200 * time.Millisecond, 20000: 200 * time.Millisecond,
		30000: 900 * time.Millisecond, 40000: 900 * time.Millisecond,
	}
	spec := defaultSpec("1-65535")
	spec.Expect = &scan.Expectation{Open: scan.NewPortSet(22, 443, 8080)}
	scanSimulated(t, spec, 0, func(port uint16, _ int) testnet.Reply {
		delay, open := late[port]
		if !open {
			return testnet.Reply{Answer: testnet.Drop}
		}
		return testnet.Reply{Answer: testnet.Accept, Delay: delay}
	})
}

// TestTruthLongRoundTrip scans a host with round trips of 60 to 100 ms, so that answers are
// reordered.
func TestTruthLongRoundTrip(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	scanSimulated(t, defaultSpec("1-20000"), 0, func(port uint16, attempt int) testnet.Reply {
		delay := 60*time.Millisecond + time.Duration((int(port)*7919+attempt*104729)%40)*time.Millisecond
		switch {
		case port%1000 == 0:
			return testnet.Reply{Answer: testnet.Accept, Delay: delay}
		case port%10 == 3:
			return testnet.Reply{Answer: testnet.Drop}
		default:
			return testnet.Reply{Answer: testnet.Refuse, Delay: delay, Copies: 1}
		}
	})
}

// TestTruthBan scans a host that stops answering during the scan: the ports that it has not
// answered must be unknown (unresponsive), not filtered.
func TestTruthBan(t *testing.T) { //nolint:tparallel // its parts have the same addresses
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	spec := defaultSpec("1-10000")
	spec.Rate = 5000
	withLinuxEngines(t, func(t *testing.T, e *Engine) {
		t.Helper()
		host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{target4}, Ports: map[string]testnet.Answer{"22": testnet.Accept}})[0]
		banned := make(chan struct{})
		time.AfterFunc(time.Second, func() {
			defer close(banned)
			host.Filter(t, "table inet ban { chain in { type filter hook input priority 0 ; iifname wire drop\n}\n}\n")
		})
		start := time.Now()
		score := testnet.CompareReports(host.State, scanAll(t.Context(), t, e, testRequest(t, spec, target4)))
		<-banned
		t.Logf("%v\n%v", time.Since(start), score)
		if score.Wrong() > 0 || score.Unknown() != score.UnknownByCause(scan.CauseUnresponsive) || score.Unknown() < 1000 {
			t.Errorf("\n%v", score)
		}
	})
}

// TestTruthAbsentNeighbor scans an on-link address that no host has: all ports must be unknown
// for lack of a route.
func TestTruthAbsentNeighbor(t *testing.T) { //nolint:tparallel // its parts have the same addresses
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{target4}})[0]
	absent := netip.MustParseAddr("192.0.2.99")
	host.RouteTo(t, absent)
	withLinuxEngines(t, func(t *testing.T, e *Engine) {
		t.Helper()
		got := census(scanAll(t.Context(), t, e, testRequest(t, defaultSpec("1-500"), absent)))
		if got["unknown no_route"] != 500 {
			t.Errorf("states = %v, want 500 unknown (no_route)", got)
		}
	})
}

// TestTruthLossAmidRejects loses packets to and from a host that rejects most ports, at
// Linux's limit of ICMP errors and without one. One address of two may be unresponsive: in one
// scan of twenty its open ports are lost at all attempts that max_open_attempts allows.
func TestTruthLossAmidRejects(t *testing.T) { //nolint:tparallel // its parts have the same addresses
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	for run, limit := range []int{0, -1} {
		t.Run(strconv.Itoa(run), func(t *testing.T) {
			truthCase{host: testnet.Host{
				Addrs: []netip.Addr{target4, target6}, Default: testnet.RejectAdmin, ICMPsPerSecond: limit, LossIn: .15, LossOut: .1,
				Ports: map[string]testnet.Answer{"22,80,443": testnet.Accept},
			}, ports: "1-500", unknown: 500}.run(t)
		})
	}
}

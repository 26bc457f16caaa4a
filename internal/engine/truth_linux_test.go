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

type truthCase struct {
	host    testnet.Host
	ports   string
	open    string // expected
	unknown int    // ports that may be unknown
	within  time.Duration
	with    []string // engines; nil: those at the kernel's speed
}

// fast are the engines at the kernel's speed.
func fast() []string { return []string{"epoll", "syn"} }

// withFast runs a test with each of them.
func withFast(t *testing.T, test func(t *testing.T, e *Engine)) {
	t.Helper()
	all := engines(t, Limits{})
	for _, name := range fast() {
		t.Run(name, func(t *testing.T) { test(t, all[name]) })
	}
}

func (c truthCase) run(t *testing.T) {
	t.Helper()
	host := testnet.Start(t, c.host)[0]
	with := c.with
	if with == nil {
		with = fast()
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
		begun := time.Now()
		score := testnet.MeasureWithoutDrops(t, func() testnet.Score {
			begun = time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), max(c.within, 60*time.Second))
			defer cancel()
			return testnet.CompareReports(host.State, scanAll(ctx, t, e, testRequest(t, spec, c.host.Addrs...)))
		}, host)
		t.Logf("%s: %v, %+v", name, time.Since(begun), host.Counts(t))
		if score.Wrong() > 0 || score.Unknown() > c.unknown {
			t.Errorf("%s:\n%v", name, score)
		}
	}
}

var four, six = netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::10")

func TestTruthClosed(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	truthCase{host: testnet.Host{Addrs: []netip.Addr{four, six}, Ports: map[string]testnet.Answer{"22,80,8080,50000-50004": testnet.Accept, "25": testnet.AcceptReset}}, ports: "1-65535"}.run(t)
}

func TestTruthDrops(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	truthCase{host: testnet.Host{Addrs: []netip.Addr{four}, Default: testnet.Drop, Ports: map[string]testnet.Answer{"22,80,443,8080,50000": testnet.Accept}}, ports: "1-65535", open: "22,80,443"}.run(t)
}

func TestTruthRejects(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	truthCase{host: testnet.Host{Addrs: []netip.Addr{four}, Default: testnet.RejectPort, Ports: map[string]testnet.Answer{"22,80,443,8080,50000": testnet.Accept}}, ports: "1-65535", open: "22,80,443"}.run(t)
}

func TestTruthDark(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	truthCase{host: testnet.Host{Addrs: []netip.Addr{four}, Default: testnet.Drop}, ports: "1-65535"}.run(t)
}

func TestTruthLoss(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	lossy := testnet.Host{Addrs: []netip.Addr{four}, LossIn: .1, LossOut: .1, Ports: map[string]testnet.Answer{"22,80,443,8080,9000-9004": testnet.Accept}}
	for run := range 10 {
		t.Run(strconv.Itoa(run), func(t *testing.T) {
			truthCase{host: lossy, ports: "1-10000"}.run(t)
		})
	}
}

func TestTruthLimitedResets(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	truthCase{host: testnet.Host{Addrs: []netip.Addr{four}, RSTsPerSecond: 200}, ports: "1-3000", within: 60 * time.Second, unknown: 0}.run(t)
}

func TestTruthMixed(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	truthCase{host: testnet.Host{Addrs: []netip.Addr{four, six}, Ports: map[string]testnet.Answer{
		"22,80": testnet.Accept, "81": testnet.AcceptReset, "82": testnet.AcceptClose, "1000-1499": testnet.Drop, "1500-1509": testnet.RejectReset,
		"1510-1529": testnet.RejectAdmin, "1530-1549": testnet.RejectHost, "1550-1569": testnet.RejectPort, "2000": testnet.BacklogFull,
	}, ICMPsPerSecond: -1}, ports: "1-4000"}.run(t)
}

// TestTruthBoth has both engines agree where the portable one can tell.
func TestTruthBoth(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	truthCase{host: testnet.Host{Addrs: []netip.Addr{four, six}, Ports: map[string]testnet.Answer{
		"22,80": testnet.Accept, "81": testnet.AcceptReset, "1000-1099": testnet.Drop, "1500-1509": testnet.RejectReset,
	}}, ports: "1-2000", with: []string{"epoll", "dial", "syn"}}.run(t)
}

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

// TestTruthAllOpen has something that answers for every port.
func TestTruthAllOpen(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	truthCase{host: testnet.Host{Addrs: []netip.Addr{four}, Default: testnet.Accept}, ports: "1-10000"}.run(t)
}

// far scans a distant host that a program of the lab plays, port by port.
func far(t *testing.T, spec scan.Spec, unknown int, reply func(port uint16, attempt int) testnet.Reply) {
	t.Helper()
	addr := netip.MustParseAddr("203.0.113.7")
	testnet.StartSimulation(t, testnet.Simulation{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")},
		Reply:    func(_ netip.Addr, port uint16, attempt int) testnet.Reply { return reply(port, attempt) },
	})
	truth := func(_ netip.Addr, port uint16) scan.State { return reply(port, 1).Answer.State() }
	withFast(t, func(t *testing.T, e *Engine) {
		t.Helper()
		begun := time.Now()
		score := testnet.MeasureWithoutDrops(t, func() testnet.Score {
			begun = time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
			defer cancel()
			return testnet.CompareReports(truth, scanAll(ctx, t, e, testRequest(t, spec, addr)))
		})
		t.Logf("%v", time.Since(begun))
		if score.Wrong() > 0 || score.Unknown() > unknown {
			t.Errorf("\n%v", score)
		}
	})
}

// TestTruthLateAnswers has open ports that answer late, amid silence.
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
	far(t, spec, 0, func(port uint16, _ int) testnet.Reply {
		delay, open := late[port]
		if !open {
			return testnet.Reply{Answer: testnet.Drop}
		}
		return testnet.Reply{Answer: testnet.Accept, Delay: delay}
	})
}

// TestTruthFarAway has round trips of 60 to 100 ms, so that answers overtake
// each other.
func TestTruthFarAway(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	far(t, defaultSpec("1-20000"), 0, func(port uint16, attempt int) testnet.Reply {
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

// TestTruthBan has a host that stops answering in mid-scan: what it did not
// answer is unknown, and nothing of it filtered.
func TestTruthBan(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	spec := defaultSpec("1-10000")
	spec.Rate = 5000
	withFast(t, func(t *testing.T, e *Engine) {
		t.Helper()
		host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{four}, Ports: map[string]testnet.Answer{"22": testnet.Accept}})[0]
		banned := make(chan struct{})
		time.AfterFunc(time.Second, func() {
			defer close(banned)
			host.Filter(t, "table inet ban { chain in { type filter hook input priority 0 ; iifname wire drop\n}\n}\n")
		})
		begun := time.Now()
		score := testnet.CompareReports(host.State, scanAll(t.Context(), t, e, testRequest(t, spec, four)))
		<-banned
		t.Logf("%v\n%v", time.Since(begun), score)
		if score.Wrong() > 0 || score.Unknown() != score.UnknownByCause(scan.CauseUnresponsive) || score.Unknown() < 1000 {
			t.Errorf("\n%v", score)
		}
	})
}

// TestTruthNobody scans an address of the own network that nobody has.
func TestTruthNobody(t *testing.T) { //nolint:tparallel // its parts have the same addresses
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{four}})[0]
	nobody := netip.MustParseAddr("192.0.2.99")
	host.RouteTo(t, nobody)
	withFast(t, func(t *testing.T, e *Engine) {
		t.Helper()
		got := census(scanAll(t.Context(), t, e, testRequest(t, defaultSpec("1-500"), nobody)))
		if got["unknown no_route"] != 500 {
			t.Errorf("an address that nobody has: %v", got)
		}
	})
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// TestScanUnusualAnswers scans simulated hosts, one in each family, that refuse most ports
// and answer the others unusually: with ICMP errors of routers, forged packets, RSTs that
// acknowledge no SYN, or connections that end at once. All states must be right. Only ports
// that were rejected may have the cause icmp, and only a window of zero the cause
// zero_window.
func TestScanUnusualAnswers(t *testing.T) { //nolint:tparallel // its parts have the same addresses
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	router4, router6 := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8:5::1")
	host4, host6 := netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("2001:db8:7::7")
	answers := map[uint16]testnet.Answer{
		1: testnet.TimeExceeded, 2: testnet.Forged, 3: testnet.BareReset, 4: testnet.Challenge, 5: testnet.AcceptReset,
		6: testnet.RejectHost, 7: testnet.RejectPort, 8: testnet.RejectAdmin, 9: testnet.Accept, 10: testnet.Drop,
		11: testnet.ForgedAccept, 12: testnet.ForgedReset, 13: testnet.ZeroWindow, 14: testnet.AcceptThenReset, 15: testnet.BrokenAccept,
	}
	answer := func(_ netip.Addr, port uint16) testnet.Answer { return answers[port%100] } // zero for most ports: testnet.Refuse
	testnet.StartSimulation(t, testnet.Simulation{
		Prefixes: []netip.Prefix{netip.PrefixFrom(host4, 32), netip.PrefixFrom(host6, 128), netip.PrefixFrom(router4, 32), netip.PrefixFrom(router6, 128)},
		Reply: func(addr netip.Addr, port uint16, _ int) testnet.Reply {
			r := testnet.Reply{Answer: answer(addr, port), Delay: time.Duration(port%7) * time.Millisecond}
			switch r.Answer {
			case testnet.TimeExceeded, testnet.RejectHost, testnet.RejectAdmin, testnet.Forged:
				r.From = router6
				if addr.Is4() {
					r.From = router4
				}
			default:
			}
			return r
		},
	})
	truth := func(addr netip.Addr, port uint16) scan.State { return answer(addr, port).State() }
	withLinuxEngines(t, func(t *testing.T, e *Engine) {
		t.Helper()
		got := scanAll(t.Context(), t, e, testRequest(t, defaultSpec("1-1000"), host4, host6))
		if score := testnet.CompareReports(truth, got); score.Wrong() > 0 || score.Unknown() > 0 {
			t.Errorf("\n%v", score)
		}
		for at, r := range got {
			rejected := answer(at.Addr(), at.Port()) != testnet.Drop && r.State == scan.Filtered
			switch a := answer(at.Addr(), at.Port()); a {
			case testnet.Forged, testnet.BareReset, testnet.Challenge, testnet.ForgedAccept, testnet.ForgedReset, testnet.BrokenAccept:
				rejected = false // does not acknowledge the attempt, and is ignored
			default:
			}
			if rejected != (r.Cause == scan.CauseICMP) || rejected != r.ICMP.IsKnown() {
				t.Errorf("cause of %v, which answers with %v, = %v (%v), want icmp: %v", at, answer(at.Addr(), at.Port()), r.Cause, r.ICMP, rejected)
			}
			if tarpit := answer(at.Addr(), at.Port()) == testnet.ZeroWindow; t.Name() == "TestScanUnusualAnswers/syn" && tarpit != (r.Cause == scan.CauseZeroWindow) {
				t.Errorf("cause of %v, which answers with %v, = %v, want zero_window: %v", at, answer(at.Addr(), at.Port()), r.Cause, tarpit)
			}
		}
	})
}

// TestScanLocalFilter scans through an output filter of this machine. Ports that the filter
// rejects with an ICMP error must be unknown. Ports that it drops, or rejects with a RST, must
// be filtered or closed as if the network did so, because a connect scan cannot distinguish
// the two. A raw socket receives an error for a dropped packet, so a half-open scan must
// report unknown.
func TestScanLocalFilter(t *testing.T) { //nolint:tparallel // its parts have the same addresses
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{target4, target6}, Ports: map[string]testnet.Answer{"22,100-399": testnet.Accept}})[0]
	testnet.Filter(t, `table inet ours { chain out { type filter hook output priority 0 ;
		tcp flags & (syn|ack) == syn tcp dport 100-149 drop
		tcp flags & (syn|ack) == syn tcp dport 200-249 reject with tcp reset
		tcp flags & (syn|ack) == syn tcp dport 300-309 reject with icmpx port-unreachable
	}
	}
	`)
	spec := defaultSpec("1-500")
	withLinuxEngines(t, func(t *testing.T, e *Engine) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
		defer cancel()
		for at, r := range scanAll(ctx, t, e, testRequest(t, spec, target4, target6)) {
			want := host.State(at.Addr(), at.Port())
			switch p := at.Port(); {
			case p >= 100 && p <= 149 && t.Name() == "TestScanLocalFilter/syn":
				want = scan.Unknown // a raw socket receives an error
			case p >= 100 && p <= 149:
				want = scan.Filtered
			case p >= 200 && p <= 249:
				want = scan.Closed
			case p >= 300 && p <= 309:
				want = scan.Unknown
			}
			if r.State != want {
				t.Errorf("state of %v = %v (%v), want %v", at, r.State, r.Cause, want)
			}
		}
	})
}

// TestScanSlowNeighbor scans a host that answers ARP requests and neighbor solicitations only
// after half a second. Until then no packet is sent, so no port may be filtered on account of
// that time: all states must be right.
func TestScanSlowNeighbor(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	withLinuxEngines(t, func(t *testing.T, e *Engine) {
		t.Helper()
		host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{target4, target6}, Ports: map[string]testnet.Answer{"22": testnet.Accept, "100-199": testnet.Drop}})[0]
		host.Filter(t, `table arp slow { chain in { type filter hook input priority 0 ; arp operation request drop
			}
			}
			table ip6 slow { chain in { type filter hook input priority 0 ; icmpv6 type nd-neighbor-solicit drop
			}
			}
			`)
		lifted := make(chan struct{})
		time.AfterFunc(500*time.Millisecond, func() {
			defer close(lifted)
			host.Filter(t, "delete table arp slow\ndelete table ip6 slow\n")
		})
		score := testnet.CompareReports(host.State, scanAll(t.Context(), t, e, testRequest(t, defaultSpec("1-3000"), target4, target6)))
		<-lifted
		if score.Wrong() > 0 || score.Unknown() > 0 {
			t.Errorf("\n%v", score)
		}
	})
}

// TestTruthSharedRateLimit scans two addresses of one host, which sends at most ten ICMP
// errors a second for both together.
func TestTruthSharedRateLimit(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	other := netip.MustParseAddr("192.0.2.11")
	truthCase{host: testnet.Host{
		Addrs: []netip.Addr{target4, other}, Default: testnet.RejectPort, ICMPsPerSecond: 10,
		Ports: map[string]testnet.Answer{"22,80,443": testnet.Accept, "100-149": testnet.Refuse},
	}, ports: "1-3000"}.run(t)
}

// TestScanTentativeSource scans from a source address that is still tentative: the kernel has
// not completed the detection of duplicates (RFC 4862 section 5.4). All ports must be unknown.
// A later scan, when the address is usable, must report the right states.
func TestScanTentativeSource(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{target6}, Ports: map[string]testnet.Answer{"22": testnet.Accept}})[0]
	spec := defaultSpec("1-500")
	all := engines(t, Limits{})
	for i, name := range linuxEngines() {
		source := netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0xff, 0xff, 15: 0xf0 + byte(i)})
		spec.Source = source
		host.AddTentative(t, source)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if got := census(scanAll(ctx, t, all[name], testRequest(t, spec, target6))); got["unknown no_route"] != 500 {
			t.Errorf("%s: states with a tentative source address = %v, want 500 unknown (no_route)", name, got)
		}
		cancel()
		score := testnet.CompareReports(host.State, scanAll(t.Context(), t, all[name], testRequest(t, spec, target6)))
		if score.Wrong() > 0 || score.Unknown() > 0 {
			t.Errorf("%s: states with a usable source address:\n%v", name, score)
		}
	}
}

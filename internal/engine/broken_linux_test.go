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

// TestStrangeAnswers has what a path may do besides answering: errors of routers,
// forgeries, resets that acknowledge nothing, connections that end at once.
func TestStrangeAnswers(t *testing.T) {
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
	answer := func(_ netip.Addr, port uint16) testnet.Answer { return answers[port%100] } // most refuse
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
	withFast(t, func(t *testing.T, e *Engine) {
		t.Helper()
		got := scanAll(t.Context(), t, e, testRequest(t, defaultSpec("1-1000"), host4, host6))
		if score := testnet.CompareReports(truth, got); score.Wrong() > 0 || score.Unknown() > 0 {
			t.Errorf("\n%v", score)
		}
		for at, r := range got {
			rejected := answer(at.Addr(), at.Port()) != testnet.Drop && r.State == scan.Filtered
			switch a := answer(at.Addr(), at.Port()); a {
			case testnet.Forged, testnet.BareReset, testnet.Challenge, testnet.ForgedAccept, testnet.ForgedReset, testnet.BrokenAccept:
				rejected = false // proves nothing, and is not believed
			default:
			}
			if rejected != (r.Cause == scan.CauseICMP) {
				t.Errorf("%v answers with %v: the cause is %v", at, answer(at.Addr(), at.Port()), r.Cause)
			}
			if tarpit := answer(at.Addr(), at.Port()) == testnet.ZeroWindow; t.Name() == "TestStrangeAnswers/syn" && tarpit != (r.Cause == scan.CauseZeroWindow) {
				t.Errorf("%v answers with %v: the cause is %v", at, answer(at.Addr(), at.Port()), r.Cause)
			}
		}
	})
}

// TestLocalFilters has rules on this machine itself. A rule that rejects with an
// ICMP error is our own side's doing; one that drops, or makes up a RST, can't be
// told from the network.
func TestLocalFilters(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{four, six}, Ports: map[string]testnet.Answer{"22,100-399": testnet.Accept}})[0]
	testnet.Filter(t, `table inet ours { chain out { type filter hook output priority 0 ;
		tcp flags & (syn|ack) == syn tcp dport 100-149 drop
		tcp flags & (syn|ack) == syn tcp dport 200-249 reject with tcp reset
		tcp flags & (syn|ack) == syn tcp dport 300-309 reject with icmpx port-unreachable
	}
	}
	`)
	spec := defaultSpec("1-500")
	withFast(t, func(t *testing.T, e *Engine) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
		defer cancel()
		for at, r := range scanAll(ctx, t, e, testRequest(t, spec, four, six)) {
			want := host.State(at.Addr(), at.Port())
			switch p := at.Port(); {
			case p >= 100 && p <= 149 && t.Name() == "TestLocalFilters/syn":
				want = scan.Unknown // a raw socket is told
			case p >= 100 && p <= 149:
				want = scan.Filtered
			case p >= 200 && p <= 249:
				want = scan.Closed
			case p >= 300 && p <= 309:
				want = scan.Unknown
			}
			if r.State != want {
				t.Errorf("%v is %v (%v), want %v", at, r.State, r.Cause, want)
			}
		}
	})
}

// TestSlowNeighbour has a host whose hardware address is found out half a second
// late: until then nothing was sent, so silence means nothing.
func TestSlowNeighbour(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	withFast(t, func(t *testing.T, e *Engine) {
		t.Helper()
		host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{four, six}, Ports: map[string]testnet.Answer{"22": testnet.Accept, "100-199": testnet.Drop}})[0]
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
		score := testnet.CompareReports(host.State, scanAll(t.Context(), t, e, testRequest(t, defaultSpec("1-3000"), four, six)))
		<-lifted
		if score.Wrong() > 0 || score.Unknown() > 0 {
			t.Errorf("\n%v", score)
		}
	})
}

// TestSharedLimit has two addresses of one host, which sends ten ICMP errors a
// second for both of them.
func TestSharedLimit(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	other := netip.MustParseAddr("192.0.2.11")
	truthCase{host: testnet.Host{
		Addrs: []netip.Addr{four, other}, Default: testnet.RejectPort, ICMPsPerSecond: 10,
		Ports: map[string]testnet.Answer{"22,80,443": testnet.Accept, "100-149": testnet.Refuse},
	}, ports: "1-3000"}.run(t)
}

// TestTentativeSource has a source address that is not usable yet, since the
// kernel still looks for another owner of it (RFC 4862 section 5.4).
func TestTentativeSource(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{six}, Ports: map[string]testnet.Answer{"22": testnet.Accept}})[0]
	spec := defaultSpec("1-500")
	all := engines(t, Limits{})
	for i, name := range fast() {
		ours := netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0xff, 0xff, 15: 0xf0 + byte(i)})
		spec.Source = ours
		host.AddTentative(t, ours)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if got := census(scanAll(ctx, t, all[name], testRequest(t, spec, six))); got["unknown no_route"] != 500 {
			t.Errorf("%s, while the source address is tentative: %v", name, got)
		}
		cancel()
		score := testnet.CompareReports(host.State, scanAll(t.Context(), t, all[name], testRequest(t, spec, six)))
		if score.Wrong() > 0 || score.Unknown() > 0 {
			t.Errorf("%s, afterwards:\n%v", name, score)
		}
	}
}

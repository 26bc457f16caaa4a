// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"maps"
	"net/netip"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// oldKernel is the system of the connect engine on a kernel without ICMP errors of TCP in the
// error queue.
type oldKernel struct{ *connectSystem }

func (o oldKernel) newProber(_ context.Context, source netip.Addr, _ int, late lateDetector) (prober, error) {
	detector, _ := late.(*heldLateDetector)
	p, err := newConnectProber(o.connectSystem, source, detector)
	if err != nil {
		return nil, err
	}
	p.errors = noErrors{}
	return p, nil
}

// noErrors is an empty error queue.
type noErrors struct{}

func (noErrors) read(int) (r icmpReport, ok bool) { return r, false }

// TestConnectOnOldKernel scans with the connect engine as on Linux 5.4. It must report the same
// states and causes as the portable engine, on a directly connected network too.
func TestConnectOnOldKernel(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	direct4, router4 := netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("203.0.113.1")
	remote6, router6 := netip.MustParseAddr("2001:db8:7::7"), netip.MustParseAddr("2001:db8:7::1")
	router := func(to netip.Addr) netip.Addr {
		if to.Is4() {
			return router4
		}
		return router6
	}
	testnet.StartSimulation(t, testnet.Simulation{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.PrefixFrom(direct4, 32), netip.PrefixFrom(remote6, 128), netip.PrefixFrom(router6, 128)},
		Reply: func(to netip.Addr, port uint16, _ int) testnet.Reply {
			// Later than connect() returns, so that the error ends the attempt.
			r := testnet.Reply{Answer: oldKernelAnswers()[port/10], Delay: 20 * time.Millisecond}
			if port%10 == 1 && r.Answer != testnet.Accept && r.Answer != testnet.Refuse {
				r.From = router(to)
			}
			return r
		},
	})
	ip(t, "address", "add", "198.51.100.9/24", "dev", linkName(t))
	portable := testDial(t, Limits{})
	old, err := NewConnect(testBudget(t, Limits{}))
	if err != nil {
		t.Fatal(err)
	}
	old.system = oldKernel{newConnectSystem("5.4.0-216-generic")}
	want := make(map[netip.AddrPort]scan.PortResult)
	// On a connected network most errors look like those of this machine, which end the scan
	// of an address unless other ports are answered in between.
	direct := testRequest(t, testSpec("10-21,31"), direct4)
	for _, request := range []scan.Request{testRequest(t, testSpec("1-59"), remote4, remote6), direct} {
		read := scanAll(t.Context(), t, portable, request)
		for at, r := range scanAll(t.Context(), t, old, request) {
			if r.State != read[at].State || r.Cause != read[at].Cause {
				t.Errorf("state of %v (%v) = %v (%v), want %v (%v), as with the portable engine", at, oldKernelAnswers()[at.Port()/10],
					r.State, r.Cause, read[at].State, read[at].Cause)
			}
		}
		maps.Copy(want, read)
	}
	for at, reading := range map[netip.AddrPort]string{
		netip.AddrPortFrom(remote4, 10): "closed rst", // a reject that reads like a RST
		netip.AddrPortFrom(remote6, 10): "closed rst",
		netip.AddrPortFrom(remote4, 20): "filtered icmp",
		netip.AddrPortFrom(remote6, 21): "filtered icmp",
		netip.AddrPortFrom(direct4, 21): "unknown no_route", // or the neighbor does not resolve
		netip.AddrPortFrom(remote6, 31): "unknown permission",
	} {
		if got := want[at].State.String() + " " + want[at].Cause.String(); got != reading {
			t.Errorf("state of %v (%v) with the portable engine = %s, want %s", at, oldKernelAnswers()[at.Port()/10], got, reading)
		}
	}
}

// oldKernelAnswers returns answers, each for ten ports.
func oldKernelAnswers() []testnet.Answer {
	return []testnet.Answer{
		testnet.Accept, testnet.RejectPort, testnet.RejectHost, testnet.RejectAdmin,
		testnet.TimeExceeded, testnet.Refuse,
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// lateAddr4 and lateAddr6 are simulated addresses with late answers.
var (
	lateAddr4 = netip.MustParseAddr("203.0.113.7")
	lateAddr6 = netip.MustParseAddr("2001:db8:7::7")
)

// simulateLate starts a simulated host with the replies of the function for each port, and
// returns its true states.
func simulateLate(t *testing.T, reply func(port uint16) testnet.Reply) func(netip.Addr, uint16) scan.State {
	t.Helper()
	testnet.StartSimulation(t, testnet.Simulation{
		Prefixes: []netip.Prefix{netip.PrefixFrom(lateAddr4, 32), netip.PrefixFrom(lateAddr6, 128)},
		Reply:    func(_ netip.Addr, port uint16, _ int) testnet.Reply { return reply(port) },
	})
	return func(_ netip.Addr, port uint16) scan.State { return reply(port).Answer.State() }
}

// TestLateAnswerAmongFastOnes scans hosts of which a few ports answer long after the others, with
// sockets for all attempts and for few: all states must be right.
func TestLateAnswerAmongFastOnes(t *testing.T) { //nolint:tparallel // its parts have the same addresses
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	for _, late := range []testnet.Reply{
		{Answer: testnet.Refuse, Delay: 400 * time.Millisecond},
		{Answer: testnet.Refuse, Delay: 800 * time.Millisecond},
		{Answer: testnet.Accept, Delay: 500 * time.Millisecond},
	} {
		t.Run(fmt.Sprint(late.Answer, late.Delay), func(t *testing.T) { lateAmongFast(t, late) })
	}
}

// lateAmongFast scans hosts with one kind of late answer.
func lateAmongFast(t *testing.T, late testnet.Reply) {
	t.Helper()
	truth := simulateLate(t, func(port uint16) testnet.Reply {
		switch {
		case port%300 == 77:
			return late
		case port%2 == 0:
			return testnet.Reply{Answer: testnet.Refuse}
		default:
			return testnet.Reply{Answer: testnet.Drop}
		}
	})
	for _, tc := range []struct {
		engine, ports string
		places        int
	}{
		{"connect", "1-600", 0}, // each last attempt listens for the port_timeout
		{"connect", "1-3000", 0},
		{"connect", "1-3000", 600},
		{"syn", "1-3000", 0},
	} {
		e := engines(t, Limits{MaxInFlight: tc.places})[tc.engine]
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		start := time.Now()
		score := testnet.CompareReports(truth, scanAll(ctx, t, e, testRequest(t, defaultSpec(tc.ports), lateAddr4, lateAddr6)))
		cancel()
		t.Logf("%+v: %v", tc, time.Since(start))
		if score.Wrong() > 0 || score.Unknown() > 0 {
			t.Errorf("%+v:\n%v", tc, score)
		}
	}
}

// TestLateAnswersDuringOtherScan scans a host with late answers, while another scan of the same
// engine causes resets that the kernel does not count: all states must be right.
func TestLateAnswersDuringOtherScan(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	testnet.AddAddress(t, own4)
	testnet.Filter(t, "table inet r { chain in { type filter hook input priority 0 ; ip daddr 192.0.2.1 tcp flags syn reject with tcp reset\n}\n}\n")
	truth := simulateLate(t, func(port uint16) testnet.Reply {
		switch {
		case port == 22, port == 443, port == 8080:
			return testnet.Reply{Answer: testnet.Accept}
		case port >= 30000 && port < 30020:
			return testnet.Reply{Answer: testnet.Accept, Delay: 700 * time.Millisecond}
		default:
			return testnet.Reply{Answer: testnet.Drop}
		}
	})
	spec := defaultSpec("1-65535")
	spec.Expect = &scan.Expectation{Open: scan.NewPortSet(22, 443, 8080)}
	e := engines(t, Limits{})["connect"]
	other, stop := context.WithCancel(t.Context())
	var scans sync.WaitGroup
	scans.Go(func() {
		for other.Err() == nil {
			_ = e.Scan(other, testRequest(t, defaultSpec("1-20000"), own4), func(scan.PortResult) {})
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	start := time.Now()
	score := testnet.CompareReports(truth, scanConcurrently(ctx, t, e, testRequest(t, spec, lateAddr4)))
	stop()
	scans.Wait()
	t.Logf("%v\n%v", time.Since(start), score)
	if score.Wrong() > 0 || score.Unknown() > 0 {
		t.Errorf("\n%v", score)
	}
}

// TestLateRefusalAmongSilence has one port of all that refuses, and late. From then on it is
// the only port for canaries, several of which are in flight.
func TestLateRefusalAmongSilence(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	truth := simulateLate(t, func(port uint16) testnet.Reply {
		switch port {
		case 22, 80, 443:
			return testnet.Reply{Answer: testnet.Accept}
		case 31337:
			return testnet.Reply{Answer: testnet.Refuse, Delay: 400 * time.Millisecond}
		default:
			return testnet.Reply{Answer: testnet.Drop}
		}
	})
	for _, name := range linuxEngines() {
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		start := time.Now()
		score := testnet.CompareReports(truth, scanAll(ctx, t, engines(t, Limits{})[name], testRequest(t, defaultSpec("1-65535"), lateAddr4)))
		cancel()
		t.Logf("%s: %v", name, time.Since(start))
		if score.Wrong() > 0 || score.Unknown() > 0 {
			t.Errorf("%s:\n%v", name, score)
		}
	}
}

// TestNeedsLateDetector has scans whose attempts do not fit into max_in_flight, or into the
// places that they have.
func TestNeedsLateDetector(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		maxInFlight, ports, addresses, places int
		want                                  bool
	}{
		{10000, 1000, 1, 20000, false},
		{10000, 65535, 1, 20000, true},
		{10000, 1000, 10, 20000, true},
		{50, 1000, 1, 20000, true},
		{50, 40, 10, 20000, false},
		{10000, 1000, 1, 768, true},
	} {
		spec := defaultSpec("1-65535")
		spec.MaxInFlight = tc.maxInFlight
		if got := needsLateDetector(spec, tc.ports, tc.addresses, tc.places); got != tc.want {
			t.Errorf("needsLateDetector() = %v for %+v", got, tc)
		}
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// TestDeadlineReports scans all ports of dark addresses in too little time. The engine must
// report the remaining ports with at most two calls per address: the silent ones and those that
// it has not reached. One call per port would delay the return by seconds. All attempts must be
// counted, and each port reported once.
func TestDeadlineReports(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	testnet.DefaultRoute(t)
	var addrs []netip.Addr
	for a := netip.MustParseAddr("203.0.113.0"); len(addrs) < 8; a = a.Next() {
		addrs = append(addrs, a)
	}
	addrs = append(addrs, netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2"))
	for name, e := range allEngines(t) {
		t.Run(name, func(t *testing.T) {
			spec := specFor(name, "1-65535")
			spec.PortTimeout = 300 * time.Millisecond // so that some ports are silent at the deadline
			testDeadlineReports(t, e, testRequest(t, spec, addrs...))
		})
	}
}

// testDeadlineReports scans with one engine.
func testDeadlineReports(t *testing.T, e *Engine, req scan.Request) {
	t.Helper()
	const timeout = 1500 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	var mu sync.Mutex
	calls, ports, attempts := 0, 0, 0
	states := make(map[scan.State]int)
	err := e.Scan(ctx, req, func(r scan.PortResult) {
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() != nil {
			calls++
		}
		ports += r.Count()
		states[r.State] += r.Count()
		attempts += r.Attempts
	})
	if err != nil {
		t.Fatal(err)
	}
	addresses := len(req.Addresses())
	if calls == 0 || calls > 2*addresses {
		t.Errorf("calls of report after the deadline = %d, want 1 to %d: two per address", calls, 2*addresses)
	}
	if want := addresses * req.Plan().Ports().Len(); ports != want {
		t.Errorf("reported ports = %d, want %d", ports, want)
	}
	if stats := e.budget.Stats(); int64(attempts) != stats.TCPAttempts+stats.UDPAttempts || attempts == 0 {
		t.Errorf("reported attempts = %d, want %d, as the budget counted", attempts, stats.TCPAttempts+stats.UDPAttempts)
	}
	t.Logf("%d calls of report, %d attempts, %v", calls, attempts, states)
}

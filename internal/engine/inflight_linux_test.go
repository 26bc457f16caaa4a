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

// TestInFlightRateLimited runs scans of five packets a second with each engine. The budget must
// never count more attempts in flight than were made, although the scans hold many more places.
func TestInFlightRateLimited(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	testnet.DefaultRoute(t)
	for name, e := range allEngines(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer e.Close()
			spec := specFor(name, "1-65535")
			spec.Rate = 5
			const limit = 30 * time.Second // on a busy machine, seconds can pass before the first attempt
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			var all sync.WaitGroup
			for i := range byte(8) {
				req := testRequest(t, spec, netip.AddrFrom4([4]byte{203, 0, 113, i}))
				all.Go(func() { _ = e.Scan(ctx, req, func(scan.PortResult) {}) })
			}
			most, wrong := 0, 0
			for sleep(ctx, 5*time.Millisecond) {
				inFlight := e.budget.Stats().InFlight
				if most == 0 && inFlight > 0 {
					time.AfterFunc(1500*time.Millisecond, cancel)
				}
				most = max(most, inFlight)
				if stats := e.budget.Stats(); inFlight > int(stats.TCPAttempts+stats.UDPAttempts) {
					wrong++
				}
			}
			all.Wait()
			if got := e.budget.Stats().InFlight; wrong > 0 || most == 0 || got != 0 {
				t.Errorf("samples with more attempts in flight than made = %d, want 0; maximum = %d, want at least 1; after the scans = %d, want 0", wrong, most, got)
			}
		})
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// countedSystem counts the slots that its probers open, and waits after the last result.
type countedSystem struct {
	*connectSystem

	opened, reported, lateWaits atomic.Int64
	ports                       int64
}

type countedProber struct {
	prober

	system *countedSystem
}

func (s *countedSystem) newProber(ctx context.Context, source netip.Addr, ports int, late lateDetector) (prober, error) {
	p, err := s.connectSystem.newProber(ctx, source, ports, late)
	return countedProber{p, s}, err
}

func (p countedProber) open(family uint8) (int32, scan.Cause) {
	p.system.opened.Add(1)
	return p.prober.open(family)
}

func (p countedProber) wait(d time.Duration, ended []completion) ([]completion, bool) {
	if d > 0 && p.system.reported.Load() == p.system.ports {
		p.system.lateWaits.Add(1)
	}
	return p.prober.wait(d, ended)
}

// TestSmallScan scans few closed ports of this machine. A scan must not open more sockets than it has
// ports, nor further ones while it has free ones. It must end with its last result.
func TestSmallScan(t *testing.T) {
	t.Parallel()
	for _, ports := range []int64{1, 5, 20} {
		system := &countedSystem{connectSystem: newConnectSystem(kernelRelease()), ports: ports}
		e := &Engine{budget: testBudget(t, Limits{}), system: system}
		req := testRequest(t, testSpec(fmt.Sprintf("1-%d", ports)), netip.MustParseAddr("127.0.0.1"))
		err := e.Scan(t.Context(), req, func(p scan.PortResult) {
			if p.State == scan.Unknown {
				t.Errorf("result = %+v, want a state", p)
			}
			system.reported.Add(int64(p.Count()))
		})
		if err != nil || system.reported.Load() != ports {
			t.Fatalf("Scan of %d ports: %v, reported = %d", ports, err, system.reported.Load())
		}
		if n := system.opened.Load(); n > ports {
			t.Errorf("sockets for %d ports = %d, want at most one each", ports, n)
		}
		if n := system.lateWaits.Load(); n > 0 {
			t.Errorf("waits after the last of %d results = %d, want 0", ports, n)
		}
	}
}

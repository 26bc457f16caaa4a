// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package lab_test

import (
	"testing"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// TestOpenAttemptsSlowScan scans slowly a host that drops packets to all ports but one. With more
// than two attempts at that port, scans 15 s apart would reach the limit of ufw.
func TestOpenAttemptsSlowScan(t *testing.T) {
	t.Parallel()
	if !isolated(t) {
		return
	}
	withMethods(t, testnet.Host{Default: testnet.Drop, Ports: map[string]testnet.Answer{"22": testnet.Accept}}, func(t *testing.T, target *target) {
		t.Helper()
		target.countSYNs(t, 22)
		spec := defaultSpec(t, "1-1000", "")
		spec.Rate = 150
		r := target.scan(t, spec)
		r.wantComplete(t)
		if n := target.resetSYNs(t)[22]; n > 2 {
			t.Errorf("after %v: port 22 received %d SYNs, want at most 2", r.took, n)
		}
	})
}

// TestLimitOfKnownPort scans a host that drops packets to all ports but one, and rejects the
// connections to that one for now: it must not be reported as filtered.
func TestLimitOfKnownPort(t *testing.T) {
	t.Parallel()
	if !isolated(t) {
		return
	}
	withMethods(t, testnet.Host{Default: testnet.Drop, Ports: map[string]testnet.Answer{"22": testnet.Accept}}, func(t *testing.T, target *target) {
		t.Helper()
		spec := defaultSpec(t, "1-200", "")
		r := target.scan(t, spec)
		r.wantComplete(t)
		target.remember(r)
		target.filter(t, "-A INPUT -p tcp -m tcp --dport 22 -j "+rejectPort)
		if got := target.scan(t, spec).ports[22]; got.State != scan.Unknown || got.Cause != scan.CauseUnresponsive {
			t.Errorf("port 22 is %v (%v), want unknown (unresponsive)", got.State, got.Cause)
		}
	})
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"portscan_exporter/collector"
	"portscan_exporter/internal/scan"
)

// allClosed returns the result of all ports of one address, each of which is reported.
func allClosed(t *testing.T) collector.ProbeResult {
	t.Helper()
	ports, err := scan.ParsePortSet("1-65535")
	if err != nil {
		t.Fatal(err)
	}
	plan, err := scan.NewPlan(scan.Spec{
		Protocol: scan.TCP, Method: scan.Connect, Ports: ports, Timeout: time.Second, PortTimeout: time.Second,
		MaxInFlight: 1, MaxOpenAttempts: 1, AllPorts: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddr("192.0.2.1")
	scope, err := scan.NewScope([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	request, _, err := scan.NewRequest(plan, scope, []scan.Address{{IP: addr}})
	if err != nil {
		t.Fatal(err)
	}
	recorder, err := scan.NewRecorder(request)
	if err != nil {
		t.Fatal(err)
	}
	recorder.Record(scan.PortResult{Address: addr, Ports: &ports, State: scan.Closed, Cause: scan.CauseRST, Attempts: ports.Len()})
	result := &scan.Result{Plan: plan}
	result.Addresses, result.Attempts, result.Retries = recorder.Snapshot(scan.CauseDeadline)
	return collector.ProbeResult{Result: result, MaxPorts: 65535, AllPorts: true}
}

// TestLimitPorts has less and less time for an answer.
func TestLimitPorts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		slowdown float64
		left     time.Duration
		maxPorts int
		want     int
	}{
		{"idle machine", 1, 10 * time.Second, 65535, 65535},
		{"starved machine", 10, time.Second, 65535, 9231}, // 100 ms, less 7.7 ms for the scan, the address and its ports
		{"few ports", 10, time.Second, 1000, 1000},
		{"no time", 10, 0, 65535, 100},
		{"late", 10, -time.Second, 65535, 100},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newAnswerSchedule()
				s.slowdown = test.slowdown
				p := s.add(time.Now(), time.Millisecond, func() {})
				defer p.finish()
				p.scanEnded()
				result := allClosed(t)
				result.MaxPorts = test.maxPorts
				if limited := limitPorts(&result, p, time.Now().Add(test.left)); result.MaxPorts != test.want || limited != (test.want < test.maxPorts) {
					t.Errorf("limitPorts() = %v with %d ports, want %d", limited, result.MaxPorts, test.want)
				}
			})
		})
	}
}

// TestMeasure measures this machine, which encodes the sample in far less time than a hundred times
// its cost.
func TestMeasure(t *testing.T) {
	t.Parallel()
	s := &Server{answers: newAnswerEncoder(), schedule: &answerSchedule{}}
	if err := s.Measure(); err != nil {
		t.Fatal(err)
	}
	if got := s.schedule.slowdown; got < 1 || got > 100 {
		t.Errorf("slowdown = %v, want 1 to 100", got)
	}
}

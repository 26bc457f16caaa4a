// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// BenchmarkClosedPorts is the way that most ports go: an attempt, and its answer
// at once. What it costs a port comes on top of the system calls.
func BenchmarkClosedPorts(b *testing.B) {
	plan := mustPlan(b, testSpec("1-65535"))
	order, told := NewOrder(plan), 0
	report := func(int, scan.PortResult) { told++ }
	scans := 0
	b.ReportAllocs()
	for b.Loop() {
		p, err := NewPath(Options{Plan: plan, Order: order, Seed: uint32(scans), Late: true, Report: report})
		if err != nil {
			b.Fatal(err)
		}
		var tries [batch]Try
		for now := time.Duration(0); !p.Done(); now += look {
			p.Tick(now)
			n := 0
			for ok := true; ok && n < batch; {
				if tries[n], ok = p.Next(now); ok {
					n++
				}
			}
			for _, t := range tries[:n] {
				p.Answered(now+near, now, t, scan.Closed, scan.CauseRST)
			}
		}
		scans++
	}
	ports := float64(scans) * 65535
	if told != scans*65535 {
		b.Errorf("%d ports were reported in %d scans", told, scans)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/ports, "ns/port")
}

// BenchmarkSilentPorts is the other way: two attempts, and what is kept between
// them.
func BenchmarkSilentPorts(b *testing.B) {
	spec := testSpec("1-65535")
	scans := 0
	b.ReportAllocs()
	for b.Loop() {
		d := newDriver(b, simulation{spec: spec, seed: uint32(scans), network: some(1000, always(open(near)), always(silence))})
		d.run(spec.Timeout)
		scans++
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(scans)/65535, "ns/port")
}

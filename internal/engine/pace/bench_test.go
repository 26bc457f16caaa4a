// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// BenchmarkClosedPorts measures the time per port if each first attempt is answered, as it
// is for most ports. The time of system calls is not included.
func BenchmarkClosedPorts(b *testing.B) {
	plan := mustPlan(b, testSpec("1-65535"))
	order, reported := NewOrder(plan), 0
	report := func(r scan.PortResult) { reported += r.Count() }
	scans := 0
	b.ReportAllocs()
	for b.Loop() {
		p, err := NewPacer(Options{Plan: plan, Order: order, Seed: uint32(scans), DetectsLate: true, Report: report})
		if err != nil {
			b.Fatal(err)
		}
		var attempts [batchSize]Attempt
		for now := time.Duration(0); !p.IsDone(); now += stepInterval {
			p.Tick(now)
			n := 0
			for ok := true; ok && n < batchSize; {
				if attempts[n], ok = p.Next(now); ok {
					n++
				}
			}
			for _, attempt := range attempts[:n] {
				p.Answered(now+near, now, attempt, Answer{State: scan.Closed, Cause: scan.CauseRST})
			}
		}
		scans++
	}
	ports := float64(scans) * 65535
	if want := scans * 65535; reported != want {
		b.Errorf("got %d reported ports in %d scans, want %d", reported, scans, want)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/ports, "ns/port")
}

// BenchmarkSilentPorts measures the time per port if all but a few ports are silent: the
// pacer makes two attempts at each, and stores the port in between.
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

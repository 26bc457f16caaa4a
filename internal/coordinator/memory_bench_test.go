// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"log/slog"
	"testing"
	"time"

	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
)

// BenchmarkWhole is what a scan of all ports of a host costs apart from its engine's
// work: recording, remembering, comparing.
func BenchmarkWhole(b *testing.B) {
	c, err := coordinator.New(coordinator.Options{
		Resolver: resolver{addrs: []string{"192.0.2.1"}}, MaxScans: 1, Logger: slog.New(slog.DiscardHandler),
		Engines: map[coordinator.Kind]scan.Scanner{{Protocol: scan.TCP, Method: scan.Connect}: closedAfter(0)},
	})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	one := taskOf(b, "1-65535")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Scan(within(b, time.Second), one); err != nil {
			b.Fatal(err)
		}
	}
}

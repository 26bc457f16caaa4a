// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"testing"

	"portscan_exporter/internal/scan"
)

// fullRecorder returns a recorder with results for all 65,535 ports of an address: the typical
// result with three open ports, or the worst case, in which the state alternates by port.
func fullRecorder(tb testing.TB, alternating bool) *scan.Recorder {
	tb.Helper()
	s := spec()
	s.Ports, _ = scan.ParsePortSet("1-65535")
	r := recorder(tb, s, testAddress.String())
	for port := range s.Ports.All() {
		p := scan.PortResult{Address: testAddress, Port: port, State: scan.Closed, Cause: scan.CauseRST, Attempts: 1}
		switch {
		case alternating && port%2 == 0:
			p.State, p.Cause = scan.Filtered, scan.CauseSilence
		case !alternating && (port == 22 || port == 80 || port == 443):
			p.State, p.Cause = scan.Open, scan.CauseHandshake
		}
		r.Record(p)
	}
	return r
}

func BenchmarkSnapshot(b *testing.B) {
	for name, alternating := range map[string]bool{"typical": false, "alternating": true} {
		r := fullRecorder(b, alternating)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.Snapshot(scan.CauseDeadline)
			}
		})
	}
}

func BenchmarkAddressResultAll(b *testing.B) {
	for name, alternating := range map[string]bool{"typical": false, "alternating": true} {
		addresses, _, _ := fullRecorder(b, alternating).Snapshot(scan.CauseDeadline)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for range addresses[0].All() {
				}
			}
		})
	}
}

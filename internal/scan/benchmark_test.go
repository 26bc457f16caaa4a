// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

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

// TestRecorderMemory checks that the ports of a recorder and its snapshot take at most
// MaxPortBytes each in the worst case, and not much less.
func TestRecorderMemory(t *testing.T) {
	const addresses = 32
	s := spec()
	s.AllPorts = true
	s.Ports, _ = scan.ParsePortSet("1-65535")
	var ips []string
	for i := range addresses {
		ips = append(ips, fmt.Sprintf("192.0.2.%d", i+1))
	}
	before := heapBytes()
	r := recorder(t, s, ips...)
	for _, ip := range ips {
		addr := netip.MustParseAddr(ip)
		for port := range s.Ports.All() {
			p := scan.PortResult{Address: addr, Port: port, State: scan.Closed, Cause: scan.CauseRST, RTT: time.Millisecond, Attempts: 1}
			if port%2 == 0 {
				p.State, p.Cause = scan.Filtered, scan.CauseICMP
				p.ICMP = scan.ICMPError{From: addr, Type: 3, Code: uint8(port / 2 % 14)}
			}
			r.Record(p)
		}
	}
	results, _, _ := r.Snapshot(scan.CauseDeadline)
	each := float64(heapBytes()-before) / (addresses * 65535)
	t.Logf("%.1f bytes a port", each)
	if each > scan.MaxPortBytes || each < scan.MaxPortBytes/2 {
		t.Errorf("memory of a port = %.1f bytes, want at most %d, and at least half of that", each, scan.MaxPortBytes)
	}
	runtime.KeepAlive(r)
	runtime.KeepAlive(results)
}

// heapBytes returns the size of the objects in use.
func heapBytes() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

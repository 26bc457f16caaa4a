// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package packet

import "testing"

// TestNoAllocations covers the functions that run for each port.
func TestNoAllocations(t *testing.T) {
	k, list := mustKey(t), examples(t)
	for _, f := range []family{family4(), family6()} {
		buffer := make([]byte, 0, 64)
		for name, work := range map[string]func(){
			"Sequence":  func() { k.Sequence(f.local, f.remote) },
			"AppendSYN": func() { buffer = AppendSYN(buffer[:0], f.local, f.remote, sequence) },
			"Parse": func() {
				for _, tc := range list {
					Parse(tc.packet, true)
				}
			},
		} {
			if n := testing.AllocsPerRun(100, work); n != 0 {
				t.Errorf("%s: allocations = %v, want 0", name, n)
			}
		}
	}
}

func BenchmarkSequence(b *testing.B) {
	k := mustKey(b)
	benchmarkFamilies(b, "", func(f family) func() {
		return func() { k.Sequence(f.local, f.remote) }
	})
}

func BenchmarkAppendSYN(b *testing.B) {
	benchmarkFamilies(b, "", func(f family) func() {
		buffer := make([]byte, 0, 64)
		return func() { buffer = AppendSYN(buffer[:0], f.local, f.remote, sequence) }
	})
}

func BenchmarkParse(b *testing.B) {
	for name, verify := range map[string]bool{"trusted ": false, "verified ": true} {
		benchmarkFamilies(b, name, func(f family) func() {
			reply := f.reply(0x12)
			reply.options = make([]byte, 20) // as sent by Linux hosts
			packet := reply.datagram().bytes()
			return func() { Parse(packet, verify) }
		})
	}
}

// benchmarkFamilies runs a benchmark for both versions of IP.
func benchmarkFamilies(b *testing.B, name string, prepare func(f family) (work func())) {
	b.Helper()
	for version, f := range map[string]family{"v4": family4(), "v6": family6()} {
		b.Run(name+version, func(b *testing.B) {
			work := prepare(f)
			b.ReportAllocs()
			for b.Loop() {
				work()
			}
		})
	}
}

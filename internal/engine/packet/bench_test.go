package packet

import "testing"

// TestAllocations is a promise to whoever does this for each of 65535 ports.
func TestAllocations(t *testing.T) {
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
				t.Errorf("%s makes %v allocations, want 0", name, n)
			}
		}
	}
}

func BenchmarkSequence(b *testing.B) {
	k := mustKey(b)
	each(b, "", func(f family) func() {
		return func() { k.Sequence(f.local, f.remote) }
	})
}

func BenchmarkAppendSYN(b *testing.B) {
	each(b, "", func(f family) func() {
		buffer := make([]byte, 0, 64)
		return func() { buffer = AppendSYN(buffer[:0], f.local, f.remote, sequence) }
	})
}

func BenchmarkParse(b *testing.B) {
	for name, verify := range map[string]bool{"trusted ": false, "verified ": true} {
		each(b, name, func(f family) func() {
			reply := f.reply(0x12)
			reply.options = make([]byte, 20) // as a Linux host has them
			packet := reply.datagram().bytes()
			return func() { Parse(packet, verify) }
		})
	}
}

// each measures some work for both versions of IP.
func each(b *testing.B, name string, prepare func(f family) (work func())) {
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

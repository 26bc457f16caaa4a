// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/bpf"
)

// runTranslated returns the number of bytes that the filter keeps of an outgoing packet.
// The virtual machine does not support the instruction that loads the direction.
func runTranslated(tb testing.TB, b []byte) int {
	tb.Helper()
	raw, err := bpf.Assemble(translated())
	if err != nil {
		tb.Fatal(err)
	}
	return runFilter(tb, raw, b)
}

func TestTranslatedFilterAssembles(t *testing.T) {
	t.Parallel()
	if raw, err := TranslatedFilter(); err != nil || len(raw) == 0 {
		t.Errorf("TranslatedFilter = %d instructions, %v", len(raw), err)
	}
}

// TestTranslatedFilterChanges changes each address and port as NAT does, with checksums.
func TestTranslatedFilterChanges(t *testing.T) {
	t.Parallel()
	for _, f := range []family{family4(), family6()} {
		otherLocal, otherRemote := netip.AddrPortFrom(f.other, f.local.Port()), netip.AddrPortFrom(f.router, f.remote.Port())
		for name, tc := range map[string]struct {
			local, remote netip.AddrPort
			want          int
		}{
			"unchanged":           {f.local, f.remote, 0},
			"source address":      {otherLocal, f.remote, SnapLen},
			"source port":         {netip.AddrPortFrom(f.local.Addr(), f.local.Port()+1), f.remote, SnapLen},
			"destination address": {f.local, otherRemote, SnapLen},
			"destination port":    {f.local, netip.AddrPortFrom(f.remote.Addr(), 8080), SnapLen},
			"all":                 {netip.AddrPortFrom(f.other, 1024), netip.AddrPortFrom(f.router, 1), SnapLen},
			"both swapped":        {f.remote, f.local, SnapLen},
		} {
			b := translateSYN(AppendSYN(nil, f.local, f.remote, sequence), tc.local, tc.remote)
			if got := runTranslated(t, b); got != tc.want {
				t.Errorf("%s: TranslatedFilter keeps %d bytes of %x, want %d", name, got, b, tc.want)
			}
			if got := keptBytes(t, f, b, 9); got != tc.want {
				t.Errorf("%s: the filter of responses keeps %d bytes of %x, want %d", name, got, b, tc.want)
			}
			if got, ok := ParseSYN(b); !ok || got != (SYN{tc.local, tc.remote, sequence}) {
				t.Errorf("%s: ParseSYN(%x) = %+v, %v", name, b, got, ok)
			}
		}
	}
}

// translateSYN changes addresses and ports of a SYN, but not what AppendSYN computes from
// them.
func translateSYN(b []byte, local, remote netip.AddrPort) []byte {
	changed, id, label := AppendSYN(nil, local, remote, sequence), [2]byte(b[4:]), [4]byte(b)
	if changed[0]>>4 == 4 {
		copy(changed[4:], id[:])
	} else {
		copy(changed, label[:])
	}
	return changed
}

// TestTranslatedFilterOtherPackets has packets that AppendSYN does not build.
func TestTranslatedFilterOtherPackets(t *testing.T) {
	t.Parallel()
	for _, tc := range examples(t) {
		if strings.HasSuffix(tc.name, " a SYN") {
			continue
		}
		if got := runTranslated(t, tc.packet); got != 0 {
			t.Errorf("%s: the filter keeps %d bytes of %x, want 0", tc.name, got, tc.packet)
		}
		if got, ok := ParseSYN(tc.packet); ok {
			t.Errorf("%s: ParseSYN(%x) = %+v, want no SYN", tc.name, tc.packet, got)
		}
	}
	for _, f := range []family{family4(), family6()} {
		kernel := segment{src: f.local, dst: f.remote, seq: sequence, flags: 2, window: 64_240, options: make([]byte, 20)}.datagram()
		if got := runTranslated(t, kernel.bytes()); got != 0 {
			t.Errorf("the filter keeps %d bytes of %x, want 0", got, kernel.bytes())
		}
		forwarded := translateSYN(AppendSYN(nil, f.local, f.remote, sequence), f.local, netip.AddrPortFrom(f.other, 80))
		hopLimit := &forwarded[7]
		if f.local.Addr().Is4() {
			hopLimit = &forwarded[8]
		}
		*hopLimit = hops + 1 // raised by a local rule
		if got := runTranslated(t, forwarded); got != SnapLen {
			t.Errorf("the filter keeps %d bytes of %x, want %d", got, forwarded, SnapLen)
		}
		*hopLimit = hops - 1
		if got := runTranslated(t, forwarded); got != 0 {
			t.Errorf("the filter keeps %d bytes of %x, want 0", got, forwarded)
		}
		own := AppendSYN(nil, f.local, f.remote, sequence)
		for n := range own {
			if got := runTranslated(t, own[:n]); got != 0 {
				t.Errorf("the filter keeps %d bytes of %x, want 0", got, own[:n])
			}
			ParseSYN(own[:n])
		}
	}
}

// TestTranslatedFilterMisses counts translated packets that the filter drops because both
// hashes are equal.
func TestTranslatedFilterMisses(t *testing.T) {
	t.Parallel()
	raw, err := bpf.Assemble(translated())
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	const packets, limit = 100_000, 10 // 1.5 are expected
	f, missed := family4(), 0
	for range packets {
		port := func(p netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(p.Addr(), uint16(random.Uint32())) }
		b := translateSYN(AppendSYN(nil, port(f.local), port(f.remote), sequence), port(f.local), netip.AddrPortFrom(f.other, 80))
		if runFilter(t, raw, b) == 0 {
			missed++
		}
	}
	if missed > limit {
		t.Errorf("the filter misses %d of %d translated packets, want at most %d", missed, packets, limit)
	}
}

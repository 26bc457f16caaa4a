package packet

import (
	"slices"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, tc := range examples(t) {
		for _, verify := range []bool{false, true} {
			got, ok := Parse(tc.packet, verify)
			if got != tc.want || ok != (tc.want != Answer{}) {
				t.Errorf("%s: Parse(%x, %v) = %+v, %v, want %+v", tc.name, tc.packet, verify, got, ok, tc.want)
			}
		}
	}
	for _, b := range [][]byte{nil, {}, {0x45}, {0x60}} {
		if got, ok := Parse(b, false); ok {
			t.Errorf("Parse(%x) = %+v", b, got)
		}
	}
}

// TestParseCut cuts every packet at every length. What is left says the same or
// nothing, and says it as long as the headers are there.
func TestParseCut(t *testing.T) {
	t.Parallel()
	for _, tc := range examples(t) {
		whole, header := tc.packet, 40
		if whole[0]>>4 == 4 {
			header = int(whole[0]&15) * 4
		}
		least := header + 20
		if tc.want.Kind == Error {
			least = header + 8 + 40 + 8
			if whole[0]>>4 == 4 {
				least = header + 8 + int(whole[header+8]&15)*4 + 8
			}
		}
		for n := range whole {
			cut := slices.Clip(whole[:n])
			enough := tc.want.Kind != 0 && n >= least
			got, ok := Parse(cut, false)
			if ok != enough || ok && got != tc.want {
				t.Errorf("%s, %d of %d bytes: Parse = %+v, %v, want %v", tc.name, n, len(whole), got, ok, enough)
			}
			// A checksum that cannot be checked speaks against TCP only.
			enough = enough && (tc.want.Kind == Error || n >= len(whole)-tc.padding)
			got, ok = Parse(cut, true)
			if ok != enough || ok && got != tc.want {
				t.Errorf("%s, %d of %d bytes: Parse with verify = %+v, %v, want %v", tc.name, n, len(whole), got, ok, enough)
			}
		}
	}
}

// TestParseChecksum turns every bit of every answer. With verify nothing is left,
// but for what no checksum counts in.
func TestParseChecksum(t *testing.T) {
	t.Parallel()
	for _, tc := range examples(t) {
		if tc.want.Kind == 0 {
			continue
		}
		for i := range len(tc.packet) * 8 {
			b := slices.Clone(tc.packet)
			b[i/8] ^= 0x80 >> (i % 8)
			got, ok := Parse(b, true)
			if ok && (!unprotected(tc, i) || got != tc.want) {
				t.Errorf("%s: with bit %d turned Parse = %+v", tc.name, i, got)
			}
		}
	}
}

// unprotected tells whether no checksum counts this bit in: padding, and of an IPv6
// header all but the addresses, the protocol and the length.
func unprotected(tc example, bit int) bool {
	if bit >= (len(tc.packet)-tc.padding)*8 {
		return true
	}
	if tc.packet[0]>>4 != 6 {
		return false
	}
	// A longer length makes an ICMP error that was cut short.
	length := tc.want.Kind == Error && bit >= 32 && bit < 48
	return bit >= 4 && bit < 32 || bit >= 56 && bit < 64 || length
}

// TestParseUnverified has wrong checksums in all places, of which none is looked at.
func TestParseUnverified(t *testing.T) {
	t.Parallel()
	for _, tc := range examples(t) {
		if tc.want.Kind == 0 {
			continue
		}
		b, header, at := slices.Clone(tc.packet), 40, 16
		if b[0]>>4 == 4 {
			header = int(b[0]&15) * 4
			b[10]++
		}
		if tc.want.Kind == Error {
			at = 2
		}
		b[header+at]++
		if got, ok := Parse(b, false); !ok || got != tc.want {
			t.Errorf("%s: Parse = %+v, %v, want %+v", tc.name, got, ok, tc.want)
		}
	}
}

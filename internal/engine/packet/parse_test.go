// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"slices"
	"testing"
)

func TestParseExamples(t *testing.T) {
	t.Parallel()
	for _, tc := range examples(t) {
		for _, verify := range []bool{false, true} {
			got, ok := Parse(tc.packet, verify)
			if got != tc.want || ok != (tc.want != Response{}) {
				t.Errorf("%s: Parse(%x, %v) = %+v, %v, want %+v", tc.name, tc.packet, verify, got, ok, tc.want)
			}
		}
	}
	for _, b := range [][]byte{nil, {}, {0x45}, {0x60}} {
		if got, ok := Parse(b, false); ok {
			t.Errorf("Parse(%x) = %+v, want no response", b, got)
		}
	}
}

// TestParseTruncated truncates every packet at every length. Parse returns the same
// response as long as the headers are complete.
func TestParseTruncated(t *testing.T) {
	t.Parallel()
	for _, tc := range examples(t) {
		full, header := tc.packet, 40
		if full[0]>>4 == 4 {
			header = int(full[0]&15) * 4
		}
		least := header + 20
		if tc.want.Kind == ICMPError {
			least = header + 8 + 40 + 8
			if full[0]>>4 == 4 {
				least = header + 8 + int(full[header+8]&15)*4 + 8
			}
		}
		for n := range full {
			cut := slices.Clip(full[:n])
			enough := tc.want.Kind != 0 && n >= least
			got, ok := Parse(cut, false)
			if ok != enough || ok && got != tc.want {
				t.Errorf("%s, %d of %d bytes: Parse = %+v, %v, want %v", tc.name, n, len(full), got, ok, enough)
			}
			// With verify, only truncated TCP packets are rejected.
			enough = enough && (tc.want.Kind == ICMPError || n >= len(full)-tc.padding)
			got, ok = Parse(cut, true)
			if ok != enough || ok && got != tc.want {
				t.Errorf("%s, %d of %d bytes: Parse with verify = %+v, %v, want %v", tc.name, n, len(full), got, ok, enough)
			}
		}
	}
}

// TestParseBitFlips flips every bit of every response. With verify, Parse accepts only
// flips that no checksum covers.
func TestParseBitFlips(t *testing.T) {
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
				t.Errorf("%s: with bit %d flipped, Parse = %+v", tc.name, i, got)
			}
		}
	}
}

// unprotected reports whether no checksum covers the bit: padding, and the IPv6 header
// except addresses, protocol and length.
func unprotected(tc example, bit int) bool {
	if bit >= (len(tc.packet)-tc.padding)*8 {
		return true
	}
	if tc.packet[0]>>4 != 6 {
		return false
	}
	// With a greater length, an ICMP error counts as truncated.
	length := tc.want.Kind == ICMPError && bit >= 32 && bit < 48
	return bit >= 4 && bit < 32 || bit >= 56 && bit < 64 || length
}

func TestParseIgnoresChecksums(t *testing.T) {
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
		if tc.want.Kind == ICMPError {
			at = 2
		}
		b[header+at]++
		if got, ok := Parse(b, false); !ok || got != tc.want {
			t.Errorf("%s: Parse = %+v, %v, want %+v", tc.name, got, ok, tc.want)
		}
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// extended returns a struct sock_extended_err followed by an offender's address.
func extended(origin byte, offender netip.Addr) []byte {
	data := make([]byte, 16)
	data[4], data[5], data[6] = origin, 3, 1
	if offender.Is4() {
		a := offender.As4()
		return append(append(binary.NativeEndian.AppendUint16(data, unix.AF_INET), 0, 0), append(a[:], make([]byte, 8)...)...)
	}
	a := offender.As16()
	return append(append(binary.NativeEndian.AppendUint16(data, unix.AF_INET6), 0, 0, 0, 0, 0, 0), append(a[:], 0, 0, 0, 0)...)
}

// TestParseExtended parses complete and truncated errors: only complete parts must be read, and
// only ICMP errors be reported as from the network.
func TestParseExtended(t *testing.T) {
	t.Parallel()
	offender4, offender6 := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")
	for name, tc := range map[string]struct {
		data []byte
		icmp bool
		from netip.Addr
	}{
		"empty":               {nil, false, netip.Addr{}},
		"ICMP":                {extended(2, offender4), true, offender4},
		"ICMPv6":              {extended(3, offender6), true, offender6},
		"local error":         {extended(1, offender4), false, offender4},
		"no offender":         {extended(2, offender4)[:16], true, netip.Addr{}},
		"half an offender":    {extended(2, offender4)[:22], true, netip.Addr{}},
		"half of an IPv6 one": {extended(3, offender6)[:36], true, netip.Addr{}},
		"truncated":           {extended(2, offender4)[:15], false, netip.Addr{}},
	} {
		r := parseExtended(tc.data)
		if r.fromNetwork != tc.icmp || r.offender != tc.from {
			t.Errorf("%s: ICMP: %v, offender %v, want %v, %v", name, r.fromNetwork, r.offender, tc.icmp, tc.from)
		}
		if complete := len(tc.data) >= 16; complete != (r.kind == 3 && r.code == 1) {
			t.Errorf("%s: type %d, code %d, want 3, 1: %v", name, r.kind, r.code, complete)
		}
	}
}

func FuzzParseExtended(f *testing.F) {
	f.Add(extended(2, netip.MustParseAddr("192.0.2.7")))
	f.Add(extended(3, netip.MustParseAddr("2001:db8::7")))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r := parseExtended(data); r.fromNetwork && len(data) < 16 || r.offender.Is4In6() {
			t.Errorf("parseExtended(%x) = %+v, want an ICMP error only from 16 bytes, and no mapped address", data, r)
		}
	})
}

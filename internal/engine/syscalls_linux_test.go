// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// extended makes a struct sock_extended_err with an offender's address behind it.
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

func TestParseExtended(t *testing.T) {
	t.Parallel()
	four, six := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")
	for name, tc := range map[string]struct {
		data []byte
		icmp bool
		from netip.Addr
	}{
		"nothing":           {nil, false, netip.Addr{}},
		"ICMP":              {extended(2, four), true, four},
		"ICMPv6":            {extended(3, six), true, six},
		"our own kernel":    {extended(1, four), false, four},
		"no offender":       {extended(2, four)[:16], true, netip.Addr{}},
		"half an offender":  {extended(2, four)[:22], true, netip.Addr{}},
		"half of one, IPv6": {extended(3, six)[:36], true, netip.Addr{}},
		"cut":               {extended(2, four)[:15], false, netip.Addr{}},
	} {
		r := parseExtended(tc.data)
		if r.fromNetwork != tc.icmp || r.offender != tc.from {
			t.Errorf("%s: %v from %v, want %v from %v", name, r.fromNetwork, r.offender, tc.icmp, tc.from)
		}
		if whole := len(tc.data) >= 16; whole != (r.kind == 3 && r.code == 1) {
			t.Errorf("%s: type %d, code %d", name, r.kind, r.code)
		}
	}
}

func FuzzParseExtended(f *testing.F) {
	f.Add(extended(2, netip.MustParseAddr("192.0.2.7")))
	f.Add(extended(3, netip.MustParseAddr("2001:db8::7")))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r := parseExtended(data); r.fromNetwork && len(data) < 16 || r.offender.Is4In6() {
			t.Errorf("%x: %+v", data, r)
		}
	})
}

func TestParseResets(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"Ip: A\nIp: 1\nTcp: RtoMin OutRsts InCsum\nTcp: 200 17 0\n": 17,
		"Tcp: RtoMin OutRsts\nTcp: 200\n":                           -1,
		"Tcp: RtoMin OutRsts\n":                                     -1,
		"Tcp: RtoMin\nTcp: 200\n":                                   -1,
		"Tcp: OutRsts\nTcp: many\n":                                 -1,
		"":                                                          -1,
	} {
		if got, err := parseResets([]byte(text)); (err == nil) != (want >= 0) || err == nil && got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
}

func FuzzParseResets(f *testing.F) {
	f.Add([]byte("Tcp: RtoMin OutRsts\nTcp: 200 17\n"))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = parseResets(data) })
}

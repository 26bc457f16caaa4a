// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
)

// TestAppendSYNBytes compares with packets written by hand from RFC 791, RFC 8200 and
// RFC 9293 section 3.1. The checksums, in ones' complement:
//
//   - IPv4: 4500 + 002c + aa3d + 4000 + 4006 + c000 + 0201 + c633 + 6402 = 35ba5,
//     folded 5ba8, complement a457
//   - TCP over it: c000 + 0201 + c633 + 6402 + 0006 + 0018 of the pseudo header
//     = 1ec54; 9c40 + 0050 + 0102 + 0304 + 6002 + faf0 + 0204 + 05b4 = 20340;
//     together 3ef94, folded ef97, complement 1068
//   - TCP over IPv6: 2001 + 0db8 + 0001 + 2001 + 0db8 + 0002 + 0006 + 0018 = 5b93;
//     9c40 + 01bb + 0102 + 0304 + 6002 + faf0 + 0204 + 05a0 = 20497; together
//     2602a, folded 602c, complement 9fd3
//
// Identification and flow label are the upper bits of hashTuple, computed by a program in
// another language: aa3d23d1 and 8fe9d942.
func TestAppendSYNBytes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ local, remote, want string }{
		"IPv4": {
			"192.0.2.1:40000", "198.51.100.2:80",
			"45 00 002c aa3d 4000 40 06 a457 c0000201 c6336402" +
				"9c40 0050 01020304 00000000 60 02 faf0 1068 0000 02 04 05b4",
		},
		"IPv4 in IPv6": {
			"[::ffff:192.0.2.1]:40000", "198.51.100.2:80",
			"45 00 002c aa3d 4000 40 06 a457 c0000201 c6336402" +
				"9c40 0050 01020304 00000000 60 02 faf0 1068 0000 02 04 05b4",
		},
		"IPv6": {
			"[2001:db8::1]:40000", "[2001:db8::2]:443",
			"6008fe9d 0018 06 40 20010db8000000000000000000000001 20010db8000000000000000000000002" +
				"9c40 01bb 01020304 00000000 60 02 faf0 9fd3 0000 02 04 05a0",
		},
		"IPv6 with a zone": {
			"[2001:db8::1%eth0]:40000", "[2001:db8::2]:443",
			"6008fe9d 0018 06 40 20010db8000000000000000000000001 20010db8000000000000000000000002" +
				"9c40 01bb 01020304 00000000 60 02 faf0 9fd3 0000 02 04 05a0",
		},
		"from IPv4 to IPv6":        {"192.0.2.1:40000", "[2001:db8::2]:443", ""},
		"from IPv6 to IPv4":        {"[2001:db8::1]:40000", "198.51.100.2:80", ""},
		"from mapped IPv4 to IPv6": {"[::ffff:192.0.2.1]:40000", "[2001:db8::2]:443", ""},
	} {
		want, err := hex.DecodeString(strings.ReplaceAll(tc.want, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		before := []byte("before")
		got := AppendSYN(before, netip.MustParseAddrPort(tc.local), netip.MustParseAddrPort(tc.remote), sequence)
		if !bytes.Equal(got, append(before, want...)) {
			t.Errorf("%s: AppendSYN = %x, want %x after %x", name, got, want, before)
		}
	}
	if got := AppendSYN(nil, netip.AddrPort{}, netip.AddrPort{}, 0); got != nil {
		t.Errorf("AppendSYN without addresses = %x, want nil", got)
	}
}

func TestAppendSYNReusesBuffer(t *testing.T) {
	t.Parallel()
	for _, f := range []family{family4(), family6()} {
		used := bytes.Repeat([]byte{0xff}, 100)
		got, want := AppendSYN(used[:0], f.local, f.remote, 7), AppendSYN(nil, f.local, f.remote, 7)
		if !bytes.Equal(got, want) {
			t.Errorf("AppendSYN into a used buffer = %x, want %x", got, want)
		}
		if &got[0] != &used[0] {
			t.Error("AppendSYN allocated although the buffer had capacity")
		}
	}
}

func TestSYNIsNotResponse(t *testing.T) {
	t.Parallel()
	for _, f := range []family{family4(), family6()} {
		b := AppendSYN(nil, f.local, f.remote, sequence)
		if got, ok := Parse(b, false); ok {
			t.Errorf("Parse(%x) = %+v, want no response", b, got)
		}
		if n := keptBytes(t, f, b, f.local.Port(), f.remote.Port()); n != 0 {
			t.Errorf("the filter keeps %d bytes of %x, want 0", n, b)
		}
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// FuzzParse checks that Parse does not panic, that its responses are consistent, and
// that the filter keeps each response.
func FuzzParse(f *testing.F) {
	for _, tc := range examples(f) {
		f.Add(tc.packet)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		verified, verifiedOK := Parse(b, true)
		a, ok := Parse(b, false)
		if verifiedOK && (!ok || a != verified) {
			t.Errorf("Parse = %+v with verify, %+v without", verified, a)
		}
		if !ok {
			if (a != Response{}) {
				t.Errorf("Parse = %+v, false, want the zero Response", a)
			}
			return
		}
		four := b[0]>>4 == 4
		for _, addr := range []netip.Addr{a.Remote.Addr(), a.Local.Addr(), a.From} {
			if !addr.IsValid() || addr.Is4() != four || addr.Is4In6() {
				t.Errorf("address %v in a response of IP version %d: %+v", addr, b[0]>>4, a)
			}
		}
		if a.Kind < SYNACK || a.Kind > ICMPError || a.Kind != ICMPError && a.From != a.Remote.Addr() {
			t.Errorf("Parse = %+v", a)
		}
		if n := runFilter(t, mustFilter(t, a.Local.Addr(), a.Local.Port()), b); n != SnapLen {
			t.Errorf("the filter keeps %d bytes of %+v, want %d", n, a, SnapLen)
		}
	})
}

// FuzzAppendSYN parses the packet with golang.org/x/net, and checks that ParseSYN reads
// it, that it does not count as translated, and that Parse attributes responses to it.
func FuzzAppendSYN(f *testing.F) {
	for _, at := range []family{family4(), family6()} {
		f.Add(at.local.Addr().AsSlice(), at.remote.Addr().AsSlice(), at.local.Port(), at.remote.Port(), uint32(sequence))
	}
	f.Fuzz(func(t *testing.T, from, to []byte, localPort, remotePort uint16, seq uint32) {
		src, _ := netip.AddrFromSlice(from)
		dst, _ := netip.AddrFromSlice(to)
		local, remote := netip.AddrPortFrom(src.Unmap(), localPort), netip.AddrPortFrom(dst.Unmap(), remotePort)
		b := AppendSYN(nil, netip.AddrPortFrom(src, localPort), netip.AddrPortFrom(dst, remotePort), seq)
		if local.Addr().BitLen() != remote.Addr().BitLen() || !src.IsValid() {
			if b != nil {
				t.Errorf("AppendSYN(%v, %v) = %x, want nil", local, remote, b)
			}
			return
		}
		tcp := checkIP(t, b, local.Addr(), remote.Addr())
		want := segment{src: local, dst: remote, seq: seq, flags: 2, window: 64_240, options: tcp[20:]}.bytes()
		if string(tcp) != string(want) {
			t.Errorf("TCP = %x, want %x", tcp, want)
		}
		if got, ok := ParseSYN(b); !ok || got != (SYN{local, remote, seq}) || runTranslated(t, b) != 0 {
			t.Errorf("ParseSYN(%x) = %+v, %v, and the filter for translated SYNs keeps %d bytes", b, got, ok, runTranslated(t, b))
		}
		checkResponses(t, b, family{local: local, remote: remote, router: dst.Unmap()}, seq)
	})
}

// checkIP checks the IP header and returns the payload.
func checkIP(t *testing.T, b []byte, local, remote netip.Addr) []byte {
	t.Helper()
	if local.Is6() {
		h, err := ipv6.ParseHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		same := h.Src.Equal(local.AsSlice()) && h.Dst.Equal(remote.AsSlice())
		if !same || h.PayloadLen != len(b)-40 || h.NextHeader != 6 || h.HopLimit != 64 {
			t.Errorf("header of %x = %v", b, h)
		}
		return b[40:]
	}
	h, err := ipv4.ParseHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	// ParseHeader expects length and flags in the byte order of raw sockets.
	length, flags := int(binary.BigEndian.Uint16(b[2:])), b[6]
	same := h.Src.Equal(net.IP(local.AsSlice())) && h.Dst.Equal(net.IP(remote.AsSlice()))
	if !same || length != len(b) || flags != 0x40 || h.Protocol != 6 || h.TTL != 64 || referenceChecksum(b[:h.Len]) != 0 {
		t.Errorf("header of %x = %v", b, h)
	}
	return b[h.Len:]
}

// checkResponses checks that Parse attributes three responses to a SYN.
func checkResponses(t *testing.T, syn []byte, f family, seq uint32) {
	t.Helper()
	kind := byte(3)
	if f.local.Addr().Is6() {
		kind = 1
	}
	reply := segment{src: f.remote, dst: f.local, ack: seq + 1}
	opened, refused := reply, reply
	opened.flags, refused.flags = 0x12, 0x14
	for want, b := range map[ResponseKind][]byte{
		SYNACK:    opened.datagram().bytes(),
		RST:       refused.datagram().bytes(),
		ICMPError: f.icmpError(kind, 0, syn).datagram(t).bytes(),
	} {
		a, ok := Parse(b, true)
		if !ok || a.Kind != want || a.Local != f.local || a.Remote != f.remote || a.Sequence != seq {
			t.Errorf("Parse(%x) = %+v, %v, want kind %d from %v to %v", b, a, ok, want, f.local, f.remote)
		}
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// family has addresses of one version of IP.
type family struct {
	local, remote netip.AddrPort
	router, other netip.Addr
}

// family4 and family6 use documentation addresses (RFC 5737, RFC 3849).
func family4() family {
	return family{
		local:  netip.MustParseAddrPort("192.0.2.1:40000"),
		remote: netip.MustParseAddrPort("198.51.100.2:80"),
		router: netip.MustParseAddr("203.0.113.3"),
		other:  netip.MustParseAddr("192.0.2.9"),
	}
}

func family6() family {
	return family{
		local:  netip.MustParseAddrPort("[2001:db8::1]:40000"),
		remote: netip.MustParseAddrPort("[2001:db8::2]:443"),
		router: netip.MustParseAddr("2001:db8::3"),
		other:  netip.MustParseAddr("2001:db8::9"),
	}
}

// datagram is an IP packet to build. edit changes it before the header checksum is
// computed.
type datagram struct {
	src, dst netip.Addr
	protocol byte
	options  []byte // IPv4
	payload  []byte
	edit     func(b []byte)
}

func (d datagram) bytes() []byte {
	var b []byte
	if d.src.Is4() {
		b = make([]byte, 20, 20+len(d.options)+len(d.payload))
		b[0], b[8], b[9] = byte(0x45+len(d.options)/4), 57, d.protocol
		binary.BigEndian.PutUint16(b[2:], uint16(cap(b)))
		binary.BigEndian.PutUint16(b[4:], 0xbeef)
		copy(b[12:], d.src.AsSlice())
		copy(b[16:], d.dst.AsSlice())
		b = append(b, d.options...)
	} else {
		b = make([]byte, 40, 40+len(d.payload))
		b[0], b[6], b[7] = 0x60, d.protocol, 57
		binary.BigEndian.PutUint16(b[4:], uint16(len(d.payload)))
		copy(b[8:], d.src.AsSlice())
		copy(b[24:], d.dst.AsSlice())
	}
	header := len(b)
	b = append(b, d.payload...)
	if d.edit != nil {
		d.edit(b)
	}
	if d.src.Is4() {
		binary.BigEndian.PutUint16(b[10:], referenceChecksum(b[:header]))
	}
	return b
}

// segment is a TCP segment to build. edit changes it before its checksum is computed.
type segment struct {
	src, dst netip.AddrPort
	seq, ack uint32
	flags    byte
	window   uint16
	options  []byte
	data     []byte
	edit     func(b []byte)
}

func (s segment) bytes() []byte {
	b := make([]byte, 20, 20+len(s.options)+len(s.data))
	binary.BigEndian.PutUint16(b, s.src.Port())
	binary.BigEndian.PutUint16(b[2:], s.dst.Port())
	binary.BigEndian.PutUint32(b[4:], s.seq)
	binary.BigEndian.PutUint32(b[8:], s.ack)
	b[12], b[13] = byte(5+len(s.options)/4)<<4, s.flags
	binary.BigEndian.PutUint16(b[14:], s.window)
	b = append(append(b, s.options...), s.data...)
	if s.edit != nil {
		s.edit(b)
	}
	binary.BigEndian.PutUint16(b[16:], referenceChecksum(referencePseudo(s.src.Addr(), s.dst.Addr(), 6, len(b)), b))
	return b
}

func (s segment) datagram() datagram {
	return datagram{src: s.src.Addr(), dst: s.dst.Addr(), protocol: 6, payload: s.bytes()}
}

// icmpError is an ICMP error to build with golang.org/x/net/icmp.
type icmpError struct {
	src, dst   netip.Addr
	kind, code byte
	quoted     []byte
}

func (c icmpError) datagram(tb testing.TB) datagram {
	tb.Helper()
	d := datagram{src: c.src, dst: c.dst, protocol: 1}
	m := icmp.Message{Type: ipv4.ICMPType(c.kind), Code: int(c.code), Body: &icmp.RawBody{Data: append(make([]byte, 4), c.quoted...)}}
	var pseudo []byte
	if c.src.Is6() {
		d.protocol, m.Type = 58, ipv6.ICMPType(c.kind)
		pseudo = icmp.IPv6PseudoHeader(c.src.AsSlice(), c.dst.AsSlice())
	}
	var err error
	if d.payload, err = m.Marshal(pseudo); err != nil {
		tb.Fatal(err)
	}
	return d
}

// referenceChecksum follows RFC 1071 section 1: pairs of octets, with end-around carry
// at each step.
func referenceChecksum(parts ...[]byte) uint16 {
	var sum uint32
	for _, b := range parts {
		for i, octet := range b {
			sum += uint32(octet) << (8 * (1 - i%2))
			if sum > 0xffff {
				sum -= 0xffff
			}
		}
	}
	return ^uint16(sum)
}

func referencePseudo(src, dst netip.Addr, protocol byte, length int) []byte {
	b := append(src.AsSlice(), dst.AsSlice()...)
	if src.Is6() {
		return append(b, 0, 0, byte(length>>8), byte(length), 0, 0, 0, protocol)
	}
	return append(b, 0, protocol, byte(length>>8), byte(length))
}

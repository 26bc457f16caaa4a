// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import "net/netip"

// embeddedIPv4 is an IPv4 address in an IPv6 address whose packets reach it.
type embeddedIPv4 struct {
	addr netip.Addr
	at   int // number of bits before it
}

// embedsIPv4 reports whether addresses of an IPv6 network can contain an IPv4 address, according
// to their prefix. Only ISATAP addresses have no common prefix.
func embedsIPv4(p netip.Prefix) bool {
	for _, format := range []func() netip.Prefix{nat64, localNAT64, sixToFour, compatible, teredo} {
		if p.Overlaps(format()) {
			return true
		}
	}
	return false
}

// The prefixes of addresses that contain an IPv4 address: NAT64 (RFC 6052), NAT64 with a prefix
// that the network chooses (RFC 8215), 6to4 (RFC 3056), IPv4-compatible addresses (RFC 4291
// section 2.5.5.1) and Teredo (RFC 4380).
func nat64() netip.Prefix      { return prefix6([16]byte{0, 0x64, 0xff, 0x9b}, 96) }
func localNAT64() netip.Prefix { return prefix6([16]byte{0, 0x64, 0xff, 0x9b, 0, 1}, 48) }
func sixToFour() netip.Prefix  { return prefix6([16]byte{0x20, 0x02}, 16) }
func compatible() netip.Prefix { return prefix6([16]byte{}, 96) }
func teredo() netip.Prefix     { return prefix6([16]byte{0x20, 0x01}, 32) }

func prefix6(addr [16]byte, bits int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16(addr), bits)
}

// embedded returns the IPv4 addresses that an IPv6 address can contain.
func embedded(addr netip.Addr) (all []embeddedIPv4) {
	if !addr.Is6() {
		return nil
	}
	b := addr.As16()
	add := func(at int, v4 ...byte) { all = append(all, embeddedIPv4{netip.AddrFrom4([4]byte(v4)), at}) }
	addr = addr.WithZone("")
	switch {
	case nat64().Contains(addr), isCompatible(addr):
		add(96, b[12:]...)
	case localNAT64().Contains(addr): // byte 8 is not part of the address (RFC 6052 section 2.2)
		add(56, b[6], b[7], b[9], b[10])
		add(64, b[7], b[9], b[10], b[11])
		add(72, b[9:13]...)
		add(96, b[12:]...)
	case sixToFour().Contains(addr):
		add(16, b[2:6]...)
	case teredo().Contains(addr): // inverted, RFC 4380 section 4
		add(96, ^b[12], ^b[13], ^b[14], ^b[15])
	}
	const universalBit = 2
	if b[8]&^universalBit == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe { // ISATAP, RFC 5214 section 6.1
		add(96, b[12:]...)
	}
	return all
}

// isCompatible reports whether the address is IPv4-compatible: not the unspecified address or
// loopback.
func isCompatible(addr netip.Addr) bool {
	return compatible().Contains(addr) && !addr.IsUnspecified() && !addr.IsLoopback()
}

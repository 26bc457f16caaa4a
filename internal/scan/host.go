// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"math/bits"
	"net/netip"
	"strings"
	"unicode"
)

// Host is an entry of a target's hosts or networks: a name, an address, a network or a range of
// addresses. Hosts are comparable.
type Host struct {
	Entry   string       // as written
	Network netip.Prefix // its addresses, or the smallest network around a range; invalid if Entry is a name

	other       string     // Unicode or ASCII form of a name that has both; otherwise empty
	first, last netip.Addr // of a range; otherwise zero
}

// NewName returns a host name. An internationalized name has another form: in ASCII if the entry
// has other characters, otherwise in Unicode. If it has none, other is empty.
func NewName(entry, other string) Host { return Host{Entry: entry, other: other} }

// NewRange returns a range of addresses. Both ends belong to it. A range of one address is that
// address.
func NewRange(entry string, first, last netip.Addr) (Host, error) {
	if first.Zone() != "" || last.Zone() != "" || first.Is4In6() || last.Is4In6() || first.BitLen() != last.BitLen() || !first.IsValid() || last.Less(first) {
		return Host{}, fmt.Errorf("range from %v to %v is not valid", first, last)
	}
	around := netip.PrefixFrom(first, first.BitLen())
	for !around.Contains(last) {
		around, _ = first.Prefix(around.Bits() - 1) // a valid length: bits 0 contains last
	}
	if first == last {
		return Host{Entry: entry, Network: around}, nil
	}
	return Host{Entry: entry, Network: around, first: first, last: last}, nil
}

// String returns the entry as written and, of an internationalized name, its other form.
func (h Host) String() string {
	if h.other == "" {
		return h.Entry
	}
	return h.Entry + " (" + h.other + ")"
}

// IsName reports whether the entry is a name, which must be resolved.
func (h Host) IsName() bool { return !h.Network.IsValid() }

// IsRange reports whether the entry is a range of several addresses.
func (h Host) IsRange() bool { return h.first.IsValid() }

// Name returns a name in ASCII, as resolvers expect it.
func (h Host) Name() string {
	if strings.ContainsFunc(h.Entry, func(r rune) bool { return r > unicode.MaxASCII }) {
		return h.other
	}
	return h.Entry
}

// Bounds returns the first and the last address of a numeric entry. The network and broadcast
// addresses of an IPv4 network are not included.
func (h Host) Bounds() (first, last netip.Addr) {
	switch {
	case h.IsRange():
		return h.first, h.last
	case h.Network.Addr().Is4() && h.Network.Bits() < 31:
		return h.Network.Addr().Next(), LastAddr(h.Network).Prev()
	default:
		return h.Network.Addr(), LastAddr(h.Network)
	}
}

// Contains reports whether the address is one of a numeric entry. The network and broadcast
// addresses of an IPv4 network are not.
func (h Host) Contains(addr netip.Addr) bool {
	if h.IsName() || !h.Network.Contains(addr) {
		return false
	}
	first, last := h.Bounds()
	return first.Compare(addr) <= 0 && addr.Compare(last) <= 0
}

// Count returns the number of addresses of the entry, at most [math.MaxInt]. A name has
// none before it is resolved.
func (h Host) Count() int {
	if h.IsName() {
		return 0
	}
	if high, low := subtract(h.Bounds()); high == 0 && low < math.MaxInt {
		return int(low) + 1
	}
	return math.MaxInt
}

// All yields the addresses of the entry in ascending order, without the network and
// broadcast addresses of an IPv4 network.
func (h Host) All() iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		if h.IsName() {
			return
		}
		first, last := h.Bounds()
		for a := first; ; a = a.Next() {
			if !yield(a) || a == last {
				return
			}
		}
	}
}

// Bits returns how specific a numeric entry is: the prefix length of a network. A range counts as
// a network with as many addresses, whose prefix length can have a fraction.
func (h Host) Bits() float64 {
	if !h.IsRange() {
		return float64(h.Network.Bits())
	}
	high, low := subtract(h.first, h.last)
	return float64(h.first.BitLen()) - math.Log2(math.Ldexp(float64(high), 64)+float64(low)+1)
}

// Prefixes returns the fewest networks that have exactly the addresses of a numeric entry, in
// ascending order. In those of a range, the network and broadcast addresses are included.
func (h Host) Prefixes() (networks []netip.Prefix) {
	if !h.IsRange() {
		return []netip.Prefix{h.Network}
	}
	for a := h.first; ; {
		p := netip.PrefixFrom(a, a.BitLen())
		for p.Bits() > 0 {
			wider := netip.PrefixFrom(a, p.Bits()-1)
			if wider.Masked() != wider || h.last.Less(LastAddr(wider)) {
				break
			}
			p = wider
		}
		networks = append(networks, p)
		end := LastAddr(p)
		if end == h.last {
			return networks
		}
		a = end.Next()
	}
}

// subtract returns last - first, which are of the same IP version, as a number of 128 bits.
func subtract(first, last netip.Addr) (high, low uint64) {
	a, b := first.As16(), last.As16()
	low, borrow := bits.Sub64(binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(a[8:]), 0)
	high, _ = bits.Sub64(binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(a[:8]), borrow)
	return high, low
}

// LastAddr returns the highest address of a network.
func LastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < p.Addr().BitLen(); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(b) // of a valid length
	return last
}

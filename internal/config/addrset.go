package config

import (
	"math/big"
	"net/netip"
	"slices"

	"portscan_exporter/internal/scan"
)

// addrRange is the addresses from lo to hi, both included, of one IP version.
type addrRange struct{ lo, hi netip.Addr }

// addrSet is a set of addresses: in rising order, none overlapping another. It
// counts a network without walking through it.
type addrSet []addrRange

// hostAddrs returns the addresses that hosts of that family stand for, without
// an IPv4 network's own and broadcast address.
func hostAddrs(hosts []scan.Host, family scan.Family) addrSet {
	var all addrSet
	for _, h := range hosts {
		if h.IsName() || !family.Includes(h.Network.Addr()) {
			continue
		}
		s := prefixRange(h.Network)
		if h.Network.Addr().Is4() && h.Network.Bits() < 31 {
			s = addrRange{lo: s.lo.Next(), hi: s.hi.Prev()}
		}
		all = append(all, s)
	}
	return all.normalize()
}

func prefixAddrs(prefixes []netip.Prefix) addrSet {
	all := make(addrSet, 0, len(prefixes))
	for _, p := range prefixes {
		all = append(all, prefixRange(p))
	}
	return all.normalize()
}

func prefixRange(p netip.Prefix) addrRange {
	last := p.Addr().AsSlice()
	for i := p.Bits(); i < p.Addr().BitLen(); i++ {
		last[i/8] |= 0x80 >> (i % 8)
	}
	hi, _ := netip.AddrFromSlice(last)
	return addrRange{lo: p.Addr(), hi: hi}
}

// normal sorts the addrSet and joins those that overlap. It owns its receiver.
func (s addrSet) normalize() addrSet {
	slices.SortFunc(s, func(a, b addrRange) int { return a.lo.Compare(b.lo) })
	out := s[:0]
	for _, next := range s {
		if n := len(out); n > 0 && next.lo.Compare(out[n-1].hi) <= 0 {
			if out[n-1].hi.Less(next.hi) {
				out[n-1].hi = next.hi
			}
			continue
		}
		out = append(out, next)
	}
	return out
}

// minus returns the addresses that are not in cuts.
func (s addrSet) subtract(cuts addrSet) addrSet {
	var out addrSet
	for _, rest := range s {
		for _, cut := range cuts {
			if cut.hi.Less(rest.lo) || !rest.lo.IsValid() {
				continue
			}
			if rest.hi.Less(cut.lo) {
				break
			}
			if rest.lo.Less(cut.lo) {
				out = append(out, addrRange{lo: rest.lo, hi: cut.lo.Prev()})
			}
			rest.lo = cut.hi.Next() // invalid after the very last address
		}
		if rest.lo.IsValid() && !rest.hi.Less(rest.lo) {
			out = append(out, rest)
		}
	}
	return out
}

// count returns how many addresses there are.
func (s addrSet) count() *big.Int {
	total := new(big.Int)
	for _, one := range s {
		lo, hi := new(big.Int).SetBytes(one.lo.AsSlice()), new(big.Int).SetBytes(one.hi.AsSlice())
		total.Add(total, hi.Sub(hi, lo).Add(hi, big.NewInt(1)))
	}
	return total
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"math/big"
	"net/netip"
	"slices"

	"portscan_exporter/internal/scan"
)

// addrRange is an inclusive range of addresses of one IP version.
type addrRange struct{ lo, hi netip.Addr }

// addrSet is a set of addresses as sorted ranges that do not overlap. Its memory
// does not depend on the size of a network.
type addrSet []addrRange

// hostAddrs returns the numeric addresses of the hosts of a family, without the
// network and broadcast addresses of IPv4 networks.
func hostAddrs(hosts []scan.Host, family scan.Family) addrSet {
	var all addrSet
	for _, h := range hosts {
		if h.IsName() || !family.Includes(h.Network.Addr()) {
			continue
		}
		first, last := h.Bounds()
		all = append(all, addrRange{lo: first, hi: last})
	}
	return all.normalize()
}

func prefixAddrs(prefixes []netip.Prefix) addrSet {
	all := make(addrSet, 0, len(prefixes))
	for _, p := range prefixes {
		all = append(all, addrRange{lo: p.Addr(), hi: scan.LastAddr(p)})
	}
	return all.normalize()
}

// normalize sorts the ranges and joins those that overlap. It modifies its receiver.
func (a addrSet) normalize() addrSet {
	slices.SortFunc(a, func(x, y addrRange) int { return x.lo.Compare(y.lo) })
	out := a[:0]
	for _, next := range a {
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

// subtract returns the addresses that are not in cuts. Both are normalized.
func (a addrSet) subtract(cuts addrSet) addrSet {
	var out addrSet
	for _, rest := range a {
		for len(cuts) > 0 && cuts[0].hi.Less(rest.lo) {
			cuts = cuts[1:]
		}
		for _, cut := range cuts {
			if !rest.lo.IsValid() {
				break
			}
			if rest.hi.Less(cut.lo) {
				break
			}
			if rest.lo.Less(cut.lo) {
				out = append(out, addrRange{lo: rest.lo, hi: cut.lo.Prev()})
			}
			rest.lo = cut.hi.Next() // invalid after the last address
		}
		if rest.lo.IsValid() && !rest.hi.Less(rest.lo) {
			out = append(out, rest)
		}
	}
	return out
}

// count returns the number of addresses.
func (a addrSet) count() *big.Int {
	total := new(big.Int)
	for _, one := range a {
		lo, hi := new(big.Int).SetBytes(one.lo.AsSlice()), new(big.Int).SetBytes(one.hi.AsSlice())
		total.Add(total, hi.Sub(hi, lo).Add(hi, big.NewInt(1)))
	}
	return total
}

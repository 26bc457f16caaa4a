package config

import (
	"math/big"
	"net/netip"
	"slices"

	"portscan_exporter/internal/scan"
)

// span is the addresses from lo to hi, both included, of one IP version.
type span struct{ lo, hi netip.Addr }

// spans is a set of addresses: in rising order, none overlapping another. It
// counts a network without walking through it.
type spans []span

// hostSpans returns the addresses that hosts of that family stand for, without
// an IPv4 network's own and broadcast address.
func hostSpans(hosts []scan.Host, family scan.Family) spans {
	var all spans
	for _, h := range hosts {
		if h.IsName() || !family.Includes(h.Network.Addr()) {
			continue
		}
		s := prefixSpan(h.Network)
		if h.Network.Addr().Is4() && h.Network.Bits() < 31 {
			s = span{lo: s.lo.Next(), hi: s.hi.Prev()}
		}
		all = append(all, s)
	}
	return all.normal()
}

func prefixSpans(prefixes []netip.Prefix) spans {
	all := make(spans, 0, len(prefixes))
	for _, p := range prefixes {
		all = append(all, prefixSpan(p))
	}
	return all.normal()
}

func prefixSpan(p netip.Prefix) span {
	last := p.Addr().AsSlice()
	for i := p.Bits(); i < p.Addr().BitLen(); i++ {
		last[i/8] |= 0x80 >> (i % 8)
	}
	hi, _ := netip.AddrFromSlice(last)
	return span{lo: p.Addr(), hi: hi}
}

// normal sorts the spans and joins those that overlap. It owns its receiver.
func (s spans) normal() spans {
	slices.SortFunc(s, func(a, b span) int { return a.lo.Compare(b.lo) })
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
func (s spans) minus(cuts spans) spans {
	var out spans
	for _, rest := range s {
		for _, cut := range cuts {
			if cut.hi.Less(rest.lo) || !rest.lo.IsValid() {
				continue
			}
			if rest.hi.Less(cut.lo) {
				break
			}
			if rest.lo.Less(cut.lo) {
				out = append(out, span{lo: rest.lo, hi: cut.lo.Prev()})
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
func (s spans) count() *big.Int {
	total := new(big.Int)
	for _, one := range s {
		lo, hi := new(big.Int).SetBytes(one.lo.AsSlice()), new(big.Int).SetBytes(one.hi.AsSlice())
		total.Add(total, hi.Sub(hi, lo).Add(hi, big.NewInt(1)))
	}
	return total
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// Scope is the set of addresses that a target may scan: networks and ranges without exclusions.
// Create scopes with [NewScope]: the zero value has no addresses. They may be used concurrently.
type Scope struct {
	allow   prefixIndex // networks, then those of which the ranges consist
	plain   int         // number of entries of allow that are not of ranges
	ranges  []Host
	pieces  map[netip.Prefix]float64 // networks of ranges, with the bits of the most specific range
	exclude prefixIndex
	embeds  bool // addresses of allow can contain IPv4 addresses
	others  *Exclusions
}

// NewScope returns the scope of the addresses that are in a network of allow or in a range, and in
// no network of exclude. The network and broadcast addresses of IPv4 networks are not
// included, unless another entry includes them (RFC 1122 section 3.2.1.3; a /31 or /32 has
// none, RFC 3021).
func NewScope(allow, exclude []netip.Prefix, ranges ...Host) (Scope, error) {
	if len(allow)+len(ranges) == 0 {
		return Scope{}, errors.New("scope allows no network")
	}
	for _, p := range slices.Concat(allow, exclude) {
		if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() {
			return Scope{}, fmt.Errorf("scope has a network that is not in canonical form: %v", p)
		}
	}
	list := slices.Clone(allow)
	var pieces map[netip.Prefix]float64
	if len(ranges) > 0 {
		pieces = make(map[netip.Prefix]float64)
	}
	for _, h := range ranges {
		if !h.IsRange() {
			return Scope{}, fmt.Errorf("scope has a range that is none: %s", h)
		}
		for _, p := range h.Prefixes() {
			list = append(list, p)
			pieces[p] = max(pieces[p], h.Bits())
		}
	}
	return Scope{
		allow:   newPrefixIndex(list),
		plain:   len(allow),
		ranges:  slices.Clone(ranges),
		pieces:  pieces,
		exclude: newPrefixIndex(slices.Clone(exclude)),
		embeds:  slices.ContainsFunc(list, embedsIPv4),
	}, nil
}

// WithExclusions returns the scope without the addresses that another target excludes in a part
// that is more specific than the networks of this scope that include them.
func (s Scope) WithExclusions(others *Exclusions) Scope {
	s.others = others
	return s
}

// Only returns the scope of one of its addresses. It has no addresses if that may not be scanned.
func (s Scope) Only(addr netip.Addr) Scope {
	addr = addr.Unmap()
	if _, ok := s.Match(addr); !ok {
		return Scope{}
	}
	s.allow = newPrefixIndex([]netip.Prefix{netip.PrefixFrom(addr, addr.BitLen())})
	s.plain, s.ranges, s.pieces = 1, nil, nil
	return s
}

// Excluded reports whether the address must never be scanned, because this scope excludes
// it, or because another target does for a more specific part of the scope. An IPv6 address is
// also excluded if packets to it reach an excluded IPv4 address, as with NAT64.
func (s Scope) Excluded(addr netip.Addr) bool {
	addr = addr.Unmap()
	if s.ExcludedItself(addr) {
		return true
	}
	bits := s.excludableBits(addr)
	return s.others.exclude(addr, bits) || s.embeds && slices.ContainsFunc(embedded(addr), func(e embeddedIPv4) bool {
		return s.others.exclude(e.addr, bits-float64(e.at))
	})
}

// ExcludedItself reports whether the scope excludes the address without the exclusions of other
// targets.
func (s Scope) ExcludedItself(addr netip.Addr) bool {
	addr = addr.Unmap()
	return s.exclude.contains(addr) || slices.ContainsFunc(embedded(addr), func(e embeddedIPv4) bool {
		return s.exclude.contains(e.addr)
	})
}

// excludableBits returns how specific the entry is that allows the address, see [Host.Bits], or
// the most specific one of several. Exclusions of other targets apply to more specific parts. For
// the network and broadcast addresses of all networks around them, that is the least specific
// network. For an address in no network, there is no such part.
func (s Scope) excludableBits(addr netip.Addr) float64 {
	if bits := s.matchBits(addr); bits >= 0 {
		return bits
	}
	bits := addr.BitLen()
	for i := range s.allow.around(addr) {
		bits = s.allow.list[i].Bits()
	}
	return float64(bits)
}

// matchBits returns how specific the most specific entry is that allows the address, or -1.
func (s Scope) matchBits(addr netip.Addr) float64 {
	most := -1.
	for i := range s.allow.around(addr) {
		if i < s.plain && !isNetworkEnd(s.allow.list[i], addr) {
			return max(most, float64(s.allow.list[i].Bits())) // later networks are less specific
		}
		if bits, ok := s.pieces[s.allow.list[i]]; ok {
			most = max(most, bits)
		}
	}
	return most
}

// partBits returns how specific the entry of a network of allow is.
func (s Scope) partBits(i int) float64 {
	if i < s.plain {
		return float64(s.allow.list[i].Bits())
	}
	return s.pieces[s.allow.list[i]]
}

// Match returns how specific the most specific entry is that allows the address, see [Host.Bits],
// and reports whether the address may be scanned. An IPv4-mapped IPv6 address counts as IPv4.
// Addresses with a zone, the unspecified address, multicast addresses and the limited
// broadcast address never match.
func (s Scope) Match(addr netip.Addr) (bits float64, ok bool) {
	addr = addr.Unmap()
	if !isUnicast(addr) || s.Excluded(addr) {
		return 0, false
	}
	bits = s.matchBits(addr)
	return max(bits, 0), bits >= 0
}

func isUnicast(addr netip.Addr) bool {
	limitedBroadcast := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	return addr.IsValid() && addr.Zone() == "" && !addr.IsUnspecified() && !addr.IsMulticast() && addr != limitedBroadcast
}

// isNetworkEnd reports whether addr is the network or the broadcast address of p.
func isNetworkEnd(p netip.Prefix, addr netip.Addr) bool {
	if !p.Addr().Is4() || p.Bits() >= 31 {
		return false
	}
	return addr == p.Addr() || addr == LastAddr(p)
}

// Address is an address of a scan.
type Address struct {
	IP    netip.Addr
	Hosts []string // entries of the key "hosts" that led to it, as written

	// FullName is the absolute name of a resolved address that a search domain led to. It is empty for
	// others, and in requests.
	FullName string
}

// Request is a permitted scan: a plan and addresses that were checked against a scope.
// Create requests with [NewRequest]: engines reject the zero value. They may be used
// concurrently.
type Request struct {
	plan      Plan
	addresses []Address
	checked   bool
	known     map[netip.Addr]Known
	done      map[netip.Addr]PortSet
}

// Known has the ports of an address by their state in its last complete scan. Ports without
// a state are in none of the sets.
type Known struct {
	Open, Closed, Filtered PortSet
}

// NewRequest returns a request for those of the addresses that are in the scope, in
// ascending order and without duplicates. It is the only constructor, so that engines
// cannot scan an unchecked address. It returns addresses outside the scope as refused, but
// ignores excluded ones. A request without addresses is valid.
func NewRequest(plan Plan, scope Scope, found []Address) (req Request, refused []netip.Addr, err error) {
	if plan.IsZero() {
		return Request{}, nil, errors.New("making a scan request: plan is empty")
	}
	if len(scope.allow.list) == 0 {
		return Request{}, nil, errors.New("making a scan request: scope is empty")
	}
	req = Request{plan: plan, checked: true}
	for _, a := range found {
		a.IP = a.IP.Unmap()
		switch _, ok := scope.Match(a.IP); {
		case ok:
			req.addresses = append(req.addresses, Address{IP: a.IP, Hosts: slices.Clone(a.Hosts)})
		case !scope.Excluded(a.IP.WithZone("")):
			refused = append(refused, a.IP)
		}
	}
	req.addresses = mergeAddresses(req.addresses)
	slices.SortFunc(refused, netip.Addr.Compare)
	return req, slices.Compact(refused), nil
}

// mergeAddresses sorts the addresses and merges duplicates. It modifies its argument.
func mergeAddresses(all []Address) []Address {
	slices.SortStableFunc(all, func(a, b Address) int { return a.IP.Compare(b.IP) })
	out := all[:0]
	for _, a := range all {
		if n := len(out); n > 0 && out[n-1].IP == a.IP {
			out[n-1].Hosts = append(out[n-1].Hosts, a.Hosts...)
			continue
		}
		out = append(out, a)
	}
	for i := range out {
		slices.Sort(out[i].Hosts)
		out[i].Hosts = slices.Compact(out[i].Hosts)
	}
	return out
}

// Check returns [ErrUncheckedRequest] unless [NewRequest] created the request.
func (r Request) Check() error {
	if !r.checked {
		return ErrUncheckedRequest
	}
	return nil
}

// Plan returns the plan of the scan.
func (r Request) Plan() Plan { return r.plan }

// Addresses returns the addresses to scan, in ascending order without duplicates.
func (r Request) Addresses() []Address { return slices.Clone(r.addresses) }

// WithKnown returns the request with the results of earlier complete scans, so that an engine
// can distinguish a ban from a change of the ports. It keeps the map, which must not be modified.
func (r Request) WithKnown(byIP map[netip.Addr]Known) Request {
	r.known = byIP
	return r
}

// Known returns the result of the address's last complete scan, or the zero value.
func (r Request) Known(ip netip.Addr) Known { return r.known[ip] }

// WithDone returns the request with ports of addresses whose results an earlier part of the scan
// has reported: engines do not try them. It keeps the map, which must not be modified.
func (r Request) WithDone(byIP map[netip.Addr]PortSet) Request {
	r.done = byIP
	return r
}

// Done returns the ports of the address that are not to be tried, see [Request.WithDone].
func (r Request) Done(ip netip.Addr) PortSet { return r.done[ip] }

package scan

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// Scope is whom a target's owner lets us touch: networks, and holes in them.
// Only [NewScope] makes one; the zero value holds no address. It may be used
// concurrently.
type Scope struct {
	allow   []netip.Prefix
	exclude []netip.Prefix
	others  []hole
}

// hole is what the owner of a part of the scope has excluded from that part.
type hole struct{ part, excluded netip.Prefix }

// NewScope returns the scope of the addresses that lie in one of allow and in
// none of exclude. Of an IPv4 network in allow the network and the broadcast
// address are left out, unless another entry names them as a single address
// (RFC 1122 section 3.2.1.3; a /31 or /32 has neither, RFC 3021).
func NewScope(allow, exclude []netip.Prefix) (Scope, error) {
	if len(allow) == 0 {
		return Scope{}, errors.New("scope allows no network")
	}
	for _, p := range slices.Concat(allow, exclude) {
		if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() {
			return Scope{}, fmt.Errorf("scope has a network that is not in canonical form: %v", p)
		}
	}
	return Scope{allow: slices.Clone(allow), exclude: slices.Clone(exclude)}, nil
}

// Without returns the scope without what the owner of a part of it has excluded: the
// addresses that lie in both, where nothing in this scope that holds them is as
// specific as the part.
func (s Scope) WithExclusion(part, excluded netip.Prefix) Scope {
	s.others = append(slices.Clone(s.others), hole{part, excluded})
	return s
}

// Excluded tells whether an owner named the address, or a network around it, as one
// never to be touched: this scope's, or that of a more specific part of it.
func (s Scope) Excluded(addr netip.Addr) bool {
	addr = addr.Unmap()
	if slices.ContainsFunc(s.exclude, func(p netip.Prefix) bool { return p.Contains(addr) }) {
		return true
	}
	bits := s.bits(addr)
	return slices.ContainsFunc(s.others, func(h hole) bool {
		return h.part.Bits() > bits && h.part.Contains(addr) && h.excluded.Contains(addr)
	})
}

// bits returns the length of the most specific network that allows the address, or
// -1.
func (s Scope) bits(addr netip.Addr) int {
	bits := -1
	for _, p := range s.allow {
		if p.Contains(addr) && !isNetworkEnd(p, addr) {
			bits = max(bits, p.Bits())
		}
	}
	return bits
}

// Match tells whether the address may be touched, and the length in bits of the
// most specific network that says so. An IPv4-mapped IPv6 address counts as the
// IPv4 address in it. Never in scope: an address with a zone, the unspecified
// address, multicast and the limited broadcast address.
func (s Scope) Match(addr netip.Addr) (bits int, ok bool) {
	addr = addr.Unmap()
	if !unicast(addr) || s.Excluded(addr) {
		return 0, false
	}
	bits = s.bits(addr)
	return max(bits, 0), bits >= 0
}

func unicast(addr netip.Addr) bool {
	limitedBroadcast := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	return addr.IsValid() && addr.Zone() == "" && !addr.IsUnspecified() && !addr.IsMulticast() && addr != limitedBroadcast
}

// isNetworkEnd tells whether addr is the network or the broadcast address of p.
func isNetworkEnd(p netip.Prefix, addr netip.Addr) bool {
	if !p.Addr().Is4() || p.Bits() >= 31 {
		return false
	}
	return addr == p.Addr() || addr == lastAddr(p)
}

// lastAddr returns the highest address of an IPv4 network.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}

// Address is one address of a scan.
type Address struct {
	IP    netip.Addr
	Hosts []string // the entries of "hosts" that led to it, as the owner wrote them
}

// Request is a scan that may be done: a plan, and addresses that were checked.
// [NewRequest] alone makes one; engines refuse the zero value. It may be used
// concurrently.
type Request struct {
	plan      Plan
	addresses []Address
	checked   bool
}

// NewRequest is the only door to an engine. It keeps the addresses that lie in
// the scope, in rising order and each once, and returns those outside it in
// refused: they will get no packet. Addresses that the owner excluded are left
// out without a word. A request for which no address is left is valid and
// touches nobody.
func NewRequest(plan Plan, scope Scope, found []Address) (req Request, refused []netip.Addr, err error) {
	if plan.IsZero() {
		return Request{}, nil, errors.New("making a scan request: the plan is empty")
	}
	if len(scope.allow) == 0 {
		return Request{}, nil, errors.New("making a scan request: the scope is empty")
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

// mergeAddresses sorts the addresses and joins doubled ones. It owns its argument.
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

// Check returns [ErrUncheckedRequest] for a request that [NewRequest] did not make.
func (r Request) Check() error {
	if !r.checked {
		return ErrUncheckedRequest
	}
	return nil
}

// Plan returns what the scan will cover.
func (r Request) Plan() Plan { return r.plan }

// Addresses returns the addresses to scan, in rising order, each once.
func (r Request) Addresses() []Address { return slices.Clone(r.addresses) }

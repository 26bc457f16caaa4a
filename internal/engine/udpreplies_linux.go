// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/netip"
	"slices"
)

// maxReplyAddresses is the maximum number of addresses for which replies from another address
// are attributed. It limits memory, at most 1 MiB a prober. Targets with more are networks.
const maxReplyAddresses = 16

// askedPorts records the ports to which a prober has sent datagrams from each of its sockets. A
// host with several addresses may reply from another one than it was asked at. Such a reply can
// be distinguished from that of the other address only if the socket has not asked that one.
type askedPorts struct {
	addrs []netip.Addr
	ports map[askedKey]*[1 << 16 / 64]uint64
	many  bool // more than maxReplyAddresses: nothing is recorded
}

type askedKey struct {
	addr    netip.Addr
	variant uint8 // of the socket
}

// add records a datagram.
func (a *askedPorts) add(to netip.AddrPort, variant uint8) {
	if a.many {
		return
	}
	key := askedKey{to.Addr(), variant}
	ports, ok := a.ports[key]
	if !ok {
		if !a.addAddress(to.Addr()) {
			return
		}
		ports = new([1 << 16 / 64]uint64)
		a.ports[key] = ports
	}
	ports[to.Port()/64] |= 1 << (to.Port() % 64)
}

// addAddress adds an address and returns false if there are too many.
func (a *askedPorts) addAddress(addr netip.Addr) bool {
	if a.isAsked(addr) {
		return true
	}
	if len(a.addrs) == maxReplyAddresses {
		*a = askedPorts{many: true}
		return false
	}
	if a.ports == nil {
		a.ports = make(map[askedKey]*[1 << 16 / 64]uint64)
	}
	a.addrs = append(a.addrs, addr)
	return true
}

// isAsked reports whether the address was asked, which makes it one of the request.
func (a *askedPorts) isAsked(addr netip.Addr) bool { return slices.Contains(a.addrs, addr) }

// has reports whether the socket of the variant has sent a datagram to the port.
func (a *askedPorts) has(at netip.AddrPort, variant uint8) bool {
	ports, ok := a.ports[askedKey{at.Addr(), variant}]
	return ok && ports[at.Port()/64]&(1<<(at.Port()%64)) != 0
}

// attemptElsewhere returns the address and port of the attempt that a datagram from another
// address of the request answers, if there is exactly one.
func (u *udpProber) attemptElsewhere(from netip.AddrPort, variant uint8) (asked netip.AddrPort, ok bool) {
	if !u.asked.isAsked(from.Addr()) || u.asked.has(from, variant) {
		return netip.AddrPort{}, false
	}
	for _, addr := range u.asked.addrs {
		at := netip.AddrPortFrom(addr, from.Port())
		if _, busy := u.inFlight[udpKey{at, variant}]; !busy || addr.Is4() != from.Addr().Is4() {
			continue
		}
		if ok { // either of two hosts may have replied
			return netip.AddrPort{}, false
		}
		asked, ok = at, true
	}
	return asked, ok
}

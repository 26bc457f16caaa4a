// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package engine

import (
	"net"
	"net/netip"
)

// hasSource reports whether this machine has an address to send from to another one. If
// its addresses cannot be read, it returns true.
func hasSource(source, to netip.Addr) bool {
	if source.IsValid() {
		return source.Is4() == to.Is4()
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return true
	}
	for _, a := range addrs {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && canReach(prefix.Addr().Unmap(), to) {
			return true
		}
	}
	return false
}

// canReach reports whether packets to an address can be sent from another one.
func canReach(from, to netip.Addr) bool {
	if from.Is4() != to.Is4() || from.IsLoopback() && !to.IsLoopback() {
		return false
	}
	return from.Is4() || from.IsLinkLocalUnicast() == to.IsLinkLocalUnicast()
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet

import (
	"net/netip"
	"slices"

	"portscan_exporter/internal/scan"
)

// State returns the true state of a TCP port, which a scanner must report. It is unknown for
// an address of another host.
func (r *RunningHost) State(addr netip.Addr, port uint16) scan.State {
	if !slices.Contains(r.host.Addrs, addr.Unmap()) {
		return scan.Unknown
	}
	return r.layout.state(port)
}

// UDPState returns the true state of a UDP port, see [RunningHost.State].
func (r *RunningHost) UDPState(addr netip.Addr, port uint16) scan.State {
	if !slices.Contains(r.host.Addrs, addr.Unmap()) {
		return scan.Unknown
	}
	return r.layout.udpState(port)
}

// Truth returns the true states of the TCP ports of several hosts for [Compare].
func Truth(hosts ...*RunningHost) func(netip.Addr, uint16) scan.State {
	return joinStates(hosts, (*layout).state)
}

// TruthUDP returns the true states of the UDP ports of several hosts for [Compare].
func TruthUDP(hosts ...*RunningHost) func(netip.Addr, uint16) scan.State {
	return joinStates(hosts, (*layout).udpState)
}

// joinStates returns the state from the host with the address.
func joinStates(hosts []*RunningHost, state func(*layout, uint16) scan.State) truth {
	by := make(map[netip.Addr]*RunningHost)
	for _, r := range hosts {
		for _, addr := range r.host.Addrs {
			by[addr] = r
		}
	}
	return func(addr netip.Addr, port uint16) scan.State {
		r, ok := by[addr.Unmap()]
		if !ok {
			return scan.Unknown
		}
		return state(&r.layout, port)
	}
}

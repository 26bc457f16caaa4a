package testnet

import (
	"net/netip"
	"slices"

	"portscan_exporter/internal/scan"
)

// State returns the truth of a TCP port: what a scanner has to find. Of an
// address that is not the host's nothing is known.
func (r *RunningHost) State(addr netip.Addr, port uint16) scan.State {
	if !slices.Contains(r.host.Addrs, addr.Unmap()) {
		return scan.Unknown
	}
	return r.layout.state(port)
}

// UDPState returns the truth of a UDP port, as [RunningHost.State] does of a TCP
// port.
func (r *RunningHost) UDPState(addr netip.Addr, port uint16) scan.State {
	if !slices.Contains(r.host.Addrs, addr.Unmap()) {
		return scan.Unknown
	}
	return r.layout.udpState(port)
}

// Truth joins what is known of the TCP ports of several hosts, for [Compare].
func Truth(hosts ...*RunningHost) func(netip.Addr, uint16) scan.State {
	return join(hosts, (*layout).state)
}

// TruthUDP joins what is known of the UDP ports of several hosts, for [Compare].
func TruthUDP(hosts ...*RunningHost) func(netip.Addr, uint16) scan.State {
	return join(hosts, (*layout).udpState)
}

// join asks the host that has the address.
func join(hosts []*RunningHost, state func(*layout, uint16) scan.State) truth {
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

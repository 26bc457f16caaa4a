// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet

import (
	"math/rand/v2"
	"net/netip"
)

// SendUnsolicited sends n unsolicited SYN+ACKs with random sequence and acknowledgment numbers
// to a port of the scanner. If the port of from is 0, source ports are random. For the
// scanner's addresses, see [StartSimulation].
func (sim *Simulator) SendUnsolicited(from, to netip.AddrPort, n int) {
	src := netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	dst := netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	for range n {
		if from.Port() == 0 {
			src = netip.AddrPortFrom(src.Addr(), uint16(1+rand.IntN(65_535)))
		}
		sim.updateCounts(func(c *Counts) { c.SYNACKsOut++ })
		sim.write(buildTCP(src, dst, rand.Uint32(), rand.Uint32(), flagSYN|flagACK, window))
	}
}

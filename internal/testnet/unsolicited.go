package testnet

import (
	"math/rand/v2"
	"net/netip"
)

// SendUnsolicited sends the scanner n SYN+ACKs at once that answer nothing, from there to
// one of the scanner's ports, with sequence and acknowledgement numbers at random.
// If the port of from is 0, that is at random too. The scanner's addresses are
// those that [StartSimulation] names.
func (d *Simulator) SendUnsolicited(from, to netip.AddrPort, n int) {
	src := netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	dst := netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	for range n {
		if from.Port() == 0 {
			src = netip.AddrPortFrom(src.Addr(), uint16(1+rand.IntN(65_535)))
		}
		d.count(func(c *Counts) { c.SYNACKsOut++ })
		d.write(buildTCP(src, dst, rand.Uint32(), rand.Uint32(), flagSYN|flagACK, window))
	}
}

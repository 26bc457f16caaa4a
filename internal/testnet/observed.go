package testnet

import (
	"bytes"
	"net/netip"
)

// Counts returns what has arrived and what was answered by now.
func (d *Simulator) Counts() Counts {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.counts
}

// Attempts returns how many SYNs have come to the port of the address.
func (d *Simulator) Attempts(addr netip.Addr, port uint16) int { return len(d.syns(addr, port)) }

// Sources returns the ports from which SYNs have come to the port of the address,
// in their order.
func (d *Simulator) Sources(addr netip.Addr, port uint16) []uint16 {
	syns := d.syns(addr, port)
	sources := make([]uint16, len(syns))
	for i, s := range syns {
		sources[i] = s.source
	}
	return sources
}

// Sequences returns the sequence numbers of the SYNs that have come to the port
// of the address, in their order.
func (d *Simulator) Sequences(addr netip.Addr, port uint16) []uint32 {
	syns := d.syns(addr, port)
	sequences := make([]uint32, len(syns))
	for i, s := range syns {
		sequences[i] = s.seq
	}
	return sequences
}

// syns returns what is remembered of them; it is only ever added to.
func (d *Simulator) syns(addr netip.Addr, port uint16) []syn {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ports[netip.AddrPortFrom(addr.Unmap(), port)].syns
}

// Datagrams returns the data of the UDP datagrams that have come to the port of
// the address, in their order.
func (d *Simulator) Datagrams(addr netip.Addr, port uint16) [][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	came := d.datagrams[netip.AddrPortFrom(addr.Unmap(), port)]
	copies := make([][]byte, len(came))
	for i, data := range came {
		copies[i] = bytes.Clone(data)
	}
	return copies
}

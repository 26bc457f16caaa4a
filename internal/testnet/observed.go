// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet

import (
	"bytes"
	"net/netip"
)

// Counts returns the packets that the simulator has received and sent.
func (sim *Simulator) Counts() Counts {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	return sim.counts
}

// Attempts returns the number of SYNs to the port of the address.
func (sim *Simulator) Attempts(addr netip.Addr, port uint16) int { return len(sim.syns(addr, port)) }

// Sources returns the source ports of the SYNs to the port of the address in order.
func (sim *Simulator) Sources(addr netip.Addr, port uint16) []uint16 {
	syns := sim.syns(addr, port)
	sources := make([]uint16, len(syns))
	for i, s := range syns {
		sources[i] = s.source
	}
	return sources
}

// Sequences returns the sequence numbers of the SYNs to the port of the address in order.
func (sim *Simulator) Sequences(addr netip.Addr, port uint16) []uint32 {
	syns := sim.syns(addr, port)
	sequences := make([]uint32, len(syns))
	for i, s := range syns {
		sequences[i] = s.seq
	}
	return sequences
}

// syns returns the SYNs to the port of the address. The slice is only appended to.
func (sim *Simulator) syns(addr netip.Addr, port uint16) []syn {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	return sim.ports[netip.AddrPortFrom(addr.Unmap(), port)].syns
}

// Datagrams returns the data of the UDP datagrams to the port of the address in order.
func (sim *Simulator) Datagrams(addr netip.Addr, port uint16) [][]byte {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	received := sim.datagrams[netip.AddrPortFrom(addr.Unmap(), port)]
	copies := make([][]byte, len(received))
	for i, data := range received {
		copies[i] = bytes.Clone(data)
	}
	return copies
}

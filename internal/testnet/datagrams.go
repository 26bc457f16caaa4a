// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet

import (
	"bytes"
	"fmt"
	"net/netip"
	"time"
)

// DatagramReply is the reply to a UDP datagram: a datagram, an ICMP error, both in this
// order, or none.
type DatagramReply struct {
	Silent   bool          // no reply, and the other fields are ignored
	Data     []byte        // of the datagram, can be empty; nil: no datagram
	FromPort uint16        // source port; 0: the requested port
	From     netip.Addr    // source address; zero: the requested address
	Error    *Answer       // ICMP error: RejectPort, RejectHost, RejectAdmin or TimeExceeded; nil: none
	Delay    time.Duration // before the reply is sent
	Copies   int           // number of additional copies
}

// handleDatagram counts a UDP datagram and replies to it.
func (sim *Simulator) handleDatagram(p *ipPacket) {
	g, intact := parseUDP(p)
	if !intact {
		sim.countBroken()
		return
	}
	sim.mu.Lock()
	sim.counts.UDPIn++
	sim.datagrams[g.dst] = append(sim.datagrams[g.dst], bytes.Clone(g.data))
	attempt := len(sim.datagrams[g.dst])
	sim.mu.Unlock()
	if sim.config.Datagram == nil {
		return
	}
	reply := sim.config.Datagram(g.dst.Addr(), g.dst.Port(), attempt, g.data)
	if reply.Silent {
		return
	}
	for range 1 + reply.Copies {
		if reply.Data != nil {
			sim.sendDatagram(&g, reply)
		}
		if reply.Error != nil {
			sim.rejectDatagram(&g, reply)
		}
	}
}

// sendDatagram sends a datagram.
func (sim *Simulator) sendDatagram(g *datagram, reply DatagramReply) {
	from, ok := sim.replySource(g.src.Addr(), g.dst.Addr(), reply.From)
	if !ok {
		return
	}
	port := g.dst.Port()
	if reply.FromPort != 0 {
		port = reply.FromPort
	}
	packet := buildUDP(netip.AddrPortFrom(from, port), g.src, reply.Data)
	if len(packet) > maxPacket {
		sim.fail(fmt.Errorf("reply of %d bytes does not fit into a packet", len(reply.Data)))
		return
	}
	sim.updateCounts(func(c *Counts) { c.UDPOut++ })
	sim.sendLater(packet, reply.Delay)
}

// rejectDatagram sends an ICMP error.
func (sim *Simulator) rejectDatagram(g *datagram, reply DatagramReply) {
	switch *reply.Error {
	case RejectPort, RejectHost, RejectAdmin, TimeExceeded:
		sim.sendICMP(g.src.Addr(), g.dst.Addr(), g.packet, Reply{Answer: *reply.Error, From: reply.From, Delay: reply.Delay})
	default:
		sim.fail(fmt.Errorf("unsupported answer to a datagram: %v", *reply.Error))
	}
}

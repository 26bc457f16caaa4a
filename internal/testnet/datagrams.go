package testnet

import (
	"bytes"
	"fmt"
	"net/netip"
	"time"
)

// DatagramReply is what comes back to one UDP datagram: a datagram, an ICMP error,
// both in this order, or, where neither is named, nothing.
type DatagramReply struct {
	Silent   bool          // nothing comes, whatever is said below
	Data     []byte        // of a datagram, which may be empty; nil: none comes
	FromPort uint16        // the port that sends it; 0: the one that was asked
	From     netip.Addr    // who sends it, or the error; zero: the address itself
	Error    *Answer       // RejectPort, RejectHost, RejectAdmin or TimeExceeded, the ICMP error; nil: none
	Delay    time.Duration // until it comes
	Copies   int           // how many copies follow it at once
}

// datagram counts a UDP datagram and answers it.
func (d *Simulator) datagram(p *ipPacket) {
	g, intact := parseUDP(p)
	if !intact {
		d.broken()
		return
	}
	d.mu.Lock()
	d.counts.UDPIn++
	d.datagrams[g.dst] = append(d.datagrams[g.dst], bytes.Clone(g.data))
	attempt := len(d.datagrams[g.dst])
	d.mu.Unlock()
	if d.far.Datagram == nil {
		return
	}
	reply := d.far.Datagram(g.dst.Addr(), g.dst.Port(), attempt, g.data)
	if reply.Silent {
		return
	}
	for range 1 + reply.Copies {
		if reply.Data != nil {
			d.replyTo(&g, reply)
		}
		if reply.Error != nil {
			d.rejectDatagram(&g, reply)
		}
	}
}

// replyTo sends a datagram.
func (d *Simulator) replyTo(g *datagram, reply DatagramReply) {
	from, ok := d.sender(g.src.Addr(), g.dst.Addr(), reply.From)
	if !ok {
		return
	}
	port := g.dst.Port()
	if reply.FromPort != 0 {
		port = reply.FromPort
	}
	packet := buildUDP(netip.AddrPortFrom(from, port), g.src, reply.Data)
	if len(packet) > maxPacket {
		d.fail(fmt.Errorf("a reply of %d bytes does not fit into a packet", len(reply.Data)))
		return
	}
	d.count(func(c *Counts) { c.UDPOut++ })
	d.later(packet, reply.Delay)
}

// rejectDatagram sends an ICMP error.
func (d *Simulator) rejectDatagram(g *datagram, reply DatagramReply) {
	switch *reply.Error {
	case RejectPort, RejectHost, RejectAdmin, TimeExceeded:
		d.reject(g.src.Addr(), g.dst.Addr(), g.packet, Reply{Answer: *reply.Error, From: reply.From, Delay: reply.Delay})
	default:
		d.fail(fmt.Errorf("to a datagram %v is no answer", *reply.Error))
	}
}

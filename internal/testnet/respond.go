// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet

import (
	"fmt"
	"net/netip"
	"time"
)

// handlePacket counts a packet and answers it.
func (sim *Simulator) handlePacket(packet []byte) {
	p, intact := parseIP(packet)
	switch {
	case p.proto != protoTCP && p.proto != protoUDP:
	case !intact:
		sim.countBroken()
	case p.proto == protoTCP:
		sim.handleSegment(&p)
	default:
		sim.handleDatagram(&p)
	}
}

// handleSegment counts a TCP segment and answers it.
func (sim *Simulator) handleSegment(p *ipPacket) {
	s, intact := parseTCP(p)
	switch {
	case !intact:
		sim.countBroken()
	case s.has(flagRST):
		sim.updateCounts(func(c *Counts) { c.RSTsIn++ })
	case s.flags&(flagSYN|flagACK) == flagSYN:
		sim.handleSYN(&s)
	default:
		sim.handleEstablished(&s)
	}
}

// countBroken counts a packet that is not intact.
func (sim *Simulator) countBroken() { sim.updateCounts(func(c *Counts) { c.BrokenIn++ }) }

// updateCounts changes the counts.
func (sim *Simulator) updateCounts(change func(*Counts)) {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	change(&sim.counts)
}

// handleSYN answers a SYN.
func (sim *Simulator) handleSYN(s *segment) {
	sim.mu.Lock()
	port := sim.ports[s.dst]
	port.syns = append(port.syns, syn{source: s.src.Port(), seq: s.seq})
	sim.counts.SYNsIn++
	sim.ports[s.dst] = port
	sim.mu.Unlock()

	port.last = Reply{Answer: Drop}
	if sim.config.Reply != nil {
		// Without the lock, because the test's function can read the counts.
		port.last = sim.config.Reply(s.dst.Addr(), s.dst.Port(), len(port.syns))
	}

	sim.mu.Lock()
	sim.ports[s.dst] = port
	sim.mu.Unlock()
	reply := port.last
	for range 1 + reply.Copies {
		sim.sendReply(s, reply)
		reply.Delay += reply.Every
	}
}

// sendReply sends the reply to a segment.
func (sim *Simulator) sendReply(s *segment, reply Reply) {
	switch reply.Answer {
	case Accept, AcceptReset, AcceptClose, ZeroWindow, BrokenAccept:
		sim.sendSegment(s, reply, firstSeq, flagSYN|flagACK)
	case AcceptThenReset:
		sim.sendSegment(s, reply, firstSeq, flagSYN|flagACK)
		sim.sendSegment(s, reply, firstSeq+1, flagRST|flagACK)
	case ForgedAccept:
		sim.sendSegment(s.forged(), reply, firstSeq, flagSYN|flagACK)
	case Refuse, RejectReset:
		// Without a connection, the sequence number is 0 (RFC 9293 section 3.10.7.1).
		sim.sendSegment(s, reply, 0, flagRST|flagACK)
	case ForgedReset:
		sim.sendSegment(s.forged(), reply, 0, flagRST|flagACK)
	case RejectPort, RejectHost, RejectAdmin, TimeExceeded:
		sim.sendICMP(s.src.Addr(), s.dst.Addr(), s.packet, reply)
	case Forged:
		sim.sendICMP(s.src.Addr(), s.dst.Addr(), s.forged().packet, reply)
	case BareReset:
		sim.sendSegment(s, reply, firstSeq, flagRST)
	case Challenge:
		sim.sendSegment(s.forged(), reply, firstSeq, flagACK)
	case Drop, BacklogFull:
	default:
		sim.fail(fmt.Errorf("unknown answer %d", reply.Answer))
	}
}

// handleEstablished answers the segments of a connection, as far as scanners need it.
func (sim *Simulator) handleEstablished(s *segment) {
	sim.mu.Lock()
	reply := sim.ports[s.dst].last
	countSegment(&sim.counts, s)
	sim.mu.Unlock()
	const (
		established = firstSeq + 1 // acknowledged by the client after the handshake
		finished    = firstSeq + 2 // acknowledged by the client after the FIN
	)
	switch {
	case reply.Answer != Accept && reply.Answer != AcceptReset && reply.Answer != AcceptClose:
	case s.has(flagFIN) && s.ack == finished:
		sim.sendSegment(s, reply, finished, flagACK)
	case s.has(flagFIN):
		sim.sendSegment(s, reply, established, flagFIN|flagACK)
	case s.data > 0:
		sim.sendSegment(s, reply, s.ack, flagACK)
	case s.ack == established && reply.Answer == AcceptReset:
		sim.sendSegment(s, reply, established, flagRST|flagACK)
	case s.ack == established && reply.Answer == AcceptClose:
		sim.sendSegment(s, reply, established, flagFIN|flagACK)
	}
}

// countSegment counts a segment that is neither a SYN nor a RST.
func countSegment(c *Counts, s *segment) {
	if s.has(flagFIN) {
		c.FINsIn++
	} else if s.has(flagACK) {
		c.ACKsIn++
	}
	if s.data > 0 {
		c.DataIn++
	}
}

// sendSegment sends a segment that acknowledges s.
func (sim *Simulator) sendSegment(s *segment, reply Reply, seq uint32, flags byte) {
	sim.updateCounts(func(c *Counts) {
		switch {
		case flags&flagRST != 0:
			c.RSTsOut++
		case flags&flagSYN != 0:
			c.SYNACKsOut++
		}
	})
	size := uint16(window)
	if reply.Answer == ZeroWindow {
		size = 0
	}
	packet := buildTCP(s.dst, s.src, seq, s.next(), flags, size)
	if reply.Answer == BrokenAccept {
		breakChecksum(packet)
	}
	sim.sendLater(packet, reply.Delay)
}

// sendLater sends a packet after the delay.
func (sim *Simulator) sendLater(packet []byte, delay time.Duration) {
	if !sim.delay.add(packet, delay) {
		sim.updateCounts(func(c *Counts) { c.LostOut++ })
	}
}

// sendICMP sends an ICMP error about a packet from src to dst.
func (sim *Simulator) sendICMP(src, dst netip.Addr, packet []byte, reply Reply) {
	from, ok := sim.replySource(src, dst, reply.From)
	if !ok {
		return
	}
	kind, code := icmpError(reply.Answer, from.Is4())
	sim.updateCounts(func(c *Counts) { c.ICMPsOut++ })
	sim.sendLater(buildICMP(from, src, kind, code, packet), reply.Delay)
}

// replySource returns the source address of the answer to a packet from src to dst: other, or
// dst if other is zero.
func (sim *Simulator) replySource(src, dst, other netip.Addr) (from netip.Addr, ok bool) {
	if other == (netip.Addr{}) {
		return dst, true
	}
	other = other.Unmap()
	if other.Is4() != src.Is4() {
		sim.fail(fmt.Errorf("packets from %v cannot reach %v", other, src))
		return netip.Addr{}, false
	}
	return other, true
}

// icmpError returns the ICMP type and code of an answer (RFC 792, RFC 1812 section 5.2.7.1,
// RFC 4443 sections 3.1 and 3.3).
func icmpError(answer Answer, is4 bool) (kind, code byte) {
	if answer == TimeExceeded && is4 {
		return 11, 0
	}
	if answer == TimeExceeded {
		return 3, 0
	}
	kind, codes := byte(1), [3]byte{4, 3, 1}
	if is4 {
		kind, codes = 3, [3]byte{3, 1, 13}
	}
	switch answer {
	case RejectPort, Forged:
		return kind, codes[0]
	case RejectHost:
		return kind, codes[1]
	default:
		return kind, codes[2]
	}
}

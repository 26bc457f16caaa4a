package testnet

import (
	"fmt"
	"net/netip"
	"time"
)

// arrived counts a packet and answers it.
func (d *Simulator) arrived(packet []byte) {
	p, intact := parseIP(packet)
	switch {
	case p.proto != protoTCP && p.proto != protoUDP:
	case !intact:
		d.broken()
	case p.proto == protoTCP:
		d.segment(&p)
	default:
		d.datagram(&p)
	}
}

// segment counts a TCP segment and answers it.
func (d *Simulator) segment(p *ipPacket) {
	s, intact := parseTCP(p)
	switch {
	case !intact:
		d.broken()
	case s.has(flagRST):
		d.count(func(c *Counts) { c.RSTsIn++ })
	case s.flags&(flagSYN|flagACK) == flagSYN:
		d.opened(&s)
	default:
		d.went(&s)
	}
}

// broken counts a packet that nobody heeds.
func (d *Simulator) broken() { d.count(func(c *Counts) { c.BrokenIn++ }) }

// count changes the counts.
func (d *Simulator) count(change func(*Counts)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(&d.counts)
}

// opened answers a SYN.
func (d *Simulator) opened(s *segment) {
	d.mu.Lock()
	port := d.ports[s.dst]
	port.syns = append(port.syns, syn{source: s.src.Port(), seq: s.seq})
	d.counts.SYNsIn++
	d.ports[s.dst] = port
	d.mu.Unlock()

	port.last = Reply{Answer: Drop}
	if d.far.Reply != nil {
		// Not under the lock: it is the test's, and may ask for the counts.
		port.last = d.far.Reply(s.dst.Addr(), s.dst.Port(), len(port.syns))
	}

	d.mu.Lock()
	d.ports[s.dst] = port
	d.mu.Unlock()
	reply := port.last
	for range 1 + reply.Copies {
		d.reply(s, reply)
		reply.Delay += reply.Every
	}
}

// reply sends what the reply says.
func (d *Simulator) reply(s *segment, reply Reply) {
	switch reply.Answer {
	case Accept, AcceptReset, AcceptClose, ZeroWindow, BrokenAccept:
		d.say(s, reply, firstSeq, flagSYN|flagACK)
	case AcceptThenReset:
		d.say(s, reply, firstSeq, flagSYN|flagACK)
		d.say(s, reply, firstSeq+1, flagRST|flagACK)
	case ForgedAccept:
		d.say(s.forged(), reply, firstSeq, flagSYN|flagACK)
	case Refuse, RejectReset:
		// RFC 9293 section 3.10.7.1: nobody has a sequence number here.
		d.say(s, reply, 0, flagRST|flagACK)
	case ForgedReset:
		d.say(s.forged(), reply, 0, flagRST|flagACK)
	case RejectPort, RejectHost, RejectAdmin, TimeExceeded:
		d.reject(s.src.Addr(), s.dst.Addr(), s.packet, reply)
	case Forged:
		d.reject(s.src.Addr(), s.dst.Addr(), s.forged().packet, reply)
	case BareReset:
		d.say(s, reply, firstSeq, flagRST)
	case Challenge:
		d.say(s.forged(), reply, firstSeq, flagACK)
	case Drop, BacklogFull:
	default:
		d.fail(fmt.Errorf("there is no answer %d", reply.Answer))
	}
}

// went answers what belongs to a connection, as far as needed for a scanner's.
func (d *Simulator) went(s *segment) {
	d.mu.Lock()
	reply := d.ports[s.dst].last
	tallySegment(&d.counts, s)
	d.mu.Unlock()
	const (
		established = firstSeq + 1 // what is acknowledged when the handshake is complete
		finished    = firstSeq + 2 // and when our FIN has arrived
	)
	switch {
	case reply.Answer != Accept && reply.Answer != AcceptReset && reply.Answer != AcceptClose:
	case s.has(flagFIN) && s.ack == finished:
		d.say(s, reply, finished, flagACK)
	case s.has(flagFIN):
		d.say(s, reply, established, flagFIN|flagACK)
	case s.data > 0:
		d.say(s, reply, s.ack, flagACK)
	case s.ack == established && reply.Answer == AcceptReset:
		d.say(s, reply, established, flagRST|flagACK)
	case s.ack == established && reply.Answer == AcceptClose:
		d.say(s, reply, established, flagFIN|flagACK)
	}
}

// tallySegment counts a segment that is neither SYN nor RST.
func tallySegment(c *Counts, s *segment) {
	if s.has(flagFIN) {
		c.FINsIn++
	} else if s.has(flagACK) {
		c.ACKsIn++
	}
	if s.data > 0 {
		c.DataIn++
	}
}

// say sends a segment that acknowledges s.
func (d *Simulator) say(s *segment, reply Reply, seq uint32, flags byte) {
	d.count(func(c *Counts) {
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
		spoil(packet)
	}
	d.later(packet, reply.Delay)
}

// later sends a packet after that time.
func (d *Simulator) later(packet []byte, delay time.Duration) {
	if !d.delay.add(packet, delay) {
		d.count(func(c *Counts) { c.LostOut++ })
	}
}

// reject sends an ICMP error about a packet from src to dst.
func (d *Simulator) reject(src, dst netip.Addr, packet []byte, reply Reply) {
	from, ok := d.sender(src, dst, reply.From)
	if !ok {
		return
	}
	kind, code := icmpError(reply.Answer, from.Is4())
	d.count(func(c *Counts) { c.ICMPsOut++ })
	d.later(buildICMP(from, src, kind, code, packet), reply.Delay)
}

// sender returns who answers a packet from src to dst: dst, unless it is another.
func (d *Simulator) sender(src, dst, another netip.Addr) (from netip.Addr, ok bool) {
	if another == (netip.Addr{}) {
		return dst, true
	}
	another = another.Unmap()
	if another.Is4() != src.Is4() {
		d.fail(fmt.Errorf("what %v sends cannot reach %v", another, src))
		return netip.Addr{}, false
	}
	return another, true
}

// icmpError returns the type and the code of the answer: those of RFC 792 and
// RFC 1812 section 5.2.7.1, or those of RFC 4443 sections 3.1 and 3.3.
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

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"portscan_exporter/internal/engine/pace"
	"portscan_exporter/internal/engine/packet"
	"portscan_exporter/internal/scan"
)

// synProber is the prober of half-open scans. An attempt is a SYN with a keyed sequence
// number (see [packet.Key]), by which an answer is verified, no matter how late it is. An
// attempt in flight needs no socket.
type synProber struct {
	system      *synSystem
	source      netip.Addr
	ring        ringSize
	key         *packet.Key
	portSockets []int       // sockets that hold the ports
	ports       []uint16    // source ports by variant, see newSYNProber
	channels    [2]*channel // by family; nil until the first attempt
	sources     sourceFinder
	slots       []synSlot
	freeSlots   []int32              // slots that were shut
	inFlight    map[uint32]attemptID // by sequence number
	poller      *poller
	failed      []completion // attempts that could not be made
	watchesNAT  bool
}

// synSlot is an attempt in flight.
type synSlot struct {
	local, remote netip.AddrPort
	sequence      uint32
	id            attemptID
	busy          bool
}

// channel sends and receives packets of one family.
//
// Packets for next hops that are not resolved wait in the kernel, for three seconds by default,
// and occupy the send buffer of their socket. They have a socket of their own, so that no other
// packet waits for them.
type channel struct {
	out        *sender
	unresolved *sender
	in         *receiver
}

func (c *channel) close() {
	c.out.close()
	c.unresolved.close()
}

// newSYNProber returns a prober. Attempts at one port that can be in flight at once have
// different source ports, so that an answer identifies its attempt, and no SYN looks like a
// second one of a half-open connection (RFC 5961 section 4).
func newSYNProber(s *synSystem, source netip.Addr, ring ringSize) (*synProber, error) {
	key, err := packet.NewKey()
	if err != nil {
		return nil, err
	}
	w, err := newPoller()
	if err != nil {
		return nil, err
	}
	held, ports, err := holdPorts(pace.Variants)
	if err != nil {
		w.close()
		return nil, err
	}
	return &synProber{
		system: s, source: source, ring: ring, key: key, poller: w, portSockets: held, ports: ports,
		sources: newSourceFinder(source), inFlight: make(map[uint32]attemptID),
	}, nil
}

func (sp *synProber) close() {
	sp.system.nat.leave(sp)
	for _, w := range sp.channels {
		if w != nil {
			w.close()
			sp.system.pool.put(w.in)
		}
	}
	sp.poller.close()
	sp.sources.close()
	closeAll(sp.portSockets)
}

func (sp *synProber) open(family uint8) (int32, scan.Cause) {
	if sp.channels[family] == nil {
		if err := sp.openChannel(family); err != nil {
			return 0, localCause(err)
		}
	}
	if n := len(sp.freeSlots); n > 0 {
		slot := sp.freeSlots[n-1]
		sp.freeSlots = sp.freeSlots[:n-1]
		return slot, scan.CauseNone
	}
	sp.slots = append(sp.slots, synSlot{})
	return int32(len(sp.slots) - 1), scan.CauseNone //nolint:gosec // as many as attempts
}

func (sp *synProber) openChannel(family uint8) error {
	in, err := sp.system.pool.take(receiverKind{family, sp.ring}, sp.ports)
	if err != nil {
		return err
	}
	c, err := sp.newChannel(family, in)
	if err != nil {
		sp.system.pool.put(in)
		return err
	}
	sp.channels[family] = c
	return nil
}

func (sp *synProber) newChannel(family uint8, in *receiver) (*channel, error) {
	out, err := newSender(family, sp.source)
	if err != nil {
		return nil, err
	}
	unresolved, err := newSender(family, sp.source)
	if err != nil {
		out.close()
		return nil, err
	}
	c := &channel{out: out, unresolved: unresolved, in: in}
	if err := sp.poller.add(in.fd, int32(family), 0); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (sp *synProber) send(id attemptID, to netip.AddrPort, o attemptOptions) scan.Cause {
	from, err := sp.sources.source(to.Addr())
	if err != nil {
		return sendCause(err, sp.source, to.Addr())
	}
	local := netip.AddrPortFrom(from, sp.ports[o.variant%len(sp.ports)])
	s := &sp.slots[id.slot]
	*s = synSlot{local: local, remote: to, sequence: sp.key.Sequence(local, to), id: id, busy: true}
	sp.inFlight[s.sequence] = id
	out := sp.channels[slotFamily(to.Addr())].out
	if o.unresolved {
		out = sp.channels[slotFamily(to.Addr())].unresolved
	}
	if out.add(id, local, to, s.sequence) {
		sp.flushSender(out)
	}
	return scan.CauseNone
}

func (sp *synProber) flush() (sent int) {
	for _, w := range sp.channels {
		if w != nil {
			sp.flushSender(w.out)
			sp.flushSender(w.unresolved)
			sent += w.out.sentCount + w.unresolved.sentCount
		}
	}
	return sent
}

func (sp *synProber) flushSender(out *sender) {
	out.flush(func(id attemptID, err error) {
		if s := &sp.slots[id.slot]; s.busy && s.id == id {
			sp.drop(id.slot)
			sp.failed = append(sp.failed, completion{id: id, verdict: verdict{cause: sendFailure(err)}})
		}
	})
}

// sendFailure returns why a packet was not sent. The queue of the socket (EAGAIN) or of the
// interface (ENOBUFS) may be full: the packet is sent later, or time runs out.
// A socket with a port (EADDRNOTAVAIL) lacks an address to send from.
func sendFailure(err error) scan.Cause {
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOBUFS):
		return scan.CauseDeadline
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return scan.CauseNoRoute
	default:
		return localCause(err)
	}
}

func (sp *synProber) wait(d time.Duration, ended []completion) (all []completion, more bool) {
	sp.flush()
	ended = append(ended, sp.failed...)
	sp.failed = sp.failed[:0]
	before := len(ended)
	if ended, more = sp.read(ended); len(ended) > before || more || d <= 0 {
		return ended, more
	}
	sp.waitForAnswer(d)
	return sp.read(ended)
}

// waitForAnswer waits for an answer. The ring raises events only meanwhile: while a worker is
// sending, each answer would wake a thread of the runtime, which is a third of its cost.
func (sp *synProber) waitForAnswer(d time.Duration) {
	sp.setEvents(unix.EPOLLIN)
	sp.poller.wait(d)
	sp.setEvents(0)
}

func (sp *synProber) setEvents(events uint32) {
	for family, w := range sp.channels {
		if w != nil {
			sp.poller.modify(w.in.fd, int32(family), events)
		}
	}
}

func (sp *synProber) read(ended []completion) (all []completion, more bool) {
	for _, w := range sp.channels {
		if w == nil {
			continue
		}
		again := w.in.read(func(data []byte, verify bool) {
			if a, ok := packet.Parse(data, verify); ok {
				ended = sp.matchAnswer(a, ended)
			} else if syn, ok := packet.ParseSYN(data); ok {
				ended = sp.matchTranslated(syn, ended)
			}
		})
		more = more || again
		if w.in.overflowed() {
			ended = append(ended, completion{id: attemptID{slot: answersLost}})
		}
	}
	if sp.watchesNAT {
		ended = sp.readNAT(ended)
	}
	return ended, more
}

func (sp *synProber) watchNAT() scan.Cause {
	if sp.watchesNAT {
		return scan.CauseNone
	}
	if err := sp.system.nat.join(sp); err != nil {
		return localCause(err)
	}
	sp.watchesNAT = true
	return scan.CauseNone
}

func (sp *synProber) readNAT(ended []completion) []completion {
	lost := sp.system.nat.receive(sp, func(syn packet.SYN) { ended = sp.matchTranslated(syn, ended) })
	if lost {
		ended = append(ended, completion{id: attemptID{slot: answersLost}})
	}
	return ended
}

// matchTranslated completes the attempt whose SYN left with other addresses or ports than it
// was sent with: its answer does not match, or is not the target's.
func (sp *synProber) matchTranslated(syn packet.SYN, ended []completion) []completion {
	id, ok := sp.inFlight[syn.Sequence]
	if !ok {
		return ended
	}
	if s := &sp.slots[id.slot]; s.remote == syn.Remote && s.local == syn.Local {
		return ended
	}
	sp.drop(id.slot)
	return append(ended, completion{id: id, verdict: verdict{cause: scan.CauseTranslated}})
}

// matchAnswer completes the attempt that an answer acknowledges. Other packets are ignored.
func (sp *synProber) matchAnswer(a packet.Response, ended []completion) []completion {
	v := sp.verdict(a)
	first := a.Local.Port() == sp.ports[0]
	if id, ok := sp.inFlight[a.Sequence]; ok {
		if s := &sp.slots[id.slot]; s.remote == a.Remote && s.local == a.Local {
			sp.drop(id.slot)
			return append(ended, completion{id: id, verdict: v, from: a.Remote, first: first})
		}
	}
	if !slices.Contains(sp.ports, a.Local.Port()) || sp.key.Sequence(a.Local, a.Remote) != a.Sequence {
		return ended
	}
	return append(ended, completion{id: attemptID{slot: lateAnswer}, verdict: v, from: a.Remote, first: first})
}

// verdict returns the verdict of an answer (RFC 9293 section 3.10.7.3, state SYN-SENT).
func (sp *synProber) verdict(a packet.Response) verdict {
	switch {
	case a.Kind == packet.SYNACK && a.Window == 0:
		return verdict{state: scan.Open, cause: scan.CauseZeroWindow}
	case a.Kind == packet.SYNACK:
		return verdict{state: scan.Open, cause: scan.CauseSYNACK}
	case a.Kind == packet.RST:
		return verdict{state: scan.Closed, cause: scan.CauseRST}
	default:
		report := icmpReport{fromNetwork: true, kind: a.Type, code: a.Code, offender: a.From, to: a.Remote}
		return sp.system.errorVerdict(report, sp.source)
	}
}

func (sp *synProber) drop(slot int32) {
	s := &sp.slots[slot]
	s.busy = false
	if sp.inFlight[s.sequence] == s.id {
		delete(sp.inFlight, s.sequence)
	}
}

func (sp *synProber) shut(slot int32) { sp.freeSlots = append(sp.freeSlots, slot) }

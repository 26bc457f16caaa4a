// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"portscan_exporter/internal/engine/pace"
	"portscan_exporter/internal/engine/packet"
	"portscan_exporter/internal/scan"
)

// halfOpen is the line of half-open scans. An attempt is a SYN whose sequence
// number is keyed (see [packet.Key]): an answer proves itself by acknowledging it,
// however late it comes, and nobody needs a socket to wait for it.
type halfOpen struct {
	system *rawSystem
	source netip.Addr
	ring   ringSize
	key    *packet.Key
	held   []int    // sockets that hold the ports
	ports  []uint16 // to send from, one a variant; see newHalfOpen
	ways   [2]*way  // by family; nil until the first attempt
	route  router
	slots  []halfSlot
	gone   []int32              // slots that were shut
	under  map[uint32]attemptID // attempts under way, by sequence number
	waker  *waker
	failed []ending // attempts that could not be made
}

// halfSlot is an attempt under way.
type halfSlot struct {
	local, remote netip.AddrPort
	sequence      uint32
	id            attemptID
	busy          bool
}

// way is how a line sends and receives in one family.
type way struct {
	out *sender
	in  *receiver
}

// newHalfOpen returns a line. Attempts at one port that may be under way side by side
// come from different ports, so that each answer says which attempt it is for, and
// none looks to the target like another SYN of a connection that it has half open
// (RFC 5961 section 4).
func newHalfOpen(s *rawSystem, source netip.Addr, ring ringSize) (*halfOpen, error) {
	key, err := packet.NewKey()
	if err != nil {
		return nil, err
	}
	w, err := newWaker()
	if err != nil {
		return nil, err
	}
	held, ports, err := holdPorts(pace.Variants)
	if err != nil {
		w.close()
		return nil, err
	}
	return &halfOpen{
		system: s, source: source, ring: ring, key: key, waker: w, held: held, ports: ports,
		route: newRouter(source), under: make(map[uint32]attemptID),
	}, nil
}

func (h *halfOpen) close() {
	for _, w := range h.ways {
		if w != nil {
			w.out.close()
			h.system.pool.put(w.in)
		}
	}
	h.waker.close()
	h.route.close()
	closeAll(h.held)
}

func (h *halfOpen) open(family uint8) (int32, scan.Cause) {
	if h.ways[family] == nil {
		if err := h.openWay(family); err != nil {
			return 0, ownSide(classify(err, never))
		}
	}
	if n := len(h.gone); n > 0 {
		slot := h.gone[n-1]
		h.gone = h.gone[:n-1]
		return slot, scan.CauseNone
	}
	h.slots = append(h.slots, halfSlot{})
	return int32(len(h.slots) - 1), scan.CauseNone //nolint:gosec // as many as attempts
}

func (h *halfOpen) openWay(family uint8) error {
	in, err := h.system.pool.take(kind{family, h.ring}, h.ports)
	if err != nil {
		return err
	}
	out, err := newSender(family, h.source)
	if err != nil {
		h.system.pool.put(in)
		return err
	}
	if err := h.waker.watch(in.fd, int32(family), 0); err != nil {
		out.close()
		h.system.pool.put(in)
		return err
	}
	h.ways[family] = &way{out: out, in: in}
	return nil
}

func (h *halfOpen) send(id attemptID, to netip.AddrPort, variant int) scan.Cause {
	from, err := h.route.source(to.Addr())
	if err != nil {
		return ownSide(classify(err, never))
	}
	local := netip.AddrPortFrom(from, h.ports[variant%len(h.ports)])
	s := &h.slots[id.slot]
	*s = halfSlot{local: local, remote: to, sequence: h.key.Sequence(local, to), id: id, busy: true}
	h.under[s.sequence] = id
	w := h.ways[slotFamily(to.Addr())]
	if w.out.add(id, local, to, s.sequence) {
		h.flush(w)
	}
	return scan.CauseNone
}

// flush sends what waits to be sent.
func (h *halfOpen) flush(w *way) {
	w.out.flush(func(id attemptID, err error) {
		if s := &h.slots[id.slot]; s.busy && s.id == id {
			h.drop(id.slot)
			h.failed = append(h.failed, ending{id: id, verdict: verdict{cause: sendFailure(err)}})
		}
	})
}

// sendFailure is why a packet did not leave. A full queue, like a lack of memory,
// passes.
func sendFailure(err error) scan.Cause {
	if err == unix.EAGAIN { //nolint:errorlint // a bare number
		return scan.CauseDescriptors
	}
	return ownSide(classify(err, never))
}

func (h *halfOpen) wait(d time.Duration, ended []ending) (all []ending, more bool) {
	for _, w := range h.ways {
		if w != nil {
			h.flush(w)
		}
	}
	ended = append(ended, h.failed...)
	h.failed = h.failed[:0]
	before := len(ended)
	if ended, more = h.read(ended); len(ended) > before || more || d <= 0 {
		return ended, more
	}
	h.rest(d)
	return h.read(ended)
}

// rest waits for an answer. Only then does the ring tell of answers: while a lane is
// busy sending, each of them would wake a thread of the runtime for nothing, which
// costs a third of all that an answer takes.
func (h *halfOpen) rest(d time.Duration) {
	h.tell(unix.EPOLLIN)
	h.waker.wait(d)
	h.tell(0)
}

func (h *halfOpen) tell(events uint32) {
	for family, w := range h.ways {
		if w != nil {
			h.waker.change(w.in.fd, int32(family), events)
		}
	}
}

func (h *halfOpen) read(ended []ending) (all []ending, more bool) {
	for _, w := range h.ways {
		if w == nil {
			continue
		}
		again := w.in.read(func(data []byte, verify bool) {
			if a, ok := packet.Parse(data, verify); ok {
				ended = h.answer(a, ended)
			}
		})
		more = more || again
		if w.in.overflown() {
			ended = append(ended, ending{id: attemptID{slot: answersLost}})
		}
	}
	return ended, more
}

// answer finds the attempt that is answered. What proves no attempt counts for
// nothing.
func (h *halfOpen) answer(a packet.Response, ended []ending) []ending {
	v := h.verdict(a)
	first := a.Local.Port() == h.ports[0]
	if id, ok := h.under[a.Sequence]; ok {
		if s := &h.slots[id.slot]; s.remote == a.Remote && s.local == a.Local {
			h.drop(id.slot)
			return append(ended, ending{id: id, verdict: v, from: a.Remote, first: first})
		}
	}
	if !slices.Contains(h.ports, a.Local.Port()) || h.key.Sequence(a.Local, a.Remote) != a.Sequence {
		return ended
	}
	return append(ended, ending{id: attemptID{slot: lateAnswer}, verdict: v, from: a.Remote, first: first})
}

// verdict reads an answer (RFC 9293 section 3.10.7.3, in the state SYN-SENT).
func (h *halfOpen) verdict(a packet.Response) verdict {
	switch {
	case a.Kind == packet.SYNACK && a.Window == 0:
		return verdict{state: scan.Open, cause: scan.CauseZeroWindow}
	case a.Kind == packet.SYNACK:
		return verdict{state: scan.Open, cause: scan.CauseSYNACK}
	case a.Kind == packet.RST:
		return verdict{state: scan.Closed, cause: scan.CauseRST}
	case h.system.ours(a.From) && a.From != a.Remote.Addr():
		return verdict{cause: scan.CauseNoRoute} // our own machine's word: a neighbour that does not resolve
	default:
		return verdict{state: scan.Filtered, cause: scan.CauseICMP}
	}
}

func (h *halfOpen) drop(slot int32) {
	s := &h.slots[slot]
	s.busy = false
	if h.under[s.sequence] == s.id {
		delete(h.under, s.sequence)
	}
}

func (h *halfOpen) shut(slot int32) { h.gone = append(h.gone, slot) }

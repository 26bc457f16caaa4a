// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"portscan_exporter/internal/scan"
)

// connectProber is the prober of connect scans on Linux. It has non-blocking sockets on one
// epoll instance, which are reused for other ports. It relies on this behavior, measured on
// Linux 6.18:
//
//   - After an event, a second connect() to the same address returns the outcome of the
//     first and makes the socket ready for the next (inet_stream_connect in
//     net/ipv4/af_inet.c), unless SO_ERROR was read before. Without an attempt in flight
//     it sends a SYN, so it is called only for busy sockets.
//   - connect() to AF_UNSPEC drops an attempt or resets a connection, without TIME_WAIT.
//     No socket(), close() or epoll_ctl() is needed per port.
//   - With IP_RECVERR the error queue distinguishes an ICMP error from a RST, which have
//     the same error number. An ICMP error that arrives while connect() holds the socket
//     does not end the attempt.
//   - Edge-triggered events need no re-arming. A stale event finds the current state of the
//     socket.
//   - The answer of a near host is there before connect() returns. Sockets are checked
//     once after a batch, and only those without an outcome are added to epoll, which
//     saves a fifth of the time.
type connectProber struct {
	system    *connectSystem
	source    netip.Addr
	late      *heldLateDetector // nil: attempts come from any local port
	target    target
	poller    *poller
	slots     []connectSlot
	unwatched []int32 // attempts that are neither watched by epoll nor checked
	freeSlots []int32 // slots that were shut
	sentCount int
	errors    errorReader
	four      unix.SockaddrInet4
	six       unix.SockaddrInet6
}

// errorReader reads the error queue of a socket.
type errorReader interface {
	read(fd int) (r icmpReport, ok bool)
}

// target is the address of the latest attempt.
type target struct {
	addr  netip.Addr
	from  *heldSource // of its attempts; nil: any local port
	local bool        // it is one of this machine
}

// connectSlot is one slot.
type connectSlot struct {
	fd      int
	local   netip.AddrPort // that the socket is bound to, if any
	to      netip.AddrPort
	number  uint32 // of the attempt
	busy    bool
	watched bool // by epoll
	quiet   bool // see setQuiet
}

// setQuiet sets whether the kernel withholds the last packet of the handshake. With
// TCP_DEFER_ACCEPT it waits 200 ms for data to send with that packet
// (tcp_rcv_synsent_state_process in net/ipv4/tcp_input.c). The attempt is reset before, so
// that the service does not accept, log or count a connection. If the option cannot be set,
// the handshake is complete.
func (s *connectSlot) setQuiet(quiet bool) {
	if s.quiet == quiet {
		return
	}
	value := 0
	if quiet {
		value = 1
	}
	if unix.SetsockoptInt(s.fd, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, value) == nil {
		s.quiet = quiet
	}
}

func newConnectProber(s *connectSystem, source netip.Addr, late *heldLateDetector) (*connectProber, error) {
	w, err := newPoller()
	if err != nil {
		return nil, err
	}
	return &connectProber{system: s, source: source, late: late, poller: w, errors: &errorQueue{}}, nil
}

func (c *connectProber) open(family uint8) (int32, scan.Cause) {
	var local netip.AddrPort // the next attempt is probably a first one at the same address
	if c.target.from != nil && slotFamily(c.target.addr) == family {
		local = c.target.from.current.Load().local(0)
	}
	fd, err := c.openFrom(family, local)
	if err != nil {
		return 0, localCause(err)
	}
	slot := int32(len(c.slots)) //nolint:gosec // no more than descriptors
	if n := len(c.freeSlots); n > 0 {
		slot, c.freeSlots = c.freeSlots[n-1], c.freeSlots[:n-1]
	} else {
		c.slots = append(c.slots, connectSlot{})
	}
	c.slots[slot] = connectSlot{fd: fd, local: local}
	return slot, scan.CauseNone
}

// openFrom returns a socket for attempts from the local address and port, or from any
// port if they are invalid.
func (c *connectProber) openFrom(family uint8, local netip.AddrPort) (int, error) {
	if local.IsValid() {
		return openSharing(local)
	}
	return openSocket(family, c.source)
}

func (c *connectProber) shut(slot int32) {
	c.slots[slot].close()
	c.slots[slot] = connectSlot{fd: -1}
	c.freeSlots = append(c.freeSlots, slot)
}

func (c *connectProber) close() {
	for i := range c.slots {
		c.slots[i].close()
	}
	c.poller.close()
}

func (s *connectSlot) close() {
	if s.fd >= 0 {
		_ = unix.Close(s.fd)
		s.fd = -1
	}
}

// connect calls connect() on the slot's socket.
func (c *connectProber) connect(fd int, to netip.AddrPort) error {
	if to.Addr().Is4() {
		c.four.Addr, c.four.Port = to.Addr().As4(), int(to.Port())
		return unix.Connect(fd, &c.four)
	}
	c.six.Addr, c.six.Port = to.Addr().As16(), int(to.Port())
	return unix.Connect(fd, &c.six)
}

func (c *connectProber) send(id attemptID, to netip.AddrPort, o attemptOptions) scan.Cause {
	socket := &c.slots[id.slot]
	if cause := c.bind(socket, to, o.variant); cause != scan.CauseNone {
		return cause
	}
	socket.setQuiet(o.quiet)
	socket.to, socket.number = to, id.number
	switch err := c.connect(socket.fd, to); err {
	case unix.EINPROGRESS, nil: //nolint:errorlint // a bare number; an established one raises its event as well
		socket.busy = true
		c.sentCount++
		if !socket.watched {
			c.unwatched = append(c.unwatched, id.slot)
		}
		return scan.CauseNone
	default:
		disconnect(socket.fd)
		return sendCause(err, c.source, to.Addr())
	}
}

// bind binds the slot's socket to the local port of the attempt. A socket can be bound once,
// so another one may replace it.
func (c *connectProber) bind(socket *connectSlot, to netip.AddrPort, variant int) scan.Cause {
	if to.Addr() != c.target.addr {
		c.target = c.findTarget(to.Addr())
	}
	var local netip.AddrPort
	switch {
	case c.target.from != nil:
		local = c.target.from.current.Load().local(variant)
	case c.target.local && c.system.heldPorts.has(to):
		return scan.CauseSourcePorts // until the scan that holds it has ended
	}
	if socket.fd >= 0 && socket.local == local {
		return scan.CauseNone
	}
	socket.close()
	fd, err := c.openFrom(slotFamily(to.Addr()), local)
	if err != nil {
		return localCause(err)
	}
	*socket = connectSlot{fd: fd, local: local}
	return scan.CauseNone
}

func (c *connectProber) findTarget(addr netip.Addr) target {
	t := target{addr: addr, local: c.system.isLocal(addr)}
	if c.late != nil {
		t.from = c.late.sourceTo(addr)
	}
	return t
}

func (c *connectProber) flush() (sent int) { return c.sentCount }

func (c *connectProber) drop(slot int32) {
	socket := &c.slots[slot]
	if !socket.busy {
		return
	}
	socket.busy = false
	disconnect(socket.fd)
	// An ICMP error may have come in the meantime. Its entry outlives the attempt, and
	// reading it after the next one is refused would clear that error
	// (sock_dequeue_err_skb in net/core/skbuff.c).
	c.readErrors(socket)
}

func (c *connectProber) wait(d time.Duration, ended []completion) (all []completion, more bool) {
	for _, slot := range c.unwatched {
		if socket := &c.slots[slot]; socket.busy && !socket.watched {
			if v, over := c.check(slot); over {
				ended = c.complete(slot, v, ended)
			}
		}
	}
	c.unwatched = c.unwatched[:0]
	if len(ended) > 0 {
		d = 0
	}
	events := c.poller.wait(d)
	for i := range events {
		slot := events[i].Fd
		if !c.slots[slot].busy {
			continue
		}
		if v, over := c.readOutcome(&c.slots[slot], events[i].Events); over {
			ended = c.complete(slot, v, ended)
		}
	}
	return ended, len(events) == cap(events)
}

func (c *connectProber) complete(slot int32, v verdict, ended []completion) []completion {
	c.slots[slot].busy = false
	return append(ended, completion{id: attemptID{slot, c.slots[slot].number}, verdict: v})
}

// check returns the outcome of an attempt that epoll does not watch. If there is none yet,
// it adds the socket to epoll.
func (c *connectProber) check(slot int32) (v verdict, over bool) {
	socket := &c.slots[slot]
	if v, over = c.readOutcome(socket, 0); over {
		// An ICMP error has an entry in the queue, a RST has none.
		if icmp, ok := c.readErrors(socket); ok && v.state != scan.Open {
			v = icmp
		}
		return v, true
	}
	if err := c.poller.add(socket.fd, slot, unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLET); err != nil {
		disconnect(socket.fd)
		return verdict{cause: localCause(err)}, true
	}
	socket.watched = true
	return verdict{}, false
}

// readOutcome returns the outcome of an attempt and makes the socket ready for the next.
func (c *connectProber) readOutcome(socket *connectSlot, events uint32) (v verdict, over bool) {
	if events&unix.EPOLLERR != 0 {
		if v, ok := c.readErrors(socket); ok {
			disconnect(socket.fd)
			return v, true
		}
	}
	switch err := c.connect(socket.fd, socket.to); err {
	case unix.EALREADY: //nolint:errorlint // a bare number
		return verdict{}, false
	case nil, unix.EISCONN:
		v = verdict{state: scan.Open, cause: scan.CauseHandshake}
		if isSelfConnect(socket.fd, socket.to) {
			v = verdict{cause: scan.CauseSourcePorts}
		}
		disconnect(socket.fd)
		return v, true
	case unix.ECONNREFUSED: // as completionVerdict returns it, without allocations
		return verdict{state: scan.Closed, cause: scan.CauseRST}, true
	default:
		return completionVerdict(err, func() bool { return c.reachable(socket.to.Addr()) }), true
	}
}

// reachable reports whether an "unreachable" error without an entry in the error queue came
// from another machine, as [dialSystem.reachable] does.
func (c *connectProber) reachable(to netip.Addr) bool {
	if c.system.queuesErrors {
		return false
	}
	_, _, err := routeOf(c.source, to)
	return err == nil && !onLink(to)
}

// readErrors empties the error queue and returns the first verdict about the socket's port.
// Entries about other ports belong to earlier attempts.
func (c *connectProber) readErrors(socket *connectSlot) (v verdict, ok bool) {
	for {
		report, more := c.errors.read(socket.fd)
		if !more {
			return v, ok
		}
		if ok || report.to.Port() != socket.to.Port() {
			continue
		}
		ok = true
		v = c.system.errorVerdict(report, c.source)
	}
}

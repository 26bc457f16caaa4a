// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"portscan_exporter/internal/scan"
)

// sockets is the line of Linux: non-blocking sockets on one epoll, kept from
// port to port. What it relies on, all of it measured on Linux 6.18:
//
//   - After an event, a second connect() to the same address returns what came of
//     the first, and leaves the socket fit for the next (inet_stream_connect in
//     net/ipv4/af_inet.c). Reading SO_ERROR first would spoil that. On a socket
//     with no attempt under way it would send a SYN: it is called for those alone
//     that are marked busy.
//   - connect() to AF_UNSPEC drops an attempt or resets a connection, with no
//     TIME_WAIT; no socket(), close() or epoll_ctl() is needed a port.
//   - With IP_RECVERR the error queue tells an ICMP error from a RST, which an
//     error number alone does not. An ICMP error that arrives while connect() has
//     the socket does not end the attempt.
//   - Edge-triggered events need no re-arming; a stale one is seen with the state
//     that the socket has by then.
//   - A near host's answer is there before connect() returns. Sockets are looked at
//     once after a batch, and epoll is told only of those that have to wait: it
//     takes a fifth of the time otherwise.
type sockets struct {
	system *linux
	source netip.Addr
	waker  *waker
	slots  []socket
	fresh  []int32 // with attempts that epoll does not watch, nor anybody has looked at
	gone   []int32 // slots that were shut
	queue  errorQueue
	four   unix.SockaddrInet4
	six    unix.SockaddrInet6
}

// socket is one slot.
type socket struct {
	fd      int
	to      netip.AddrPort
	number  uint32 // of the attempt
	busy    bool
	watched bool // by epoll
}

func newSockets(s *linux, source netip.Addr) (*sockets, error) {
	w, err := newWaker()
	if err != nil {
		return nil, err
	}
	return &sockets{system: s, source: source, waker: w}, nil
}

func (s *sockets) open(family uint8) (int32, scan.Cause) {
	fd, err := openSocket(family, s.source)
	if err != nil {
		return 0, classify(err, never).cause
	}
	slot := int32(len(s.slots)) //nolint:gosec // no more than descriptors
	if n := len(s.gone); n > 0 {
		slot, s.gone = s.gone[n-1], s.gone[:n-1]
	} else {
		s.slots = append(s.slots, socket{})
	}
	s.slots[slot] = socket{fd: fd}
	return slot, scan.CauseNone
}

func (s *sockets) shut(slot int32) {
	_ = unix.Close(s.slots[slot].fd)
	s.slots[slot] = socket{fd: -1}
	s.gone = append(s.gone, slot)
}

func (s *sockets) close() {
	for i := range s.slots {
		if s.slots[i].fd >= 0 {
			_ = unix.Close(s.slots[i].fd)
		}
	}
	s.waker.close()
}

// connect calls connect() on the slot's socket.
func (s *sockets) connect(fd int, to netip.AddrPort) error {
	if to.Addr().Is4() {
		s.four.Addr, s.four.Port = to.Addr().As4(), int(to.Port())
		return unix.Connect(fd, &s.four)
	}
	s.six.Addr, s.six.Port = to.Addr().As16(), int(to.Port())
	return unix.Connect(fd, &s.six)
}

func (s *sockets) send(id attemptID, to netip.AddrPort, _ int) scan.Cause {
	socket := &s.slots[id.slot]
	socket.to, socket.number = to, id.number
	switch err := s.connect(socket.fd, to); err {
	case unix.EINPROGRESS, nil: //nolint:errorlint // a bare number; an established one raises its event as well
		socket.busy = true
		if !socket.watched {
			s.fresh = append(s.fresh, id.slot)
		}
		return scan.CauseNone
	default:
		dissolve(socket.fd)
		return ownSide(classify(err, never))
	}
}

func (s *sockets) drop(slot int32) {
	socket := &s.slots[slot]
	if !socket.busy {
		return
	}
	socket.busy = false
	// An answer may have come just now; then this resets a connection.
	if established(socket.fd) {
		s.system.resets.Add(1)
	}
	dissolve(socket.fd)
	// Or an ICMP error has. Its entry outlives the attempt, and to read it when the
	// next one is refused would clear that error (sock_dequeue_err_skb in
	// net/core/skbuff.c).
	s.readErrors(socket)
}

func (s *sockets) wait(d time.Duration, ended []ending) (all []ending, more bool) {
	for _, slot := range s.fresh {
		if socket := &s.slots[slot]; socket.busy && !socket.watched {
			if v, over := s.glance(slot); over {
				ended = s.end(slot, v, ended)
			}
		}
	}
	s.fresh = s.fresh[:0]
	if len(ended) > 0 {
		d = 0
	}
	events := s.waker.wait(d)
	for i := range events {
		slot := events[i].Fd
		if !s.slots[slot].busy {
			continue
		}
		if v, over := s.harvest(&s.slots[slot], events[i].Events); over {
			ended = s.end(slot, v, ended)
		}
	}
	return ended, len(events) == cap(events)
}

func (s *sockets) end(slot int32, v verdict, ended []ending) []ending {
	s.slots[slot].busy = false
	return append(ended, ending{id: attemptID{slot, s.slots[slot].number}, verdict: v})
}

// glance looks at an attempt that epoll does not watch, and has epoll watch it
// where nothing has come of it yet.
func (s *sockets) glance(slot int32) (v verdict, over bool) {
	socket := &s.slots[slot]
	if v, over = s.harvest(socket, 0); over {
		// An ICMP error left an entry behind; a RST did not.
		if icmp, ok := s.readErrors(socket); ok && v.state != scan.Open {
			v = icmp
		}
		return v, true
	}
	if err := s.waker.watch(socket.fd, slot, unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLET); err != nil {
		dissolve(socket.fd)
		return verdict{cause: ownSide(classify(err, never))}, true
	}
	socket.watched = true
	return verdict{}, false
}

// harvest reads what came of an attempt, and makes the socket fit for the next.
func (s *sockets) harvest(socket *socket, events uint32) (v verdict, over bool) {
	if events&unix.EPOLLERR != 0 {
		if v, ok := s.readErrors(socket); ok {
			dissolve(socket.fd)
			return v, true
		}
	}
	switch err := s.connect(socket.fd, socket.to); err {
	case unix.EALREADY: //nolint:errorlint // a bare number
		return verdict{}, false
	case nil, unix.EISCONN:
		v = verdict{state: scan.Open, cause: scan.CauseHandshake}
		if withItself(socket.fd, socket.to) {
			v = verdict{cause: scan.CauseSourcePorts}
		}
		dissolve(socket.fd)
		s.system.resets.Add(1)
		return v, true
	case unix.ECONNREFUSED: // what classify says, too; without the garbage of asking it
		if s.system.ours(socket.to.Addr()) {
			s.system.resets.Add(1) // it was our own kernel's
		}
		return verdict{state: scan.Closed, cause: scan.CauseRST}, true
	default:
		return classify(err, never), true
	}
}

// readErrors empties the error queue, and returns the first verdict in it about
// the socket's port. What is there of another one came after that was decided.
func (s *sockets) readErrors(socket *socket) (v verdict, ok bool) {
	for {
		report, more := s.queue.read(socket.fd)
		if !more {
			return v, ok
		}
		if ok || report.to.Port() != socket.to.Port() {
			continue
		}
		ok = true
		v = verdict{state: scan.Filtered, cause: scan.CauseICMP}
		if s.system.ownWord(report, socket.to.Addr()) {
			v = verdict{cause: scan.CauseNoRoute}
		}
	}
}

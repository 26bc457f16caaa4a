// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/netip"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"portscan_exporter/internal/engine/pace"
	"portscan_exporter/internal/engine/payload"
	"portscan_exporter/internal/scan"
)

// datagrams is the line of UDP scans: a socket a variant and family, not connected,
// for all ports. A connected one would be told of errors without asking, but of the
// port before as well: the next send returns that error and sends nothing.
type datagrams struct {
	system  *udpSystem
	source  netip.Addr
	sockets [2][]datagramSocket // by family and variant; none until the first attempt
	waker   *waker
	slots   []datagramSlot
	gone    []int32 // slots that were shut
	under   map[datagramKey]attemptID
	asked   map[netip.Addr]struct{} // for a file, by TFTP
	queue   errorQueue
	buffer  [2048]byte
	name    unix.RawSockaddrInet6 // or the smaller one of IPv4
	four    unix.SockaddrInet4
	six     unix.SockaddrInet6
	ended   []ending // read while sending
	taken   int      // datagrams and errors that were read
}

type datagramSocket struct {
	fd   int
	port uint16 // its own
}

type datagramSlot struct {
	key  datagramKey
	id   attemptID
	busy bool
}

// datagramKey tells attempts under way apart.
type datagramKey struct {
	to      netip.AddrPort
	variant uint8
}

// tftpPort is where the one service is asked whose answers come from elsewhere
// (RFC 1350 section 4).
const tftpPort = 69

func newDatagrams(s *udpSystem, source netip.Addr) (*datagrams, error) {
	w, err := newWaker()
	if err != nil {
		return nil, err
	}
	return &datagrams{
		system: s, source: source, waker: w,
		under: make(map[datagramKey]attemptID), asked: make(map[netip.Addr]struct{}),
	}, nil
}

func (d *datagrams) close() {
	d.waker.close()
	for _, sockets := range d.sockets {
		for _, s := range sockets {
			_ = unix.Close(s.fd)
			d.system.hold(s.port, -1)
		}
	}
}

func (d *datagrams) open(family uint8) (int32, scan.Cause) {
	for len(d.sockets[family]) < pace.Variants {
		s, err := d.socket(family)
		if err != nil {
			return 0, ownSide(classify(err, never))
		}
		d.sockets[family] = append(d.sockets[family], s)
	}
	if n := len(d.gone); n > 0 {
		slot := d.gone[n-1]
		d.gone = d.gone[:n-1]
		return slot, scan.CauseNone
	}
	d.slots = append(d.slots, datagramSlot{})
	return int32(len(d.slots) - 1), scan.CauseNone //nolint:gosec // as many as attempts
}

func (d *datagrams) socket(family uint8) (datagramSocket, error) {
	fd, port, err := openDatagrams(family, d.source)
	if err != nil {
		return datagramSocket{}, err
	}
	if err := d.waker.watch(fd, int32(fd), unix.EPOLLIN|unix.EPOLLERR); err != nil { //nolint:gosec // a descriptor
		_ = unix.Close(fd)
		return datagramSocket{}, err
	}
	d.system.hold(port, 1)
	return datagramSocket{fd, port}, nil
}

// makeWay moves the line's socket that has the port to another one, so that the port
// is as it is without us. It returns false where the port is another line's.
func (d *datagrams) makeWay(at netip.AddrPort) bool {
	for family, sockets := range d.sockets {
		for i, old := range sockets {
			if old.port != at.Port() {
				continue
			}
			s, err := d.socket(uint8(family))
			if err != nil {
				return false
			}
			d.giveUp(old.fd, uint8(family), uint8(i))
			_ = unix.Close(old.fd)
			d.system.hold(old.port, -1)
			sockets[i] = s
		}
	}
	if d.system.isOurs(at) {
		d.system.want(at.Port(), true)
		return false
	}
	return true
}

// yieldPorts moves the line's sockets away from ports that other lines scan.
func (d *datagrams) yieldPorts() {
	for _, sockets := range d.sockets {
		for _, s := range sockets {
			if d.system.want(s.port, false) {
				d.makeWay(netip.AddrPortFrom(netip.IPv6Unspecified(), s.port))
			}
		}
	}
}

// giveUp reads what has come to a socket that is about to be closed, and interrupts
// the other attempts from it: their silence will mean nothing.
func (d *datagrams) giveUp(fd int, family, variant uint8) {
	d.ended = d.readErrors(fd, d.ended)
	d.ended = d.readReplies(fd, d.ended)
	for slot := range d.slots {
		if s := &d.slots[slot]; s.busy && s.key.variant == variant && slotFamily(s.key.to.Addr()) == family {
			d.drop(int32(slot))
			d.ended = append(d.ended, ending{id: s.id, verdict: verdict{cause: scan.CauseSilence}})
		}
	}
}

func (d *datagrams) send(id attemptID, to netip.AddrPort, variant int) scan.Cause {
	if d.system.isOurs(to) && !d.makeWay(to) {
		return scan.CauseSourcePorts
	}
	fd := d.sockets[slotFamily(to.Addr())][variant].fd
	key := datagramKey{to, uint8(variant)} //nolint:gosec // one of a few
	s := &d.slots[id.slot]
	*s = datagramSlot{key, id, true}
	d.under[key] = id
	if to.Port() == tftpPort {
		d.asked[to.Addr()] = struct{}{}
	}
	for _, p := range payload.ForPort(to.Port()) {
		err := d.transmit(fd, p.Data, to)
		if !s.busy { // what was read in between answers an earlier datagram
			return scan.CauseNone
		}
		if err != nil {
			d.drop(id.slot)
			return sendFailure(err)
		}
	}
	return scan.CauseNone
}

// transmit sends one datagram. The socket reports errors of earlier ones first: they
// are read, and it is sent again.
func (d *datagrams) transmit(fd int, data []byte, to netip.AddrPort) (err error) {
	var name unix.Sockaddr
	if to.Addr().Is4() {
		d.four.Addr, d.four.Port = to.Addr().As4(), int(to.Port())
		name = &d.four
	} else {
		d.six.Addr, d.six.Port = to.Addr().As16(), int(to.Port())
		name = &d.six
	}
	const enough = 3 // errors may come as fast as they are read
	for range enough {
		if err = unix.Sendto(fd, data, 0, name); err == nil {
			return nil
		}
		d.ended = d.readErrors(fd, d.ended)
	}
	if classOf(err) == errnoRefused { // another port's, again and again
		return unix.EAGAIN
	}
	return err
}

func (d *datagrams) wait(patience time.Duration, ended []ending) (all []ending, more bool) {
	if d.system.wanted.Load() > 0 {
		d.yieldPorts()
	}
	ended = append(ended, d.ended...)
	d.ended = d.ended[:0]
	if len(ended) > 0 {
		patience = 0
	}
	before := d.taken
	for _, p := range d.waker.wait(patience) {
		if p.Events&unix.EPOLLERR != 0 {
			ended = d.readErrors(int(p.Fd), ended)
			// The kernel queues an error and then says that there is one: who reads in
			// between leaves that word behind, with an empty queue.
			_, _ = unix.GetsockoptInt(int(p.Fd), unix.SOL_SOCKET, unix.SO_ERROR)
		}
		if p.Events&unix.EPOLLIN != 0 {
			ended = d.readReplies(int(p.Fd), ended)
		}
	}
	return ended, d.taken > before
}

// readReplies reads datagrams that have come to the socket, a batch at the most.
func (d *datagrams) readReplies(fd int, ended []ending) []ending {
	for range batch {
		size := uint32(unix.SizeofSockaddrInet6)
		n, _, errno := unix.Syscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&d.buffer[0])), uintptr(len(d.buffer)), //nolint:gosec // the kernel fills them at once
			unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&d.name)), uintptr(unsafe.Pointer(&size))) //nolint:gosec // the kernel fills them at once
		runtime.KeepAlive(d)
		if errno != 0 {
			return ended // an error of the queue is read as such
		}
		d.taken++
		from := rawAddrPort(&d.name)
		if d.system.isOurs(from) {
			continue
		}
		if d.fromElsewhere(fd, from, d.buffer[:n]) {
			from = netip.AddrPortFrom(from.Addr(), tftpPort)
		}
		ended = d.answer(fd, from, verdict{state: scan.Open, cause: scan.CauseReply}, ended)
	}
	return ended
}

// fromElsewhere tells whether a datagram is the answer of a TFTP server, which comes
// from a new port: one that is not being asked itself.
func (d *datagrams) fromElsewhere(fd int, from netip.AddrPort, data []byte) bool {
	if _, ok := d.asked[from.Addr()]; !ok || from.Port() == tftpPort {
		return false
	}
	if _, ok := d.under[datagramKey{from, d.variant(fd, from)}]; ok {
		return false
	}
	return payload.ForPort(tftpPort)[0].AcceptsFromOtherPort(data)
}

// readErrors empties the socket's error queue. Each entry names the port that it is
// about.
func (d *datagrams) readErrors(fd int, ended []ending) []ending {
	for {
		report, ok := d.queue.read(fd)
		if !ok {
			return ended
		}
		d.taken++
		if report.tooBig() {
			continue // of the path, not of the port
		}
		v := verdict{state: scan.Filtered, cause: scan.CauseICMP}
		switch {
		case d.system.ownWord(report, report.to.Addr()):
			v = verdict{cause: scan.CauseNoRoute}
		case report.portUnreachable() && report.offender == report.to.Addr(): // a router may refuse for it
			v.state = scan.Closed
		}
		ended = d.answer(fd, report.to, v, ended)
	}
}

// answer finds the attempt of the socket that is answered.
func (d *datagrams) answer(fd int, from netip.AddrPort, v verdict, ended []ending) []ending {
	variant := d.variant(fd, from)
	e := ending{id: attemptID{slot: lateAnswer}, verdict: v, from: from, first: variant == 0}
	if id, ok := d.under[datagramKey{from, variant}]; ok {
		d.drop(id.slot)
		e.id = id
	}
	return append(ended, e)
}

// variant returns which of the family's sockets it is.
func (d *datagrams) variant(fd int, from netip.AddrPort) uint8 {
	for i, s := range d.sockets[slotFamily(from.Addr())] {
		if s.fd == fd {
			return uint8(i)
		}
	}
	return 0
}

func (d *datagrams) drop(slot int32) {
	s := &d.slots[slot]
	if s.busy && d.under[s.key] == s.id {
		delete(d.under, s.key)
	}
	s.busy = false
}

func (d *datagrams) shut(slot int32) { d.gone = append(d.gone, slot) }

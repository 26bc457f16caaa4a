// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"net/netip"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"portscan_exporter/internal/engine/pace"
	"portscan_exporter/internal/engine/payload"
	"portscan_exporter/internal/scan"
)

// udpProber is the prober of UDP scans. It has an unconnected socket per variant and family
// for all ports, and one per family for next hops that are not resolved. A connected socket also
// reports errors of the port before: the next send returns that error and sends no packet.
type udpProber struct {
	system      *udpSystem
	source      netip.Addr
	sockets     [2][]udpSocket // by family and variant, and unresolvedSocket; none until the first attempt
	poller      *poller
	slots       []udpSlot
	freeSlots   []int32 // slots that were shut
	inFlight    map[udpKey]attemptID
	asked       askedPorts
	tftpAsked   map[netip.Addr]struct{}     // addresses with an attempt at TFTP
	forbidden   map[netip.AddrPort]struct{} // ports of this machine, by a local filter
	queue       errorQueue
	buffer      [2048]byte
	name        unix.RawSockaddrInet6 // or the smaller one of IPv4
	four        unix.SockaddrInet4
	six         unix.SockaddrInet6
	completions []completion // read while sending
	readCount   int          // datagrams and errors that were read
	sentCount   int
}

type udpSocket struct {
	fd   int
	port uint16 // local
}

type udpSlot struct {
	key  udpKey
	id   attemptID
	busy bool
}

// udpKey identifies an attempt in flight.
type udpKey struct {
	to      netip.AddrPort
	variant uint8
}

// unresolvedSocket is the index of the socket for next hops that are not resolved. Their datagrams
// wait in the kernel, for three seconds by default, and occupy the socket's send buffer. Most are of
// first attempts.
const unresolvedSocket = pace.Variants

// tftpPort is the port of the one service whose answers come from another port (RFC 1350
// section 4).
const tftpPort = 69

func newUDPProber(s *udpSystem, source netip.Addr) (*udpProber, error) {
	w, err := newPoller()
	if err != nil {
		return nil, err
	}
	return &udpProber{
		system: s, source: source, poller: w,
		inFlight: make(map[udpKey]attemptID), tftpAsked: make(map[netip.Addr]struct{}),
		forbidden: make(map[netip.AddrPort]struct{}),
	}, nil
}

func (u *udpProber) close() {
	u.poller.close()
	for _, sockets := range u.sockets {
		for _, s := range sockets {
			_ = unix.Close(s.fd)
			u.system.holdPort(s.port, -1)
		}
	}
}

func (u *udpProber) open(family uint8) (int32, scan.Cause) {
	for len(u.sockets[family]) <= unresolvedSocket {
		s, err := u.socket(family)
		if err != nil {
			return 0, localCause(err)
		}
		u.sockets[family] = append(u.sockets[family], s)
	}
	if n := len(u.freeSlots); n > 0 {
		slot := u.freeSlots[n-1]
		u.freeSlots = u.freeSlots[:n-1]
		return slot, scan.CauseNone
	}
	u.slots = append(u.slots, udpSlot{})
	return int32(len(u.slots) - 1), scan.CauseNone //nolint:gosec // as many as attempts
}

func (u *udpProber) socket(family uint8) (udpSocket, error) {
	fd, port, err := openUDPSocket(family, u.source)
	if err != nil {
		return udpSocket{}, err
	}
	if err := u.poller.add(fd, int32(fd), unix.EPOLLIN|unix.EPOLLERR); err != nil { //nolint:gosec // a descriptor
		_ = unix.Close(fd)
		return udpSocket{}, err
	}
	u.system.holdPort(port, 1)
	enlargeSendBuffer(fd)
	return udpSocket{fd, port}, nil
}

// vacatePort moves the prober's socket with the port to another port, so that it does not
// affect the result. It returns false if the port is another prober's.
func (u *udpProber) vacatePort(at netip.AddrPort) bool {
	for family, sockets := range u.sockets {
		for i, old := range sockets {
			if old.port != at.Port() {
				continue
			}
			s, err := u.socket(uint8(family))
			if err != nil {
				return false
			}
			u.drainSocket(old.fd, uint8(family), uint8(i))
			_ = unix.Close(old.fd)
			u.system.holdPort(old.port, -1)
			sockets[i] = s
		}
	}
	if u.system.isOwnSocket(at) {
		u.system.markWanted(at.Port(), true)
		return false
	}
	return true
}

// vacateWantedPorts moves the prober's sockets away from ports that other probers scan.
func (u *udpProber) vacateWantedPorts() {
	for _, sockets := range u.sockets {
		for _, s := range sockets {
			if u.system.markWanted(s.port, false) {
				u.vacatePort(netip.AddrPortFrom(netip.IPv6Unspecified(), s.port))
			}
		}
	}
}

// drainSocket reads the pending answers of a socket that will be closed, and interrupts its
// other attempts, whose silence would be no evidence.
func (u *udpProber) drainSocket(fd int, family, variant uint8) {
	u.completions = u.readErrors(fd, u.completions)
	u.completions = u.readReplies(fd, u.completions)
	for slot := range u.slots {
		if s := &u.slots[slot]; s.busy && s.key.variant == variant && slotFamily(s.key.to.Addr()) == family {
			u.drop(int32(slot))
			u.completions = append(u.completions, completion{id: s.id, verdict: verdict{cause: scan.CauseSilence}})
		}
	}
}

func (u *udpProber) send(id attemptID, to netip.AddrPort, o attemptOptions) scan.Cause {
	if u.system.isOwnSocket(to) && !u.vacatePort(to) {
		return scan.CauseSourcePorts
	}
	variant := o.variant
	if o.unresolved {
		variant = unresolvedSocket
	}
	fd := u.sockets[slotFamily(to.Addr())][variant].fd
	key := udpKey{to, uint8(variant)}
	s := &u.slots[id.slot]
	*s = udpSlot{key, id, true}
	u.inFlight[key] = id
	if to.Port() == tftpPort {
		u.tftpAsked[to.Addr()] = struct{}{}
	}
	u.asked.add(to, key.variant)
	for i, p := range payload.ForPort(to.Port()) {
		err := u.sendTo(fd, p.Data, to)
		if !s.busy { // an earlier datagram of the attempt has been answered
			return scan.CauseNone
		}
		if err != nil {
			u.drop(id.slot)
			if i == 0 && errors.Is(err, unix.EPERM) && u.system.isLocal(to.Addr()) {
				u.forbidden[to] = struct{}{}
			}
			return sendFailure(err)
		}
	}
	delete(u.forbidden, to)
	return scan.CauseNone
}

// sendTo sends one datagram. The socket first reports errors of earlier datagrams, so it
// reads those and sends again.
func (u *udpProber) sendTo(fd int, data []byte, to netip.AddrPort) (err error) {
	var name unix.Sockaddr
	if to.Addr().Is4() {
		u.four.Addr, u.four.Port = to.Addr().As4(), int(to.Port())
		name = &u.four
	} else {
		u.six.Addr, u.six.Port = to.Addr().As16(), int(to.Port())
		name = &u.six
	}
	const enough = 3 // errors may come as fast as they are read
	for range enough {
		if err = unix.Sendto(fd, data, 0, name); err == nil {
			u.sentCount++
			return nil
		}
		if err == unix.EPERM { // of this datagram: no ICMP error has this number
			return err
		}
		u.completions = u.readErrors(fd, u.completions)
	}
	if classOf(err) == errnoRefused { // still an error of another port
		return unix.EAGAIN
	}
	return err
}

func (u *udpProber) wait(patience time.Duration, ended []completion) (all []completion, more bool) {
	if u.system.wantedCount.Load() > 0 {
		u.vacateWantedPorts()
	}
	ended = append(ended, u.completions...)
	u.completions = u.completions[:0]
	if len(ended) > 0 {
		patience = 0
	}
	before := u.readCount
	for _, p := range u.poller.wait(patience) {
		if p.Events&unix.EPOLLERR != 0 {
			ended = u.readErrors(int(p.Fd), ended)
			// The kernel queues an error before it sets SO_ERROR. Reading the queue in
			// between leaves SO_ERROR set.
			_, _ = unix.GetsockoptInt(int(p.Fd), unix.SOL_SOCKET, unix.SO_ERROR)
		}
		if p.Events&unix.EPOLLIN != 0 {
			ended = u.readReplies(int(p.Fd), ended)
		}
	}
	return ended, u.readCount > before
}

// readReplies reads pending datagrams of the socket, at most a batch.
func (u *udpProber) readReplies(fd int, ended []completion) []completion {
	for range maxBatch {
		size := uint32(unix.SizeofSockaddrInet6)
		n, _, errno := unix.Syscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&u.buffer[0])), uintptr(len(u.buffer)), //nolint:gosec // the kernel fills them at once
			unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&u.name)), uintptr(unsafe.Pointer(&size))) //nolint:gosec // the kernel fills them at once
		runtime.KeepAlive(u)
		if errno != 0 {
			return ended // errors are read from the queue
		}
		u.readCount++
		from := rawAddrPort(&u.name)
		if u.system.isOwnSocket(from) {
			continue
		}
		if u.isTFTPAnswer(fd, from, u.buffer[:n]) {
			from = netip.AddrPortFrom(from.Addr(), tftpPort)
		} else if asked, ok := u.attemptElsewhere(from, u.variant(fd, from)); ok {
			from = asked
		}
		ended = u.matchAnswer(fd, from, verdict{state: scan.Open, cause: scan.CauseReply}, ended)
	}
	return ended
}

// isTFTPAnswer reports whether a datagram is the answer of a TFTP server, which has a new
// source port. An answer from a port with an attempt in flight is that port's.
func (u *udpProber) isTFTPAnswer(fd int, from netip.AddrPort, data []byte) bool {
	if _, ok := u.tftpAsked[from.Addr()]; !ok || from.Port() == tftpPort {
		return false
	}
	if _, ok := u.inFlight[udpKey{from, u.variant(fd, from)}]; ok {
		return false
	}
	return payload.ForPort(tftpPort)[0].AcceptsFromOtherPort(data)
}

// readErrors empties the socket's error queue. Each entry has the port of the attempt.
func (u *udpProber) readErrors(fd int, ended []completion) []completion {
	for {
		report, ok := u.queue.read(fd)
		if !ok {
			return ended
		}
		u.readCount++
		if report.tooBig() {
			continue // of the path, not of the port
		}
		if _, ok := u.forbidden[report.to]; ok && report.offender == report.to.Addr() {
			continue // the filter's, which has the address of the port
		}
		v := u.system.errorVerdict(report, u.source)
		if v.ownICMP && report.portUnreachable() { // a router may refuse for it
			v.state = scan.Closed
		}
		ended = u.matchAnswer(fd, report.to, v, ended)
	}
}

// matchAnswer appends an answer to the attempt of the socket at an address and port.
func (u *udpProber) matchAnswer(fd int, from netip.AddrPort, v verdict, ended []completion) []completion {
	variant := u.variant(fd, from)
	e := completion{id: attemptID{slot: lateAnswer}, verdict: v, from: from, first: variant == 0 || variant == unresolvedSocket}
	if id, ok := u.inFlight[udpKey{from, variant}]; ok {
		u.drop(id.slot)
		e.id = id
	}
	return append(ended, e)
}

// variant returns the variant of a socket.
func (u *udpProber) variant(fd int, from netip.AddrPort) uint8 {
	for i, s := range u.sockets[slotFamily(from.Addr())] {
		if s.fd == fd {
			return uint8(i)
		}
	}
	return 0
}

func (u *udpProber) flush() (sent int) { return u.sentCount }

func (u *udpProber) drop(slot int32) {
	s := &u.slots[slot]
	if s.busy && u.inFlight[s.key] == s.id {
		delete(u.inFlight, s.key)
	}
	s.busy = false
}

func (u *udpProber) shut(slot int32) { u.freeSlots = append(u.freeSlots, slot) }

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/netip"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"portscan_exporter/internal/engine/packet"
)

// sender puts whole IP packets on the wire, many with one system call. The socket
// is of protocol IPPROTO_RAW (raw(7)): routes, neighbours, local filters and
// connection tracking work as for any packet, and the kernel hands it no copy of
// what comes in, nor of the errors.
type sender struct {
	fd       int
	family   uint8
	buffer   []byte
	ids      []attemptID
	vectors  [batch]unix.Iovec
	headers  [batch]mmsghdr
	names    [batch]unix.RawSockaddrInet6 // or the smaller one of IPv4
	nameSize uint32
}

// mmsghdr is a struct mmsghdr (sendmmsg(2)).
type mmsghdr struct {
	header unix.Msghdr
	sent   uint32
}

// mostSYN is the length of the longest packet that is sent.
const mostSYN = 64

// newSender returns a sender from the source, or from whichever address each
// packet names.
func newSender(family uint8, source netip.Addr) (*sender, error) {
	domain, level, option := unix.AF_INET, unix.SOL_IP, unix.IP_RECVERR
	size := uint32(unix.SizeofSockaddrInet4)
	if family == family6 {
		domain, level, option = unix.AF_INET6, unix.SOL_IPV6, unix.IPV6_RECVERR
		size = unix.SizeofSockaddrInet6
	}
	fd, err := openRaw(domain, unix.SOCK_RAW, unix.IPPROTO_RAW)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	// Without it the kernel is silent about packets that it drops for want of room
	// (raw_send_hdrinc in net/ipv4/raw.c).
	err = unix.SetsockoptInt(fd, level, option, 1)
	if err == nil && source.IsValid() && slotFamily(source) == family {
		err = bindTo(fd, source)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return &sender{fd: fd, family: family, buffer: make([]byte, 0, batch*mostSYN), nameSize: size}, nil
}

func (s *sender) close() { _ = unix.Close(s.fd) }

// add lets a SYN wait to be sent, and tells whether there is no room for more.
func (s *sender) add(id attemptID, from, to netip.AddrPort, sequence uint32) (full bool) {
	n, begin := len(s.ids), len(s.buffer)
	s.buffer = packet.AppendSYN(s.buffer, from, to, sequence)
	s.vectors[n].Base = &s.buffer[begin]
	s.vectors[n].SetLen(len(s.buffer) - begin)
	if s.family == family4 {
		name := (*unix.RawSockaddrInet4)(unsafe.Pointer(&s.names[n])) //nolint:gosec // the smaller fits
		*name = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: to.Addr().As4()}
	} else {
		s.names[n] = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: to.Addr().As16()}
	}
	s.ids = append(s.ids, id)
	return len(s.ids) == batch
}

// flush sends all that waits. What can't be sent is told to failed.
func (s *sender) flush(failed func(id attemptID, err error)) {
	for i := range s.ids {
		h := &s.headers[i].header
		h.Name = (*byte)(unsafe.Pointer(&s.names[i])) //nolint:gosec // the kernel reads it at once
		h.Namelen = s.nameSize
		h.Iov = &s.vectors[i]
		h.SetIovlen(1)
	}
	for from, tried := 0, false; from < len(s.ids); {
		n, err := s.transmit(s.headers[from:len(s.ids)])
		switch {
		case err == nil:
			from += n
			tried = false
		case !tried: // the error may belong to an earlier packet
			tried = true
		default:
			failed(s.ids[from], err)
			from++
			tried = false
		}
	}
	s.ids, s.buffer = s.ids[:0], s.buffer[:0]
}

func (s *sender) transmit(headers []mmsghdr) (int, error) {
	n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&headers[0])), uintptr(len(headers)), unix.MSG_DONTWAIT, 0, 0) //nolint:gosec // the kernel reads it at once
	runtime.KeepAlive(s)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// router finds out from which of our addresses packets to another one leave. A
// datagram socket that is connected sends nothing, but asks the same routes.
type router struct {
	bound netip.Addr // that the module asks for
	fds   [2]int     // by family; -1: not open
	known map[netip.Addr]netip.Addr
}

func newRouter(source netip.Addr) router {
	return router{bound: source, fds: [2]int{-1, -1}, known: make(map[netip.Addr]netip.Addr)}
}

func (r *router) close() {
	for _, fd := range r.fds {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// source returns our address towards another. What was found once is kept for the
// scan; an error is looked into again.
func (r *router) source(to netip.Addr) (netip.Addr, error) {
	if from, ok := r.known[to]; ok {
		return from, nil
	}
	fd, err := r.socket(slotFamily(to))
	if err != nil {
		return netip.Addr{}, err
	}
	const discard = 9 // any port: nothing is sent
	var remote unix.Sockaddr = &unix.SockaddrInet6{Addr: to.As16(), Port: discard}
	if to.Is4() {
		remote = &unix.SockaddrInet4{Addr: to.As4(), Port: discard}
	}
	if err := unix.Connect(fd, remote); err != nil {
		return netip.Addr{}, os.NewSyscallError("connect", err)
	}
	local, err := unix.Getsockname(fd)
	dissolve(fd) // or the next one leaves from the same address
	if err != nil {
		return netip.Addr{}, os.NewSyscallError("getsockname", err)
	}
	from := addrPortOf(local).Addr()
	r.known[to] = from
	return from, nil
}

func (r *router) socket(family uint8) (int, error) {
	if r.fds[family] >= 0 {
		return r.fds[family], nil
	}
	domain := unix.AF_INET
	if family == family6 {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if r.bound.IsValid() {
		if err := bindTo(fd, r.bound); err != nil {
			_ = unix.Close(fd)
			return -1, err
		}
	}
	r.fds[family] = fd
	return fd, nil
}

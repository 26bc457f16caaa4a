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

// sender sends complete IP packets, many with one system call. Its socket has the protocol
// IPPROTO_RAW (raw(7)): routes, neighbors, local filters and connection tracking apply as
// to all packets, and it receives no copies of incoming packets.
type sender struct {
	fd       int
	family   uint8
	buffer   []byte
	ids      []attemptID
	vectors  [maxBatch]unix.Iovec
	headers  [maxBatch]mmsghdr
	names    [maxBatch]unix.RawSockaddrInet6 // or the smaller one of IPv4
	nameSize uint32

	sentCount int
}

// mmsghdr is a struct mmsghdr (sendmmsg(2)).
type mmsghdr struct {
	header unix.Msghdr
	sent   uint32
}

// maxSYNSize is the maximum size of a SYN, in bytes.
const maxSYNSize = 64

// newSender returns a sender from the source address, or, if it is invalid, from the
// address in each packet.
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
	// Without this option the kernel does not report packets that it drops from a full
	// queue (raw_send_hdrinc in net/ipv4/raw.c).
	err = unix.SetsockoptInt(fd, level, option, 1)
	enlargeSendBuffer(fd)
	if err == nil && source.IsValid() && slotFamily(source) == family {
		err = bindTo(fd, source)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return &sender{fd: fd, family: family, buffer: make([]byte, 0, maxBatch*maxSYNSize), nameSize: size}, nil
}

// enlargeSendBuffer lets packets for as many unresolved next hops as possible wait in the kernel.
// The kernel limits the size (socket(7), wmem_max): by default, about 470 packets.
func enlargeSendBuffer(fd int) {
	const size = 1 << 20
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, size)
}

func (s *sender) close() { _ = unix.Close(s.fd) }

// add queues a SYN and reports whether the queue is full.
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
	return len(s.ids) == maxBatch
}

// flush sends the queue. It calls failed for packets that cannot be sent.
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
			s.sentCount += n
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

// sourceFinder finds the source address for packets to an address: the kernel selects a
// route and a source for a connected UDP socket without sending a packet.
type sourceFinder struct {
	configured netip.Addr // source_address of the module
	fds        [2]int     // by family; -1: not open
	cache      map[netip.Addr]netip.Addr
}

func newSourceFinder(source netip.Addr) sourceFinder {
	return sourceFinder{configured: source, fds: [2]int{-1, -1}, cache: make(map[netip.Addr]netip.Addr)}
}

func (f *sourceFinder) close() {
	for _, fd := range f.fds {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// source returns the source address for an address. It is cached for the scan, except for
// errors.
func (f *sourceFinder) source(to netip.Addr) (netip.Addr, error) {
	if from, ok := f.cache[to]; ok {
		return from, nil
	}
	fd, err := f.socket(slotFamily(to))
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
	disconnect(fd) // otherwise the next one would have the same source
	if err != nil {
		return netip.Addr{}, os.NewSyscallError("getsockname", err)
	}
	from := addrPortOf(local).Addr()
	if from.IsUnspecified() { // IPv6 returns this error
		return netip.Addr{}, os.NewSyscallError("connect", unix.EADDRNOTAVAIL)
	}
	f.cache[to] = from
	return from, nil
}

func (f *sourceFinder) socket(family uint8) (int, error) {
	if f.fds[family] >= 0 {
		return f.fds[family], nil
	}
	domain := unix.AF_INET
	if family == family6 {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if f.configured.IsValid() {
		if err := bindTo(fd, f.configured); err != nil {
			_ = unix.Close(fd)
			return -1, err
		}
	}
	f.fds[family] = fd
	return fd, nil
}

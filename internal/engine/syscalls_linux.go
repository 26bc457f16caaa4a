// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/binary"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// openSocket returns a TCP socket for attempts, with the source address if it is valid.
func openSocket(family uint8, source netip.Addr) (int, error) {
	domain, level, option := unix.AF_INET, unix.SOL_IP, unix.IP_RECVERR
	if family == family6 {
		domain, level, option = unix.AF_INET6, unix.SOL_IPV6, unix.IPV6_RECVERR
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	err = unix.SetsockoptInt(fd, level, option, 1)
	if err == nil && source.IsValid() {
		err = bindTo(fd, source)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// openSharing returns a socket that is bound to the local address and port, which others of
// this process may be bound to as well.
func openSharing(local netip.AddrPort) (int, error) {
	fd, err := openSocket(slotFamily(local.Addr()), netip.Addr{})
	if err != nil {
		return -1, err
	}
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	if err == nil {
		err = os.NewSyscallError("bind", unix.Bind(fd, sockaddr(local)))
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// bindTo binds the socket to the address. The port is chosen by connect(), which has more
// to choose from (ip(7), IP_BIND_ADDRESS_NO_PORT).
func bindTo(fd int, source netip.Addr) error {
	_ = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	return os.NewSyscallError("bind", unix.Bind(fd, sockaddr(netip.AddrPortFrom(source, 0))))
}

func sockaddr(at netip.AddrPort) unix.Sockaddr {
	if at.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())}
	}
	return &unix.SockaddrInet6{Addr: at.Addr().As16(), Port: int(at.Port())}
}

// disconnect returns the socket to the state of a new one (connect(2), AF_UNSPEC). It
// resets an established connection.
func disconnect(fd int) {
	var nowhere unix.RawSockaddr                                                                                        // AF_UNSPEC is 0
	_, _, _ = unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&nowhere)), unsafe.Sizeof(nowhere)) //nolint:gosec // the kernel reads it at once
}

// isSelfConnect reports whether a socket is connected to itself, because the kernel has
// chosen the tried port as the local one (RFC 9293 section 3.5, simultaneous open).
func isSelfConnect(fd int, to netip.AddrPort) bool {
	local, err := unix.Getsockname(fd)
	if err != nil {
		return false
	}
	return addrPortOf(local) == to
}

func addrPortOf(sa unix.Sockaddr) netip.AddrPort {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)) //nolint:gosec // a port
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port)) //nolint:gosec // a port
	default:
		return netip.AddrPort{}
	}
}

// icmpReport is one entry of an error queue.
type icmpReport struct {
	fromNetwork bool           // an ICMP error and not a local one
	kind, code  uint8          // of the ICMP error
	offender    netip.Addr     // sender of the ICMP error
	to          netip.AddrPort // destination of the attempt
}

// portUnreachable reports whether the error is "port unreachable" (RFC 792, RFC 4443 section
// 3.1).
func (r icmpReport) portUnreachable() bool {
	const unreachable4, port4, unreachable6, port6 = 3, 3, 1, 4
	if r.to.Addr().Is4() {
		return r.kind == unreachable4 && r.code == port4
	}
	return r.kind == unreachable6 && r.code == port6
}

// hostUnreachable reports whether the error is the one that the kernel itself sends if a
// neighbor does not resolve (RFC 792, and RFC 4443 section 3.1).
func (r icmpReport) hostUnreachable() bool {
	const unreachable4, host4, unreachable6, address6 = 3, 1, 1, 3
	if r.to.Addr().Is4() {
		return r.kind == unreachable4 && r.code == host4
	}
	return r.kind == unreachable6 && r.code == address6
}

// tooBig reports whether the error is about the size of the datagram (RFC 1191 section 4,
// RFC 4443 section 3.2) and not about the port.
func (r icmpReport) tooBig() bool {
	const unreachable4, fragment4, tooBig6 = 3, 4, 2
	if r.to.Addr().Is4() {
		return r.kind == unreachable4 && r.code == fragment4
	}
	return r.kind == tooBig6
}

// errorQueue reads sockets' error queues (ip(7), MSG_ERRQUEUE).
type errorQueue struct {
	control [512]byte
	data    [1]byte
	name    unix.RawSockaddrInet6 // or the smaller one of IPv4
	vector  unix.Iovec
	header  unix.Msghdr
}

// read removes and returns the next entry; ok is false if there is none.
func (q *errorQueue) read(fd int) (r icmpReport, ok bool) {
	q.vector.Base = &q.data[0]
	q.vector.SetLen(len(q.data))
	q.header = unix.Msghdr{
		Name: (*byte)(unsafe.Pointer(&q.name)), Namelen: unix.SizeofSockaddrInet6, //nolint:gosec // the kernel fills it at once
		Iov: &q.vector, Control: &q.control[0],
	}
	q.header.SetIovlen(1)
	q.header.SetControllen(len(q.control))
	_, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&q.header)), //nolint:gosec // the kernel fills it at once
		unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
	if errno != 0 {
		return r, false
	}
	to := rawAddrPort(&q.name)
	messages, err := unix.ParseSocketControlMessage(q.control[:q.header.Controllen])
	if err != nil {
		return icmpReport{to: to}, true
	}
	for _, m := range messages {
		v4 := m.Header.Level == unix.SOL_IP && m.Header.Type == unix.IP_RECVERR
		v6 := m.Header.Level == unix.SOL_IPV6 && m.Header.Type == unix.IPV6_RECVERR
		if v4 || v6 {
			r = parseExtended(m.Data)
			break
		}
	}
	r.to = to
	return r, true
}

// rawAddrPort returns the address and port that the kernel has written.
func rawAddrPort(name *unix.RawSockaddrInet6) netip.AddrPort {
	// The port has the same offset in both families, in network byte order.
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&name.Port))[:]) //nolint:gosec // two bytes
	if name.Family == unix.AF_INET {
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(name)) //nolint:gosec // the smaller fits
		return netip.AddrPortFrom(netip.AddrFrom4(four.Addr), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16(name.Addr).Unmap(), port)
}

// parseExtended parses a struct sock_extended_err (linux/errqueue.h), which the offender's
// address follows.
func parseExtended(data []byte) (r icmpReport) {
	const originAt, kindAt, codeAt, size, originICMP, originICMP6 = 4, 5, 6, 16, 2, 3
	if len(data) < size {
		return r
	}
	r.fromNetwork = data[originAt] == originICMP || data[originAt] == originICMP6
	r.kind, r.code = data[kindAt], data[codeAt]
	data = data[size:]
	if len(data) < 2 {
		return r
	}
	switch family := binary.NativeEndian.Uint16(data); {
	case family == unix.AF_INET && len(data) >= 8:
		r.offender = netip.AddrFrom4([4]byte(data[4:8]))
	case family == unix.AF_INET6 && len(data) >= 24:
		r.offender = netip.AddrFrom16([16]byte(data[8:24])).Unmap()
	}
	return r
}

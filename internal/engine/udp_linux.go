// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// NewUDP returns the engine of UDP scans at its best on this system: on Linux, a few
// sockets for all ports, whose error queues say which of them are closed. All its
// scans stay within the budget. What is sent to a port is package payload's, and
// sent at each attempt.
func NewUDP(budget *Budget) (*Engine, error) {
	if budget == nil {
		return nil, errNoBudget
	}
	return &Engine{budget: budget, system: &udpSystem{many: countPayloads(), held: make(map[uint16]int), scanned: make(map[uint16]struct{})}}, nil
}

// udpSystem is the system of UDP scans.
type udpSystem struct {
	listening

	many   payloadCounts
	wanted atomic.Int32 // how many ports are wanted

	mu   sync.Mutex
	held map[uint16]int // local ports of all lines, and how many sockets have each
	// Ports that some line scans and another one holds.
	scanned map[uint16]struct{}
}

// hold notes that a port is ours, or that it no longer is.
func (s *udpSystem) hold(port uint16, change int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[port] += change; s.held[port] == 0 {
		delete(s.held, port)
	}
}

// want notes that a line scans a port that another one holds. With add false it tells
// whether somebody wants the port, who then does no more.
func (s *udpSystem) want(port uint16, add bool) (wanted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, wanted = s.scanned[port]
	if add {
		s.scanned[port] = struct{}{}
	} else {
		delete(s.scanned, port)
	}
	s.wanted.Store(int32(len(s.scanned))) //nolint:gosec // ports
	return wanted
}

// isOurs tells whether a socket of ours is at the other end: what it receives is no
// service's, and what it sends is no answer.
func (s *udpSystem) isOurs(at netip.AddrPort) bool {
	s.mu.Lock()
	held := s.held[at.Port()] > 0
	s.mu.Unlock()
	return held && s.ours(at.Addr())
}

func (s *udpSystem) line(_ context.Context, source netip.Addr, _ int) (line, error) {
	return newDatagrams(s, source)
}

func (s *udpSystem) packets(port uint16) int { return max(1, s.many[port]) }

func (*udpSystem) close() {}

// openDatagrams returns a socket for datagrams to anybody, from the source where it
// is valid, with its error queue on (ip(7), IP_RECVERR), and its local port.
func openDatagrams(family uint8, source netip.Addr) (fd int, port uint16, err error) {
	domain, level, option := unix.AF_INET, unix.SOL_IP, unix.IP_RECVERR
	if family == family6 {
		domain, level, option = unix.AF_INET6, unix.SOL_IPV6, unix.IPV6_RECVERR
	}
	fd, err = unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
	if err != nil {
		return -1, 0, os.NewSyscallError("socket", err)
	}
	err = unix.SetsockoptInt(fd, level, option, 1)
	if err == nil && family == family6 {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	if err == nil {
		port, err = bindAny(fd, family, source)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, 0, err
	}
	return fd, port, nil
}

// bindAny binds the socket to a free port, which it returns, of the source where
// that is valid.
func bindAny(fd int, family uint8, source netip.Addr) (uint16, error) {
	var at unix.Sockaddr = &unix.SockaddrInet4{}
	switch {
	case source.Is4():
		at = &unix.SockaddrInet4{Addr: source.As4()}
	case source.IsValid():
		at = &unix.SockaddrInet6{Addr: source.As16()}
	case family == family6:
		at = &unix.SockaddrInet6{}
	}
	if err := unix.Bind(fd, at); err != nil {
		return 0, os.NewSyscallError("bind", err)
	}
	local, err := unix.Getsockname(fd)
	if err != nil {
		return 0, os.NewSyscallError("getsockname", err)
	}
	return addrPortOf(local).Port(), nil
}

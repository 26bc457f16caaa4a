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

// NewUDP returns the engine of UDP scans. On Linux it has a few sockets for all ports; their
// error queues report closed ports. All scans share the budget. Each attempt sends the
// datagrams of package payload.
func NewUDP(budget *Budget) (*Engine, error) {
	if budget == nil {
		return nil, errNoBudget
	}
	return &Engine{budget: budget, system: &udpSystem{datagrams: countPayloads(), held: make(map[uint16]int), wantedPorts: make(map[uint16]struct{})}}, nil
}

// udpSystem implements [system] for UDP scans.
type udpSystem struct {
	sharedSockets

	datagrams   payloadCounts
	wantedCount atomic.Int32 // number of wanted ports

	mu   sync.Mutex
	held map[uint16]int // number of sockets of all probers by local port
	// Ports that one prober scans and another one holds.
	wantedPorts map[uint16]struct{}
}

// holdPort counts a socket with the local port, or its end.
func (s *udpSystem) holdPort(port uint16, change int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[port] += change; s.held[port] == 0 {
		delete(s.held, port)
	}
}

// markWanted notes that a prober scans a port that another one holds. With add false it
// removes such a note and reports whether there was one.
func (s *udpSystem) markWanted(port uint16, add bool) (wanted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, wanted = s.wantedPorts[port]
	if add {
		s.wantedPorts[port] = struct{}{}
	} else {
		delete(s.wantedPorts, port)
	}
	s.wantedCount.Store(int32(len(s.wantedPorts))) //nolint:gosec // ports
	return wanted
}

// isOwnSocket reports whether the address and port are those of a socket of this engine,
// which is not a service.
func (s *udpSystem) isOwnSocket(at netip.AddrPort) bool {
	s.mu.Lock()
	held := s.held[at.Port()] > 0
	s.mu.Unlock()
	return held && s.isLocal(at.Addr())
}

func (s *udpSystem) newProber(_ context.Context, source netip.Addr, _ int, _ lateDetector) (prober, error) {
	return newUDPProber(s, source)
}

func (s *udpSystem) traits() traits {
	t := s.sharedSockets.traits()
	t.datagrams = s.datagrams
	return t
}

func (*udpSystem) close() {}

// openUDPSocket returns an unconnected UDP socket with the source address, if it is valid,
// and an error queue (ip(7), IP_RECVERR), and its local port.
func openUDPSocket(family uint8, source netip.Addr) (fd int, port uint16, err error) {
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

// bindAny binds the socket to the source address, if it is valid, and returns the local
// port that the kernel has chosen.
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

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// NewSYN returns the engine of half-open scans. It sends SYNs on a raw socket and receives
// answers from the ring of a packet socket. The kernel, which has no such connection,
// answers a SYN+ACK with a RST, so the target keeps no state. All scans share the budget.
// The error is that of [CheckSYN].
//
// Limitations:
//   - If a local filter drops a SYN+ACK, the kernel sends no RST and the target keeps the
//     half-open connection until its timeout.
//   - A port is open if anything answers with a SYN+ACK, also a proxy or SYN cookies.
//   - A port is unknown if this machine translates the addresses or ports of its packets.
func NewSYN(budget *Budget) (*Engine, error) {
	if budget == nil {
		return nil, errNoBudget
	}
	if err := CheckSYN(); err != nil {
		return nil, err
	}
	return &Engine{budget: budget, system: &synSystem{}}, nil
}

// ErrNoRaw is the error for a missing capability CAP_NET_RAW.
var ErrNoRaw = errors.New("missing capability CAP_NET_RAW: " +
	"grant it with setcap cap_net_raw=p on the binary, AmbientCapabilities=CAP_NET_RAW in systemd, or --cap-add=NET_RAW in a container")

// CheckSYN returns the reason if half-open scans cannot be made: [ErrNoRaw], or an error of
// the system. It may be called concurrently.
func CheckSYN() error {
	for _, kind := range [][3]int{
		{unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW},
		{unix.AF_PACKET, unix.SOCK_DGRAM, 0},
	} {
		fd, err := openRaw(kind[0], kind[1], kind[2])
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
			return ErrNoRaw
		}
		if err != nil {
			return fmt.Errorf("opening a raw socket: %w", err)
		}
		_ = unix.Close(fd)
	}
	return nil
}

// synSystem implements [system] for half-open scans.
type synSystem struct {
	sharedSockets

	pool receiverPool
	nat  natMonitor
}

func (s *synSystem) newProber(_ context.Context, source netip.Addr, attempts int, _ lateDetector) (prober, error) {
	return newSYNProber(s, source, ringFor(attempts))
}

func (s *synSystem) close() {
	s.pool.close()
	s.nat.close()
}

// holdPorts reserves up to limit local ports in both families by binding sockets. They do not
// listen, so that the kernel resets connections to them.
func holdPorts(limit int) (fds []int, ports []uint16, err error) {
	for range limit {
		fd, port, err := holdPort()
		if err != nil && len(fds) > 0 {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		fds, ports = append(fds, fd), append(ports, port)
	}
	return fds, ports, nil
}

func holdPort() (fd int, port uint16, err error) {
	var at unix.Sockaddr = &unix.SockaddrInet6{}
	fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
	} else { // this machine has no IPv6
		at = &unix.SockaddrInet4{}
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
		if err != nil {
			return -1, 0, os.NewSyscallError("socket", err)
		}
	}
	var local unix.Sockaddr
	if err == nil {
		err = unix.Bind(fd, at)
	}
	if err == nil {
		local, err = unix.Getsockname(fd)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, 0, os.NewSyscallError("socket", err)
	}
	return fd, addrPortOf(local).Port(), nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

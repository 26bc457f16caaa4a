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

// NewSYN returns the engine of half-open scans: packets of our own on a raw
// socket, answers from a packet socket's ring. A port is never connected to: a
// SYN+ACK is answered by this machine's kernel, which knows of no connection, with
// a RST, so that nothing is left at the target. All its scans stay within the
// budget. The error is [CheckSYN]'s.
//
// What it can't tell:
//   - a filter on this machine that drops before TCP sees the SYN+ACK keeps the
//     kernel's RST from being sent, and the target waits for a while;
//   - a port is open as soon as something completes half a handshake for it, a
//     proxy or a SYN cookie included.
func NewSYN(budget *Budget) (*Engine, error) {
	if budget == nil {
		return nil, errNoBudget
	}
	if err := CheckSYN(); err != nil {
		return nil, err
	}
	return &Engine{budget: budget, system: &rawSystem{}}, nil
}

// ErrNoRaw says that this process may not make packets of its own, and what to
// grant.
var ErrNoRaw = errors.New("missing capability CAP_NET_RAW: " +
	"grant it with setcap cap_net_raw=ep on the binary, AmbientCapabilities=CAP_NET_RAW in systemd, or --cap-add=NET_RAW in a container")

// CheckSYN returns why half-open scans can't be made here: [ErrNoRaw] for want of
// the capability (capabilities(7)), or whatever the system says. It may be called
// concurrently.
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

// rawSystem is the system of half-open scans.
type rawSystem struct {
	listening

	pool receivers
}

func (s *rawSystem) line(_ context.Context, source netip.Addr, attempts int) (line, error) {
	return newHalfOpen(s, source, ringFor(attempts))
}

func (*rawSystem) packets(uint16) int { return 1 }

func (s *rawSystem) close() { s.pool.close() }

// holdPorts binds sockets to so many local ports, in both families, which nobody else
// is given then; to fewer where there are no more. They don't listen, so that the
// kernel resets whatever connection is opened to them.
func holdPorts(most int) (fds []int, ports []uint16, err error) {
	for range most {
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

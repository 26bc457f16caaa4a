// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"portscan_exporter/internal/engine/packet"
)

// natSocket is a packet socket that receives sent packets, see [packet.TranslatedFilter].
// It has no ring: few packets pass the filter, and the kernel takes about 20 ms to create
// a ring.
type natSocket struct {
	fd     int
	buffer [packet.SnapLen]byte
}

func newNATSocket() (*natSocket, error) {
	fd, err := openRaw(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK, 0) // without a protocol, it receives no packets yet
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	s := &natSocket{fd: fd}
	if err := s.prepare(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *natSocket) prepare() error {
	program, err := packet.TranslatedFilter()
	if err != nil {
		return fmt.Errorf("assembling the filter for translated packets: %w", err)
	}
	if err := attachFilter(s.fd, program); err != nil {
		return err
	}
	const size = 1 << 20 // the kernel grants less without another privilege
	if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, size); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	// Sockets of a single protocol do not receive sent packets.
	const all = uint16(unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8)
	return os.NewSyscallError("bind", unix.Bind(s.fd, &unix.SockaddrLinklayer{Protocol: all}))
}

func (s *natSocket) close() { _ = unix.Close(s.fd) }

// read hands over the received SYNs, and reports whether others found the buffer full.
func (s *natSocket) read(take func(syn packet.SYN)) (overflow bool) {
	const most = 1 << 14 // more than the buffer holds
	received := false
	for range most {
		n, err := unix.Read(s.fd, s.buffer[:])
		if err != nil {
			break
		}
		received = true
		if syn, ok := packet.ParseSYN(s.buffer[:n]); ok {
			take(syn)
		}
	}
	if !received {
		return false
	}
	stats, err := unix.GetsockoptTpacketStats(s.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS) // resets the counter
	return err != nil || stats.Drops > 0
}

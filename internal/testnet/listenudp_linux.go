// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"portscan_exporter/internal/scan"
)

// openUDP opens the UDP listeners of a host in the host's process, one dual-stack socket per
// port.
func (ta *task) openUDP(t *testing.T) {
	t.Helper()
	config := net.ListenConfig{Control: receiveDestination}
	for answer, text := range ta.ListenUDP {
		ports, err := scan.ParsePortSet(text)
		if err != nil {
			t.Fatal(err)
		}
		for port := range ports.All() {
			// The listener stays open until the process ends, not only until the test does.
			packets, err := config.ListenPacket(context.Background(), "udp", fmt.Sprintf(":%d", port)) //nolint:usetesting // see above
			if err != nil {
				t.Fatal(err)
			}
			conn, ok := packets.(*net.UDPConn)
			if !ok {
				t.Fatalf("UDP socket has type %T, want *net.UDPConn", packets)
			}
			go ta.handleDatagrams(conn, answer)
		}
	}
}

// receiveDestination enables the destination address of received datagrams. IPv4 addresses are
// IPv4-mapped.
func receiveDestination(_, _ string, c syscall.RawConn) error {
	return controlSocket(c, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_RECVPKTINFO, 1) })
}

// handleDatagrams handles datagrams according to the answer until the process ends.
func (ta *task) handleDatagrams(conn *net.UDPConn, answer UDPAnswer) {
	reply := []byte("testnet")
	data, info := make([]byte, 1), make([]byte, unix.CmsgSpace(unix.SizeofInet6Pktinfo)) // the content is ignored
	for {
		_, n, _, from, err := conn.ReadMsgUDPAddrPort(data, info)
		destination, ok := parseDestination(info[:n])
		if err != nil || !ok {
			time.Sleep(time.Millisecond) // temporarily out of memory
			continue
		}
		// The test detects a reply that could not be sent.
		switch answer {
		case UDPReply:
			_ = sendAs(conn, reply, destination, from)
		case UDPReplyElsewhere:
			_ = sendFromOtherPort(destination, from)
		case UDPReplyOtherAddr:
			if other, found := ta.otherAddr(destination); found {
				_ = sendAs(conn, reply, other, from)
			}
		default: // no reply
		}
	}
}

// parseDestination returns the destination address of a datagram.
func parseDestination(info []byte) (addr netip.Addr, ok bool) {
	messages, err := unix.ParseSocketControlMessage(info)
	if err != nil {
		return netip.Addr{}, false
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_IPV6 && m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= unix.SizeofInet6Pktinfo {
			return netip.AddrFrom16([16]byte(m.Data)).Unmap(), true
		}
	}
	return netip.Addr{}, false
}

// otherAddr returns another address of the host of the same family.
func (ta *task) otherAddr(not netip.Addr) (other netip.Addr, found bool) {
	for _, addr := range ta.Addrs {
		if addr != not && addr.Is4() == not.Is4() {
			return addr, true
		}
	}
	return netip.Addr{}, false
}

// sendAs sends a datagram with the source address from the socket's port.
func sendAs(conn *net.UDPConn, data []byte, src netip.Addr, to netip.AddrPort) error {
	info := unix.PktInfo6(&unix.Inet6Pktinfo{Addr: src.As16()})
	_, _, err := conn.WriteMsgUDPAddrPort(data, info, to)
	return err
}

// sendFromOtherPort sends a TFTP error (RFC 1350 section 5) from a temporary port.
func sendFromOtherPort(src netip.Addr, to netip.AddrPort) error {
	local := net.UDPAddrFromAddrPort(netip.AddrPortFrom(src, 0))
	remote := net.UDPAddrFromAddrPort(netip.AddrPortFrom(to.Addr().Unmap(), to.Port()))
	conn, err := net.DialUDP("udp", local, remote)
	if err != nil {
		return err
	}
	_, err = conn.Write([]byte("\x00\x05\x00\x01no\x00"))
	if closed := conn.Close(); err == nil {
		err = closed
	}
	return err
}

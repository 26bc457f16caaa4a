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

// openUDP makes the UDP listeners of a host, in the host's process: for each
// port a socket of both families.
func (do *task) openUDP(t *testing.T) {
	t.Helper()
	config := net.ListenConfig{Control: tellsAddress}
	for answer, text := range do.ListenUDP {
		ports, err := scan.ParsePortSet(text)
		if err != nil {
			t.Fatal(err)
		}
		for port := range ports.All() {
			// Not the test's own context: it is the process that ends the listener.
			packets, err := config.ListenPacket(context.Background(), "udp", fmt.Sprintf(":%d", port)) //nolint:usetesting // see above
			if err != nil {
				t.Fatal(err)
			}
			conn, ok := packets.(*net.UDPConn)
			if !ok {
				t.Fatalf("a UDP socket is a %T", packets)
			}
			go do.attend(conn, answer)
		}
	}
}

// tellsAddress has a socket say to which of the host's addresses a datagram was
// sent, those of IPv4 in the form that IPv6 has for them.
func tellsAddress(_, _ string, c syscall.RawConn) error {
	return control(c, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_RECVPKTINFO, 1) })
}

// attend does with every datagram what the answer says, until the process ends.
func (do *task) attend(conn *net.UDPConn, answer UDPAnswer) {
	reply := []byte("lab")
	data, info := make([]byte, 1), make([]byte, unix.CmsgSpace(unix.SizeofInet6Pktinfo)) // what the datagram says does not matter
	for {
		_, n, _, from, err := conn.ReadMsgUDPAddrPort(data, info)
		asked, told := addressed(info[:n])
		if err != nil || !told {
			time.Sleep(time.Millisecond) // out of memory for a moment
			continue
		}
		// A reply that gets lost is an answer that is missing, which the test will see.
		switch answer {
		case UDPReply:
			_ = sendAs(conn, reply, asked, from)
		case UDPReplyElsewhere:
			_ = sendElsewhere(asked, from)
		case UDPReplyOtherAddr:
			if other, has := do.besides(asked); has {
				_ = sendAs(conn, reply, other, from)
			}
		default: // mute
		}
	}
}

// addressed returns the address to which a datagram was sent.
func addressed(info []byte) (addr netip.Addr, told bool) {
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

// besides returns another address of the host's of the same family.
func (do *task) besides(asked netip.Addr) (other netip.Addr, has bool) {
	for _, addr := range do.Addrs {
		if addr != asked && addr.Is4() == asked.Is4() {
			return addr, true
		}
	}
	return netip.Addr{}, false
}

// sendAs sends a datagram from the socket's port of that address.
func sendAs(conn *net.UDPConn, data []byte, src netip.Addr, to netip.AddrPort) error {
	info := unix.PktInfo6(&unix.Inet6Pktinfo{Addr: src.As16()})
	_, _, err := conn.WriteMsgUDPAddrPort(data, info, to)
	return err
}

// sendElsewhere sends an error of TFTP's (RFC 1350 section 5) from a port of its
// own, which exists for as long as that takes and hears nobody else.
func sendElsewhere(src netip.Addr, to netip.AddrPort) error {
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

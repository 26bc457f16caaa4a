// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// nextHop is the node to which this host hands packets for an address.
type nextHop struct {
	link  int        // index of the interface
	addr  netip.Addr // the gateway, or the address itself
	local bool       // the address is this host's
}

// resolvedStates are the states of a neighbor entry with a link-layer address
// (rtnetlink(7), struct ndmsg).
const resolvedStates = unix.NUD_REACHABLE | unix.NUD_STALE | unix.NUD_DELAY | unix.NUD_PROBE | unix.NUD_NOARP | unix.NUD_PERMANENT

// nextHopOf asks the kernel for the route from the source, which is invalid if the
// system may choose it, to an address (RTM_GETROUTE).
func nextHopOf(source, to netip.Addr) (nextHop, error) {
	const header, typeAt = unix.SizeofRtMsg, 7
	message := make([]byte, header)
	message[0], message[1] = addressFamily(to), byte(to.BitLen()) //nolint:gosec // 32 or 128
	message = appendAttribute(message, unix.RTA_DST, to.AsSlice())
	if source.IsValid() && source.Is4() == to.Is4() {
		message[2] = byte(source.BitLen()) //nolint:gosec // 32 or 128
		message = appendAttribute(message, unix.RTA_SRC, source.AsSlice())
	}
	answer, err := askNetlink(unix.RTM_GETROUTE, unix.RTM_NEWROUTE, message)
	if err != nil || len(answer) < header {
		return nextHop{}, os.NewSyscallError("netlink", err)
	}
	hop := nextHop{addr: to, local: answer[typeAt] == unix.RTN_LOCAL}
	for kind, value := range attributes(answer[header:]) {
		switch {
		case kind == unix.RTA_OIF && len(value) == 4:
			hop.link = int(binary.NativeEndian.Uint32(value))
		case kind == unix.RTA_GATEWAY:
			hop.addr, _ = netip.AddrFromSlice(value)
		case kind == unix.RTA_VIA && len(value) > 2: // struct rtvia: a gateway of another family
			hop.addr, _ = netip.AddrFromSlice(value[2:])
		}
	}
	return hop, nil
}

// resolved reports whether the kernel has the link-layer address of the next hop, or
// needs none. An entry that is missing is not resolved: the table may be full, or the
// entry may have been removed after a failure.
func (h nextHop) resolved() bool {
	if h.local || !h.hasNeighbors() {
		return true
	}
	const header, linkAt, stateAt = unix.SizeofNdMsg, 4, 8
	message := make([]byte, header)
	message[0] = addressFamily(h.addr)
	binary.NativeEndian.PutUint32(message[linkAt:], uint32(h.link)) //nolint:gosec // an index
	message = appendAttribute(message, unix.NDA_DST, h.addr.AsSlice())
	answer, err := askNetlink(unix.RTM_GETNEIGH, unix.RTM_NEWNEIGH, message)
	return err == nil && len(answer) >= header && binary.NativeEndian.Uint16(answer[stateAt:])&resolvedStates != 0
}

// hasNeighbors reports whether the interface resolves addresses; tunnels do not
// (netdevice(7), IFF_NOARP).
func (h nextHop) hasNeighbors() bool {
	link, err := net.InterfaceByIndex(h.link)
	if err != nil {
		return true
	}
	request, err := unix.NewIfreq(link.Name)
	if err != nil {
		return true
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return true
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, request); err != nil {
		return true
	}
	return request.Uint16()&(unix.IFF_NOARP|unix.IFF_LOOPBACK) == 0
}

func addressFamily(addr netip.Addr) byte {
	if addr.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// askNetlink sends a request for one entry, and returns the body of the answer, which
// must be of the wanted type. An entry that does not exist is an error.
func askNetlink(request, wanted uint16, body []byte) ([]byte, error) {
	const timeout = time.Second
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(fd) }()
	limit := unix.NsecToTimeval(timeout.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		return nil, err
	}
	message := make([]byte, unix.SizeofNlMsghdr, unix.SizeofNlMsghdr+len(body))
	binary.NativeEndian.PutUint32(message, uint32(cap(message))) //nolint:gosec // some dozen bytes
	binary.NativeEndian.PutUint16(message[4:], request)
	binary.NativeEndian.PutUint16(message[6:], unix.NLM_F_REQUEST)
	message = append(message, body...)
	if err := unix.Sendto(fd, message, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	answer := make([]byte, unix.Getpagesize())
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return nil, err
	}
	messages, err := syscall.ParseNetlinkMessage(answer[:n])
	if err != nil {
		return nil, err
	}
	if len(messages) == 0 || messages[0].Header.Type != wanted {
		return nil, unix.ENOENT
	}
	return messages[0].Data, nil
}

// appendAttribute appends a struct rtattr with its value, padded to four bytes.
func appendAttribute(message []byte, kind uint16, value []byte) []byte {
	message = binary.NativeEndian.AppendUint16(message, uint16(unix.SizeofRtAttr+len(value))) //nolint:gosec // 20 at most
	message = append(binary.NativeEndian.AppendUint16(message, kind), value...)
	for len(message)%unix.RTA_ALIGNTO != 0 {
		message = append(message, 0)
	}
	return message
}

// attributes yields the attributes of a message of routes or neighbors, up to the first
// malformed one.
func attributes(data []byte) func(yield func(kind uint16, value []byte) bool) {
	return func(yield func(uint16, []byte) bool) {
		for len(data) >= unix.SizeofRtAttr {
			size := int(binary.NativeEndian.Uint16(data))
			if size < unix.SizeofRtAttr || size > len(data) {
				return
			}
			if !yield(binary.NativeEndian.Uint16(data[2:]), data[unix.SizeofRtAttr:size]) {
				return
			}
			data = data[min((size+unix.RTA_ALIGNTO-1)&^(unix.RTA_ALIGNTO-1), len(data)):]
		}
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// resolvedStates are the states of a neighbor entry with a link-layer address
// (rtnetlink(7), struct ndmsg).
const resolvedStates = unix.NUD_REACHABLE | unix.NUD_STALE | unix.NUD_DELAY | unix.NUD_PROBE | unix.NUD_NOARP | unix.NUD_PERMANENT

// routeOf asks the kernel for the route from the source, which is invalid if the system may
// choose it, to an address (RTM_GETROUTE), and returns its next hop and the source. A route
// is of no use without an address to send from: IPv4 would send from 0.0.0.0.
func routeOf(source, to netip.Addr) (hop nextHop, from netip.Addr, err error) {
	const header, typeAt = unix.SizeofRtMsg, 7
	message := make([]byte, header)
	message[0], message[1] = addressFamily(to), byte(to.BitLen()) //nolint:gosec // 32 or 128
	message = appendAttribute(message, unix.RTA_DST, to.AsSlice())
	if source.IsValid() && source.Is4() == to.Is4() {
		from = source
		message[2] = byte(source.BitLen()) //nolint:gosec // 32 or 128
		message = appendAttribute(message, unix.RTA_SRC, source.AsSlice())
	}
	answer, err := askNetlink(unix.RTM_GETROUTE, unix.RTM_NEWROUTE, message)
	if err != nil {
		return nextHop{}, netip.Addr{}, newRouteError(err, to)
	}
	if len(answer) < header {
		return nextHop{}, netip.Addr{}, unix.EBADMSG
	}
	hop = nextHop{addr: to, local: answer[typeAt] == unix.RTN_LOCAL}
	for kind, value := range attributes(answer[header:]) {
		switch {
		case kind == unix.RTA_OIF && len(value) == 4:
			hop.link = int(binary.NativeEndian.Uint32(value))
		case kind == unix.RTA_PREFSRC:
			from, _ = netip.AddrFromSlice(value)
		case kind == unix.RTA_GATEWAY:
			hop.addr, _ = netip.AddrFromSlice(value)
		case kind == unix.RTA_VIA && len(value) > 2: // struct rtvia: a gateway of another family
			hop.addr, _ = netip.AddrFromSlice(value[2:])
		}
	}
	if !from.IsValid() || isOfLinkOnly(from, to, hop) {
		return nextHop{}, netip.Addr{}, errNoSource
	}
	return hop, from, nil
}

// newRouteError returns the error for an error of the kernel. Without IPv6, the kernel does not
// support requests for its routes.
func newRouteError(err error, to netip.Addr) error {
	if errors.Is(err, unix.ENETUNREACH) || to.Is6() && errors.Is(err, unix.EOPNOTSUPP) {
		return errNoRoute
	}
	return err
}

// isOfLinkOnly reports whether the source is a link-local address of IPv6 and the packets need a
// router, which does not forward them (RFC 4291 section 2.5.6). The kernel selects such a source
// without a global one.
func isOfLinkOnly(from, to netip.Addr, hop nextHop) bool {
	return from.Is6() && from.IsLinkLocalUnicast() && to.Is6() && hop.addr != to
}

// nextHop implements [linkLayer]. If the kernel chooses the source of an IPv4 connection, it
// looks up the route again with that source (ip_route_connect in include/net/route.h). Rules
// and multipath routes may depend on it.
func (m *machine) nextHop(source, addr netip.Addr) (nextHop, error) {
	hop, from, err := routeOf(source, addr)
	if err == nil && from != source && m.connects && addr.Is4() {
		hop, _, err = routeOf(from, addr)
	}
	if err != nil {
		return nextHop{}, err
	}
	hop.needsNeighbor = !hop.local && m.links.hasNeighbors(hop.link)
	return hop, nil
}

// linkCache has the interfaces that resolve addresses, by index, for a second.
type linkCache struct {
	mu        sync.Mutex
	neighbors map[int]bool
	read      time.Time
}

func (l *linkCache) hasNeighbors(index int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.read) > time.Second {
		l.neighbors, l.read = make(map[int]bool), time.Now()
	}
	has, ok := l.neighbors[index]
	if !ok {
		has = hasNeighbors(index)
		l.neighbors[index] = has
	}
	return has
}

// neighborEntry implements [linkLayer]. If a link fails, the kernel removes all entries except
// static ones, which do not count then.
func (*machine) neighborEntry(hop nextHop) neighborEntry {
	request := make([]byte, unix.SizeofNdMsg)
	request[0] = addressFamily(hop.addr)
	binary.NativeEndian.PutUint32(request[ndmLink:], uint32(hop.link)) //nolint:gosec // an index
	request = appendAttribute(request, unix.NDA_DST, hop.addr.AsSlice())
	answer, err := askNetlink(unix.RTM_GETNEIGH, unix.RTM_NEWNEIGH, request)
	if errors.Is(err, unix.EOPNOTSUPP) { // before Linux 5.0
		answer, err = findNeighbor(hop)
	}
	if err != nil {
		return neighborEntry{}
	}
	message, entry := parseNeighbor(answer), neighborEntry{}
	switch entry.age = message.updated; {
	case message.state&unix.NUD_PERMANENT != 0 && !isRunning(hop.link): // of a failed link
	case message.state&resolvedStates != 0:
		entry.state = neighborResolved
	case message.state&unix.NUD_FAILED != 0:
		entry.state = neighborFailed
	case message.state&unix.NUD_INCOMPLETE != 0:
		entry.state = neighborIncomplete
	}
	return entry
}

// findNeighbor returns the message of the next hop's entry from a dump of its link.
func findNeighbor(hop nextHop) (entry []byte, err error) {
	err = dumpNeighbors(hop, func(data []byte) (more bool) {
		for kind, value := range attributes(data[min(unix.SizeofNdMsg, len(data)):]) {
			if kind == unix.NDA_DST && bytes.Equal(value, hop.addr.AsSlice()) && parseNeighbor(data).link == hop.link {
				entry = data
			}
		}
		return entry == nil
	})
	if err == nil && entry == nil {
		err = unix.ENOENT
	}
	return entry, err
}

// dumpNeighbors passes the entries of the next hop's family and link to take, until it returns
// false. Old kernels include other links.
func dumpNeighbors(hop nextHop, take func(data []byte) (more bool)) error {
	message := make([]byte, unix.SizeofNdMsg) // of a dump, the link must be an attribute
	message[0] = addressFamily(hop.addr)
	message = appendAttribute(message, unix.NDA_IFINDEX, binary.NativeEndian.AppendUint32(nil, uint32(hop.link))) //nolint:gosec // an index
	return dumpNetlink(unix.RTM_GETNEIGH, unix.NLM_F_DUMP, message, func(kind uint16, data []byte) bool {
		return kind == unix.RTM_NEWNEIGH && take(data)
	})
}

// hopMayBeUnreachable reports whether the kernel answers that addresses behind the next hop
// are unreachable: the next hop has not resolved, or the interface is a tunnel, which answers
// so without a peer or a route of its own. Without a neighbor entry, no packet has reached
// the interface.
func (m *machine) hopMayBeUnreachable(hop nextHop) bool {
	switch {
	case hop.local:
		return false
	case hop.needsNeighbor:
		state := m.neighborEntry(hop).state
		return state == neighborIncomplete || state == neighborFailed
	default:
		link, err := net.InterfaceByIndex(hop.link)
		return err != nil || len(link.HardwareAddr) == 0
	}
}

// linkReachability implements [linkLayer]. An entry that the kernel has not confirmed for a
// while may belong to a neighbor that left. Once it is used, the kernel asks the neighbor
// after some seconds. A static entry is never confirmed.
func (*machine) linkReachability(hop nextHop) reachability {
	found := noneReachable
	err := dumpNeighbors(hop, func(data []byte) bool {
		if entry := parseNeighbor(data); entry.link == hop.link {
			found = max(found, entry.reachability())
		}
		return found != oneReachable
	})
	if err != nil {
		return noneReachable
	}
	return found
}

// The fields of a struct ndmsg.
const ndmLink, ndmState = 4, 8

// neighborMessage is an entry of the kernel's neighbor table as the kernel sends it.
type neighborMessage struct {
	link               int
	state              uint16
	confirmed, updated time.Duration // since the neighbor was reachable, and since the state changed
}

func (m neighborMessage) reachability() reachability {
	const used, dynamic = unix.NUD_DELAY | unix.NUD_PROBE, unix.NUD_STALE | unix.NUD_DELAY | unix.NUD_PROBE
	switch {
	case m.state&unix.NUD_REACHABLE != 0, m.state&dynamic != 0 && m.confirmed <= reachableAge:
		return oneReachable
	case m.state&used != 0:
		return noneConfirmed
	default:
		return noneReachable
	}
}

// parseNeighbor parses a struct ndmsg and its attributes (rtnetlink(7)). The kernel counts
// hundredths of a second.
func parseNeighbor(data []byte) (m neighborMessage) {
	const confirmedAt, updatedAt, cacheInfo, tick = 0, 8, 16, 10 * time.Millisecond
	if len(data) < unix.SizeofNdMsg {
		return m
	}
	m.link = int(binary.NativeEndian.Uint32(data[ndmLink:]))
	m.state = binary.NativeEndian.Uint16(data[ndmState:])
	for kind, value := range attributes(data[unix.SizeofNdMsg:]) {
		if kind == unix.NDA_CACHEINFO && len(value) >= cacheInfo {
			m.confirmed = time.Duration(binary.NativeEndian.Uint32(value[confirmedAt:])) * tick
			m.updated = time.Duration(binary.NativeEndian.Uint32(value[updatedAt:])) * tick
		}
	}
	return m
}

// countOverflows implements [linkLayer]. The table and its counter are the machine's, and not
// only of one network namespace.
func (*machine) countOverflows(hop nextHop) uint64 {
	const header, stats, fullsAt = 4, 7, 10 * 8 // struct ndtmsg, NDTA_STATS, and ndts_table_fulls of struct ndt_stats
	message := make([]byte, header)
	message[0] = addressFamily(hop.addr)
	var count uint64
	_ = dumpNetlink(unix.RTM_GETNEIGHTBL, unix.NLM_F_DUMP, message, func(_ uint16, data []byte) bool {
		for kind, value := range attributes(data[min(header, len(data)):]) {
			if kind == stats && len(value) >= fullsAt+8 {
				count = binary.NativeEndian.Uint64(value[fullsAt:])
			}
		}
		return false // the first message is the table's, the others are of its interfaces
	})
	return count
}

// hasNeighbors reports whether the interface resolves addresses; tunnels do not
// (netdevice(7), IFF_NOARP).
func hasNeighbors(index int) bool {
	link, err := net.InterfaceByIndex(index)
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

// isRunning reports whether the interface has a carrier, also if that cannot be read.
func isRunning(index int) bool {
	link, err := net.InterfaceByIndex(index)
	return err != nil || link.Flags&net.FlagRunning != 0
}

func addressFamily(addr netip.Addr) byte {
	if addr.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// machine is what every engine asks of this machine. It may be used concurrently.
type machine struct {
	own atomic.Pointer[ownAddresses]
}

// ownAddresses are the machine's at one moment.
type ownAddresses struct {
	set  map[netip.Addr]struct{}
	read time.Time
}

// resolved implements [system].
func (*machine) resolved(source, addr netip.Addr) bool {
	hop, err := nextHopOf(source, addr)
	return err == nil && hop.resolved()
}

// ours tells whether the address is one of this machine's; what they are is read
// again every second.
func (m *machine) ours(addr netip.Addr) bool {
	if addr.IsLoopback() {
		return true
	}
	own := m.own.Load()
	if own == nil || time.Since(own.read) > time.Second {
		own = &ownAddresses{set: make(map[netip.Addr]struct{}), read: time.Now()}
		found, _ := net.InterfaceAddrs() // without them nothing is ours but loopback
		for _, a := range found {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil {
				own.set[prefix.Addr().Unmap()] = struct{}{}
			}
		}
		m.own.Store(own)
	}
	_, ok := own.set[addr]
	return ok
}

// ownWord tells whether an error about an attempt at the address is our own
// machine's: no route, or a neighbour that does not resolve.
func (m *machine) ownWord(r icmpReport, to netip.Addr) bool {
	return !r.fromNetwork || m.ours(r.offender) && r.offender != to
}

// listening is what the systems have in common whose lines hear all answers at a few
// sockets, for as long as they are open.
type listening struct {
	machine
}

// most is any number: an attempt takes a few bytes, and no descriptor.
func (*listening) most() int { return 1 << 20 }

func (*listening) late() (int64, bool) { return 0, false }

func (*listening) hears() bool { return true }

func (*listening) lag() time.Duration { return 0 }

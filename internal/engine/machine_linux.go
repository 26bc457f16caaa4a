// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"portscan_exporter/internal/scan"
)

// machine has the properties of this machine that all engines need. It may be used
// concurrently.
type machine struct {
	local    atomic.Pointer[localAddresses]
	links    linkCache
	connects bool // attempts are made with connect(2)

	mu          sync.Mutex
	asked       time.Time
	unreachable map[addrPair]bool // since then, by mayBeUnreachable
}

// localAddresses are the addresses of this machine at a point in time.
type localAddresses struct {
	set  map[netip.Addr]struct{}
	read time.Time
}

// addrPair is the key of a route.
type addrPair struct{ source, to netip.Addr }

// isLocal reports whether the address is one of this machine. The list is read again after a
// second.
func (m *machine) isLocal(addr netip.Addr) bool {
	if addr.IsLoopback() {
		return true
	}
	own := m.local.Load()
	if own == nil || time.Since(own.read) > time.Second {
		own = &localAddresses{set: make(map[netip.Addr]struct{}), read: time.Now()}
		found, _ := net.InterfaceAddrs() // without the list, only loopback is local
		for _, a := range found {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil {
				own.set[prefix.Addr().Unmap()] = struct{}{}
			}
		}
		m.local.Store(own)
	}
	_, ok := own.set[addr]
	return ok
}

// errorVerdict returns the verdict of an ICMP error about an attempt from the source.
func (m *machine) errorVerdict(r icmpReport, source netip.Addr) verdict {
	if cause := m.localErrorCause(r, source); cause != scan.CauseNone {
		return verdict{cause: cause}
	}
	return icmpVerdict(r.offender, r.to.Addr(), r.kind, r.code)
}

// localErrorCause returns the cause of an ICMP error that this machine has sent itself, or
// [scan.CauseNone] for an error of the network. The kernel sends one if a neighbor does not
// resolve, or for a tunnel; all others are a local filter's.
func (m *machine) localErrorCause(r icmpReport, source netip.Addr) scan.Cause {
	switch to := r.to.Addr(); {
	case r.fromNetwork && (!m.isLocal(r.offender) || r.offender == to):
		return scan.CauseNone
	case !r.fromNetwork || r.hostUnreachable() && m.mayBeUnreachable(source, to):
		return scan.CauseNoRoute
	default:
		return scan.CausePermission
	}
}

// mayBeUnreachable reports whether the kernel itself may have sent "host unreachable" for the
// address. The result is cached, because errors come in bursts. Without a route it is true.
func (m *machine) mayBeUnreachable(source, to netip.Addr) bool {
	const moment = 50 * time.Millisecond
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.asked) > moment {
		m.unreachable, m.asked = make(map[addrPair]bool), time.Now()
	}
	pair := addrPair{source, to}
	answer, ok := m.unreachable[pair]
	if !ok {
		hop, err := m.nextHop(source, to)
		answer = err != nil || m.hopMayBeUnreachable(hop)
		m.unreachable[pair] = answer
	}
	return answer
}

// sharedSockets is the common part of systems whose probers receive all answers on a few
// sockets, late ones included.
type sharedSockets struct {
	machine
}

// traits implements [system]. An attempt needs a few bytes and no descriptor.
func (*sharedSockets) traits() traits { return traits{maxInFlight: 1 << 20, receivesLate: true} }

func (*sharedSockets) newLateDetector(scan.Spec, []netip.Addr, func(int) bool) lateDetector {
	return nil
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"portscan_exporter/internal/engine/pace"
	"portscan_exporter/internal/scan"
)

// maxSources is the maximum number of own addresses that a scan holds ports of. Late answers
// to attempts from further addresses are not detected.
const maxSources = 4

// heldLateDetector implements [lateDetector] for connect scans. It holds a few local ports
// that all attempts of the scan come from, with a listening socket on each. The kernel passes
// the segments that belong to no attempt to the listening socket (__inet_lookup in
// include/net/inet_hashtables.h). A filter of the socket drops those that answer a SYN, and the
// kernel counts the segments that a filter drops (tcp_v4_rcv and tcp_v6_rcv, sk_drops).
// Measured on Linux 6.18, and tested by countsDrops on each machine.
//
// The machine's counters do not suffice: Tcp.OutRsts includes the resets of all other
// connections, and no counter includes the resets that late refusals are.
type heldLateDetector struct {
	system  *connectSystem
	timeout time.Duration // for which attempts listen at most
	reserve func(descriptors int) bool

	mu       sync.Mutex
	routes   sourceFinder
	sources  []*heldSource
	byTarget map[netip.Addr]*heldSource // nil: late answers are not detected
}

// heldSource is an own address that attempts come from.
type heldSource struct {
	addr    netip.Addr
	current atomic.Pointer[portSet]

	// The ports of earlier attempts, whose late answers still count. Afterwards the kernel
	// answers them with a reset, so that no connection stays half-open at a target.
	earlier  *portSet
	closesAt time.Time
	came     bool // an answer was dropped at a current port
}

// newHeldLateDetector returns nil if one of the addresses is this machine's own: the ports that
// are held would look filtered.
func newHeldLateDetector(s *connectSystem, spec scan.Spec, addrs []netip.Addr, reserve func(int) bool) *heldLateDetector {
	if slices.ContainsFunc(addrs, s.isLocal) {
		return nil
	}
	return &heldLateDetector{
		system: s, timeout: spec.PortTimeout, reserve: reserve,
		routes: newSourceFinder(spec.Source), byTarget: make(map[netip.Addr]*heldSource),
	}
}

func (d *heldLateDetector) close() {
	for _, s := range d.sources {
		d.release(s.current.Load())
		if s.earlier != nil {
			d.release(s.earlier)
		}
	}
	d.routes.close()
}

func (d *heldLateDetector) release(ports *portSet) {
	d.system.heldPorts.remove(ports)
	ports.close()
}

// detects implements [lateDetector].
func (d *heldLateDetector) detects(addr netip.Addr) bool { return d.sourceTo(addr) != nil }

// sourceTo returns where attempts at the address come from, or nil if any port will do.
func (d *heldLateDetector) sourceTo(addr netip.Addr) *heldSource {
	d.mu.Lock()
	defer d.mu.Unlock()
	source, ok := d.byTarget[addr]
	if !ok {
		source = d.findSource(addr)
		d.byTarget[addr] = source
	}
	return source
}

func (d *heldLateDetector) findSource(target netip.Addr) *heldSource {
	addr, err := d.routes.source(target)
	if err != nil {
		return nil
	}
	for _, s := range d.sources {
		if s.addr == addr {
			return s
		}
	}
	const sets = 2 // current and earlier ports
	if len(d.sources) == maxSources || !d.reserve(sets*pace.Variants) {
		return nil
	}
	s := &heldSource{addr: addr}
	if !d.hold(s) {
		return nil
	}
	d.sources = append(d.sources, s)
	return s
}

// hold gives the source new ports. It returns false if there are none.
func (d *heldLateDetector) hold(s *heldSource) bool {
	ports, err := newPortSet(s.addr)
	if err != nil {
		return false
	}
	if !d.system.countsDrops(ports) {
		ports.close()
		return false
	}
	d.system.heldPorts.add(ports)
	s.current.Store(ports)
	return true
}

// came implements [lateDetector].
func (d *heldLateDetector) came() (came bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.sources {
		came = d.check(s, time.Now()) || came
	}
	return came
}

// check reports whether late answers have come from targets of the source. If so, further
// attempts come from other ports.
func (d *heldLateDetector) check(s *heldSource, now time.Time) (came bool) {
	current := s.current.Load()
	if current.hasDropped() {
		came, s.came = true, true
	}
	if s.earlier != nil {
		came = s.earlier.hasDropped() || came
		if now.Before(s.closesAt) {
			return came
		}
		d.release(s.earlier)
		s.earlier = nil
	}
	if s.came && d.hold(s) {
		const margin = 250 * time.Millisecond // busy workers are about to send attempts from them
		s.earlier, s.closesAt, s.came = current, now.Add(d.timeout+margin), false
	}
	return came
}

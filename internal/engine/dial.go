// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"portscan_exporter/internal/scan"
)

// dialSystem is the portable system, with a [net.Dialer] and one goroutine per attempt.
type dialSystem struct {
	dial      dialFunc
	udp       bool // datagrams instead of connections
	datagrams payloadCounts

	hasSource func(source, to netip.Addr) bool // of the system; nil: true
}

// dialFunc opens a connection like [net.Dialer.DialContext]. The system selects the local
// address if source is invalid.
type dialFunc func(ctx context.Context, source netip.Addr, network string, to netip.AddrPort) (net.Conn, error)

// NewDial returns the portable connect engine. All scans share the budget, and each has at
// most 2,000 attempts in flight.
//
// It only has the error of connect(), so that states are less precise:
//   - ECONNREFUSED is closed. It is also the error of an ICMP port unreachable, with which
//     many firewalls reject, and of a reset that a firewall sends, also a local one.
//   - Other ICMP errors are not responses of the address ([scan.PortResult].LastResponse),
//     because their sender is not known.
//   - EHOSTUNREACH of an address in a directly connected network is unknown (no_route),
//     because its neighbor may not resolve. Of other addresses it is filtered if this
//     machine has a route.
//   - EACCES and EPERM are unknown (permission). They can also be ICMPv6 errors.
//   - Silence is filtered, also if a neighbor does not resolve, a local filter drops, or
//     the connection-tracking table is full.
//   - Windows retries a refused connection for 2 s. With a shorter port_timeout, closed
//     ports are filtered.
//   - An attempt counts when it begins, also if the system sends no packet for it. With a
//     port_timeout above 1 s, the system's retransmissions do not count.
func NewDial(budget *Budget) (*Engine, error) {
	if budget == nil {
		return nil, errNoBudget
	}
	return &Engine{budget: budget, system: &dialSystem{dial: dialNet, hasSource: hasSource}}, nil
}

// maxDials is the maximum number of attempts in flight of one scan. With more goroutines the
// scheduler delays them so much that answers are missed.
const maxDials = 2000

func (d *dialSystem) traits() traits {
	return traits{maxInFlight: maxDials, lag: dialLag, datagrams: d.datagrams}
}

// dialLag is the delay of a goroutine among maxDials on a busy machine. Measured delays
// exceed 50 ms.
const dialLag = 150 * time.Millisecond

func (*dialSystem) newLateDetector(scan.Spec, []netip.Addr, func(int) bool) lateDetector { return nil }

func (*dialSystem) close() {}

func (d *dialSystem) lacksSource(source, to netip.Addr) bool {
	return d.hasSource != nil && !d.hasSource(source, to)
}

// nextHop implements [linkLayer]. Without an address to send from, silence is no answer.
func (d *dialSystem) nextHop(source, addr netip.Addr) (nextHop, error) {
	if d.lacksSource(source, addr) {
		return nextHop{}, errNoSource
	}
	return nextHop{addr: addr}, nil
}

func (*dialSystem) neighborEntry(nextHop) neighborEntry {
	return neighborEntry{state: neighborResolved}
}

func (*dialSystem) linkReachability(nextHop) reachability { return oneReachable }

func (*dialSystem) countOverflows(nextHop) uint64 { return 0 }

func (*dialSystem) isLocal(netip.Addr) bool { return false }

func (d *dialSystem) newProber(ctx context.Context, source netip.Addr, _ int, _ lateDetector) (prober, error) {
	ctx, cancel := context.WithCancel(ctx)
	l := &dialProber{cancel: cancel, datagrams: d.datagrams, completions: make(chan completion)}
	l.begin = func(id attemptID, to netip.AddrPort) context.CancelFunc {
		ctx, cancel := context.WithCancel(ctx)
		l.all.Go(func() {
			attempt := d.attempt
			if d.udp {
				attempt = d.attemptUDP
			}
			v := attempt(ctx, source, to)
			select {
			case l.completions <- completion{id: id, verdict: v}:
			case <-ctx.Done():
			}
		})
		return cancel
	}
	return l, nil
}

// dialProber is the portable prober. The goroutine of an attempt ends with the attempt or
// when it is dropped.
type dialProber struct {
	begin       func(id attemptID, to netip.AddrPort) context.CancelFunc
	cancel      context.CancelFunc // of all
	datagrams   payloadCounts
	slots       []dialSlot // attempts in flight
	freeSlots   []int32    // slots that were shut
	completions chan completion
	sentCount   int
	all         sync.WaitGroup
}

// dialSlot is an attempt; cancel is nil if none is in flight.
type dialSlot struct {
	id     attemptID
	cancel context.CancelFunc
}

func (d *dialProber) open(uint8) (int32, scan.Cause) {
	if n := len(d.freeSlots); n > 0 {
		slot := d.freeSlots[n-1]
		d.freeSlots = d.freeSlots[:n-1]
		return slot, scan.CauseNone
	}
	d.slots = append(d.slots, dialSlot{})
	return int32(len(d.slots) - 1), scan.CauseNone //nolint:gosec // no more than maxDials
}

func (d *dialProber) send(id attemptID, to netip.AddrPort, _ attemptOptions) scan.Cause {
	d.sentCount += d.datagrams.perAttempt(to.Port())
	d.slots[id.slot] = dialSlot{id, d.begin(id, to)}
	return scan.CauseNone
}

func (d *dialProber) wait(patience time.Duration, ended []completion) (all []completion, more bool) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for most := cap(ended) + maxBatch; len(ended) < most; {
		var e completion
		if len(ended) > 0 || patience == 0 {
			select {
			case e = <-d.completions:
			default:
				return ended, false
			}
		} else {
			select {
			case e = <-d.completions:
			case <-timer.C:
				return ended, false
			}
		}
		if s := &d.slots[e.id.slot]; s.id == e.id && s.cancel != nil {
			s.cancel()
			s.cancel = nil
			ended = append(ended, e)
		}
	}
	return ended, true
}

func (d *dialProber) flush() (sent int) { return d.sentCount }

func (d *dialProber) drop(slot int32) {
	if s := &d.slots[slot]; s.cancel != nil {
		s.cancel()
		s.cancel = nil
	}
}

func (d *dialProber) shut(slot int32) { d.freeSlots = append(d.freeSlots, slot) }

func (d *dialProber) close() {
	d.cancel()
	d.all.Wait()
}

// attempt makes one attempt at a port until ctx ends and returns its verdict.
func (d *dialSystem) attempt(ctx context.Context, source netip.Addr, to netip.AddrPort) verdict {
	conn, err := d.dial(ctx, source, "tcp", to)
	if err != nil {
		return d.explain(completionVerdict(err, func() bool { return d.reachable(ctx, source, to) }), source, to)
	}
	self := conn.LocalAddr().String() == conn.RemoteAddr().String()
	hangUp(conn)
	if self {
		// The system has chosen the tried port as the local one (RFC 9293 section
		// 3.5, simultaneous open).
		return verdict{cause: scan.CauseSourcePorts}
	}
	return verdict{state: scan.Open, cause: scan.CauseHandshake}
}

// explain corrects the verdict of an error for the lack of a local port: the system may lack
// an address to send from.
func (d *dialSystem) explain(v verdict, source netip.Addr, to netip.AddrPort) verdict {
	if v.cause == scan.CauseSourcePorts && d.lacksSource(source, to.Addr()) {
		v.cause = scan.CauseNoRoute
	}
	return v
}

// hangUp resets the connection, so that neither side keeps state.
func hangUp(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// reachable reports whether an "unreachable" error came from another machine. Connecting a
// UDP socket uses the same routes and sends nothing. In a directly connected network, the
// neighbor may not resolve.
func (d *dialSystem) reachable(ctx context.Context, source netip.Addr, to netip.AddrPort) bool {
	conn, err := d.dial(ctx, source, "udp", to)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return !onLink(to.Addr())
}

// onLink reports whether the address is in a directly connected network. Without the list of
// interfaces it returns true.
func onLink(addr netip.Addr) bool {
	ours, err := net.InterfaceAddrs()
	if err != nil {
		return true
	}
	for _, a := range ours {
		if network, ok := a.(*net.IPNet); ok && network.Contains(addr.AsSlice()) {
			return true
		}
	}
	return false
}

func dialNet(ctx context.Context, source netip.Addr, network string, to netip.AddrPort) (net.Conn, error) {
	dialer := net.Dialer{KeepAlive: -1}
	if source.IsValid() && source.Is4() != to.Addr().Is4() {
		return nil, syscall.EAFNOSUPPORT // net.Dialer returns an error without a number
	}
	if source.IsValid() {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
		if network == "udp" {
			dialer.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
		}
	}
	return dialer.DialContext(ctx, network, to.String())
}

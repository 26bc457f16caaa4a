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

// dialer is the portable system: a [net.Dialer] and a goroutine an attempt, on
// every system that Go knows.
type dialer struct {
	dial dialFunc
	udp  bool // datagrams instead of connections
	many payloadCounts
}

// dialFunc opens a connection as [net.Dialer.DialContext] does; source is the
// local address, or the zero one where the system is to choose.
type dialFunc func(ctx context.Context, source netip.Addr, network string, to netip.AddrPort) (net.Conn, error)

// NewDial returns the portable connect engine; all its scans stay within the
// budget, and each within 2,000 attempts at a time.
//
// What it can't tell, because the error of connect() is all that it sees:
//   - an ICMP port unreachable, which many firewalls reject with, arrives as
//     ECONNREFUSED and reads as closed, not as filtered; so does a reset made up
//     by a firewall anywhere on the way, our own machine's included;
//   - EHOSTUNREACH from an address on a network of our own may be an ICMP error
//     or a neighbour that does not resolve: it reads as unknown (no_route); from
//     further away it reads as filtered where our own routes lead there;
//   - EACCES and EPERM may be an ICMPv6 error or a rule of our own machine: they
//     read as unknown (permission);
//   - silence behind a neighbour that does not resolve, a local rule that drops
//     or a full connection-tracking table is silence: it reads as filtered;
//   - Windows tries a refused connection again by itself for 2 s, so that a
//     closed port reads as filtered there while port_timeout is shorter;
//   - with a port_timeout above 1 s the system's own retransmissions are not
//     counted as attempts.
func NewDial(budget *Budget) (*Engine, error) {
	if budget == nil {
		return nil, errNoBudget
	}
	return &Engine{budget: budget, system: &dialer{dial: dialSystem}}, nil
}

// mostDials bounds the attempts of one scan: each is a goroutine, and beyond
// this many the scheduler is late enough to miss answers.
const mostDials = 2000

func (*dialer) most() int { return mostDials }

// dialLag covers what the scheduler takes to run a goroutine among mostDials on
// a busy machine: 50 ms were seen to be too few.
const dialLag = 150 * time.Millisecond

func (*dialer) lag() time.Duration { return dialLag }

func (*dialer) late() (int64, bool) { return 0, false }

func (*dialer) hears() bool { return false }

func (d *dialer) packets(port uint16) int { return max(1, d.many[port]) }

func (*dialer) close() {}

func (*dialer) resolved(netip.Addr, netip.Addr) bool { return true }

func (*dialer) ours(netip.Addr) bool { return false }

func (d *dialer) line(ctx context.Context, source netip.Addr, _ int) (line, error) {
	ctx, cancel := context.WithCancel(ctx)
	l := &dials{cancel: cancel, ended: make(chan ending)}
	l.begin = func(id attemptID, to netip.AddrPort) context.CancelFunc {
		ctx, cancel := context.WithCancel(ctx)
		l.all.Go(func() {
			attempt := d.attempt
			if d.udp {
				attempt = d.ask
			}
			v := attempt(ctx, source, to)
			select {
			case l.ended <- ending{id: id, verdict: v}:
			case <-ctx.Done():
			}
		})
		return cancel
	}
	return l, nil
}

// dials is the portable line: a goroutine an attempt, which ends with the
// attempt or when it is dropped.
type dials struct {
	begin  func(id attemptID, to netip.AddrPort) context.CancelFunc
	cancel context.CancelFunc // of all
	slots  []dialSlot         // the attempts under way
	gone   []int32            // slots that were shut
	ended  chan ending
	all    sync.WaitGroup
}

// dialSlot is an attempt, which cancel ends; nil where none is under way.
type dialSlot struct {
	id     attemptID
	cancel context.CancelFunc
}

func (d *dials) open(uint8) (int32, scan.Cause) {
	if n := len(d.gone); n > 0 {
		slot := d.gone[n-1]
		d.gone = d.gone[:n-1]
		return slot, scan.CauseNone
	}
	d.slots = append(d.slots, dialSlot{})
	return int32(len(d.slots) - 1), scan.CauseNone //nolint:gosec // no more than mostDials
}

func (d *dials) send(id attemptID, to netip.AddrPort, _ int) scan.Cause {
	d.slots[id.slot] = dialSlot{id, d.begin(id, to)}
	return scan.CauseNone
}

func (d *dials) wait(patience time.Duration, ended []ending) (all []ending, more bool) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for most := cap(ended) + batch; len(ended) < most; {
		var e ending
		if len(ended) > 0 || patience == 0 {
			select {
			case e = <-d.ended:
			default:
				return ended, false
			}
		} else {
			select {
			case e = <-d.ended:
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

func (d *dials) drop(slot int32) {
	if s := &d.slots[slot]; s.cancel != nil {
		s.cancel()
		s.cancel = nil
	}
}

func (d *dials) shut(slot int32) { d.gone = append(d.gone, slot) }

func (d *dials) close() {
	d.cancel()
	d.all.Wait()
}

// attempt tries one port once, until ctx ends, and says what came of it.
func (d *dialer) attempt(ctx context.Context, source netip.Addr, to netip.AddrPort) verdict {
	conn, err := d.dial(ctx, source, "tcp", to)
	if err != nil {
		return classify(err, func() bool { return d.reachable(ctx, source, to) })
	}
	self := conn.LocalAddr().String() == conn.RemoteAddr().String()
	hangUp(conn)
	if self {
		// The system picked the very port that we were trying as our own, and
		// the two halves met (RFC 9293 section 3.5, simultaneous open).
		return verdict{cause: scan.CauseSourcePorts}
	}
	return verdict{state: scan.Open, cause: scan.CauseHandshake}
}

// hangUp closes the connection with a reset, so that neither side keeps it.
func hangUp(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// reachable tells whether an "unreachable" came from beyond this machine.
// Connecting a datagram socket sends nothing but asks the same routes, and an
// address on a network of our own may only be a neighbour that did not resolve.
func (d *dialer) reachable(ctx context.Context, source netip.Addr, to netip.AddrPort) bool {
	conn, err := d.dial(ctx, source, "udp", to)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return !onLink(to.Addr())
}

// onLink tells whether the address lies in a network of one of our interfaces,
// and true where that can't be found out.
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

func dialSystem(ctx context.Context, source netip.Addr, network string, to netip.AddrPort) (net.Conn, error) {
	dialer := net.Dialer{KeepAlive: -1}
	if source.IsValid() && source.Is4() != to.Addr().Is4() {
		return nil, syscall.EAFNOSUPPORT // the library has no error number for it
	}
	if source.IsValid() {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
		if network == "udp" {
			dialer.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
		}
	}
	return dialer.DialContext(ctx, network, to.String())
}

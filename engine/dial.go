package engine

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"portscan_exporter/scan"
)

// Dial is the portable connect engine: a [net.Dialer] and a goroutine an
// attempt, on every system that Go knows. Make one with [NewDial]; it may be
// used concurrently.
//
// A connection is closed with a reset as soon as it is established (SO_LINGER
// 0: no TIME_WAIT), and no byte is ever sent over it.
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
//   - an address that this machine has no way to is tried once more after a
//     pause, and not for as long as there is time;
//   - with a port_timeout above 1 s the system's own retransmissions are not
//     counted as attempts.
type Dial struct {
	budget *Budget
	dial   dialFunc
}

// dialFunc opens a connection as [net.Dialer.DialContext] does; source is the
// local address, or the zero one where the system is to choose.
type dialFunc func(ctx context.Context, source netip.Addr, network string, to netip.AddrPort) (net.Conn, error)

// NewDial returns the engine; all its scans stay within the budget.
func NewDial(budget *Budget) (*Dial, error) {
	if budget == nil {
		return nil, errNoBudget
	}
	return &Dial{budget: budget, dial: dialSystem}, nil
}

// mostWorkers bounds the attempts of one scan: each is a goroutine, and beyond
// this many the scheduler is late enough to miss answers.
const mostWorkers = 2000

// Scan implements [scan.Scanner]. Addresses are scanned side by side, each
// within its module's max_in_flight and rate.
func (d *Dial) Scan(ctx context.Context, req scan.Request, report func(scan.PortResult)) error {
	if err := req.Check(); err != nil {
		return err //nolint:wrapcheck // the sentinel says it all
	}
	addresses := req.Addresses()
	if len(addresses) == 0 {
		return nil
	}
	workers := max(1, min(req.Plan().Spec().MaxInFlight, mostWorkers/len(addresses)))
	ports := order(req.Plan())
	var all sync.WaitGroup
	for _, a := range addresses {
		all.Go(func() { newAddressScan(d, req.Plan(), ports, a.IP, workers, report).run(ctx) })
	}
	all.Wait()
	return nil
}

// attempt tries one port once and says what came of it.
func (d *Dial) attempt(ctx context.Context, source netip.Addr, to netip.AddrPort, patience time.Duration) verdict {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	begun := time.Now()
	conn, err := d.dial(ctx, source, "tcp", to)
	rtt := time.Since(begun)
	if err != nil {
		v := classify(err, func() bool { return d.reachable(ctx, source, to) })
		if v.cause.Answered() {
			v.rtt = rtt
		}
		return v
	}
	self := conn.LocalAddr().String() == conn.RemoteAddr().String()
	hangUp(conn)
	if self {
		// The system picked the very port that we were trying as our own, and
		// the two halves met (RFC 9293 section 3.5, simultaneous open).
		return verdict{cause: scan.CauseSourcePorts}
	}
	return verdict{state: scan.Open, cause: scan.CauseHandshake, rtt: rtt}
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
func (d *Dial) reachable(ctx context.Context, source netip.Addr, to netip.AddrPort) bool {
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
	if source.IsValid() {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
		if network == "udp" {
			dialer.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
		}
	}
	return dialer.DialContext(ctx, network, to.String()) //nolint:wrapcheck // classify reads the bare error
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"portscan_exporter/internal/scan"
)

const (
	// controlRange has the control ports, if it has enough outside the plan. Few services
	// listen there, unlike in the ranges of Kubernetes (30000-32767) and Windows (from 49152),
	// and portsentry, which blocks port scanners, has no trap there, unlike at 31337 and
	// 40421. Otherwise control ports are in widerRange.
	controlRange, widerRange = "41000-48999", "1024-65535"

	// minControlTimeout is the minimum time to wait for an answer of a control port. The
	// round trip is known from the open ports.
	minControlTimeout = 200 * time.Millisecond

	// maxRechecks is the maximum number of addresses whose ports are tried again at once.
	maxRechecks = 8
)

// controlScanner implements [scan.Scanner], see [WithControl].
type controlScanner struct{ scanner scan.Scanner }

// WithControl returns a scanner that detects interceptors, which answer for ports of an
// address although no service does, and reports them as [scan.Control]. After a TCP scan it
// tries
//   - control ports, on each address on which every known port is open. Those are random
//     ports outside the plan that the target neither declares nor excludes;
//   - six closed and six open ports again, on each address with many undeclared open ports.
//     They show a SYN proxy that started at the scan's rate.
//
// An address that has stopped to answer gets no such attempt: it may have banned the scanner.
// UDP is excluded. A silent UDP control port would be no evidence, and one that is closed
// would use up the target's limit of ICMP errors.
func WithControl(s scan.Scanner) scan.Scanner { return controlScanner{s} }

// Scan implements [scan.Scanner].
func (c controlScanner) Scan(ctx context.Context, req scan.Request, report func(scan.PortResult)) error {
	if req.Plan().Spec().Protocol != scan.TCP {
		return c.scanner.Scan(ctx, req, report)
	}
	seen := newScanAnswers(req)
	err := c.scanner.Scan(ctx, req, func(p scan.PortResult) {
		seen.note(p)
		report(p)
	})
	if err != nil || ctx.Err() != nil {
		return err
	}
	if err := c.tryControlPorts(ctx, req, seen, report); err != nil {
		return err
	}
	return c.recheck(ctx, req, seen, report)
}

// tryControlPorts tries the control ports of the addresses on which every known port is open.
func (c controlScanner) tryControlPorts(ctx context.Context, req scan.Request, seen scanAnswers, report func(scan.PortResult)) error {
	timeout, ips := minControlTimeout, make([]netip.Addr, 0, len(seen))
	for ip, a := range seen {
		if a.open > 0 && a.notOpen == 0 && !a.unresponsive {
			timeout, ips = max(timeout, a.timeout()), append(ips, ip)
		}
	}
	if len(ips) == 0 {
		return nil
	}
	control, ok := req.ForControl(controlPorts(req.Plan().Spec()), timeout, 1, ips)
	if !ok {
		return nil
	}
	return c.scanAgain(ctx, control, report, func(_ uint16, s scan.State) scan.Control {
		switch s {
		case scan.Open:
			return scan.Control{Open: 1}
		case scan.Unknown:
			return scan.Control{}
		default:
			return scan.Control{NotOpen: 1}
		}
	})
}

// controlPorts returns random control ports for a scan.
func controlPorts(spec scan.Spec) scan.PortSet {
	var free scan.PortSet
	for _, text := range []string{controlRange, widerRange} {
		within, err := scan.ParsePortSet(text)
		if err != nil {
			return scan.PortSet{}
		}
		free = within.Minus(spec.Ports).Minus(spec.Exclude)
		if e := spec.Expect; e != nil {
			free = free.Minus(e.Open).Minus(e.Allow)
		}
		if free.Len() >= spec.ControlPorts {
			break
		}
	}
	var chosen []uint16
	for _, i := range rand.Perm(free.Len())[:min(spec.ControlPorts, free.Len())] { //nolint:gosec // needs no cryptographic randomness
		chosen = append(chosen, free.At(i))
	}
	return scan.NewPortSet(chosen...)
}

// recheck tries ports again of the addresses with many undeclared open ports, once each.
func (c controlScanner) recheck(ctx context.Context, req scan.Request, seen scanAnswers, report func(scan.PortResult)) error {
	var all errgroup.Group
	all.SetLimit(maxRechecks)
	for ip, a := range seen {
		if a.undeclaredOpen < scan.MinRecheckOpen || len(a.closedSample) == 0 || a.unresponsive {
			continue
		}
		ports := scan.NewPortSet(slices.Concat(a.closedSample, a.openSample)...)
		again, ok := req.ForControl(ports, max(minControlTimeout, a.timeout()), 0, []netip.Addr{ip})
		if !ok {
			continue
		}
		all.Go(func() error {
			return c.scanAgain(ctx, again, report, func(port uint16, s scan.State) scan.Control {
				switch wasOpen := slices.Contains(a.openSample, port); {
				case s == scan.Open && !wasOpen:
					return scan.Control{TurnedOpen: 1}
				case s == scan.Closed && wasOpen:
					return scan.Control{TurnedClosed: 1}
				default:
					return scan.Control{}
				}
			})
		})
	}
	return all.Wait()
}

// scanAgain scans, and reports what the states of the ports mean, once per address.
func (c controlScanner) scanAgain(ctx context.Context, req scan.Request, report func(scan.PortResult), judge func(uint16, scan.State) scan.Control) error {
	var mu sync.Mutex
	found := make(map[netip.Addr]*scan.PortResult)
	ports := req.Plan().Ports()
	for _, a := range req.Addresses() {
		found[a.IP] = &scan.PortResult{Address: a.IP, Ports: &ports, Control: new(scan.Control)}
	}
	err := c.scanner.Scan(ctx, req, func(p scan.PortResult) {
		mu.Lock()
		defer mu.Unlock()
		in := found[p.Address]
		in.Attempts += p.Attempts
		if p.LastResponse.After(in.LastResponse) {
			in.LastResponse = p.LastResponse
		}
		if p.Ports == nil {
			p.Ports = new(scan.NewPortSet(p.Port))
		}
		for port := range p.Ports.All() {
			*in.Control = in.Control.Plus(judge(port, p.State))
		}
	})
	for _, r := range found {
		report(*r)
	}
	return err
}

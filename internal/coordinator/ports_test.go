// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"context"
	"net/netip"
	"time"

	"portscan_exporter/internal/scan"
)

// portEngine is an engine whose results the test sets. Ports without a state are closed.
type portEngine struct {
	states  map[netip.AddrPort]scan.State
	perPort time.Duration // one after another

	tried map[netip.AddrPort]int // attempts in all scans
	known scan.Known             // of firstAddr, in the last scan
}

func newPortEngine(perPort time.Duration) *portEngine {
	return &portEngine{perPort: perPort, states: make(map[netip.AddrPort]scan.State), tried: make(map[netip.AddrPort]int)}
}

// set sets the states of ports of an address, and all others of it to closed.
func (e *portEngine) set(ip netip.Addr, states map[uint16]scan.State) {
	for p := range e.states {
		if p.Addr() == ip {
			delete(e.states, p)
		}
	}
	for port, s := range states {
		e.states[netip.AddrPortFrom(ip, port)] = s
	}
}

// triedPorts returns the ports of an address that were tried, and whether one was tried twice.
func (e *portEngine) triedPorts(ip netip.Addr) (ports scan.PortSet, twice bool) {
	for p, n := range e.tried {
		if p.Addr() == ip {
			ports, twice = ports.Union(scan.NewPortSet(p.Port())), twice || n > 1
		}
	}
	return ports, twice
}

func (e *portEngine) scan(ctx context.Context, req scan.Request, report func(scan.PortResult)) error {
	e.known = req.Known(firstAddr)
	for _, a := range req.Addresses() {
		for port := range req.Plan().Ports().All() {
			select {
			case <-time.After(e.perPort):
			case <-ctx.Done():
				return nil
			}
			e.tried[netip.AddrPortFrom(a.IP, port)]++
			if port == 1 {
				report(scan.PortResult{Address: a.IP, Ports: new(scan.PortSet), Control: &scan.Control{TurnedOpen: 1}})
			}
			report(e.result(a.IP, port))
		}
	}
	return nil
}

func (e *portEngine) result(ip netip.Addr, port uint16) scan.PortResult {
	state, ok := e.states[netip.AddrPortFrom(ip, port)]
	switch {
	case !ok:
		return closedPort(ip, port)
	case state == scan.Open:
		return openPort(ip, port)
	case state == scan.Unknown:
		return noRoute(ip, port)
	default:
		return scan.PortResult{Address: ip, Port: port, State: state, Cause: scan.CauseSilence, Attempts: 1}
	}
}

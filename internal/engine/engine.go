// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"runtime"
	"time"

	"portscan_exporter/internal/engine/pace"
	"portscan_exporter/internal/scan"
)

// Engine implements [scan.Scanner], see [NewConnect], [NewDial], [NewSYN], [NewUDP] and
// [NewDialUDP]. It may be used concurrently.
type Engine struct {
	budget *Budget
	system system
}

// Close releases the resources that the engine keeps between scans. It must be called after
// the last scan.
func (e *Engine) Close() { e.system.close() }

const (
	// minPortsForWorkers is the number of ports from which a scan has several workers.
	minPortsForWorkers = 4096

	// maxWorkers is the maximum number of workers of a scan.
	maxWorkers = 4

	// maxActiveHosts is the maximum number of addresses that are scanned at once, and
	// maxActiveLarge that of a scan with more than manyPorts ports. They limit the memory of
	// a scan. An unused address takes three seconds, so that a /20 takes half a minute.
	maxActiveHosts, maxActiveLarge = 512, 256
	manyPorts                      = 8192

	// maxStarts is the maximum number of addresses whose scan starts within
	// startInterval, because unresolved neighbors fill the kernel's table.
	maxStarts     = 128
	startInterval = 100 * time.Millisecond
)

// Scan implements [scan.Scanner]. Addresses are scanned at the same time, each within
// max_in_flight and rate of the module.
func (e *Engine) Scan(ctx context.Context, req scan.Request, report func(scan.PortResult)) error {
	if err := req.Check(); err != nil {
		return err
	}
	addresses := startOrder(req)
	if len(addresses) == 0 {
		return nil
	}
	plan := req.Plan()
	ports := plan.Ports().Len() * len(addresses)
	traits := e.system.traits()
	s := e.budget.join(plan.Spec().Protocol, ports, traits.maxInFlight)
	r := &scanRun{
		engine: e, traits: traits, share: s, plan: plan, known: req.Known, done: req.Done, order: pace.NewOrder(plan), neighbors: newNeighbors(e.system, s, plan.Spec().Source),
		started: time.Now(), report: s.limitReports(report), waiting: addresses, addressCount: len(addresses),
	}
	defer r.close()
	defer s.reportRest(addresses[0].IP, report)
	r.active.Store(new([]*host))
	r.detectLate()
	workers := 1
	if ports >= minPortsForWorkers {
		workers = min(runtime.GOMAXPROCS(0), maxWorkers)
	}
	if err := r.runWorkers(ctx, workers); err != nil {
		return err
	}
	for _, h := range *r.active.Load() {
		if h.pacer != nil {
			r.endUnfinished(h)
		}
	}
	r.reportUnresolved(ctx)
	return nil
}

// startOrder returns the addresses in the order in which their scans start. Those that responded to
// an earlier scan are first, so that a scan of a large network that reaches its deadline has tested
// them.
func startOrder(req scan.Request) []scan.Address {
	responded := func(a scan.Address) bool {
		k := req.Known(a.IP)
		return !k.Open.IsEmpty() || !k.Closed.IsEmpty() || !k.Filtered.IsEmpty()
	}
	var first, others []scan.Address
	for _, a := range req.Addresses() {
		if responded(a) {
			first = append(first, a)
		} else {
			others = append(others, a)
		}
	}
	return append(first, others...)
}

// needsLateDetector reports whether a scan has more ports than attempts in flight. If all its
// attempts fit, each last one listens for the complete port_timeout, which takes no longer.
func needsLateDetector(spec scan.Spec, ports, addresses, places int) bool {
	const many = 4096 // sockets, of several kilobytes each
	most := min(places, spec.MaxInFlight*min(addresses, activeLimit(ports)), many)
	return ports*addresses > most
}

// activeLimit returns the maximum number of addresses with that many ports that are scanned at
// once.
func activeLimit(ports int) int {
	if ports > manyPorts {
		return maxActiveLarge
	}
	return maxActiveHosts
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"fmt"
	"net/netip"
	"slices"

	"portscan_exporter/internal/scan"
)

// A suspended sweep resumes within its timeout, which counts from its first start: its results
// are never older than those of a sweep that was not suspended.

// resume records the results of the scan that this one resumes, and returns the request for the
// others.
func (r *scanRun) resume(req scan.Request) (scan.Request, error) {
	if r.before == nil {
		return req, nil
	}
	known := make(map[netip.Addr]*scan.AddressResult, len(r.before.Addresses))
	for i := range r.before.Addresses {
		known[r.before.Addresses[i].IP] = &r.before.Addresses[i]
	}
	var ports scan.PortSet
	var addresses []scan.Address
	done := make(map[netip.Addr]scan.PortSet)
	for _, a := range req.Addresses() {
		missing := req.Plan().Ports()
		if k := known[a.IP]; k != nil {
			missing = k.Ports(scan.Unknown)
			r.recordKnown(k)
			done[a.IP] = req.Plan().Ports().Minus(missing)
		}
		if !missing.IsEmpty() {
			ports, addresses = ports.Union(missing), append(addresses, a)
		}
	}
	r.done = done
	if len(addresses) == 0 {
		ports = req.Plan().Ports() // a plan needs ports, even without addresses
	}
	rest, _, err := scan.NewRequest(req.Plan().Restrict(ports), r.task.Scope, addresses)
	if err != nil {
		return scan.Request{}, fmt.Errorf("resuming a scan: %w", err)
	}
	return rest.WithDone(done), nil
}

// keepProgress suspends a scan again if it lacks addresses of the one that it resumed because names
// were not resolved. It returns the result to record, without the attempts of earlier runs then: a
// scan that sent nothing does not delay the next one.
func (c *Coordinator) keepProgress(s *sharedScan, run *scanRun, result *scan.Result) *scan.Result {
	if run.before == nil || result.Failed[scan.FailedDNS] == nil {
		return result
	}
	all := run.soFar()
	if len(all.Addresses) == len(result.Addresses) {
		return result
	}
	c.options.Store.Suspend(run.task, s.id, resumable(all))
	own := *result
	own.Attempts, own.Retries = run.attempts(), max(0, result.Retries-run.before.Retries)
	return &own
}

// recordKnown records the known ports of an address.
func (r *scanRun) recordKnown(known *scan.AddressResult) {
	control := known.Control()
	r.record(scan.PortResult{Address: known.IP, Ports: new(scan.PortSet), Control: &control})
	for p := range known.All() {
		if p.State != scan.Unknown {
			p.LastResponse = known.LastResponse()
			r.record(p)
		}
	}
}

// withAddressesOf returns the result with the addresses that only an earlier result has.
func withAddressesOf(r, before *scan.Result) *scan.Result {
	all := *r
	all.Addresses = slices.Clone(r.Addresses)
	byIP := func(a scan.AddressResult, ip netip.Addr) int { return a.IP.Compare(ip) }
	for i := range before.Addresses {
		if _, found := slices.BinarySearchFunc(r.Addresses, before.Addresses[i].IP, byIP); !found {
			all.Addresses = append(all.Addresses, before.Addresses[i])
		}
	}
	slices.SortFunc(all.Addresses, func(a, b scan.AddressResult) int { return a.IP.Compare(b.IP) })
	return &all
}

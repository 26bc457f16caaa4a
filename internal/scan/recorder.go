// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Recorder collects the results that an engine reports, and returns them at any time.
// Create recorders with [NewRecorder]. They may be used concurrently.
type Recorder struct {
	plan Plan

	mu       sync.Mutex
	byIP     map[netip.Addr]int // index into results
	results  []AddressResult
	reported int // ports with a result, all addresses together
	attempts int
	retries  int
}

// NewRecorder returns a recorder for a request, without results.
func NewRecorder(req Request) (*Recorder, error) {
	if err := req.Check(); err != nil {
		return nil, err
	}
	r := &Recorder{plan: req.plan, byIP: make(map[netip.Addr]int, len(req.addresses))}
	for i, a := range req.addresses {
		r.byIP[a.IP] = i
		r.results = append(r.results, AddressResult{
			Address: a,
			plan:    req.plan,
			cells:   make([]cell, req.plan.ports.Len()),
			rtts:    make(map[uint16]time.Duration),
		})
	}
	return r, nil
}

// Record adds a result. It ignores ports that the request does not cover. A state that
// contradicts its cause is recorded as unknown with [CauseInternal], because every state
// must have evidence.
func (r *Recorder) Record(p PortResult) {
	if (p.State == Unknown) != p.Cause.explainsUnknown() {
		p.State, p.Cause = Unknown, CauseInternal
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	i, ok := r.byIP[p.Address]
	if !ok {
		return
	}
	index, ok := r.plan.ports.Index(p.Port)
	if !ok {
		return
	}
	if r.results[i].cells[index].cause() == CauseNone {
		r.reported++
	}
	r.results[i].cells[index] = newCell(p.State, p.Cause)
	if p.RTT > 0 && (r.plan.spec.AllPorts || p.State == Open || r.plan.Watched(p.Port)) {
		r.results[i].rtts[p.Port] = p.RTT
	}
	r.attempts += p.Attempts
	r.retries += max(0, p.Attempts-1)
}

// Progress returns the ratio of ports with a result, from 0 to 1.
func (r *Recorder) Progress() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	total := len(r.results) * r.plan.ports.Len()
	return float64(r.reported) / float64(max(1, total))
}

// Snapshot returns a copy of the results by address, the number of attempts, and the number
// of retries among these. Ports without a result are unknown with the cause missing.
func (r *Recorder) Snapshot(missing Cause) (addresses []AddressResult, attempts, retries int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	addresses = slices.Clone(r.results)
	for i := range addresses {
		a := &addresses[i]
		a.cells = slices.Clone(a.cells)
		a.rtts = maps.Clone(a.rtts)
		a.count = [256]int{}
		for j, c := range a.cells {
			if c.cause() == CauseNone {
				c = newCell(Unknown, missing)
				a.cells[j] = c
			}
			a.count[c]++
		}
	}
	return addresses, r.attempts, r.retries
}

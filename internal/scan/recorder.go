// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"maps"
	"net/netip"
	"sync"
	"time"
)

// A scan has at most MaxScanPorts ports, all addresses together. A recorder and its snapshot take at
// most MaxPortBytes of memory for each, if every port has a response time and an ICMP error, and
// the state alternates by port.
const (
	MaxScanPorts = 1 << 26 // 1,024 addresses with all ports
	MaxPortBytes = 88
)

// Recorder collects the results that an engine reports, and returns them at any time.
// Create recorders with [NewRecorder]. They may be used concurrently.
type Recorder struct {
	plan Plan

	mu       sync.Mutex
	byIP     map[netip.Addr]int // index into records
	records  []addressRecord
	reported int // ports with a result, all addresses together
	attempts int
	retries  int
}

// addressRecord has the results for one address so far. A report can replace the cell of any
// port, therefore they are not yet grouped.
type addressRecord struct {
	Address
	cells []cell // by index in the plan's ports; 0: no result
	icmp  icmpTable
	rtts  map[uint16]time.Duration // by port

	lastResponse time.Time
	control      Control
}

// NewRecorder returns a recorder for a request, without results.
func NewRecorder(req Request) (*Recorder, error) {
	if err := req.Check(); err != nil {
		return nil, err
	}
	r := &Recorder{plan: req.plan, byIP: make(map[netip.Addr]int, len(req.addresses))}
	for i, a := range req.addresses {
		r.byIP[a.IP] = i
		r.records = append(r.records, addressRecord{
			Address: a,
			cells:   make([]cell, req.plan.ports.Len()),
			rtts:    make(map[uint16]time.Duration),
		})
	}
	return r, nil
}

// Record adds a result, of one port or of several, or answers to attempts that detect an
// interceptor. It ignores ports that the request does not cover. A state that contradicts its
// cause is recorded as unknown with [CauseInternal], because every state must have evidence.
func (r *Recorder) Record(p PortResult) {
	if (p.State == Unknown) != p.Cause.explainsUnknown() {
		p.State, p.Cause = Unknown, CauseInternal
	}
	if !p.Cause.hasICMP() {
		p.ICMP = ICMPError{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	i, ok := r.byIP[p.Address]
	if !ok {
		return
	}
	if p.LastResponse.After(r.records[i].lastResponse) {
		r.records[i].lastResponse = p.LastResponse
	}
	switch {
	case p.Control != nil:
		r.records[i].control = r.records[i].control.Plus(*p.Control)
	case p.Ports != nil:
		r.recordPorts(i, p)
	case !r.recordPort(i, p):
		return
	}
	r.attempts += p.Attempts
	r.retries += max(0, p.Attempts-p.Count())
}

// recordPort records the result of one port of an address, by the address's index, and
// reports whether the request covers the port. The caller holds the lock.
func (r *Recorder) recordPort(i int, p PortResult) bool {
	index, ok := r.plan.ports.Index(p.Port)
	if !ok {
		return false
	}
	if r.records[i].cells[index].cause() == CauseNone {
		r.reported++
	}
	r.records[i].cells[index] = newCell(p.State, p.Cause)
	r.records[i].recordICMP(index, 1, p)
	if p.RTT > 0 && r.plan.keepsRTT(p.Port, p.State) {
		r.records[i].rtts[p.Port] = p.RTT
	}
	return true
}

// recordPorts records the same result for several ports of an address, by the address's
// index. The caller holds the lock.
func (r *Recorder) recordPorts(i int, p PortResult) {
	record := &r.records[i]
	for first, count := range r.plan.ports.indexRanges(*p.Ports) {
		cells := record.cells[first : first+count]
		for j := range cells {
			if cells[j].cause() == CauseNone {
				r.reported++
			}
			cells[j] = newCell(p.State, p.Cause)
		}
		record.recordICMP(first, count, p)
	}
}

// recordICMP records the ICMP error of count ports from the index first. Ports that become
// unresponsive keep the error that they have.
func (a *addressRecord) recordICMP(first, count int, p PortResult) {
	if p.Cause != CauseUnresponsive || p.ICMP.IsKnown() {
		a.icmp.set(first, count, len(a.cells), p.ICMP)
	}
}

// Progress returns the ratio of ports with a result, from 0 to 1.
func (r *Recorder) Progress() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	total := len(r.records) * r.plan.ports.Len()
	return float64(r.reported) / float64(max(1, total))
}

// Snapshot returns the results by address so far, the number of attempts, and the number of
// retries among these. Ports without a result are unknown with the cause missing. Snapshot
// locks the recorder for one address at a time, so that a scan that is running can go on.
func (r *Recorder) Snapshot(missing Cause) (addresses []AddressResult, attempts, retries int) {
	addresses = make([]AddressResult, 0, len(r.records))
	for i := range r.records {
		addresses = append(addresses, r.snapshotAddress(i, missing))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return addresses, r.attempts, r.retries
}

// snapshotAddress returns the result for the address with the index.
func (r *Recorder) snapshotAddress(i int, missing Cause) AddressResult {
	r.mu.Lock()
	defer r.mu.Unlock()
	record := &r.records[i]
	groups := portGroups(groupByKey(r.plan.ports, record.cells))
	without := groups[newCell(Unknown, CauseNone)]
	delete(groups, newCell(Unknown, CauseNone))
	groups.add(newCell(Unknown, missing), without)
	return AddressResult{
		Address: record.Address, plan: r.plan,
		groups: groups.sorted(), icmp: record.icmp.groupByError(r.plan.ports), rtts: record.answeredRTTs(r.plan.ports),
		lastResponse: record.lastResponse, control: record.control,
	}
}

// answeredRTTs returns the response times of the ports that still have an answer.
func (a *addressRecord) answeredRTTs(ports PortSet) map[uint16]time.Duration {
	rtts := maps.Clone(a.rtts)
	maps.DeleteFunc(rtts, func(port uint16, _ time.Duration) bool {
		i, ok := ports.Index(port)
		return !ok || !a.cells[i].cause().Answered()
	})
	if len(rtts) == 0 {
		return nil
	}
	return rtts
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// savedResult is the persistent form of a [Result], without the plan, which the
// configuration defines.
type savedResult struct {
	Started   time.Time         `json:"started"`
	Finished  time.Time         `json:"finished"`
	Lookup    time.Duration     `json:"lookup"`
	Addresses []savedAddress    `json:"addresses"`
	Refused   []netip.Addr      `json:"refused,omitempty"`
	Failed    map[string]string `json:"failed,omitempty"` // by name of the failure
	Attempts  int               `json:"attempts"`
	Retries   int               `json:"retries"`
}

// ReadResult returns the result of a scan of the plan that an earlier version saved. An address
// outside the scope is an error, and so are ports other than those of the plan.
func ReadResult(data []byte, plan Plan, scope Scope) (*Result, error) {
	var s savedResult
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("reading a result: %w", err)
	}
	found := make([]Address, 0, len(s.Addresses))
	for _, a := range s.Addresses {
		found = append(found, Address{IP: a.IP, Hosts: a.Hosts})
	}
	req, refused, err := NewRequest(plan, scope, found)
	if err != nil {
		return nil, fmt.Errorf("reading a result: %w", err)
	}
	if len(refused) > 0 || len(req.addresses) != len(s.Addresses) {
		return nil, fmt.Errorf("reading a result: %w", errOutsideScope)
	}
	r := &Result{
		Plan: plan, Started: s.Started, Finished: s.Finished, Lookup: s.Lookup, Refused: s.Refused,
		Failed: make(map[Failure]error), Attempts: s.Attempts, Retries: s.Retries,
	}
	for _, f := range Failures() {
		if text, ok := s.Failed[f.String()]; ok {
			r.Failed[f] = errors.New(text)
		}
	}
	if len(r.Failed) != len(s.Failed) {
		return nil, errors.New("reading a result: unknown failure reason")
	}
	r.Addresses, err = s.readAddresses(req)
	return r, err
}

// readAddresses returns the results for the addresses of the request.
func (s *savedResult) readAddresses(req Request) ([]AddressResult, error) {
	saved := make(map[netip.Addr]*savedAddress, len(s.Addresses))
	for i := range s.Addresses {
		s.Addresses[i].LastResponse = s.lastResponse(&s.Addresses[i])
		saved[s.Addresses[i].IP.Unmap()] = &s.Addresses[i]
	}
	results := make([]AddressResult, 0, len(req.addresses))
	for _, a := range req.addresses {
		r, err := saved[a.IP].toResult(req.plan, a)
		if err != nil {
			return nil, fmt.Errorf("reading a result of %v: %w", a.IP, err)
		}
		results = append(results, r)
	}
	return results, nil
}

// lastResponse returns the time of the address's last response. Files of earlier versions lack
// it: an address with open or closed ports has responded since the start of the scan.
func (s *savedResult) lastResponse(a *savedAddress) time.Time {
	at := a.LastResponse
	if at.IsZero() && slices.ContainsFunc(a.Ports, func(p savedPorts) bool {
		return p.State == Open.String() || p.State == Closed.String()
	}) {
		at = s.Started
	}
	if at.After(s.Finished) { // the clock was set back in the scan
		return s.Finished
	}
	return at
}

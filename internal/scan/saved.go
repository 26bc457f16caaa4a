// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
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

// savedAddress groups ports by state and cause. This is compact, because neighboring ports
// mostly have the same state.
type savedAddress struct {
	IP    netip.Addr               `json:"ip"`
	Hosts []string                 `json:"hosts"`
	Ports []savedPorts             `json:"ports"`
	RTTs  map[uint16]time.Duration `json:"rtts,omitempty"`
}

type savedPorts struct {
	State string `json:"state"`
	Cause string `json:"cause"`
	Ports string `json:"ports"`
}

// Save returns the result as JSON for [ReadResult].
func (r *Result) Save() ([]byte, error) {
	s := savedResult{
		Started: r.Started, Finished: r.Finished, Lookup: r.Lookup, Refused: r.Refused,
		Failed: make(map[string]string), Attempts: r.Attempts, Retries: r.Retries,
	}
	for f, err := range r.Failed {
		s.Failed[f.String()] = err.Error()
	}
	for i := range r.Addresses {
		s.Addresses = append(s.Addresses, r.Addresses[i].toSaved())
	}
	data, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("writing a result: %w", err)
	}
	return data, nil
}

func (a *AddressResult) toSaved() savedAddress {
	s := savedAddress{IP: a.IP, Hosts: a.Hosts, RTTs: a.rtts}
	by := a.groupPorts(func(c cell) uint8 { return uint8(c) })
	for _, k := range slices.Sorted(maps.Keys(by)) {
		c := cell(k)
		s.Ports = append(s.Ports, savedPorts{State: c.state().String(), Cause: c.cause().String(), Ports: by[k].String()})
	}
	return s
}

var errWrongPorts = errors.New("saved ports differ from the plan's ports")

// ReadResult returns the result of a scan of the plan that [Result.Save] wrote. An address
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
		return nil, errors.New("reading a result: addresses are outside the target's networks")
	}
	recorder, err := NewRecorder(req)
	if err != nil {
		return nil, fmt.Errorf("reading a result: %w", err)
	}
	for i := range s.Addresses {
		if err := s.Addresses[i].recordPorts(plan, recorder); err != nil {
			return nil, fmt.Errorf("reading a result of %v: %w", s.Addresses[i].IP, err)
		}
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
	r.Addresses, _, _ = recorder.Snapshot(CauseInternal)
	return r, nil
}

// recordPorts records all ports of the address.
func (s *savedAddress) recordPorts(plan Plan, to *Recorder) error {
	var all PortSet
	total := 0
	for _, saved := range s.Ports {
		ports, err := ParsePortSet(saved.Ports)
		if err != nil {
			return err
		}
		state, cause, err := parseCell(saved.State, saved.Cause)
		if err != nil {
			return err
		}
		for port := range ports.All() {
			to.Record(PortResult{Address: s.IP.Unmap(), Port: port, State: state, Cause: cause, RTT: s.RTTs[port]})
		}
		all, total = all.Union(ports), total+ports.Len()
	}
	if !all.Equal(plan.ports) || total != all.Len() {
		return errWrongPorts
	}
	return nil
}

// parseCell returns the state and the cause with the names.
func parseCell(state, cause string) (State, Cause, error) {
	for _, s := range States() {
		for c := CauseHandshake; c <= CauseInternal; c++ {
			if s.String() == state && c.String() == cause && (s == Unknown) == c.explainsUnknown() {
				return s, c, nil
			}
		}
	}
	return 0, 0, fmt.Errorf("unknown state %q with cause %q", state, cause)
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// savedAddress groups ports by state and cause, and those with the same ICMP error. This is
// compact, because neighboring ports mostly have the same state.
type savedAddress struct {
	IP    netip.Addr               `json:"ip"`
	Hosts []string                 `json:"hosts"`
	Ports []savedPorts             `json:"ports"`
	ICMP  []savedICMP              `json:"icmp,omitempty"` // earlier versions have none
	RTTs  map[uint16]time.Duration `json:"rtts,omitempty"`

	LastResponse time.Time `json:"last_response,omitzero"`
	Control      Control   `json:"control,omitzero"`
}

type savedPorts struct {
	State string `json:"state"`
	Cause string `json:"cause"`
	Ports string `json:"ports"`
}

type savedICMP struct {
	Type  uint8      `json:"type"`
	Code  uint8      `json:"code"`
	From  netip.Addr `json:"from"`
	Ports string     `json:"ports"`
}

// Save returns the result as JSON for [ReadAddress], without the plan.
func (a *AddressResult) Save() ([]byte, error) {
	data, err := json.Marshal(a.toSaved())
	if err != nil {
		return nil, fmt.Errorf("writing a result of %v: %w", a.IP, err)
	}
	return data, nil
}

func (a *AddressResult) toSaved() savedAddress {
	s := savedAddress{IP: a.IP, Hosts: a.Hosts, RTTs: a.rtts, LastResponse: a.lastResponse, Control: a.control}
	for _, g := range a.groups {
		s.Ports = append(s.Ports, savedPorts{State: g.cell.state().String(), Cause: g.cell.cause().String(), Ports: g.ports.String()})
	}
	for _, e := range a.icmp {
		s.ICMP = append(s.ICMP, savedICMP{Type: e.Type, Code: e.Code, From: e.From, Ports: e.Ports.String()})
	}
	return s
}

var (
	errWrongPorts   = errors.New("saved ports differ from the plan's ports")
	errWrongICMP    = errors.New("saved ICMP errors are of ports without such errors")
	errOutsideScope = errors.New("addresses are outside the target's networks")
)

// ReadAddress returns the result for an address in a scan of the plan that
// [AddressResult.Save] wrote. An address outside the scope is an error, and so are ports other
// than those of the plan, and states that contradict their causes.
func ReadAddress(data []byte, plan Plan, scope Scope) (AddressResult, error) {
	var s savedAddress
	if err := json.Unmarshal(data, &s); err != nil {
		return AddressResult{}, fmt.Errorf("reading an address's result: %w", err)
	}
	req, _, err := NewRequest(plan, scope, []Address{{IP: s.IP, Hosts: s.Hosts}})
	if err != nil {
		return AddressResult{}, fmt.Errorf("reading an address's result: %w", err)
	}
	if len(req.addresses) != 1 {
		return AddressResult{}, fmt.Errorf("reading a result of %v: %w", s.IP, errOutsideScope)
	}
	r, err := s.toResult(plan, req.addresses[0])
	if err != nil {
		return AddressResult{}, fmt.Errorf("reading a result of %v: %w", s.IP, err)
	}
	return r, nil
}

// toResult returns the result for the address, which is in the scope.
func (s *savedAddress) toResult(plan Plan, address Address) (AddressResult, error) {
	r := AddressResult{Address: address, plan: plan, lastResponse: s.LastResponse, control: s.Control}
	var err error
	if r.groups, err = s.readGroups(plan); err != nil {
		return AddressResult{}, err
	}
	if r.icmp, err = s.readICMP(r.groups); err != nil {
		return AddressResult{}, err
	}
	r.rtts = s.readRTTs(&r)
	return r, nil
}

// readGroups returns the ports by state and cause. Together they must be the plan's ports, each
// of them once.
func (s *savedAddress) readGroups(plan Plan) ([]portGroup, error) {
	groups := make(portGroups)
	var all PortSet
	total := 0
	for _, saved := range s.Ports {
		ports, err := ParsePortSet(saved.Ports)
		if err != nil {
			return nil, err
		}
		c, err := parseCell(saved.State, saved.Cause)
		if err != nil {
			return nil, err
		}
		groups.add(c, ports)
		all, total = all.Union(ports), total+ports.Len()
	}
	if !all.Equal(plan.ports) || total != all.Len() {
		return nil, errWrongPorts
	}
	return groups.sorted(), nil
}

// readICMP returns the ICMP errors. Errors of ports with another cause, or of a port that has
// an error already, are an error.
func (s *savedAddress) readICMP(groups []portGroup) (all []ICMPPorts, err error) {
	var without PortSet // ports that may have an error, and have none so far
	for i := range groups {
		if groups[i].cell.cause().hasICMP() {
			without = without.Union(groups[i].ports)
		}
	}
	for _, saved := range s.ICMP {
		ports, err := ParsePortSet(saved.Ports)
		if err != nil {
			return nil, err
		}
		if !ports.Minus(without).IsEmpty() {
			return nil, errWrongICMP
		}
		without = without.Minus(ports)
		all = addICMP(all, ICMPError{From: saved.From, Type: saved.Type, Code: saved.Code}, ports)
	}
	return all, nil
}

// readRTTs returns the response times that [Recorder.Record] would keep.
func (s *savedAddress) readRTTs(r *AddressResult) map[uint16]time.Duration {
	rtts := make(map[uint16]time.Duration)
	for port, rtt := range s.RTTs {
		p, ok := r.Port(port)
		if ok && rtt > 0 && p.Cause.Answered() && r.plan.keepsRTT(port, p.State) {
			rtts[port] = rtt
		}
	}
	if len(rtts) == 0 {
		return nil
	}
	return rtts
}

// parseCell returns the cell of the state and the cause with the names.
func parseCell(state, cause string) (cell, error) {
	for _, s := range States() {
		for c := CauseHandshake; c <= CauseTranslated; c++ {
			if s.String() == state && c.String() == cause && (s == Unknown) == c.explainsUnknown() {
				return newCell(s, c), nil
			}
		}
	}
	return 0, fmt.Errorf("unknown state %q with cause %q", state, cause)
}

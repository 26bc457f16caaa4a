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

// savedResult is a [Result] as it outlives the program. Its plan does not: that is the
// configuration's.
type savedResult struct {
	Started   time.Time         `json:"started"`
	Finished  time.Time         `json:"finished"`
	Lookup    time.Duration     `json:"lookup"`
	Addresses []savedAddress    `json:"addresses"`
	Refused   []netip.Addr      `json:"refused,omitempty"`
	Failed    map[string]string `json:"failed,omitempty"` // by the failure's name
	Attempts  int               `json:"attempts"`
	Retries   int               `json:"retries"`
}

// savedAddress has the ports by state and cause: a host's ports are mostly alike, and
// in neighbours, so that this takes little room.
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

// Save writes the result as JSON, which [ReadResult] reads.
func (r *Result) Save() ([]byte, error) {
	s := savedResult{
		Started: r.Started, Finished: r.Finished, Lookup: r.Lookup, Refused: r.Refused,
		Failed: make(map[string]string), Attempts: r.Attempts, Retries: r.Retries,
	}
	for f, err := range r.Failed {
		s.Failed[f.String()] = err.Error()
	}
	for i := range r.Addresses {
		s.Addresses = append(s.Addresses, r.Addresses[i].saved())
	}
	data, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("writing a result: %w", err)
	}
	return data, nil
}

func (a *AddressResult) saved() savedAddress {
	s := savedAddress{IP: a.IP, Hosts: a.Hosts, RTTs: a.rtts}
	by := a.split(func(c cell) uint8 { return uint8(c) })
	for _, k := range slices.Sorted(maps.Keys(by)) {
		c := cell(k)
		s.Ports = append(s.Ports, savedPorts{State: c.state().String(), Cause: c.cause().String(), Ports: by[k].String()})
	}
	return s
}

var errNotWhole = errors.New("it does not say of every port of the plan what is known, and once")

// ReadResult reads what [Result.Save] wrote of a scan of the plan. An address outside
// the scope, or ports that are not the plan's, are an error.
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
		return nil, errors.New("reading a result: it has addresses that are not the target's")
	}
	recorder, err := NewRecorder(req)
	if err != nil {
		return nil, fmt.Errorf("reading a result: %w", err)
	}
	for i := range s.Addresses {
		if err := s.Addresses[i].replay(plan, recorder); err != nil {
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
		return nil, errors.New("reading a result: it failed for a reason that is not known here")
	}
	r.Addresses, _, _ = recorder.Snapshot(CauseInternal)
	return r, nil
}

// replay reports every port of the address once.
func (s *savedAddress) replay(plan Plan, to *Recorder) error {
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
		return errNotWhole
	}
	return nil
}

// parseCell finds a state and a cause by their names.
func parseCell(state, cause string) (State, Cause, error) {
	for _, s := range States() {
		for c := CauseHandshake; c <= CauseInternal; c++ {
			if s.String() == state && c.String() == cause && (s == Unknown) == c.explainsUnknown() {
				return s, c, nil
			}
		}
	}
	return 0, 0, fmt.Errorf("a port that is %q by %q is not known here", state, cause)
}

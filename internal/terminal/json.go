// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"bytes"
	"encoding/json"
	"io"
	"net/netip"
	"time"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/service"
)

// jsonVersion increases when a key is removed or changes its meaning, not when keys are
// added.
const jsonVersion = 1

// jsonScan is the document without its addresses, which follow it.
type jsonScan struct {
	Version       int               `json:"version"`
	Target        string            `json:"target"`
	Asked         string            `json:"asked"`
	Module        string            `json:"module"`
	Protocol      string            `json:"protocol"`
	Method        string            `json:"method"`
	Ports         string            `json:"ports"`
	Authorization jsonAuthorization `json:"authorization"`
	Started       time.Time         `json:"started"`
	Duration      float64           `json:"duration_seconds"`
	Lookup        float64           `json:"dns_lookup_seconds"`
	Complete      bool              `json:"complete"`
	Violating     int               `json:"violating"`
	Failures      []jsonFailure     `json:"failures"`
	Refused       []netip.Addr      `json:"refused_addresses"`
	Attempts      int               `json:"attempts"`
	Retries       int               `json:"retries"`
}

type jsonAuthorization struct {
	Owner     string     `json:"owner"`
	Reference string     `json:"reference"`
	Expires   *time.Time `json:"expires"`
}

type jsonFailure struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

type jsonAddress struct {
	Address    netip.Addr      `json:"address"`
	Hosts      []string        `json:"hosts"`
	Responding bool            `json:"responding"`
	Suspect    bool            `json:"suspect"`
	Suspicion  *string         `json:"suspect_reason"`
	States     map[string]int  `json:"states"`
	Unknown    map[string]int  `json:"unknown"`
	ICMPErrors []jsonICMPPorts `json:"icmp_errors"`
	Ports      []jsonPort      `json:"ports"`
}

// jsonICMP is an ICMP error.
type jsonICMP struct {
	Type    uint8      `json:"type"`
	Code    uint8      `json:"code"`
	Message string     `json:"message"`
	From    netip.Addr `json:"from"`
}

// jsonICMPPorts is an ICMP error with all its ports, listed or not.
type jsonICMPPorts struct {
	jsonICMP

	Count int    `json:"count"`
	Ports string `json:"ports"`
}

type jsonPort struct {
	Port      uint16    `json:"port"`
	State     string    `json:"state"`
	Cause     string    `json:"cause"`
	ICMP      *jsonICMP `json:"icmp"`
	Expected  string    `json:"expected"`
	Violating bool      `json:"violating"`
	Response  *float64  `json:"response_seconds"`
	Service   *string   `json:"service"`
}

// writeJSON writes one object: a line for the scan, a line for each address, and a
// closing line. It encodes one address at a time: each may have 65,535 ports.
func (r Report) writeJSON(w io.Writer) error {
	head, err := json.Marshal(r.jsonScan())
	if err != nil {
		return err
	}
	parts := [][]byte{bytes.TrimSuffix(head, []byte("}")), []byte(`,"addresses":[`)}
	names, separator := service.New(), "\n"
	for i := range r.Result.Addresses {
		address, err := json.Marshal(r.jsonAddress(&r.Result.Addresses[i], names))
		if err != nil {
			return err
		}
		parts = append(parts, []byte(separator), address)
		separator = ",\n"
		if _, err := w.Write(bytes.Join(parts, nil)); err != nil {
			return err
		}
		parts = parts[:0]
	}
	_, err = w.Write(bytes.Join(append(parts, []byte("\n]}\n")), nil))
	return err
}

func (r Report) jsonScan() jsonScan {
	result, spec := r.Result, r.Result.Plan.Spec()
	s := jsonScan{
		Version: jsonVersion,
		Target:  r.Target, Asked: r.Asked, Module: r.Module,
		Protocol: spec.Protocol.String(), Method: spec.Method.String(), Ports: result.Plan.Ports().String(),
		Authorization: jsonAuthorization{Owner: r.Owner, Reference: r.Reference},
		Started:       result.Started.UTC(), Duration: result.Finished.Sub(result.Started).Seconds(), Lookup: result.Lookup.Seconds(),
		Complete: r.Success(), Violating: r.CountViolations(),
		Failures: []jsonFailure{}, Refused: append([]netip.Addr{}, result.Refused...),
		Attempts: result.Attempts, Retries: result.Retries,
	}
	if !r.Expires.IsZero() {
		expires := r.Expires.UTC()
		s.Authorization.Expires = &expires
	}
	for _, f := range scan.Failures() {
		if err := result.Failed[f]; err != nil {
			s.Failures = append(s.Failures, jsonFailure{Reason: f.String(), Message: err.Error()})
		}
	}
	return s
}

func (r Report) jsonAddress(a *scan.AddressResult, names service.Names) jsonAddress {
	out := jsonAddress{
		Address: a.IP, Hosts: append([]string{}, a.Hosts...), Responding: a.Responding(), Suspect: a.Suspect(),
		States: make(map[string]int), Unknown: make(map[string]int), ICMPErrors: []jsonICMPPorts{}, Ports: []jsonPort{},
	}
	if reason := a.SuspectedBy(); reason != scan.NotSuspect {
		out.Suspicion = new(reason.String())
	}
	for _, s := range scan.States() {
		out.States[s.String()] = a.Count(s)
	}
	unknown := a.UnknownByCause()
	for _, cause := range scan.UnknownCauses() {
		out.Unknown[cause.String()] = unknown[cause]
	}
	for _, e := range a.ICMPErrors() {
		out.ICMPErrors = append(out.ICMPErrors, jsonICMPPorts{newJSONICMP(e.ICMPError), e.Ports.Len(), e.Ports.String()})
	}
	for p := range a.All() {
		if r.lists(p) {
			out.Ports = append(out.Ports, r.jsonPort(p, names))
		}
	}
	return out
}

func newJSONICMP(e scan.ICMPError) jsonICMP {
	return jsonICMP{Type: e.Type, Code: e.Code, Message: e.Message(), From: e.From}
}

func (r Report) jsonPort(p scan.PortResult, names service.Names) jsonPort {
	expected := r.Result.Plan.Expected(p.Port)
	out := jsonPort{
		Port: p.Port, State: p.State.String(), Cause: p.Cause.String(),
		Expected: expected.String(), Violating: expected.ViolatedBy(p.State),
	}
	if p.ICMP.IsKnown() {
		out.ICMP = new(newJSONICMP(p.ICMP))
	}
	if p.RTT > 0 {
		seconds := p.RTT.Seconds()
		out.Response = &seconds
	}
	if name := names.Lookup(r.Result.Plan.Spec().Protocol, p.Port); name != "" {
		out.Service = &name
	}
	return out
}

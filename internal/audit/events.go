// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"net/netip"
	"time"
)

// The values of the key "event".
const (
	EventScan    = "scan"
	EventProbe   = "probe"
	EventRefusal = "refusal"
)

// CommandLine is the value of [Scan.Remote] for a scan of the command line.
const CommandLine = "command line"

// Scan is the event of an ended scan. There is one for each scan, even if several probes
// waited for it or none of them did. The key "time" has the value of Ended.
type Scan struct {
	ID string `json:"id"` // as in [Probe.Scan]

	// Remote is the address and port of the client whose probe started the scan, or
	// [CommandLine].
	Remote string `json:"remote"`
	User   string `json:"user,omitempty"` // verified user of that client

	Target    string `json:"target"` // name of the target
	Module    string `json:"module"`
	Owner     string `json:"owner"`
	Reference string `json:"reference,omitempty"`

	Addresses []netip.Addr `json:"addresses,omitempty"` // scanned
	Refused   []netip.Addr `json:"refused,omitempty"`   // outside the target's networks, not scanned
	Ports     int          `json:"ports"`               // per address
	Attempts  int          `json:"attempts"`            // of this scan, without those of an earlier one that it resumed

	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended"`

	Outcome string `json:"outcome"`          // complete, incomplete, failed, or suspended: the next scan resumes it
	Reason  string `json:"reason,omitempty"` // explanation of the outcome
}

// Source is how a probe got its result.
type Source string

// The sources of results.
const (
	Fresh  Source = "fresh"  // the probe started the scan
	Joined Source = "joined" // the probe joined a running scan
	Cached Source = "cached" // the scan had ended before the probe
)

// Probe is the event of an answered probe.
type Probe struct {
	Time     time.Time     `json:"time"`   // arrival of the request
	Remote   string        `json:"remote"` // address and port of the client
	User     string        `json:"user,omitempty"`
	Target   string        `json:"target"` // as requested: the name of a target or an address
	Module   string        `json:"module"`
	Scan     string        `json:"scan"` // [Scan.ID] of the scan that the answer shows
	Source   Source        `json:"source"`
	Status   int           `json:"status"` // HTTP status code
	Duration time.Duration `json:"duration_ns"`
}

// Refusal is the event of a refused probe.
type Refusal struct {
	Time   time.Time `json:"time"`   // arrival of the request
	Remote string    `json:"remote"` // address and port of the client
	User   string    `json:"user,omitempty"`

	// Target and Module can be unconfigured names, as requested. The caller truncates them.
	Target    string `json:"target"`
	Module    string `json:"module,omitempty"`
	Owner     string `json:"owner,omitempty"` // if Target is the name of a target
	Reference string `json:"reference,omitempty"`

	Outcome string `json:"outcome"` // reason, as in the metric
	Reason  string `json:"reason"`  // text of the answer
	Status  int    `json:"status"`  // HTTP status code
}

// Scan queues the event of an ended scan. It does not block: the event is dropped if the
// queue is full.
func (l *Log) Scan(s Scan) {
	s.Started, s.Ended = s.Started.UTC(), s.Ended.UTC()
	l.add(struct {
		Event string    `json:"event"`
		Time  time.Time `json:"time"`
		Scan
	}{EventScan, s.Ended, s})
}

// Probe queues the event of an answered probe, like [Log.Scan].
func (l *Log) Probe(p Probe) {
	p.Time = p.Time.UTC()
	l.add(struct {
		Event string `json:"event"`
		Probe
	}{EventProbe, p})
}

// Refusal queues the event of a refused probe, like [Log.Scan].
func (l *Log) Refusal(r Refusal) {
	r.Time = r.Time.UTC()
	l.add(struct {
		Event string `json:"event"`
		Refusal
	}{EventRefusal, r})
}

// add queues an event.
func (l *Log) add(event any) {
	if l == nil {
		return
	}
	line, err := encodeLine(event)
	if err != nil {
		l.drop(1, err)
		return
	}
	l.addLine(line)
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"time"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/store"
)

// portRow is a row of the table of ports: a port that is declared, open, or was
// open before.
type portRow struct {
	Class    portClass
	Address  string
	Port     uint16
	Protocol string
	State    string
	Evidence string // "": details are not stored
	Expected string
	Response string // "": the port did not answer
	RTT      int64  // microseconds
	Since    timestamp
	Changed  bool // Since has the time of the last change
}

// maxPortRows is the number of ports that a page lists.
const maxPortRows = 1000

// portRows returns the ports to list, the worst class first, then by address and
// port. omitted is the number of ports beyond the limit, as text.
func portRows(v *store.TargetView, addresses []*store.AddressView, now time.Time) (rows []portRow, omitted string) {
	total := 0
	for _, class := range portClasses() {
		for _, a := range addresses {
			ports := listedPorts(v, a, class)
			total += ports.Len()
			for port := range ports.All() {
				if len(rows) == maxPortRows {
					break
				}
				rows = append(rows, newPortRow(v, a, class, port, now))
			}
		}
	}
	if more := total - len(rows); more > 0 {
		omitted = formatCount(more, "port")
	}
	return rows, omitted
}

// listedPorts returns the ports of a class that are listed.
func listedPorts(v *store.TargetView, a *store.AddressView, class portClass) scan.PortSet {
	watched := a.Opened
	if e := v.Plan.Spec().Expect; e != nil {
		watched = union(watched, e.Open)
	}
	switch class {
	case classUnexpected:
		return a.Unexpected
	case classMissing:
		return a.Missing
	case classUnknown:
		return a.States[scan.Unknown].Intersect(watched)
	case classOpen:
		return a.States[scan.Open].Minus(a.Unexpected)
	case classOpenFiltered:
		return a.States[scan.OpenFiltered].Intersect(watched)
	case classFiltered:
		return a.States[scan.Filtered].Intersect(watched).Minus(a.Missing)
	case classClosed:
		return a.States[scan.Closed].Intersect(watched).Minus(a.Missing)
	default:
		return scan.PortSet{}
	}
}

func newPortRow(v *store.TargetView, a *store.AddressView, class portClass, port uint16, now time.Time) portRow {
	r := portRow{
		Class: class, Address: a.IP.String(), Port: port, Protocol: v.Plan.Spec().Protocol.String(), Expected: describeExpected(v.Plan, port),
	}
	if d, ok := a.Port(port); ok {
		r.State, r.Evidence = formatState(d.State), describeEvidence(d)
		if d.RTT > 0 {
			r.Response, r.RTT = formatDuration(d.RTT), d.RTT.Microseconds()
		}
	}
	if changed, ok := a.LastChange(port); ok {
		r.Since, r.Changed = newTimestamp(changed, now), true
	}
	return r
}

// changeRow is a row of the table of changes.
type changeRow struct {
	When      timestamp
	Module    string
	Address   string
	NewHost   bool // has no port
	Port      uint16
	Protocol  string
	From, To  string
	Violating bool // since the change
	Flapping  bool
}

// changeRows returns the changes of a target, newest first, on one address unless address is empty.
func (s *Server) changeRows(target, address string, now time.Time) (rows []changeRow) {
	for _, c := range s.options.Results.Changes(target) {
		if address != "" && c.IP.String() != address {
			continue
		}
		rows = append(rows, changeRow{
			When: newTimestamp(c.Time, now), Module: c.Module, Address: c.IP.String(), Port: c.Port, Protocol: c.Protocol.String(),
			From: formatState(c.From), To: formatState(c.To), Flapping: c.Flapping,
			Violating: c.Violating(), NewHost: c.Kind == store.NewHost,
		})
	}
	return rows
}

package server

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"portscan_exporter/internal/config"
	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
)

// portRow is a port of an address that somebody needs to know of.
type portRow struct {
	Class    portClass
	Address  string
	Port     uint16
	Protocol string
	State    string
	Evidence string // "": details are not kept of it
	Expected string
	Response string // "": it gave no answer
	RTT      int64  // microseconds
	Since    moment
	Changed  bool // it was seen to change, at Since
}

// mostRows is how many ports a page lists.
const mostRows = 1000

// portRows lists what must be open, what is open, and what once was: the worst first,
// then in order of address and port; and says how many are left out.
func portRows(s *coordinator.Sight, addresses []*coordinator.AddressSight, now time.Time) (rows []portRow, omitted string) {
	total := 0
	for _, class := range portClasses() {
		for _, a := range addresses {
			ports := notable(s, a, class)
			total += ports.Len()
			for port := range ports.All() {
				if len(rows) == mostRows {
					break
				}
				rows = append(rows, portRowOf(s, a, class, port, now))
			}
		}
	}
	if more := total - len(rows); more > 0 {
		omitted = plural(more, "further port")
	}
	return rows, omitted
}

// notable returns the ports of a class that are listed.
func notable(s *coordinator.Sight, a *coordinator.AddressSight, class portClass) scan.PortSet {
	watched := a.Opened
	if e := s.Plan.Spec().Expect; e != nil {
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

func portRowOf(s *coordinator.Sight, a *coordinator.AddressSight, class portClass, port uint16, now time.Time) portRow {
	r := portRow{
		Class: class, Address: a.IP.String(), Port: port, Protocol: s.Plan.Spec().Protocol.String(), Expected: expectedWords(s.Plan, port),
	}
	if a.Forgotten {
		r.State = class.String()
	}
	for state, ports := range a.States {
		if ports.Contains(port) {
			r.State = stateWords(state)
		}
	}
	if d, ok := a.Details[port]; ok {
		r.Evidence = causeWords(d.Cause)
		if d.RTT > 0 {
			r.Response, r.RTT = took(d.RTT), d.RTT.Microseconds()
		}
	}
	if at, ok := a.LastChange(port); ok {
		r.Since, r.Changed = momentOf(at, now), true
	}
	return r
}

// changeRow is a change that was seen.
type changeRow struct {
	When     moment
	Module   string
	Address  string
	Port     uint16
	Protocol string
	From, To string
	Bad      bool // it is not as it should be now
	Flapping bool
}

// changeRows returns the changes seen at a target, newest first; of one address, if one
// is chosen.
func (s *Server) changeRows(p *targetPage, target string, now time.Time) (rows []changeRow) {
	for _, c := range s.options.Scans.Changes(target) {
		if p.Address != "" && c.IP.String() != p.Address {
			continue
		}
		rows = append(rows, changeRow{
			When: momentOf(c.Time, now), Module: c.Module, Address: c.IP.String(), Port: c.Port, Protocol: c.Protocol.String(),
			From: stateWords(c.From), To: stateWords(c.To), Flapping: c.Flapping,
			Bad: c.Violating(),
		})
	}
	return rows
}

// notKnown says plainly what was not scanned, and what the scan could not find out.
func (s *standing) notKnown() (all []string) {
	sight, spec := s.sight, s.sight.Plan.Spec()
	protocol := "TCP"
	if spec.Protocol == scan.UDP {
		protocol = "UDP"
	}
	if rest := everyPort().Minus(sight.Plan.Ports()); !rest.IsEmpty() {
		all = append(all, fmt.Sprintf("%s of 65,535 %s ports: not scanned by this module.", thousands(rest.Len()), protocol))
	}
	if !spec.Exclude.IsEmpty() {
		all = append(all, fmt.Sprintf("Ports %s: excluded (exclude_ports).", few(spec.Exclude)))
	}
	all = append(all, s.otherProtocols()...)
	if n := len(s.target.ExcludeHosts); n > 0 {
		all = append(all, "Hosts in exclude_hosts: excluded.")
	}
	for _, f := range scan.Failures() {
		if err := sight.Failed[f]; err != nil {
			all = append(all, fmt.Sprintf("Scan incomplete: %v.", err))
		}
	}
	for _, ip := range sight.Refused {
		all = append(all, fmt.Sprintf("%v: resolved outside the target's networks, not scanned.", ip))
	}
	if sight.Gone > 0 {
		all = append(all, plural(sight.Gone, "address")+": results evicted (memory limit).")
	}
	if sight.Others {
		all = append(all, "Other addresses of the target: not scanned since the exporter started or the configuration changed.")
	}
	all = append(all, s.notFoundOut()...)
	if s.stale {
		all = append(all, "Changes since the last scan, which is older than max_age + timeout.")
	}
	return all
}

// notFoundOut says which ports of the addresses that were scanned are unknown, or are shown
// so.
func (s *standing) notFoundOut() (all []string) {
	unknown, forgotten := make(map[scan.Cause]int), 0
	for _, a := range s.sight.Addresses {
		for cause, n := range a.Unknown {
			unknown[cause] += n
		}
		if a.Forgotten {
			forgotten++
		}
	}
	if forgotten > 0 {
		all = append(all, "Port states of "+plural(forgotten, "address")+": evicted (memory limit). Until the next scan, all ports but unexpected and missing ones are shown as unknown.")
	}
	for _, cause := range slices.Sorted(maps.Keys(unknown)) {
		all = append(all, fmt.Sprintf("%s scanned, but unknown: %s.", plural(unknown[cause], "port"), causeWords(cause)))
	}
	return all
}

// otherProtocols says of which protocol nothing is scanned at all, and where the other
// one is to be found.
func (s *standing) otherProtocols() []string {
	for _, other := range []scan.Protocol{scan.TCP, scan.UDP} {
		if other == s.module.Protocol {
			continue
		}
		name := map[scan.Protocol]string{scan.TCP: "TCP", scan.UDP: "UDP"}[other]
		if i := slices.IndexFunc(s.target.Modules, func(m *config.Module) bool { return m.Protocol == other }); i >= 0 {
			return []string{name + ": see module " + s.target.Modules[i].Name + "."}
		}
		return []string{name + ": not scanned by any module of this target."}
	}
	return nil
}

func hostTexts(t *config.Target) (all []string) {
	for _, h := range t.Hosts {
		all = append(all, h.Entry)
	}
	return all
}

func texts[T fmt.Stringer](all []T) (written []string) {
	for _, one := range all {
		written = append(written, one.String())
	}
	return written
}

// sorted returns labels in order of name.
func sorted(labels map[string]string) (all [][2]string) {
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		all = append(all, [2]string{name, labels[name]})
	}
	return all
}

func familyWords(f scan.Family) string {
	switch f {
	case scan.IPv4:
		return "IPv4 only"
	case scan.IPv6:
		return "IPv6 only"
	default:
		return ""
	}
}

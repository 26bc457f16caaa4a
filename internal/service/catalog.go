// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package service

import (
	"slices"
	"strings"

	"portscan_exporter/internal/scan"
)

// Catalog has the ports of service names, and an order of ports by importance. Create it
// with [NewCatalog]. It is immutable and may be used concurrently.
//
// Sources are IANA's registry, names that are usual but not registered, and an order of the
// project's own. Port frequencies of other scanners are not used because of their licenses.
type Catalog struct {
	protocols map[scan.Protocol]*index
}

// index has the services of one protocol.
type index struct {
	ports  map[string]scan.PortSet
	names  []string // in the order of their first port
	ranked []uint16
	isIn   map[uint16]bool // in ranked
}

// NewCatalog returns the embedded services. It takes milliseconds.
func NewCatalog() Catalog {
	c := Catalog{protocols: make(map[scan.Protocol]*index)}
	for _, protocol := range []scan.Protocol{scan.TCP, scan.UDP} {
		c.protocols[protocol] = &index{ports: make(map[string]scan.PortSet), isIn: make(map[uint16]bool)}
	}
	for line := range lines(topTable) {
		if protocol, ports, ok := strings.Cut(line, " "); ok {
			c.add(protocol, strings.ReplaceAll(ports, " ", ","), "")
		}
	}
	for _, table := range []string{namesTable, registryTable} {
		for s := range services(table) {
			c.add(s.protocols, s.ports, s.name)
		}
	}
	return c
}

// add adds ports to the order, and to the ports of a name that is not empty.
func (c Catalog) add(protocols, ports, name string) {
	added := ranking(ports)
	for protocol := range each(protocols) {
		idx := c.protocols[protocol]
		for _, port := range added {
			if !idx.isIn[port] {
				idx.isIn[port] = true
				idx.ranked = append(idx.ranked, port)
			}
		}
		if name == "" {
			continue
		}
		known, ok := idx.ports[name]
		if !ok {
			idx.names = append(idx.names, name)
		}
		idx.ports[name] = known.Union(scan.NewPortSet(added...))
	}
}

// ranking returns the ports of a list in the order of the list. Invalid entries are
// ignored; a test finds them.
func ranking(list string) (ports []uint16) {
	for entry := range strings.SplitSeq(list, ",") {
		if set, err := scan.ParsePortSet(entry); err == nil {
			ports = slices.AppendSeq(ports, set.All())
		}
	}
	return ports
}

// Ports returns all ports of a service, and reports whether the protocol has a service of
// that name. Case is ignored.
func (c Catalog) Ports(protocol scan.Protocol, name string) (scan.PortSet, bool) {
	idx, ok := c.protocols[protocol]
	if !ok {
		return scan.PortSet{}, false
	}
	set, ok := idx.ports[strings.ToLower(name)]
	return set, ok
}

// Names returns the names of all services of a protocol, usual ones first. Do not modify
// the result.
func (c Catalog) Names(protocol scan.Protocol) []string {
	if idx, ok := c.protocols[protocol]; ok {
		return idx.names
	}
	return nil
}

// Ranked returns the ports of all services of a protocol, the most important first. Do not
// modify the result.
func (c Catalog) Ranked(protocol scan.Protocol) []uint16 {
	if idx, ok := c.protocols[protocol]; ok {
		return idx.ranked
	}
	return nil
}

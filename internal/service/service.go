// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Package service provides the names of services and their usual ports. No port is
// examined for them.
//
// The services are embedded, so that they are the same on every host: /etc/services
// differs between systems, and container images often have none.
package service

import (
	_ "embed"
	"iter"
	"strings"

	"portscan_exporter/internal/scan"
)

//go:embed names.txt
var namesTable string

//go:embed registry.txt
var registryTable string

//go:embed top.txt
var topTable string

// Names maps ports to the names of usual services. Create it with [New]. It may be used
// concurrently.
type Names struct {
	names map[portKey]string
}

type portKey struct {
	protocol scan.Protocol
	port     uint16
}

// New returns the embedded names.
func New() Names {
	n := Names{names: make(map[portKey]string)}
	for s := range services(namesTable) {
		for protocol := range each(s.protocols) {
			for _, port := range ranking(s.ports) {
				key := portKey{protocol, port}
				if _, named := n.names[key]; !named {
					n.names[key] = s.name
				}
			}
		}
	}
	return n
}

// Lookup returns the name of the service that usually listens on a port, or "" if the
// table has none.
func (n Names) Lookup(protocol scan.Protocol, port uint16) string {
	return n.names[portKey{protocol, port}]
}

// entry is a line of names.txt or registry.txt.
type entry struct {
	ports, protocols, name string
}

// services yields the lines of a table. Incomplete lines are ignored; a test finds them.
func services(table string) iter.Seq[entry] {
	return func(yield func(entry) bool) {
		for line := range lines(table) {
			ports, rest, _ := strings.Cut(line, " ")
			protocols, rest, ok := strings.Cut(rest, " ")
			name, _, _ := strings.Cut(rest, " ")
			if ok && !yield(entry{ports: ports, protocols: protocols, name: name}) {
				return
			}
		}
	}
}

// lines yields the lines of a table without comments and line ends.
func lines(table string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for line := range strings.Lines(table) {
			if line = strings.TrimSuffix(line, "\n"); !strings.HasPrefix(line, "#") && !yield(line) {
				return
			}
		}
	}
}

// each yields the protocols of a list, such as "tcp,udp".
func each(list string) iter.Seq[scan.Protocol] {
	return func(yield func(scan.Protocol) bool) {
		for name := range strings.SplitSeq(list, ",") {
			for _, p := range []scan.Protocol{scan.TCP, scan.UDP} {
				if p.String() == name && !yield(p) {
					return
				}
			}
		}
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Package service provides the names of the services that usually listen on a port. No
// port is examined for them.
//
// The names are embedded, so that they are the same on every host: /etc/services differs
// between systems, and container images often have none.
package service

import (
	_ "embed"
	"strconv"
	"strings"

	"portscan_exporter/internal/scan"
)

//go:embed names.txt
var table string

// Names maps ports to service names. Create it with [New]. It may be used concurrently.
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
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "#") {
			n.add(strings.Fields(line))
		}
	}
	return n
}

// add adds a line of the table. Invalid lines are ignored; a test finds them.
func (n Names) add(fields []string) {
	if len(fields) < 3 {
		return
	}
	port, err := strconv.ParseUint(fields[0], 10, 16)
	if err != nil {
		return
	}
	for protocol := range strings.SplitSeq(fields[1], ",") {
		for _, p := range []scan.Protocol{scan.TCP, scan.UDP} {
			if p.String() == protocol {
				n.names[portKey{p, uint16(port)}] = fields[2] //nolint:gosec // parsed with 16 bits
			}
		}
	}
}

// Lookup returns the name of the service that usually listens on a port, or "" if the
// table has none.
func (n Names) Lookup(protocol scan.Protocol, port uint16) string {
	return n.names[portKey{protocol, port}]
}

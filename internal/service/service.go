// Package service knows what usually listens at a port, by name. It is a courtesy to
// the reader: nobody looks whether that is what listens there.
//
// The names are a part of this program, so that they are the same on every machine:
// many have no /etc/services, container images first of all, and each system's is
// another one.
package service

import (
	_ "embed"
	"strconv"
	"strings"

	"portscan_exporter/internal/scan"
)

//go:embed names.txt
var table string

// Names are the names of services. Make them with [New]; they may be used concurrently.
type Names struct {
	at map[place]string
}

type place struct {
	protocol scan.Protocol
	port     uint16
}

// New returns the names.
func New() Names {
	n := Names{at: make(map[place]string)}
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "#") {
			n.add(strings.Fields(line))
		}
	}
	return n
}

// add takes a line of the table. What is wrong with one is for the tests to find.
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
				n.at[place{p, uint16(port)}] = fields[2] //nolint:gosec // it was read as one of 16 bits
			}
		}
	}
}

// Of returns the name of the service that usually listens at a port, or "" where
// there is none.
func (n Names) Of(protocol scan.Protocol, port uint16) string { return n.at[place{protocol, port}] }

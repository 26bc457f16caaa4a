// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Package terminal implements the output of the scan command: the progress of a running
// scan ([Screen]) and its result ([Report]), as a table or in a format for programs.
// docs/cli.md documents the formats.
package terminal

import (
	"bufio"
	"fmt"
	"io"

	"portscan_exporter/collector"
	"portscan_exporter/internal/printable"
	"portscan_exporter/internal/scan"
)

// Format is an output format, a value of the flag --output.
type Format string

// Output formats.
const (
	Table      Format = "table"
	JSON       Format = "json"
	Prometheus Format = "prometheus" // the answer of /probe
	Textfile   Format = "textfile"   // for node_exporter's textfile collector
)

// Formats returns all formats.
func Formats() []string {
	return []string{string(Table), string(JSON), string(Prometheus), string(Textfile)}
}

// Report is the result of a scan command. It is not changed, and may be used
// concurrently.
type Report struct {
	collector.ProbeResult

	Asked   string // the command's argument: a target, or an address inside one
	Module  string
	ListAll bool // list all ports in the table and in JSON, not only the notable ones
	Color   bool // color the table
}

// Write writes the report.
func (r Report) Write(w io.Writer, f Format) error {
	out := bufio.NewWriter(w)
	var err error
	switch f {
	case Table:
		err = r.writeTable(out)
	case JSON:
		err = r.writeJSON(printable.NewWriter(out))
	case Prometheus:
		err = writeMetrics(out, r.gatherer())
	case Textfile:
		err = writeMetrics(out, withScanLabels(r.gatherer(), r.Asked, r.Module))
	default:
		return fmt.Errorf("unknown output format %q", f)
	}
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	return nil
}

// CountViolations returns the number of ports that are not as expected.
func (r Report) CountViolations() (n int) {
	for i := range r.Result.Addresses {
		unexpected, missing := r.Result.Addresses[i].CountViolations()
		n += unexpected + missing
	}
	return n
}

// lists reports whether the port has a row of its own.
func (r Report) lists(p scan.PortResult) bool {
	return r.ListAll || r.Result.Plan.Notable(p.Port, p.State)
}

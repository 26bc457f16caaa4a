// Package terminal is what the scan command shows: how far a scan is while it runs
// ([Screen]), and what came of it ([Report]), as a table for people or in a form for
// programs. docs/cli.md is its contract.
package terminal

import (
	"bufio"
	"fmt"
	"io"

	"portscan_exporter/collector"
	"portscan_exporter/internal/scan"
)

// Format is a form in which a report is written.
type Format string

// The formats. Their values are those of the flag --output.
const (
	Table      Format = "table"
	JSON       Format = "json"
	Prometheus Format = "prometheus" // what /probe answers
	Textfile   Format = "textfile"   // the same for node_exporter's textfile collector
)

// Formats lists every format.
func Formats() []string {
	return []string{string(Table), string(JSON), string(Prometheus), string(Textfile)}
}

// Report is what came of a scan that somebody asked for at a prompt. It is read only
// and may be used concurrently.
type Report struct {
	collector.ProbeResult

	Asked    string // what the command line names: the target, or an address inside it
	Module   string
	AllPorts bool // list all ports in the table and in JSON, not only the notable ones
	Color    bool // of the table
}

// Write writes the report.
func (r Report) Write(w io.Writer, f Format) error {
	out := bufio.NewWriter(w)
	var err error
	switch f {
	case Table:
		err = r.writeTable(out)
	case JSON:
		err = r.writeJSON(out)
	case Prometheus:
		err = writeMetrics(out, r.gatherer())
	case Textfile:
		err = writeMetrics(out, labeled(r.gatherer(), r.Asked, r.Module))
	default:
		return fmt.Errorf("there is no output %q", f)
	}
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	return nil
}

// Violating counts the ports that are not as the target's owner expects.
func (r Report) Violating() (n int) {
	for i := range r.Result.Addresses {
		open, notOpen := r.Result.Addresses[i].Violating()
		n += open + notOpen
	}
	return n
}

// shows tells whether a port is listed by itself.
func (r Report) shows(p scan.PortResult) bool {
	return r.AllPorts || r.Result.Plan.Notable(p.Port, p.State)
}

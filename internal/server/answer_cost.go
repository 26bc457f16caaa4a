// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"portscan_exporter/collector"
	"portscan_exporter/internal/config"
	"portscan_exporter/internal/scan"
)

// answerSize is the size of an answer, which determines its cost.
type answerSize struct {
	addresses int
	cells     int // ports of all addresses
	ports     int // those with series of their own
}

// The time that a part of an answer takes on an idle machine: to take the results, gather the
// metrics, compress and write them.
const (
	baseCost    = 5 * time.Millisecond  // with the end of the scan
	addressCost = 60 * time.Microsecond // a dozen series
	portCost    = 10 * time.Microsecond // three series
	cellCost    = 40 * time.Nanosecond
)

func (s answerSize) cost() time.Duration {
	return baseCost + time.Duration(s.addresses)*addressCost + time.Duration(s.cells)*cellCost + time.Duration(s.ports)*portCost
}

// planSize returns the size of an answer before its scan. Without "report: all", few undeclared
// ports are open.
func planSize(task scan.Task, m *config.Module) answerSize {
	const undeclared = 20
	s := answerSize{addresses: task.MaxAddresses}
	if !slices.ContainsFunc(task.Hosts, scan.Host.IsName) {
		s.addresses = 0
		for _, h := range task.Hosts {
			if task.Family.IncludesHost(h) {
				s.addresses += min(h.Count(), task.MaxAddresses)
			}
		}
		s.addresses = min(s.addresses, task.MaxAddresses)
	}
	ports := task.Plan.Ports().Len()
	s.cells = s.addresses * ports
	if !m.AllPorts {
		ports = min(ports, undeclared+countDeclared(task.Plan))
	}
	s.ports = min(s.addresses*ports, m.MaxPorts)
	return s
}

// countDeclared returns the number of ports that an answer reports in any state.
func countDeclared(plan scan.Plan) int {
	if e := plan.Spec().Expect; e != nil {
		return e.Open.Len() + e.Allow.Len()
	}
	return 0
}

// resultSize returns the size of an answer after its scan.
func resultSize(p collector.ProbeResult) answerSize {
	s := answerSize{addresses: len(p.Result.Addresses)}
	declared := countDeclared(p.Result.Plan)
	for i := range p.Result.Addresses {
		a := &p.Result.Addresses[i]
		for _, state := range scan.States() {
			n := a.Count(state)
			s.cells += n
			if p.AllPorts && state != scan.Unknown || !p.AllPorts && state == scan.Open {
				s.ports += n
			}
		}
		if !p.AllPorts {
			s.ports += declared
		}
	}
	s.ports = min(s.ports, p.MaxPorts)
	return s
}

// limitPorts limits the ports that are reported one by one to those for which there is time until
// the deadline, and reports whether these are fewer. There are always some, because violations come
// first.
func limitPorts(result *collector.ProbeResult, pending *pendingAnswer, deadline time.Time) (limited bool) {
	const fewest = 100
	size := resultSize(*result)
	ports := size.ports
	size.ports = 0
	most := max(fewest, int((pending.affordable(deadline)-size.cost())/portCost))
	if ports <= most {
		return false
	}
	result.MaxPorts = most
	return true
}

// sampleAnswer is a collector of as many series as an answer with sampledPorts ports has.
type sampleAnswer struct{}

const sampledPorts = 1000

// Describe implements [prometheus.Collector]: the metrics are not known in advance.
func (sampleAnswer) Describe(chan<- *prometheus.Desc) {}

// Collect implements [prometheus.Collector].
func (sampleAnswer) Collect(ch chan<- prometheus.Metric) {
	for _, name := range []string{"filtered", "open", "response"} {
		d := prometheus.NewDesc(name, name, []string{"ip", "port", "protocol", "expected"}, nil)
		for port := range sampledPorts {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, 1, "192.0.2.1", strconv.Itoa(port), scan.TCP.String(), scan.ExpectClosed.String())
		}
	}
}

// Measure measures how long answers take on this machine, which may have little CPU. Call it before
// the first probe.
func (s *Server) Measure() error {
	const least = 150 * time.Millisecond // a limited process may use the CPU for some of this time
	format := answerFormat{contentType: expfmt.NewFormat(expfmt.TypeTextPlain), compressed: true}
	var cost time.Duration
	for started := time.Now(); ; {
		if _, err := s.answers.sections.encodeFirst(format, sampleAnswer{}); err != nil {
			return fmt.Errorf("measuring the time for an answer: %w", err)
		}
		cost += answerSize{ports: sampledPorts}.cost()
		if took := time.Since(started); took >= least {
			s.schedule.setSlowdown(took, cost)
			return nil
		}
	}
}

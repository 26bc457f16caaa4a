// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"portscan_exporter/internal/scan"
)

// Probe collects the metrics of one [ProbeResult]. Register each in its own registry.
type Probe struct {
	descs           *probeDescs
	result          ProbeResult
	content, status bool // the metrics to collect
}

// NewProbe returns a collector of all metrics of the result.
func NewProbe(r ProbeResult) *Probe {
	return &Probe{descs: newProbeDescs(), result: r, content: true, status: true}
}

// NewProbeContent returns a collector of the metrics that are the same for all results with the
// same view, target and module: all but those of [NewProbeStatus].
func NewProbeContent(r ProbeResult) *Probe {
	return &Probe{descs: newProbeDescs(), result: r, content: true}
}

// NewProbeStatus returns a collector of the metrics that depend on the time of the answer, and of
// those whose names come after the first of them, so that both parts together are in order.
func NewProbeStatus(r ProbeResult) *Probe {
	return &Probe{descs: newProbeDescs(), result: r, status: true}
}

// Describe implements [prometheus.Collector].
func (p *Probe) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range p.descs.all {
		if status := slices.Contains(p.descs.status(), d); status && p.status || !status && p.content {
			ch <- d
		}
	}
}

// Collect implements [prometheus.Collector].
func (p *Probe) Collect(ch chan<- prometheus.Metric) {
	g := gaugeWriter{ch: ch}
	if p.content {
		p.collectContent(g)
	}
	if p.status {
		p.collectStatus(g)
	}
}

func (p *Probe) collectStatus(g gaugeWriter) {
	r, d := p.result, p.descs
	g.putValue(d.scanProgress, r.Progress)
	g.putValue(d.retries, float64(r.Result.Retries), r.Result.Plan.Spec().Protocol.String())
	g.putSeconds(d.scanTimeout, r.Timeout)
	g.putTime(d.scanTime, r.Result.Finished)
	g.putValue(d.targetInfo, 1, r.Target, r.Owner, r.Reference)
	g.putSeconds(d.lookup, r.Result.Lookup)
	g.putSeconds(d.duration, r.Duration)
	g.putBool(d.success, r.Success())
}

func (p *Probe) collectContent(g gaugeWriter) {
	p.collectScan(g)
	ports, omitted := p.result.ReportedPorts()
	for i := range p.result.Result.Addresses {
		p.collectAddress(g, &p.result.Result.Addresses[i], omitted)
	}
	for _, r := range ports {
		p.collectPort(g, r)
	}
}

func (p *Probe) collectScan(g gaugeWriter) {
	d, r := p.descs, p.result.Result
	protocol := r.Plan.Spec().Protocol.String()
	if !p.result.Expires.IsZero() {
		g.putTime(d.expiry, p.result.Expires)
	}
	g.putValue(d.addresses, float64(len(r.Addresses)))
	g.putValue(d.refused, float64(len(r.Refused)))
	g.putSeconds(d.scanDuration, r.Finished.Sub(r.Started))
	g.putSeconds(d.scanMaxAge, p.result.MaxAge)
	g.putValue(d.attempts, float64(r.Attempts), protocol)
	unknown := p.result.Unknown()
	for _, cause := range scan.UnknownCauses() {
		g.putValue(d.unknown, float64(unknown[cause]), cause.String())
	}
	for _, f := range scan.Failures() {
		g.putBool(d.failed, r.Failed[f] != nil, f.String())
	}
}

func (p *Probe) collectAddress(g gaugeWriter, a *scan.AddressResult, omitted map[netip.Addr]int) {
	d := p.descs
	ip, protocol := a.IP.String(), p.result.Result.Plan.Spec().Protocol.String()
	for _, s := range scan.States() {
		g.putValue(d.ports, float64(a.Count(s)), ip, protocol, s.String())
	}
	unexpected, missing := a.CountViolations()
	g.putValue(d.violating, float64(unexpected), ip, protocol, scan.ExpectClosed.String())
	g.putValue(d.violating, float64(missing), ip, protocol, scan.ExpectOpen.String())
	g.putValue(d.omitted, float64(omitted[a.IP]), ip, protocol)
	g.putBool(d.responding, a.Responding(), ip, protocol)
	if at := p.result.LastResponse(a); !at.IsZero() {
		g.putTime(d.lastResponse, at, ip, protocol)
	}
	g.putBool(d.suspect, a.Suspect(), ip, protocol)
	for _, host := range a.Hosts {
		g.putValue(d.addressInfo, 1, ip, host)
	}
}

func (p *Probe) collectPort(g gaugeWriter, r ReportedPort) {
	d := p.descs
	ip, port := r.Address.String(), strconv.Itoa(int(r.Port))
	protocol, expected := p.result.Result.Plan.Spec().Protocol.String(), r.Expected.String()
	if r.State != scan.OpenFiltered {
		g.putBool(d.portOpen, r.State == scan.Open, ip, port, protocol, expected)
	}
	g.putBool(d.portFiltered, r.State == scan.Filtered || r.State == scan.OpenFiltered, ip, port, protocol, expected)
	if r.RTT > 0 {
		g.putSeconds(d.portResponse, r.RTT, ip, port, protocol)
	}
	if at, ok := p.result.PortHistory.LastChange(r.Address, r.Port); ok {
		g.putTime(d.portChange, at, ip, port, protocol)
	}
}

// gaugeWriter sends const gauges to a channel.
type gaugeWriter struct {
	ch chan<- prometheus.Metric
}

func (g gaugeWriter) putValue(d *prometheus.Desc, v float64, labels ...string) {
	g.ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (g gaugeWriter) putBool(d *prometheus.Desc, on bool, labels ...string) {
	v := 0.0
	if on {
		v = 1
	}
	g.putValue(d, v, labels...)
}

func (g gaugeWriter) putSeconds(d *prometheus.Desc, v time.Duration, labels ...string) {
	g.putValue(d, v.Seconds(), labels...)
}

// putTime writes the zero time as 0.
func (g gaugeWriter) putTime(d *prometheus.Desc, t time.Time, labels ...string) {
	if t.IsZero() {
		g.putValue(d, 0, labels...)
		return
	}
	g.putValue(d, float64(t.UnixNano())/float64(time.Second), labels...)
}

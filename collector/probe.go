package collector

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"portscan_exporter/internal/scan"
)

// Probe collects one [ProbeResult] as const metrics. It implements
// [prometheus.Collector]; register each in a registry of its own.
type Probe struct {
	descs  *descs
	answer ProbeResult
}

// NewProbe returns a collector of the answer.
func NewProbe(a ProbeResult) *Probe { return &Probe{descs: newDescs(), answer: a} }

// Describe implements [prometheus.Collector].
func (p *Probe) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range p.descs.all() {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (p *Probe) Collect(ch chan<- prometheus.Metric) {
	g := gauges{ch: ch}
	p.collectProbe(g)
	p.collectScan(g)
	ports, omitted := p.answer.ReportedPorts()
	for i := range p.answer.Result.Addresses {
		p.collectAddress(g, &p.answer.Result.Addresses[i], omitted)
	}
	for _, r := range ports {
		p.collectPort(g, r)
	}
}

func (p *Probe) collectProbe(g gauges) {
	a, d := p.answer, p.descs
	g.flag(d.success, a.Success())
	g.seconds(d.duration, a.Duration)
	g.seconds(d.lookup, a.Result.Lookup)
	g.put(d.targetInfo, 1, a.Target, a.Owner, a.Reference)
	if !a.Expires.IsZero() {
		g.time(d.expiry, a.Expires)
	}
}

func (p *Probe) collectScan(g gauges) {
	a, d, r := p.answer, p.descs, p.answer.Result
	protocol := r.Plan.Spec().Protocol.String()
	g.put(d.addresses, float64(len(r.Addresses)))
	g.put(d.refused, float64(len(r.Refused)))
	g.time(d.scanTime, r.Finished)
	g.seconds(d.scanDuration, r.Finished.Sub(r.Started))
	g.seconds(d.scanTimeout, a.Timeout)
	g.seconds(d.scanMaxAge, a.MaxAge)
	g.put(d.scanProgress, a.Progress)
	g.put(d.attempts, float64(r.Attempts), protocol)
	g.put(d.retries, float64(r.Retries), protocol)
	unknown := make(map[scan.Cause]int)
	for i := range r.Addresses {
		for cause, n := range r.Addresses[i].UnknownBy() {
			unknown[cause] += n
		}
	}
	for _, cause := range scan.UnknownCauses() {
		g.put(d.unknown, float64(unknown[cause]), cause.String())
	}
	for _, f := range scan.Failures() {
		g.flag(d.failed, r.Failed[f] != nil, f.String())
	}
}

func (p *Probe) collectAddress(g gauges, a *scan.AddressResult, omitted map[netip.Addr]int) {
	d := p.descs
	ip, protocol := a.IP.String(), p.answer.Result.Plan.Spec().Protocol.String()
	for _, s := range scan.States() {
		g.put(d.ports, float64(a.Count(s)), ip, protocol, s.String())
	}
	open, notOpen := a.Violating()
	g.put(d.violating, float64(open), ip, protocol, scan.ExpectClosed.String())
	g.put(d.violating, float64(notOpen), ip, protocol, scan.ExpectOpen.String())
	g.put(d.omitted, float64(omitted[a.IP]), ip, protocol)
	g.flag(d.responding, a.Responding(), ip, protocol)
	g.flag(d.suspect, a.Suspect(), ip, protocol)
	for _, host := range a.Hosts {
		g.put(d.addressInfo, 1, ip, host)
	}
}

func (p *Probe) collectPort(g gauges, r ReportedPort) {
	d := p.descs
	ip, port := r.Address.String(), strconv.Itoa(int(r.Port))
	protocol, expected := p.answer.Result.Plan.Spec().Protocol.String(), r.Expected.String()
	if r.State != scan.OpenFiltered {
		g.flag(d.portOpen, r.State == scan.Open, ip, port, protocol, expected)
	}
	g.flag(d.portFiltered, r.State == scan.Filtered || r.State == scan.OpenFiltered, ip, port, protocol, expected)
	if r.RTT > 0 {
		g.seconds(d.portResponse, r.RTT, ip, port, protocol)
	}
	if at, ok := p.answer.History.LastChange(r.Address, r.Port); ok {
		g.time(d.portChange, at, ip, port, protocol)
	}
}

// gauges writes const gauges to a channel.
type gauges struct {
	ch chan<- prometheus.Metric
}

func (g gauges) put(d *prometheus.Desc, v float64, labels ...string) {
	g.ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (g gauges) flag(d *prometheus.Desc, on bool, labels ...string) {
	v := 0.0
	if on {
		v = 1
	}
	g.put(d, v, labels...)
}

func (g gauges) seconds(d *prometheus.Desc, v time.Duration, labels ...string) {
	g.put(d, v.Seconds(), labels...)
}

func (g gauges) time(d *prometheus.Desc, t time.Time, labels ...string) {
	if t.IsZero() { // never
		g.put(d, 0, labels...)
		return
	}
	g.put(d, float64(t.UnixNano())/float64(time.Second), labels...)
}

package collector

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/collectors/version"

	"portscan_exporter/internal/scan"
)

// ExporterStats are what the exporter says of itself at the moment of a scrape.
type ExporterStats struct {
	Expiries              map[string]time.Time // by target; zero: the authorization never ends
	ScansInFlight         int
	AttemptsInFlight      int
	AttemptsInFlightLimit int
	TCPAttempts           int64 // since the start
	UDPAttempts           int64 // since the start
}

// RefusalReason is why a probe got no scan. Its values are those of the label
// "reason" of portscan_exporter_probes_refused_total.
type RefusalReason string

// The refusals.
const (
	RefusalBadRequest    RefusalReason = "bad_request"
	RefusalUnknownTarget RefusalReason = "unknown_target"
	RefusalUnknownModule RefusalReason = "unknown_module"
	RefusalExpired       RefusalReason = "expired"
	RefusalLimit         RefusalReason = "limit"
)

// Exporter holds the exporter's own metrics. Make one with [NewExporter]; it
// may be used concurrently.
type Exporter struct {
	scans, failures, coalesced, refused *prometheus.CounterVec
	auditFailures                       prometheus.Counter
	scanDuration                        *prometheus.HistogramVec
	reloadOK, reloadTime                prometheus.Gauge

	facts                                   func() ExporterStats
	targets, expiry, scansInFlight, limit   *prometheus.Desc
	attemptsInFlight, attemptsSinceTheStart *prometheus.Desc
}

// NewExporter registers the exporter's own metrics, with those of the Go runtime
// and the process. facts is called at each scrape.
func NewExporter(reg prometheus.Registerer, facts func() ExporterStats) (*Exporter, error) {
	const ns = "portscan_exporter"
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: ns, Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: ns, Name: name, Help: help})
	}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(ns+"_"+name, help, labels, nil)
	}
	e := &Exporter{
		facts:     facts,
		scans:     counter("scans_total", "Scans that have ended.", "module"),
		failures:  counter("scan_failures_total", "Scans that ended without being whole.", "module"),
		coalesced: counter("probes_coalesced_total", "Probes that shared a scan begun for another one.", "module"),
		refused:   counter("probes_refused_total", "Probes that were refused, by reason.", "reason"),
		auditFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: ns, Name: "audit_failures_total", Help: "Lines that could not be written to the audit file.",
		}),
		scanDuration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: ns, Name: "scan_duration_seconds", Help: "How long scans took.",
			Buckets:                         scanBuckets(),
			NativeHistogramBucketFactor:     1.1,
			NativeHistogramMaxBucketNumber:  100,
			NativeHistogramMinResetDuration: time.Hour,
		}, []string{"module"}),
		reloadOK:   gauge("config_last_reload_successful", "1 if the last attempt to load the configuration succeeded, else 0."),
		reloadTime: gauge("config_last_reload_success_timestamp_seconds", "When the configuration was last loaded, as Unix time."),

		targets:               desc("config_targets", "Targets in the configuration."),
		expiry:                desc("target_authorization_expiry_timestamp_seconds", "When the authorization to scan the target ends, as Unix time. Absent where it does not.", "target"),
		scansInFlight:         desc("scans_in_flight", "Scans under way."),
		attemptsInFlight:      desc("attempts_in_flight", "Attempts under way, all scans together."),
		limit:                 desc("attempts_in_flight_limit", "Attempts that may be under way at once."),
		attemptsSinceTheStart: desc("attempts_total", "Packets or connects sent.", "protocol"),
	}
	for _, r := range []RefusalReason{RefusalBadRequest, RefusalUnknownTarget, RefusalUnknownModule, RefusalExpired, RefusalLimit} {
		e.refused.WithLabelValues(string(r))
	}
	if err := e.register(reg); err != nil {
		return nil, err
	}
	return e, nil
}

// scanBuckets are the classic buckets, in seconds: from 1 ms to 4 h.
func scanBuckets() []float64 {
	return []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400}
}

func (e *Exporter) register(reg prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		version.NewCollector("portscan_exporter"),
		e.scans, e.failures, e.coalesced, e.refused, e.auditFailures, e.scanDuration, e.reloadOK, e.reloadTime,
		e,
	} {
		if err := reg.Register(c); err != nil {
			return fmt.Errorf("registering the exporter's own metrics: %w", err)
		}
	}
	return nil
}

// Describe implements [prometheus.Collector].
func (e *Exporter) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{e.targets, e.expiry, e.scansInFlight, e.attemptsInFlight, e.limit, e.attemptsSinceTheStart} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (e *Exporter) Collect(ch chan<- prometheus.Metric) {
	f, g := e.facts(), gauges{ch: ch}
	g.put(e.targets, float64(len(f.Expiries)))
	g.put(e.scansInFlight, float64(f.ScansInFlight))
	g.put(e.attemptsInFlight, float64(f.AttemptsInFlight))
	g.put(e.limit, float64(f.AttemptsInFlightLimit))
	for target, t := range f.Expiries {
		if !t.IsZero() {
			g.time(e.expiry, t, target)
		}
	}
	ch <- prometheus.MustNewConstMetric(e.attemptsSinceTheStart, prometheus.CounterValue, float64(f.TCPAttempts), scan.TCP.String())
	ch <- prometheus.MustNewConstMetric(e.attemptsSinceTheStart, prometheus.CounterValue, float64(f.UDPAttempts), scan.UDP.String())
}

// Loaded notes an attempt to load the configuration, and shows the counters of
// the modules that are in it now.
func (e *Exporter) ObserveReload(ok bool, modules []string) {
	if !ok {
		e.reloadOK.Set(0)
		return
	}
	e.reloadOK.Set(1)
	e.reloadTime.SetToCurrentTime()
	for _, m := range modules {
		e.scans.WithLabelValues(m)
		e.failures.WithLabelValues(m)
		e.coalesced.WithLabelValues(m)
	}
}

// ObserveScan counts a scan.
func (e *Exporter) ObserveScan(module string, r *scan.Result) {
	e.scans.WithLabelValues(module).Inc()
	if !r.Success() {
		e.failures.WithLabelValues(module).Inc()
	}
	e.scanDuration.WithLabelValues(module).Observe(r.Finished.Sub(r.Started).Seconds())
}

// CountCoalesced counts a probe that shared a scan begun for another one.
func (e *Exporter) CountCoalesced(module string) { e.coalesced.WithLabelValues(module).Inc() }

// CountAuditFailure counts a line of the audit file that was lost.
func (e *Exporter) CountAuditFailure() { e.auditFailures.Inc() }

// Refused counts a probe that got no scan.
func (e *Exporter) CountRefusal(reason RefusalReason) {
	e.refused.WithLabelValues(string(reason)).Inc()
}

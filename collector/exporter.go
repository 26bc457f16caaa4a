// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/collectors/version"

	"portscan_exporter/internal/scan"
)

const namespace = "portscan_exporter"

// ExporterStats are the values of [Exporter] that are read at each scrape.
type ExporterStats struct {
	Expiries              map[string]time.Time // by target; zero: the authorization does not expire
	ScansInFlight         int
	AttemptsInFlight      int
	AttemptsInFlightLimit int
	TCPAttempts           int64 // since the start
	UDPAttempts           int64 // since the start
}

// RefusalReason is a value of the label "reason" of
// portscan_exporter_probes_refused_total.
type RefusalReason string

// Reasons for refused probes.
const (
	RefusalBadRequest    RefusalReason = "bad_request"
	RefusalUnknownTarget RefusalReason = "unknown_target"
	RefusalUnknownModule RefusalReason = "unknown_module"
	RefusalExpired       RefusalReason = "expired"
	RefusalLimit         RefusalReason = "limit"
)

// Exporter collects the exporter's own metrics. It is safe for concurrent use.
type Exporter struct {
	scans, failures, coalesced, refused *prometheus.CounterVec
	auditFailures                       prometheus.Counter
	scanDuration                        *prometheus.HistogramVec
	reloadOK, reloadTime                prometheus.Gauge

	stats                                 func() ExporterStats
	targets, expiry, scansInFlight, limit *prometheus.Desc
	attemptsInFlight, attempts            *prometheus.Desc
}

// NewExporter registers the exporter's own metrics and those of the Go runtime and the
// process. It calls stats at each scrape.
func NewExporter(reg prometheus.Registerer, stats func() ExporterStats) (*Exporter, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help})
	}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
	}
	e := &Exporter{
		stats:     stats,
		scans:     counter("scans_total", "Number of finished scans.", "module"),
		failures:  counter("scan_failures_total", "Number of finished scans that were incomplete.", "module"),
		coalesced: counter("probes_coalesced_total", "Number of probes that joined a scan of another probe.", "module"),
		refused:   counter("probes_refused_total", "Number of refused probes by reason.", "reason"),
		auditFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "audit_failures_total", Help: "Number of audit entries that could not be written.",
		}),
		scanDuration: newScanDuration(),
		reloadOK:     gauge("config_last_reload_successful", "Whether the last configuration reload attempt was successful."),
		reloadTime:   gauge("config_last_reload_success_timestamp_seconds", "Unix timestamp of the last successful configuration reload."),

		targets:          desc("config_targets", "Number of configured targets."),
		expiry:           desc("target_authorization_expiry_timestamp_seconds", "Unix timestamp of the authorization's expiry. Absent if it does not expire.", "target"),
		scansInFlight:    desc("scans_in_flight", "Number of running scans."),
		attemptsInFlight: desc("attempts_in_flight", "Number of attempts in flight, over all scans."),
		limit:            desc("attempts_in_flight_limit", "Maximum number of attempts in flight."),
		attempts:         desc("attempts_total", "Number of attempts (packets or connections).", "protocol"),
	}
	for _, r := range []RefusalReason{RefusalBadRequest, RefusalUnknownTarget, RefusalUnknownModule, RefusalExpired, RefusalLimit} {
		e.refused.WithLabelValues(string(r))
	}
	if err := e.register(reg); err != nil {
		return nil, err
	}
	return e, nil
}

func newScanDuration() *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Name: "scan_duration_seconds", Help: "Time that scans took in seconds.",
		Buckets:                         []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400},
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  100,
		NativeHistogramMinResetDuration: time.Hour,
	}, []string{"module"})
}

func (e *Exporter) register(reg prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		version.NewCollector(namespace),
		e.scans, e.failures, e.coalesced, e.refused, e.auditFailures, e.scanDuration, e.reloadOK, e.reloadTime,
		e,
	} {
		if err := reg.Register(c); err != nil {
			return fmt.Errorf("registering the exporter's metrics: %w", err)
		}
	}
	return nil
}

// Describe implements [prometheus.Collector].
func (e *Exporter) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{e.targets, e.expiry, e.scansInFlight, e.attemptsInFlight, e.limit, e.attempts} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (e *Exporter) Collect(ch chan<- prometheus.Metric) {
	s, g := e.stats(), gaugeWriter{ch: ch}
	g.putValue(e.targets, float64(len(s.Expiries)))
	g.putValue(e.scansInFlight, float64(s.ScansInFlight))
	g.putValue(e.attemptsInFlight, float64(s.AttemptsInFlight))
	g.putValue(e.limit, float64(s.AttemptsInFlightLimit))
	for target, t := range s.Expiries {
		if !t.IsZero() {
			g.putTime(e.expiry, t, target)
		}
	}
	ch <- prometheus.MustNewConstMetric(e.attempts, prometheus.CounterValue, float64(s.TCPAttempts), scan.TCP.String())
	ch <- prometheus.MustNewConstMetric(e.attempts, prometheus.CounterValue, float64(s.UDPAttempts), scan.UDP.String())
}

// ObserveReload records an attempt to load the configuration. The counters of the
// modules appear with it.
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

// ObserveScan records a finished scan.
func (e *Exporter) ObserveScan(module string, r *scan.Result) {
	e.scans.WithLabelValues(module).Inc()
	if !r.Success() {
		e.failures.WithLabelValues(module).Inc()
	}
	e.scanDuration.WithLabelValues(module).Observe(r.Finished.Sub(r.Started).Seconds())
}

// CountCoalesced counts a probe that joined a scan of another one.
func (e *Exporter) CountCoalesced(module string) { e.coalesced.WithLabelValues(module).Inc() }

// CountAuditFailure counts an audit entry that could not be written.
func (e *Exporter) CountAuditFailure() { e.auditFailures.Inc() }

// CountRefusal counts a refused probe.
func (e *Exporter) CountRefusal(reason RefusalReason) {
	e.refused.WithLabelValues(string(reason)).Inc()
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package collector_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"portscan_exporter/collector"
)

func TestExporterMetrics(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	e, err := collector.NewExporter(reg, func() collector.ExporterStats {
		return collector.ExporterStats{
			Expiries:      map[string]time.Time{"web": time.Unix(1800000000, 0), "unlimited": {}},
			ScansInFlight: 2, AttemptsInFlight: 30, AttemptsInFlightLimit: 400, TCPAttempts: 5000, UDPAttempts: 600,
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	e.ObserveReload(true, []string{"m", "idle"})
	all := probeResults(t)
	e.ObserveScan("m", all["complete"].Result)
	e.ObserveScan("m", all["failed"].Result)
	e.CountRefusal(collector.RefusalExpired)
	e.ObserveReload(false, nil)
	want := `
# HELP portscan_exporter_attempts_in_flight Number of attempts in flight, over all scans.
# TYPE portscan_exporter_attempts_in_flight gauge
portscan_exporter_attempts_in_flight 30
# HELP portscan_exporter_attempts_in_flight_limit Maximum number of attempts in flight.
# TYPE portscan_exporter_attempts_in_flight_limit gauge
portscan_exporter_attempts_in_flight_limit 400
# HELP portscan_exporter_attempts_total Number of attempts (packets or connections).
# TYPE portscan_exporter_attempts_total counter
portscan_exporter_attempts_total{protocol="tcp"} 5000
portscan_exporter_attempts_total{protocol="udp"} 600
# HELP portscan_exporter_audit_failures_total Number of audit entries that could not be written.
# TYPE portscan_exporter_audit_failures_total counter
portscan_exporter_audit_failures_total 0
# HELP portscan_exporter_config_last_reload_successful Whether the last configuration reload attempt was successful.
# TYPE portscan_exporter_config_last_reload_successful gauge
portscan_exporter_config_last_reload_successful 0
# HELP portscan_exporter_config_targets Number of configured targets.
# TYPE portscan_exporter_config_targets gauge
portscan_exporter_config_targets 2
# HELP portscan_exporter_probes_coalesced_total Number of probes that joined a scan of another probe.
# TYPE portscan_exporter_probes_coalesced_total counter
portscan_exporter_probes_coalesced_total{module="idle"} 0
portscan_exporter_probes_coalesced_total{module="m"} 0
# HELP portscan_exporter_probes_refused_total Number of refused probes by reason.
# TYPE portscan_exporter_probes_refused_total counter
portscan_exporter_probes_refused_total{reason="bad_request"} 0
portscan_exporter_probes_refused_total{reason="expired"} 1
portscan_exporter_probes_refused_total{reason="limit"} 0
portscan_exporter_probes_refused_total{reason="unknown_module"} 0
portscan_exporter_probes_refused_total{reason="unknown_target"} 0
# HELP portscan_exporter_scan_failures_total Number of finished scans that were incomplete.
# TYPE portscan_exporter_scan_failures_total counter
portscan_exporter_scan_failures_total{module="idle"} 0
portscan_exporter_scan_failures_total{module="m"} 1
# HELP portscan_exporter_scans_in_flight Number of running scans.
# TYPE portscan_exporter_scans_in_flight gauge
portscan_exporter_scans_in_flight 2
# HELP portscan_exporter_scans_total Number of finished scans.
# TYPE portscan_exporter_scans_total counter
portscan_exporter_scans_total{module="idle"} 0
portscan_exporter_scans_total{module="m"} 2
# HELP portscan_exporter_target_authorization_expiry_timestamp_seconds Unix timestamp of the authorization's expiry. Absent if it does not expire.
# TYPE portscan_exporter_target_authorization_expiry_timestamp_seconds gauge
portscan_exporter_target_authorization_expiry_timestamp_seconds{target="web"} 1.8e+09
`
	names := []string{
		"portscan_exporter_attempts_in_flight", "portscan_exporter_attempts_in_flight_limit", "portscan_exporter_attempts_total",
		"portscan_exporter_audit_failures_total", "portscan_exporter_config_last_reload_successful", "portscan_exporter_config_targets",
		"portscan_exporter_probes_coalesced_total", "portscan_exporter_probes_refused_total", "portscan_exporter_scan_failures_total",
		"portscan_exporter_scans_in_flight", "portscan_exporter_scans_total", "portscan_exporter_target_authorization_expiry_timestamp_seconds",
	}
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
	n, err := testutil.GatherAndCount(reg, "portscan_exporter_build_info", "portscan_exporter_scan_duration_seconds",
		"portscan_exporter_config_last_reload_success_timestamp_seconds", "go_goroutines", "process_open_fds")
	if err != nil || n != 5 {
		t.Errorf("GatherAndCount(...) = %d, %v, want 5", n, err)
	}
}

package collector_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"portscan_exporter/collector"
)

func TestExporter(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	e, err := collector.NewExporter(reg, func() collector.ExporterStats {
		return collector.ExporterStats{
			Expiries:      map[string]time.Time{"web": time.Unix(1800000000, 0), "forever": {}},
			ScansInFlight: 2, AttemptsInFlight: 30, AttemptsInFlightLimit: 400, TCPAttempts: 5000, UDPAttempts: 600,
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	e.ObserveReload(true, []string{"m", "idle"})
	all := answers(t)
	e.ObserveScan("m", all["whole"].Result)
	e.ObserveScan("m", all["failed"].Result)
	e.CountRefusal(collector.RefusalExpired)
	e.ObserveReload(false, nil)
	want := `
# HELP portscan_exporter_attempts_in_flight Attempts under way, all scans together.
# TYPE portscan_exporter_attempts_in_flight gauge
portscan_exporter_attempts_in_flight 30
# HELP portscan_exporter_attempts_in_flight_limit Attempts that may be under way at once.
# TYPE portscan_exporter_attempts_in_flight_limit gauge
portscan_exporter_attempts_in_flight_limit 400
# HELP portscan_exporter_attempts_total Packets or connects sent.
# TYPE portscan_exporter_attempts_total counter
portscan_exporter_attempts_total{protocol="tcp"} 5000
portscan_exporter_attempts_total{protocol="udp"} 600
# HELP portscan_exporter_audit_failures_total Lines that could not be written to the audit file.
# TYPE portscan_exporter_audit_failures_total counter
portscan_exporter_audit_failures_total 0
# HELP portscan_exporter_config_last_reload_successful 1 if the last attempt to load the configuration succeeded, else 0.
# TYPE portscan_exporter_config_last_reload_successful gauge
portscan_exporter_config_last_reload_successful 0
# HELP portscan_exporter_config_targets Targets in the configuration.
# TYPE portscan_exporter_config_targets gauge
portscan_exporter_config_targets 2
# HELP portscan_exporter_probes_coalesced_total Probes that shared a scan begun for another one.
# TYPE portscan_exporter_probes_coalesced_total counter
portscan_exporter_probes_coalesced_total{module="idle"} 0
portscan_exporter_probes_coalesced_total{module="m"} 0
# HELP portscan_exporter_probes_refused_total Probes that were refused, by reason.
# TYPE portscan_exporter_probes_refused_total counter
portscan_exporter_probes_refused_total{reason="bad_request"} 0
portscan_exporter_probes_refused_total{reason="expired"} 1
portscan_exporter_probes_refused_total{reason="limit"} 0
portscan_exporter_probes_refused_total{reason="unknown_module"} 0
portscan_exporter_probes_refused_total{reason="unknown_target"} 0
# HELP portscan_exporter_scan_failures_total Scans that ended without being whole.
# TYPE portscan_exporter_scan_failures_total counter
portscan_exporter_scan_failures_total{module="idle"} 0
portscan_exporter_scan_failures_total{module="m"} 1
# HELP portscan_exporter_scans_in_flight Scans under way.
# TYPE portscan_exporter_scans_in_flight gauge
portscan_exporter_scans_in_flight 2
# HELP portscan_exporter_scans_total Scans that have ended.
# TYPE portscan_exporter_scans_total counter
portscan_exporter_scans_total{module="idle"} 0
portscan_exporter_scans_total{module="m"} 2
# HELP portscan_exporter_target_authorization_expiry_timestamp_seconds When the authorization to scan the target ends, as Unix time. Absent where it does not.
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
		t.Errorf("%d further metrics, %v; want 5", n, err)
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// targetsConfig has one module and a target for each name.
func targetsConfig(names ...string) string {
	var b strings.Builder
	b.WriteString("modules:\n  few: {ports: \"1-10\"}\ntargets:\n")
	for _, name := range names {
		fmt.Fprintf(&b, "  - name: %s\n    hosts: [127.0.0.1]\n    modules: [few]\n    authorization: {owner: \"the test\"}\n", name)
	}
	return b.String()
}

// badConfig is [targetsConfig] with an error in line 2.
func badConfig(names ...string) string {
	return strings.Replace(targetsConfig(names...), "few: {", "few: {color: blue, ", 1)
}

const reloadSuccessful = "portscan_exporter_config_last_reload_successful"

func TestReload(t *testing.T) {
	t.Parallel()
	for _, way := range []struct {
		name   string
		flags  []string
		reload func(t *testing.T, e *exporter, wantStatus int)
	}{
		{"SIGHUP", nil, func(t *testing.T, e *exporter, _ int) {
			t.Helper()
			e.signal(t, syscall.SIGHUP)
		}},
		{"POST", nil, postReload},
		{
			"automatic",
			[]string{"--config.enable-auto-reload", "--config.auto-reload-interval=200ms"},
			func(*testing.T, *exporter, int) {},
		},
	} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			e := startExporter(t, targetsConfig("first"), way.flags...)
			wantStatus(t, e.url+"/probe?target=second", http.StatusForbidden)

			replaceFile(t, e.config, targetsConfig("first", "second"))
			way.reload(t, e, http.StatusOK)
			awaitTarget(t, e, "second")

			replaceFile(t, e.config, badConfig("first", "second", "third"))
			way.reload(t, e, http.StatusInternalServerError)
			awaitReloadStatus(t, e, 0)
			awaitTarget(t, e, "second")
			wantStatus(t, e.url+"/probe?target=third", http.StatusForbidden)
			if !strings.Contains(e.output.String(), e.config+":2: ") {
				t.Errorf("log does not name %s:2", e.config)
			}

			replaceFile(t, e.config, targetsConfig("third"))
			way.reload(t, e, http.StatusOK)
			awaitReloadStatus(t, e, 1)
			awaitTarget(t, e, "third")
			wantStatus(t, e.url+"/probe?target=first", http.StatusForbidden)
		})
	}
}

// postReload reloads over HTTP. A refusal must name the file and the line.
func postReload(t *testing.T, e *exporter, want int) {
	t.Helper()
	a, err := request("POST", e.url+"/-/reload")
	if err != nil {
		t.Fatal(err)
	}
	if a.status != want {
		t.Errorf("POST /-/reload = %d, want %d: %s", a.status, want, a.body)
	}
	if want != http.StatusOK && !strings.Contains(a.body, e.config+":2: ") {
		t.Errorf("POST /-/reload does not name %s:2: %s", e.config, a.body)
	}
}

// awaitTarget waits until a target can be probed, and checks that it can be discovered.
func awaitTarget(t *testing.T, e *exporter, target string) {
	t.Helper()
	eventually(t, 10*time.Second, "the target "+target+" can be probed", func() error {
		return checkStatus(e.url+"/probe?target="+target, http.StatusOK)
	})
	if sd := getBody(t, e.url+"/sd"); !strings.Contains(sd, `"__param_target":"`+target+`"`) {
		t.Errorf("/sd lacks target %s: %s", target, sd)
	}
}

func awaitReloadStatus(t *testing.T, e *exporter, want float64) {
	t.Helper()
	eventually(t, 10*time.Second, reloadSuccessful, func() error {
		if got := e.scrapeMetrics(t)[reloadSuccessful]; got != want {
			return fmt.Errorf("got %v, want %v", got, want)
		}
		return nil
	})
}

// slowConfig has a target whose 180 ports take 9 s at their rate. patience is the module's timeout.
func slowConfig(patience string) string {
	return fmt.Sprintf(`modules:
  slow: {ports: "1-180", rate: 20, timeout: %s}
targets:
  - name: own
    hosts: [127.0.0.1]
    modules: [slow]
    authorization: {owner: "the test"}
`, patience)
}

// TestReloadDuringProbe removes the target of a running probe from the configuration.
func TestReloadDuringProbe(t *testing.T) {
	t.Parallel()
	e := startExporter(t, strings.Replace(slowConfig("30s"), "rate: 20", "rate: 60", 1))
	probe := startProbe(e)
	awaitScan(t, e)

	replaceFile(t, e.config, targetsConfig("another"))
	postReload(t, e, http.StatusOK)
	wantStatus(t, e.url+"/probe?target=own", http.StatusForbidden)
	select {
	case r := <-probe:
		t.Fatalf("probe ended before the reload: %+v", r)
	default:
	}

	r := <-probe
	if r.err != nil || r.status != http.StatusOK {
		t.Fatalf("running probe got %d, %v, want 200: %s", r.status, r.err, r.body)
	}
	m := parseMetrics(t, r.body)
	m.wantValue(t, "probe_success", 1)
	if n := m.sumByPrefix("portscan_ports{"); n != 180 {
		t.Errorf("got %v ports, want the 180 of the previous configuration", n)
	}
	m.wantValue(t, "portscan_scan_timeout_seconds", 30)
}

// probeOutcome is the result of a probe in the background.
type probeOutcome struct {
	response
	err  error
	time time.Time
}

func startProbe(e *exporter) <-chan probeOutcome {
	result := make(chan probeOutcome, 1)
	go func() {
		a, err := request("GET", e.url+"/probe?target=own")
		result <- probeOutcome{a, err, time.Now()}
	}()
	return result
}

// awaitScan waits until a scan has sent its first packets.
func awaitScan(t *testing.T, e *exporter) {
	t.Helper()
	eventually(t, 10*time.Second, "a scan is running", func() error {
		m := e.scrapeMetrics(t)
		if m["portscan_exporter_scans_in_flight"] != 1 || m.sumByPrefix("portscan_exporter_attempts_total") < 5 {
			return fmt.Errorf("got %v scans, %v attempts", m["portscan_exporter_scans_in_flight"], m.sumByPrefix("portscan_exporter_attempts_total"))
		}
		return nil
	})
}

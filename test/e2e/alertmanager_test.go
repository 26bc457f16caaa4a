// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"
)

// webhookAlert is an alert in a webhook notification.
type webhookAlert struct {
	Status              string
	Labels, Annotations map[string]string
}

// webhookReceiver is a webhook that records alerts. It is safe for concurrent use.
type webhookReceiver struct {
	url string

	mu       sync.Mutex
	received []webhookAlert
}

func startWebhook(t *testing.T) *webhookReceiver {
	t.Helper()
	r := new(webhookReceiver)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var message struct{ Alerts []webhookAlert }
		if err := json.NewDecoder(req.Body).Decode(&message); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.received = append(r.received, message.Alerts...)
	}))
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

// receivedAlerts returns the recorded alerts, oldest first.
func (w *webhookReceiver) receivedAlerts() []webhookAlert {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]webhookAlert(nil), w.received...)
}

// awaitAlerts waits for count alerts and returns the last one, which must have the status.
func (w *webhookReceiver) awaitAlerts(t *testing.T, count int, status string) webhookAlert {
	t.Helper()
	var last webhookAlert
	eventually(t, 60*time.Second, "alert notification: "+status, func() error {
		all := w.receivedAlerts()
		if len(all) < count {
			return fmt.Errorf("got %d alerts: %v", len(all), all)
		}
		last = all[len(all)-1]
		return nil
	})
	if all := w.receivedAlerts(); len(all) != count || last.Status != status {
		t.Fatalf("got %d alerts, want %d, the last one %s: %v", len(all), count, status, all)
	}
	return last
}

// startAlertmanager starts an Alertmanager that notifies the receiver of each alert separately and
// without delay. It returns the address.
func startAlertmanager(t *testing.T, r *webhookReceiver) string {
	t.Helper()
	path := needProgram(t, "prometheus-alertmanager")
	file := writeFile(t, "alertmanager.yml", fmt.Sprintf(`
route: {receiver: test, group_by: ["..."], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}
receivers:
  - name: test
    webhook_configs: [{url: "%s", send_resolved: true}]
`, r.url))
	addr := freeAddress(t)
	p := startProcess(t, path, "--config.file="+file, "--web.listen-address="+addr, "--cluster.listen-address=",
		"--storage.path="+filepath.Join(filepath.Dir(file), "data"), "--log.level=warn")
	eventually(t, 30*time.Second, "Alertmanager is ready", func() error {
		p.checkRunning(t)
		return checkStatus("http://"+addr+"/-/ready", 200)
	})
	return addr
}

// TestAlertDelivery loads the shipped rules into Prometheus and sends alerts through Alertmanager.
// Only keep_firing_for is changed, so that the alert resolves within a second.
func TestAlertDelivery(t *testing.T) {
	t.Parallel()
	expected, unexpected := freePort(t), freePort(t)
	listenLocal(t, expected)
	e := startExporter(t, fmt.Sprintf(`modules:
  quick: {ports: [%d, %d]}
  other: {ports: %d}
targets:
  - name: own
    hosts: [127.0.0.1]
    modules: [quick, other]
    authorization: {owner: "the test"}
    expect: {tcp: {open: %d}}
    labels: {env: test}
`, expected, unexpected, unexpected, expected))
	r := startWebhook(t)
	impatient := regexp.MustCompile(`keep_firing_for: \w+`).ReplaceAllString(readFile(t, rulesDir+"/alerts.yml"), "keep_firing_for: 1s")
	p := startPrometheus(t, scrapeConfig(e, "scrape_interval: 1s, evaluation_interval: 1s")+fmt.Sprintf(`
  - job_name: portscan_exporter
    static_configs: [{targets: ["%s"]}]
alerting: {alertmanagers: [{static_configs: [{targets: ["%s"]}]}]}
rule_files: ["%s"]
`, e.addr, startAlertmanager(t, r), writeFile(t, "alerts.yml", impatient)))
	p.awaitValue(t, 30*time.Second, `count(probe_success == 1)`, 2) // both modules have completed a scan, so the next one can detect a change
	p.awaitValue(t, 30*time.Second, `count(portscan:port_open{expected="open"} == 1)`, 1)

	closePort := listenLocal(t, unexpected)
	firing := r.awaitAlerts(t, 1, "firing")
	want := map[string]string{
		"alertname": "PortscanUnexpectedOpenPort", "severity": "critical", "job": "portscan", "instance": "own", "env": "test",
		"target": "own", "owner": "the test", "ip": "127.0.0.1", "port": strconv.Itoa(unexpected), "protocol": "tcp", "expected": "closed",
	}
	if !maps.Equal(firing.Labels, want) {
		t.Errorf("labels of the firing alert = %v, want %v", firing.Labels, want)
	}
	for _, annotation := range []string{"summary", "description", "runbook"} {
		if firing.Annotations[annotation] == "" {
			t.Errorf("annotation %s is missing: %v", annotation, firing.Annotations)
		}
	}
	if d := firing.Annotations["description"]; !regexp.MustCompile(`Last change: \d{4}-`).MatchString(d) {
		t.Errorf("description = %q, want the time at which the port changed", d)
	}

	closePort()
	resolved := r.awaitAlerts(t, 2, "resolved")
	if !maps.Equal(resolved.Labels, want) {
		t.Errorf("labels of the resolved alert = %v, want %v", resolved.Labels, want)
	}
	p.checkRulesHealthy(t)
}

// checkRulesHealthy fails the test if Prometheus cannot evaluate a rule, which never fires then.
func (p *prometheusServer) checkRulesHealthy(t *testing.T) {
	t.Helper()
	var a struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
	}
	getJSON(t, p.url+"/api/v1/rules", &a)
	count := 0
	for _, group := range a.Data.Groups {
		for _, r := range group.Rules {
			count++
			if r.Health != "ok" {
				t.Errorf("health of rule %s = %s, want ok: %s", r.Name, r.Health, r.LastError)
			}
		}
	}
	if want := len(readRules(t)); count != want {
		t.Errorf("got %d rules, want the %d of alerts.yml", count, want)
	}
}

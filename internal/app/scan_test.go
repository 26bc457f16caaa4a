// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"errors"
	"slices"
	"testing"
	"time"

	"portscan_exporter/internal/config"
	"portscan_exporter/internal/scan"
)

func loadConfig(t *testing.T, text string) *config.Config {
	t.Helper()
	cfg, _, err := config.Load(writeConfig(t, text), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

const estate = `
modules: {tcp_default: {ports: 7}, tcp_all: {ports: 1-65535}, x: {ports: 9, max_age: 1h}}
targets:
  - {name: web, hosts: [192.0.2.1], modules: [tcp_default, tcp_all], authorization: {owner: me}}
  - {name: mail-relay, hosts: [192.0.2.2], modules: [tcp_default, x], authorization: {owner: me}}
  - {name: db, hosts: [192.0.2.3], modules: [tcp_all], authorization: {owner: me, expires: 2020-01-01}}
`

func TestSuggestName(t *testing.T) {
	t.Parallel()
	cfg := loadConfig(t, estate)
	for _, tc := range []struct{ target, module, want string }{
		{"wbe", "", `"web"?`},
		{"WEB", "", `"web"?`},
		{"mailrelay", "", `"mail-relay"?`},
		{"mail-rlaey", "", `"mail-relay"?`},
		{"bd", "", `"db"?`},
		{"w", "", ""},
		{"dns", "", ""},
		{"192.0.2.9", "", ""}, // addresses get no suggestion
		{"www.example.org", "", ""},
		{"web", "tcp_al", `"tcp_all"?`},
		{"web", "tcp_default1", `"tcp_default"?`},
		{"mail-relay", "tcp_aII", ""}, // not a module of the target
		{"web", "x", ""},
		{"web", "udp", ""},
		{"db", "", ""}, // refused for another reason
	} {
		_, _, refusal := cfg.Authorize(t.Context(), &names{}, tc.target, tc.module, time.Now())
		if refusal == nil {
			t.Fatalf("%v is not refused", tc)
		}
		want := refusal.Error()
		if tc.want != "" {
			want += "; did you mean " + tc.want
		}
		if got := suggestName(cfg, tc.target, tc.module, refusal); got.Error() != want || !errors.Is(got, refusal) {
			t.Errorf("%s %s: %q, want %q", tc.target, tc.module, got, want)
		}
	}
}

func TestHints(t *testing.T) {
	t.Parallel()
	file, missing := writeConfig(t, estate), "/nonexistent.yml"
	for _, tc := range []struct {
		file, target     string
		targets, modules []string
	}{
		{file, "", []string{"web", "mail-relay", "db"}, []string{"tcp_default", "tcp_all", "x"}},
		{file, "web", []string{"web", "mail-relay", "db"}, []string{"tcp_default", "tcp_all"}},
		{file, "192.0.2.2", []string{"web", "mail-relay", "db"}, []string{"tcp_default", "x"}},
		{missing, "web", nil, nil},
	} {
		h := Hints{ConfigFile: &tc.file, Target: &tc.target}
		if got := h.Targets(); !slices.Equal(got, tc.targets) {
			t.Errorf("%v: targets %v", tc, got)
		}
		if got := h.Modules(); !slices.Equal(got, tc.modules) {
			t.Errorf("%v: modules %v", tc, got)
		}
	}
}

// TestScanOptionsTask checks the changes of the flags to the target's scan.
func TestScanOptionsTask(t *testing.T) {
	t.Parallel()
	cfg := loadConfig(t, estate)
	selection, module, err := cfg.Authorize(t.Context(), &names{}, "mail-relay", "x", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	want := selection.Task(module)
	want.MaxAge = 0
	task, err := ScanOptions{}.task(selection, module)
	if err != nil || task.Key() != want.ResetDigest().Key() {
		t.Errorf("without flags: got %+v, %v, want %+v", task, err, want)
	}
	o := ScanOptions{AllPorts: true, Ports: "22,80-81"}
	task, err = o.task(selection, module)
	if err != nil || task.Plan.Ports().String() != "22,80-81" || !task.Plan.Spec().AllPorts {
		t.Errorf("with --all and --ports: got %+v, %v", task, err)
	}
}

// TestScanOptionsServices checks that --ports has the services of the module's protocol.
func TestScanOptionsServices(t *testing.T) {
	t.Parallel()
	cfg := loadConfig(t, `
modules: {tcp: {ports: 7}, udp: {ports: 9, protocol: udp}}
targets: [{name: a, hosts: [127.0.0.1], modules: [tcp, udp], authorization: {owner: x}}]
`)
	for module, want := range map[string]string{"tcp": "22,514,591,8008,8080,65000-65535", "udp": ""} {
		selection, m, err := cfg.Authorize(t.Context(), &names{}, "a", module, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		task, err := ScanOptions{Ports: "ssh,http-alt,shell,65000-"}.task(selection, m)
		if got := task.Plan.Ports().String(); got != want || (err != nil) != (want == "") {
			t.Errorf("ports with module %s = %q, %v, want %q", module, got, err, want)
		}
	}
}

func TestExplainInterrupt(t *testing.T) {
	t.Parallel()
	whole := &scan.Result{Failed: map[scan.Failure]error{scan.FailedDNS: errors.New("no such host")}}
	if got := explainInterrupt(whole); got != whole {
		t.Error("explainInterrupt changed an uninterrupted result")
	}
	canceled := &scan.Result{Failed: map[scan.Failure]error{scan.FailedCanceled: errors.New("context canceled")}}
	got := explainInterrupt(canceled)
	if !errors.Is(got.Failed[scan.FailedCanceled], errInterrupted) || errors.Is(canceled.Failed[scan.FailedCanceled], errInterrupted) {
		t.Errorf("interrupted: got %v, original %v", got.Failed, canceled.Failed)
	}
}

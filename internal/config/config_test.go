// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"portscan_exporter/internal/scan"
)

// mustLoad loads a fixture in testdata/good.
func mustLoad(t *testing.T, name string) *Config {
	t.Helper()
	cfg, _, err := Load("testdata/good/"+name+".yml", testTime())
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// cmpOptions returns options to compare unexported fields and netip values.
func cmpOptions() cmp.Options {
	return cmp.Options{
		cmpopts.IgnoreFields(Target{}, "names", "plans", "tasks"),
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
		cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) }),
		cmp.Exporter(func(reflect.Type) bool { return true }),
	}
}

func mustPorts(t *testing.T, text string) scan.PortSet {
	t.Helper()
	set, err := scan.ParsePortSet(text)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestLoadModuleDefaults(t *testing.T) {
	want := &Module{
		Name: "none", Protocol: scan.TCP, Method: scan.Connect,
		Timeout: 9 * time.Second, PortTimeout: 950 * time.Millisecond,
		Retries: 2, MaxRetries: 10, MaxInFlight: 10000, MaxOpenAttempts: 3, ControlPorts: 2, MaxPorts: 1000, MaxAddresses: 256,
	}
	got, ok := mustLoad(t, "full").Module("none")
	if !ok {
		t.Fatal("Module(none) not found")
	}
	if diff := cmp.Diff(want, got, cmpOptions()); diff != "" {
		t.Errorf("module (-want +got):\n%s", diff)
	}
}

func TestLoadModules(t *testing.T) {
	cfg := mustLoad(t, "full")
	want := []*Module{
		{
			Name: "tcp_default", Protocol: scan.TCP, Method: scan.Connect, Ports: mustPorts(t, "1-1024,3306,8000-8100"),
			Timeout: 9 * time.Second, PortTimeout: 950 * time.Millisecond,
			Retries: 2, MaxRetries: 10, MaxInFlight: 10000, MaxOpenAttempts: 3, ControlPorts: 2, MaxPorts: 1000, MaxAddresses: 256,
		},
		{
			Name: "tcp_full", Protocol: scan.TCP, Method: scan.Connect, Ports: mustPorts(t, "1-1024,2000-3000,65535"),
			ExcludePorts: mustPorts(t, "1000"), Timeout: 90 * time.Second, PortTimeout: 950 * time.Millisecond,
			MaxInFlight: 10000, MaxOpenAttempts: 3, ControlPorts: 2, AllPorts: true, MaxPorts: 1000, MaxAddresses: 256,
			SourceAddress: netip.MustParseAddr("192.0.2.200"), Resolver: netip.MustParseAddrPort("192.0.2.53:53"), ScrapeInterval: 24 * time.Hour,
		},
		{
			Name: "tcp_patient", Protocol: scan.TCP, Method: scan.Connect, Ports: mustPorts(t, "22"),
			Timeout: 9 * time.Second, PortTimeout: 950 * time.Millisecond,
			Retries: 20, MaxRetries: 30, MaxInFlight: 10000, MaxOpenAttempts: 3, ControlPorts: 2, MaxPorts: 1000, MaxAddresses: 256,
		},
	}
	if diff := cmp.Diff(want, cfg.Modules()[:3], cmpOptions()); diff != "" {
		t.Errorf("modules (-want +got):\n%s", diff)
	}
	if _, ok := cfg.Module("tcp"); ok {
		t.Error("Module(tcp) found, want none")
	}
}

func TestLoadTargets(t *testing.T) {
	cfg := mustLoad(t, "full")
	web := cfg.Targets()[0]
	def, _ := cfg.Module("tcp_default")
	full, _ := cfg.Module("tcp_full")
	want := &Target{
		Name: "web",
		Hosts: []scan.Host{
			{Entry: "www.example.org"},
			{Entry: "192.0.2.0/28", Network: netip.MustParsePrefix("192.0.2.0/28")},
			{Entry: "2001:db8::10", Network: netip.MustParsePrefix("2001:db8::10/128")},
		},
		ExcludeHosts: []scan.Host{{Entry: "192.0.2.9", Network: netip.MustParsePrefix("192.0.2.9/32")}},
		Networks:     []scan.Host{{Entry: "192.0.2.0/24", Network: netip.MustParsePrefix("192.0.2.0/24")}},
		Modules:      []*Module{def, full},
		Authorization: Authorization{
			Owner: "net team", Reference: "CHG-1234", Expires: time.Date(2027, 7, 1, 0, 0, 0, 0, time.UTC),
		},
		Expect: map[scan.Protocol]scan.Expectation{
			scan.TCP: {Open: mustPorts(t, "22,443"), Allow: mustPorts(t, "8000-8010")},
		},
		Labels: map[string]string{"env": "prod"},
		Scope:  web.Scope, // tested separately

		familySet: true,
	}
	if diff := cmp.Diff(want, web, cmpOptions()); diff != "" {
		t.Errorf("target (-want +got):\n%s", diff)
	}
	wantNames := []string{"web", "strict-1.a_b", "silent", "bare", "keyed"}
	if diff := cmp.Diff(wantNames, targetNames(cfg)); diff != "" {
		t.Errorf("order of the targets (-want +got):\n%s", diff)
	}
}

// TestLoadUnconvertedScalars checks that YAML types do not change scalars.
func TestLoadUnconvertedScalars(t *testing.T) {
	target := mustLoad(t, "full").Targets()[1]
	want := map[string]string{"env": "test", "empty": "", "yes": "no", "version": "1.10", "octal": "0443", "colon": "a: b"}
	if diff := cmp.Diff(want, target.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if target.Authorization.Owner != "0123" {
		t.Errorf("owner = %q, want 0123", target.Authorization.Owner)
	}
}

func TestLoadLimitsAndExternalLabels(t *testing.T) {
	cfg := mustLoad(t, "full")
	if got, want := cfg.Limits(), (Limits{MaxInFlight: 5000, MaxScans: 8, Rate: 100000}); got != want {
		t.Errorf("limits = %+v, want %+v", got, want)
	}
	if diff := cmp.Diff(map[string]string{"vantage": "dmz"}, cfg.ExternalLabels()); diff != "" {
		t.Errorf("external labels (-want +got):\n%s", diff)
	}
	if got, want := mustLoad(t, "minimal").Limits(), (Limits{MaxScans: 64}); got != want {
		t.Errorf("default limits = %+v, want %+v", got, want)
	}
}

// TestConfigReturnsCopies checks that a caller cannot modify the configuration.
func TestConfigReturnsCopies(t *testing.T) {
	cfg := mustLoad(t, "full")
	cfg.Targets()[0], cfg.Modules()[0] = nil, nil
	cfg.ExternalLabels()["vantage"] = "elsewhere"
	if cfg.Targets()[0] == nil || cfg.Modules()[0] == nil || cfg.ExternalLabels()["vantage"] != "dmz" {
		t.Error("a caller modified the configuration")
	}
}

func TestTargetModule(t *testing.T) {
	web := mustLoad(t, "full").Targets()[0]
	for name, want := range map[string]string{"": "tcp_default", "tcp_default": "tcp_default", "tcp_full": "tcp_full"} {
		if m, ok := web.Module(name); !ok || m.Name != want {
			t.Errorf("Module(%q) = %v, %v, want %s", name, m, ok, want)
		}
	}
	if m, ok := web.Module("tcp_patient"); ok {
		t.Errorf("Module(tcp_patient) = %v, want none", m)
	}
}

func TestLoadMethods(t *testing.T) {
	cfg := mustLoad(t, "methods")
	want := map[string]scan.Method{"syn": scan.SYN, "udp": scan.Connect, "udp_connect": scan.Connect}
	for name, method := range want {
		if m, _ := cfg.Module(name); m.Method != method {
			t.Errorf("module %s has method %v, want %v", name, m.Method, method)
		}
	}
}

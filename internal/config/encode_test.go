// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func mustYAML(t *testing.T, cfg *Config) string {
	t.Helper()
	text, err := cfg.YAML()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestYAMLRoundTrip(t *testing.T) {
	for _, name := range []string{"full", "minimal", "find", "methods", "multiline", "services"} {
		t.Run(name, func(t *testing.T) {
			first := mustLoad(t, name)
			file := t.TempDir() + "/config.yml"
			writeFile(t, file, mustYAML(t, first))
			again, _, err := Load(file, testTime())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(mustYAML(t, first), mustYAML(t, again)); diff != "" {
				t.Errorf("YAML (-first +again):\n%s", diff)
			}
			if diff := cmp.Diff(first.Modules(), again.Modules(), cmpOptions()); diff != "" {
				t.Errorf("modules (-first +again):\n%s", diff)
			}
			if diff := cmp.Diff(first.Targets(), again.Targets(), cmpOptions()); diff != "" {
				t.Errorf("targets (-first +again):\n%s", diff)
			}
			if diff := cmp.Diff(first.ExternalLabels(), again.ExternalLabels()); diff != "" || first.Limits() != again.Limits() {
				t.Errorf("limits %v, then %v; labels (-first +again):\n%s", first.Limits(), again.Limits(), diff)
			}
		})
	}
}

func TestYAMLDefaults(t *testing.T) {
	want := `modules:
    tcp:
        protocol: tcp
        method: connect
        ports: "22"
        exclude_ports: ""
        timeout: 9s
        port_timeout: 950ms
        retries: 2
        max_retries: 10
        max_in_flight: 10000
        rate: 0
        max_open_attempts: 3
        control_ports: 2
        report: notable
        max_ports: 1000
        max_age: 0s
        max_addresses: 256
        source_address: ""
        ip_protocol: any
        resolver: ""
        scrape_interval: 0s
targets:
    - name: one
      hosts:
        - 127.0.0.1
      modules:
        - tcp
      authorization:
        owner: x
limits:
    max_in_flight: 0
    max_scans: 64
    rate: 0
`
	if diff := cmp.Diff(want, mustYAML(t, mustLoad(t, "minimal"))); diff != "" {
		t.Errorf("YAML (-want +got):\n%s", diff)
	}
}

// TestEncodeKeys checks that each key that can be loaded is encoded, in the same
// order.
func TestEncodeKeys(t *testing.T) {
	l := newLoader(newReader(), "config.yml", testTime())
	m := newModuleDraft(value{}, "m")
	cases := map[string]struct {
		fields  []field
		encoded any
	}{
		"module": {l.moduleFields(&m), encodedModule{}},
		"target": {l.targetFields(&targetDraft{Target: &Target{}}), encodedTarget{}},
	}
	for name, c := range cases {
		var want, got []string
		for _, f := range c.fields {
			if f.key != "hosts_file" { // its entries are encoded as hosts
				want = append(want, f.key)
			}
		}
		for _, f := range reflect.VisibleFields(reflect.TypeOf(c.encoded)) {
			key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			got = append(got, key)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("keys of a %s (-want +got):\n%s", name, diff)
		}
	}
}

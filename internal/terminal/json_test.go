// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portscan_exporter/collector"
	"portscan_exporter/internal/scan"
)

// TestJSONEmpty writes a result without addresses: lists stay lists.
func TestJSONEmpty(t *testing.T) {
	t.Parallel()
	plan, err := scan.NewPlan(scan.Spec{
		Protocol: scan.UDP, Method: scan.Connect, Timeout: 1, PortTimeout: 1, MaxInFlight: 1, MaxOpenAttempts: 3, ControlPorts: 2, Ports: scan.NewPortSet(53),
	})
	if err != nil {
		t.Fatal(err)
	}
	r := Report{ProbeResult: collector.ProbeResult{Result: &scan.Result{Plan: plan, Started: time.Unix(0, 0)}}}
	var got map[string]any
	if err := json.Unmarshal([]byte(written(t, r, JSON)), &got); err != nil {
		t.Fatal(err)
	}
	for _, list := range []string{"addresses", "failures", "refused_addresses"} {
		if l, ok := got[list].([]any); !ok || len(l) > 0 {
			t.Errorf("%s is %v, want an empty list", list, got[list])
		}
	}
	if complete, ok := got["complete"].(bool); !ok || complete {
		t.Error("complete = true without an address")
	}
}

// TestJSONRoundTrip decodes the document and compares it with the result.
func TestJSONRoundTrip(t *testing.T) {
	t.Parallel()
	r := newReport(t)
	r.ListAll = true
	var got struct {
		jsonScan
		Addresses []jsonAddress `json:"addresses"`
	}
	if err := json.Unmarshal([]byte(written(t, r, JSON)), &got); err != nil {
		t.Fatal(err)
	}
	violating := 0
	for i, a := range got.Addresses {
		want := &r.Result.Addresses[i]
		if a.Address != want.IP || len(a.Ports) != r.Result.Plan.Ports().Len() {
			t.Errorf("address %v with %d ports", a.Address, len(a.Ports))
		}
		total := 0
		for _, s := range scan.States() {
			if a.States[s.String()] != want.Count(s) {
				t.Errorf("%v has %d ports that are %v, want %d", a.Address, a.States[s.String()], s, want.Count(s))
			}
			total += a.States[s.String()]
		}
		for _, p := range a.Ports {
			if p.Violating {
				violating++
			}
		}
		if total != len(a.Ports) {
			t.Errorf("%v: the states add up to %d", a.Address, total)
		}
	}
	if violating != got.Violating || violating != r.CountViolations() || violating != 4 {
		t.Errorf("violating: %d ports, %d in total, %d in the report, want 4", violating, got.Violating, r.CountViolations())
	}
}

// TestJSONDocumented compares the keys of the example in docs/cli.md with the output.
func TestJSONDocumented(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(doc), "```json\n")
	example, _, _ = strings.Cut(example, "```")
	r := newReport(t)
	if diff := cmp.Diff(keys(t, example), keys(t, written(t, r, JSON))); diff != "" {
		t.Errorf("keys (-documented +written):\n%s", diff)
	}
	for _, key := range keys(t, written(t, r, JSON)) {
		if last := key[strings.LastIndex(key, ".")+1:]; strings.Count(string(doc), "`"+last+"`") == 0 {
			t.Errorf("docs/cli.md does not describe %s", key)
		}
	}
}

// keys returns the sorted paths of all keys in a document.
func keys(t *testing.T, document string) []string {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(document), &value); err != nil {
		t.Fatal(err)
	}
	found := make(map[string]bool)
	var walk func(path string, value any)
	walk = func(path string, value any) {
		switch v := value.(type) {
		case map[string]any:
			for k, under := range v {
				found[path+"."+k] = true
				walk(path+"."+k, under)
			}
		case []any:
			for _, under := range v {
				walk(path, under)
			}
		}
	}
	walk("", value)
	return slices.Sorted(maps.Keys(found))
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// TestDashboardQueries evaluates queries with promtool on series that a real scan does not produce
// on demand.
func TestDashboardQueries(t *testing.T) {
	t.Parallel()
	path := needProgram(t, "promtool")
	fleet, target := readDashboard(t, "portscan-fleet"), readDashboard(t, "portscan-target")
	values := map[string]string{
		"job": "portscan", "target": "web", "module": ".*", "vantage": ".*", "ip": ".+",
		"exporter_job": "portscan_exporter", "__interval": "1m", "__rate_interval": "4m", "__range": "10m",
	}
	for name, test := range map[string]struct {
		query string
		input []inputSeries
		want  []wantSample
	}{
		"every state of a port": {
			query: target.query(t, "State of each port", values),
			input: portStates(
				portSeries{"1", "closed", 1, 0}, portSeries{"2", "any", 1, 0}, portSeries{"3", "open", 1, 0},
				portSeries{"4", "closed", 0, 0}, portSeries{"5", "any", 0, 1}, portSeries{"6", "open", 0, 0},
				portSeries{"7", "open", 0, 1}, portSeries{"8", "open", -1, 1}, portSeries{"9", "closed", 0, 1},
			),
			want: []wantSample{
				{portLabels("1"), 4},
				{portLabels("2"), 1},
				{portLabels("3"), 1},
				{portLabels("4"), 0},
				{portLabels("5"), 2},
				{portLabels("6"), 5},
				{portLabels("7"), 6},
				{portLabels("8"), 3},
				{portLabels("9"), 2},
			},
		},
		"open in one module, filtered in another": {
			query: target.query(t, "State of each port", values),
			input: append(portStates(portSeries{"1", "any", 1, 0}),
				inputSeries{portSelector("portscan_port_open", "1", "any", "other"), "0x10"},
				inputSeries{portSelector("portscan_port_filtered", "1", "any", "other"), "1x10"}),
			want: []wantSample{{portLabels("1"), 1}},
		},
		"owner changed": {
			query: fleet.query(t, "Unexpected open ports", values),
			input: append(portStates(portSeries{"1", "closed", 1, 0}),
				inputSeries{`portscan_target_info{job="portscan",instance="web",module="m",target="web",owner="a",reference=""}`, "1x10"},
				inputSeries{`portscan_target_info{job="portscan",instance="web",module="n",target="web",owner="b",reference=""}`, "0.5x10"}), // topk selects any of equal series
			want: []wantSample{{withLabels(portLabels("1"), `owner="a"`), 0}},
		},
		"time of the change": {
			query: fleet.query(t, "Unexpected open ports", values),
			input: append(portStates(portSeries{"1", "closed", 1, 0}, portSeries{"2", "closed", 1, 0}, portSeries{"3", "closed", 0, 0}),
				inputSeries{`portscan_port_last_change_timestamp_seconds{job="portscan",instance="web",module="m",ip="192.0.2.1",port="1",protocol="tcp"}`, "90x10"},
				inputSeries{`portscan_port_last_change_timestamp_seconds{job="portscan",instance="web",module="m",ip="192.0.2.1",port="3",protocol="tcp"}`, "95x10"},
				inputSeries{`portscan_target_info{job="portscan",instance="web",module="m",target="web",owner="a",reference=""}`, "1x10"}),
			want: []wantSample{
				{withLabels(portLabels("1"), `owner="a"`), 90000}, // milliseconds
				{withLabels(portLabels("2"), `owner="a"`), 0},     // no change recorded
			},
		},
		"vantages agree": {
			query: fleet.query(t, "Open from some vantages only", values),
			input: append(vantageSeries("in", 0, "80"), vantageSeries("out", 0, "80")...),
		},
		"open from one vantage": {
			query: fleet.query(t, "Open from some vantages only", values),
			input: append(vantageSeries("in", 0, "80", "22"), vantageSeries("out", 0, "80")...),
			want:  []wantSample{{vantageLabels("22", "in"), 1}},
		},
		"unknown from the other vantage": {
			query: fleet.query(t, "Open from some vantages only", values),
			input: append(vantageSeries("in", 0, "80", "22"), vantageSeries("out", 3, "80")...),
		},
		"omitted from the other vantage": {
			query: fleet.query(t, "Open from some vantages only", values),
			input: append(vantageSeries("in", 0, "80", "22"), withOmittedPort(vantageSeries("out", 0, "80"))...),
		},
		"open from the incomplete vantage": {
			query: fleet.query(t, "Open from some vantages only", values),
			input: append(vantageSeries("in", 3, "22"), vantageSeries("out", 0)...),
			want:  []wantSample{{vantageLabels("22", "in"), 1}},
		},
		"port opens": {
			query: fleet.query(t, "Ports opened and closed", values),
			input: []inputSeries{
				{portSelector("portscan_port_open", "1", "any", "m"), "0x5 1x5"},
				{portSelector("portscan_port_open", "2", "any", "m"), "1x10"},
				{`probe_success{job="portscan",instance="web",module="m"}`, "1x10"},
			},
			want: []wantSample{{"{}", 1}},
		},
		"port known again": {
			query: fleet.query(t, "Ports opened and closed", values),
			input: []inputSeries{
				{portSelector("portscan_port_open", "1", "any", "m"), "_x6 1x5"},
				{`probe_success{job="portscan",instance="web",module="m"}`, "0x5 1x5"},
			},
			want: []wantSample{{"{}", 0}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := writeFile(t, "test.yml", promtoolTest(t, test.query, test.input, test.want))
			if out, err := exec.Command(path, "test", "rules", file).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// query returns the first query of a panel with its variables resolved.
func (d *dashboard) query(t *testing.T, title string, values map[string]string) string {
	t.Helper()
	for _, p := range d.Panels {
		if p.Title == title && len(p.Targets) > 0 {
			return interpolate(p.Targets[0].Expr, values)
		}
	}
	t.Fatalf("%s has no panel %q", d.UID, title)
	return ""
}

// inputSeries is a series in the notation of promtool's tests, with one value a minute.
type inputSeries struct {
	Series string `json:"series"`
	Values string `json:"values"`
}

// wantSample is an expected sample of a query.
type wantSample struct {
	Labels string  `json:"labels"`
	Value  float64 `json:"value"`
}

// promtoolTest returns a test for promtool that evaluates a query after six minutes. It is JSON,
// which is valid YAML.
func promtoolTest(t *testing.T, query string, input []inputSeries, want []wantSample) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"tests": []any{map[string]any{
		"interval":     "1m",
		"input_series": input,
		"promql_expr_test": []any{
			map[string]any{"expr": query, "eval_time": "6m", "exp_samples": want},
		},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// portSeries are the series of a port. A negative value stands for a missing series.
type portSeries struct {
	port, expected string
	open, filtered int
}

func portStates(all ...portSeries) []inputSeries {
	var input []inputSeries
	for _, p := range all {
		if p.open >= 0 {
			input = append(input, inputSeries{portSelector("portscan_port_open", p.port, p.expected, "m"), fmt.Sprintf("%dx10", p.open)})
		}
		input = append(input, inputSeries{portSelector("portscan_port_filtered", p.port, p.expected, "m"), fmt.Sprintf("%dx10", p.filtered)})
	}
	return input
}

func portSelector(metric, port, expected, module string) string {
	return fmt.Sprintf(`%s{job="portscan",instance="web",module=%q,ip="192.0.2.1",port=%q,protocol="tcp",expected=%q}`, metric, module, port, expected)
}

func portLabels(port string) string {
	return fmt.Sprintf(`{instance="web",ip="192.0.2.1",port=%q,protocol="tcp"}`, port)
}

func withLabels(labels, more string) string {
	return strings.TrimSuffix(labels, "}") + "," + more + "}"
}

func vantageLabels(port, vantage string) string {
	return withLabels(portLabels(port), fmt.Sprintf("vantage=%q", vantage))
}

// vantageSeries are the series of an address from one vantage, with a number of unknown ports and
// the open ports. Port 81 is expected to be open.
func vantageSeries(vantage string, unknown int, open ...string) []inputSeries {
	labels := fmt.Sprintf(`job="portscan",instance="web",module="m",vantage=%q,ip="192.0.2.1",protocol="tcp"`, vantage)
	input := []inputSeries{
		{`portscan_ports{` + labels + `,state="unknown"}`, fmt.Sprintf("%dx10", unknown)},
		{`portscan_ports{` + labels + `,state="open_filtered"}`, "0x10"},
		{`portscan_ports{` + labels + `,state="closed"}`, "100x10"},
		{`portscan_ports_omitted{` + labels + `}`, "0x10"},
		{`portscan_port_open{` + labels + `,port="81",expected="open"}`, "0x10"},
	}
	for _, port := range open {
		input = append(input, inputSeries{`portscan_port_open{` + labels + fmt.Sprintf(`,port=%q,expected="any"}`, port), "1x10"})
	}
	return input
}

// withOmittedPort changes the series as if max_ports had omitted a port.
func withOmittedPort(view []inputSeries) []inputSeries {
	for i := range view {
		if strings.HasPrefix(view[i].Series, "portscan_ports_omitted{") {
			view[i].Values = "1x10"
		}
	}
	return view
}

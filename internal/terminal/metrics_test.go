// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// TestTextfilesMerged merges scans of two targets, of two modules and of a single address,
// as node_exporter does.
func TestTextfilesMerged(t *testing.T) {
	t.Parallel()
	web := newReport(t)
	slow, mail, alone := web, web, web
	slow.Module = "tcp_all"
	mail.Asked, mail.Target = "mail", "mail"
	alone.Asked = ip4.String()
	var all prometheus.Gatherers
	for _, r := range []Report{web, slow, mail, alone} {
		text := written(t, r, Textfile)
		all = append(all, prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return parse(t, text), nil }))
	}
	families, err := all.Gather() // reports duplicate series and inconsistent metrics
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := make(map[string]string)
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["target"] == "" || labels["module"] == "" {
				t.Errorf("%s has labels %v", f.GetName(), labels)
			}
		}
	}
}

func parse(t *testing.T, text string) (families []*dto.MetricFamily) {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	byName, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range byName {
		families = append(families, f)
	}
	return families
}

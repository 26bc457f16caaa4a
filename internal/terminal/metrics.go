// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"portscan_exporter/collector"
)

// gatherer returns the metrics of /probe.
func (r Report) gatherer() prometheus.Gatherer {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collector.NewProbe(r.ProbeResult))
	return reg
}

// withScanLabels adds the labels target and module to every series, so that two scans
// have no series in common. [prometheus.WrapRegistererWith] cannot replace the label
// target of portscan_target_info, which is the same for every address of a target.
func withScanLabels(from prometheus.Gatherer, asked, module string) prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		families, err := from.Gather()
		for _, f := range families {
			for _, m := range f.Metric {
				m.Label = setLabel(m.Label, "target", asked)
				m.Label = setLabel(m.Label, "module", module)
			}
		}
		return families, err
	})
}

// setLabel returns the labels with one added or replaced, sorted as a registry sorts them.
func setLabel(labels []*dto.LabelPair, name, value string) []*dto.LabelPair {
	labels = slices.DeleteFunc(labels, func(l *dto.LabelPair) bool { return l.GetName() == name })
	labels = append(labels, &dto.LabelPair{Name: &name, Value: &value})
	slices.SortFunc(labels, func(a, b *dto.LabelPair) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return labels
}

// writeMetrics writes the text format of Prometheus, without timestamps: node_exporter
// rejects them.
func writeMetrics(w io.Writer, from prometheus.Gatherer) error {
	families, err := from.Gather()
	if err != nil {
		return fmt.Errorf("gathering the metrics: %w", err)
	}
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(w, f); err != nil {
			return err
		}
	}
	return nil
}

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

// gatherer has the metrics that /probe would answer with.
func (r Report) gatherer() prometheus.Gatherer {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collector.NewProbe(r.ProbeResult))
	return reg
}

// labeled puts labels on every series that say what was asked for, so that no two
// scans have a series in common. A registry can't: portscan_target_info has a target
// already, the name of the one around an address, and that would be in the file of
// each address.
func labeled(from prometheus.Gatherer, asked, module string) prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		families, err := from.Gather()
		for _, f := range families {
			for _, m := range f.Metric {
				m.Label = with(m.Label, "target", asked)
				m.Label = with(m.Label, "module", module)
			}
		}
		return families, err
	})
}

// with returns labels, sorted as a registry has them, with one in the place of its
// like.
func with(labels []*dto.LabelPair, name, value string) []*dto.LabelPair {
	labels = slices.DeleteFunc(labels, func(l *dto.LabelPair) bool { return l.GetName() == name })
	labels = append(labels, &dto.LabelPair{Name: &name, Value: &value})
	slices.SortFunc(labels, func(a, b *dto.LabelPair) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return labels
}

// writeMetrics writes Prometheus's text format. There are no timestamps in it, which
// node_exporter would refuse.
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

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"regexp"
	"slices"
	"strings"
)

var labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// reservedLabels returns the labels that the metrics, /sd or Prometheus set.
func reservedLabels() []string {
	return []string{
		"ip", "port", "protocol", "expected", "state", "reason", "host", "target", "owner", "reference",
		"module", "instance", "job", "le", "quantile", "alertname",
	}
}

// alertLabels returns the labels that the alert rules in the directory prometheus, or
// Prometheus itself, set for alerts.
func alertLabels() []string { return []string{"severity", "seen", "alertstate"} }

// labels returns a decoder for label names with their values.
func (l *loader) labels(dst map[string]string) func(value) {
	return func(v value) {
		found, _ := l.mappingEntries(v)
		for _, e := range found {
			at := v.child(e, "")
			switch {
			case !labelName.MatchString(e.name):
				l.errorf(at, "%s is not a valid label name: write only letters, digits and _, with no leading digit", quoteValue(e.name))
			case strings.HasPrefix(e.name, "__"):
				l.errorf(at, "label names that start with __ are reserved for Prometheus: write another name")
			case slices.Contains(reservedLabels(), e.name):
				l.errorf(at, "label name is reserved for the metrics or Prometheus: write another name")
			case slices.Contains(alertLabels(), e.name):
				l.warnf(at, "alerts have a label %s of their own, which replaces this one: write another name", e.name)
			}
			if at.isNull() {
				l.errorf(at, `value is missing: write %s: "" for an empty value`, e.name)
			} else if text, ok := l.visible(at); ok {
				dst[e.name] = text
			}
		}
	}
}

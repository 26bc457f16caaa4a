// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v4"

	"portscan_exporter/internal/scan"
)

// The encoded configuration, with the keys in the order of the documentation. Only
// keys without a default are omitted.
type (
	encodedTail struct {
		ExternalLabels map[string]string `yaml:"external_labels,omitempty"`
		Limits         encodedLimits     `yaml:"limits"`
	}

	encodedModule struct {
		Protocol        string `yaml:"protocol"`
		Method          string `yaml:"method"`
		Ports           string `yaml:"ports"`
		ExcludePorts    string `yaml:"exclude_ports"`
		Timeout         string `yaml:"timeout"`
		PortTimeout     string `yaml:"port_timeout"`
		Retries         int    `yaml:"retries"`
		MaxRetries      int    `yaml:"max_retries"`
		MaxInFlight     int    `yaml:"max_in_flight"`
		Rate            int    `yaml:"rate"`
		MaxOpenAttempts int    `yaml:"max_open_attempts"`
		ControlPorts    int    `yaml:"control_ports"`
		Report          string `yaml:"report"`
		MaxPorts        int    `yaml:"max_ports"`
		MaxAge          string `yaml:"max_age"`
		MaxAddresses    int    `yaml:"max_addresses"`
		SourceAddress   string `yaml:"source_address"`
		IPProtocol      string `yaml:"ip_protocol"`
		Resolver        string `yaml:"resolver"`
		ScrapeInterval  string `yaml:"scrape_interval"`
	}

	encodedTarget struct {
		Name          string                        `yaml:"name"`
		Hosts         []string                      `yaml:"hosts,omitempty"`
		ExcludeHosts  []string                      `yaml:"exclude_hosts,omitempty"`
		Networks      []string                      `yaml:"networks,omitempty"`
		IPProtocol    string                        `yaml:"ip_protocol,omitempty"`
		Modules       []string                      `yaml:"modules"`
		Authorization encodedAuthorization          `yaml:"authorization"`
		Expect        map[string]encodedExpectation `yaml:"expect,omitempty"`
		Labels        map[string]string             `yaml:"labels,omitempty"`
	}

	encodedAuthorization struct {
		Owner     string `yaml:"owner"`
		Reference string `yaml:"reference,omitempty"`
		Expires   string `yaml:"expires,omitempty"`
	}

	encodedExpectation struct {
		Open  string `yaml:"open,omitempty"`
		Allow string `yaml:"allow,omitempty"`
	}

	encodedLimits struct {
		MaxInFlight int `yaml:"max_in_flight"`
		MaxScans    int `yaml:"max_scans"`
		Rate        int `yaml:"rate"`
	}
)

// encode returns the configuration as YAML. Modules and targets are encoded one by
// one: a map would lose the order of the modules, and the encoder keeps a complete
// document in memory.
func (c *Config) encode() (string, error) {
	var b strings.Builder
	var errs []error
	b.WriteString("modules:\n")
	for _, m := range c.modules {
		errs = append(errs, appendYAML(&b, "    ", map[string]encodedModule{m.Name: encodeModule(m)}))
	}
	b.WriteString("targets:")
	if len(c.targets) == 0 {
		b.WriteString(" []")
	}
	b.WriteString("\n")
	for _, t := range c.targets {
		errs = append(errs, appendYAML(&b, "    ", []encodedTarget{encodeTarget(t)}))
	}
	tail := encodedTail{ExternalLabels: c.externalLabels, Limits: encodedLimits(c.limits)}
	errs = append(errs, appendYAML(&b, "", tail))
	return b.String(), errors.Join(errs...)
}

// appendYAML appends a value to b and indents each of its lines.
func appendYAML(b *strings.Builder, indentation string, v any) error {
	text, err := yaml.Marshal(v)
	for line := range bytes.Lines(text) {
		if len(line) > 1 {
			b.WriteString(indentation)
		}
		b.Write(line)
	}
	return err
}

func encodeModule(m *Module) encodedModule {
	w := encodedModule{
		Protocol:        m.Protocol.String(),
		Method:          m.Method.String(),
		Ports:           m.Ports.String(),
		ExcludePorts:    m.ExcludePorts.String(),
		Timeout:         model.Duration(m.Timeout).String(),
		PortTimeout:     model.Duration(m.PortTimeout).String(),
		Retries:         m.Retries,
		MaxRetries:      m.MaxRetries,
		MaxInFlight:     m.MaxInFlight,
		Rate:            m.Rate,
		MaxOpenAttempts: m.MaxOpenAttempts,
		ControlPorts:    m.ControlPorts,
		MaxPorts:        m.MaxPorts,
		MaxAge:          model.Duration(m.MaxAge).String(),
		MaxAddresses:    m.MaxAddresses,
		IPProtocol:      m.Family.String(),
		ScrapeInterval:  model.Duration(m.ScrapeInterval).String(),
	}
	for _, r := range reports() {
		if r.value == m.AllPorts {
			w.Report = r.name
		}
	}
	if m.SourceAddress.IsValid() {
		w.SourceAddress = m.SourceAddress.String()
	}
	if m.Resolver.IsValid() {
		w.Resolver = m.Resolver.String()
	}
	return w
}

func encodeTarget(t *Target) encodedTarget {
	w := encodedTarget{
		Name:         t.Name,
		Hosts:        hostEntries(t.Hosts),
		ExcludeHosts: hostEntries(t.ExcludeHosts),
		Networks:     hostEntries(t.Networks),
		Authorization: encodedAuthorization{
			Owner:     t.Authorization.Owner,
			Reference: t.Authorization.Reference,
			Expires:   formatExpiry(t.Authorization.Expires),
		},
		Expect: make(map[string]encodedExpectation),
		Labels: t.Labels,
	}
	if t.familySet {
		w.IPProtocol = t.Family.String()
	}
	for _, m := range t.Modules {
		w.Modules = append(w.Modules, m.Name)
	}
	for protocol, e := range t.Expect {
		w.Expect[protocol.String()] = encodeExpectation(e)
	}
	return w
}

func encodeExpectation(e scan.Expectation) encodedExpectation {
	return encodedExpectation{Open: e.Open.String(), Allow: e.Allow.String()}
}

func hostEntries(hosts []scan.Host) []string {
	entries := make([]string, 0, len(hosts))
	for _, h := range hosts {
		entries = append(entries, h.Entry)
	}
	return entries
}

// formatPrefix formats a single address without its prefix length.
func formatPrefix(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// formatExpiry formats the end of a day in UTC as the date of that day.
func formatExpiry(end time.Time) string {
	switch utc := end.UTC(); {
	case end.IsZero():
		return ""
	case utc.Equal(utc.Truncate(24 * time.Hour)):
		return utc.AddDate(0, 0, -1).Format(time.DateOnly)
	default:
		return end.Format(time.RFC3339Nano)
	}
}

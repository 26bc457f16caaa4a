package config

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v4"

	"portscan_exporter/internal/scan"
)

// The written configuration: the keys of config.yml in the order of its
// documentation. Only what has no default may be left out.
type (
	writtenHead struct {
		Modules *yaml.Node `yaml:"modules"`
	}

	writtenTail struct {
		ExternalLabels map[string]string `yaml:"external_labels,omitempty"`
		Limits         writtenLimits     `yaml:"limits"`
	}

	writtenModule struct {
		Protocol       string `yaml:"protocol"`
		Method         string `yaml:"method"`
		Ports          string `yaml:"ports"`
		ExcludePorts   string `yaml:"exclude_ports"`
		Timeout        string `yaml:"timeout"`
		PortTimeout    string `yaml:"port_timeout"`
		Retries        int    `yaml:"retries"`
		MaxRetries     int    `yaml:"max_retries"`
		MaxInFlight    int    `yaml:"max_in_flight"`
		Rate           int    `yaml:"rate"`
		Report         string `yaml:"report"`
		MaxPorts       int    `yaml:"max_ports"`
		MaxAge         string `yaml:"max_age"`
		MaxAddresses   int    `yaml:"max_addresses"`
		SourceAddress  string `yaml:"source_address"`
		ScrapeInterval string `yaml:"scrape_interval"`
	}

	writtenTarget struct {
		Name          string                        `yaml:"name"`
		Hosts         []string                      `yaml:"hosts"`
		ExcludeHosts  []string                      `yaml:"exclude_hosts,omitempty"`
		Networks      []string                      `yaml:"networks,omitempty"`
		IPProtocol    string                        `yaml:"ip_protocol"`
		Modules       []string                      `yaml:"modules"`
		Authorization writtenAuthorization          `yaml:"authorization"`
		Expect        map[string]writtenExpectation `yaml:"expect,omitempty"`
		Labels        map[string]string             `yaml:"labels,omitempty"`
	}

	writtenAuthorization struct {
		Owner     string `yaml:"owner"`
		Reference string `yaml:"reference,omitempty"`
		Expires   string `yaml:"expires,omitempty"`
	}

	writtenExpectation struct {
		Open  string `yaml:"open,omitempty"`
		Allow string `yaml:"allow,omitempty"`
	}

	writtenLimits struct {
		MaxInFlight int `yaml:"max_in_flight"`
		MaxScans    int `yaml:"max_scans"`
		Rate        int `yaml:"rate"`
	}
)

// encode returns the configuration as YAML.
func (c *Config) encode() (string, error) {
	var b strings.Builder
	modules, err := encodeModules(c.modules)
	if err == nil {
		err = appendYAML(&b, "", writtenHead{Modules: modules})
	}
	if len(c.targets) == 0 {
		b.WriteString("targets: []\n")
	} else {
		b.WriteString("targets:\n")
	}
	for _, t := range c.targets { // one by one: the encoder holds a complete document in memory
		err = errors.Join(err, appendYAML(&b, "    ", []writtenTarget{writeTarget(t)}))
	}
	tail := writtenTail{ExternalLabels: c.externalLabels, Limits: writtenLimits(c.limits)}
	err = errors.Join(err, appendYAML(&b, "", tail))
	if err != nil {
		return "", fmt.Errorf("encoding configuration: %w", err)
	}
	return b.String(), nil
}

func encodeModules(modules []*Module) (*yaml.Node, error) {
	node := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"} // a map would lose the order
	for _, m := range modules {
		var name, body yaml.Node
		name.SetString(m.Name)
		if err := body.Encode(writeModule(m)); err != nil {
			return nil, err
		}
		node.Content = append(node.Content, &name, &body)
	}
	return node, nil
}

// appendYAML appends a value to b, each line with the indentation.
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

func writeModule(m *Module) writtenModule {
	w := writtenModule{
		Protocol:       m.Protocol.String(),
		Method:         m.Method.String(),
		Ports:          m.Ports.String(),
		ExcludePorts:   m.ExcludePorts.String(),
		Timeout:        model.Duration(m.Timeout).String(),
		PortTimeout:    model.Duration(m.PortTimeout).String(),
		Retries:        m.Retries,
		MaxRetries:     m.MaxRetries,
		MaxInFlight:    m.MaxInFlight,
		Rate:           m.Rate,
		MaxPorts:       m.MaxPorts,
		MaxAge:         model.Duration(m.MaxAge).String(),
		MaxAddresses:   m.MaxAddresses,
		ScrapeInterval: model.Duration(m.ScrapeInterval).String(),
	}
	for _, r := range reports() {
		if r.is == m.AllPorts {
			w.Report = r.word
		}
	}
	if m.SourceAddress.IsValid() {
		w.SourceAddress = m.SourceAddress.String()
	}
	return w
}

func writeTarget(t *Target) writtenTarget {
	w := writtenTarget{
		Name:         t.Name,
		ExcludeHosts: prefixTexts(t.ExcludeHosts),
		Networks:     prefixTexts(t.Networks),
		IPProtocol:   t.Family.String(),
		Authorization: writtenAuthorization{
			Owner:     t.Authorization.Owner,
			Reference: t.Authorization.Reference,
			Expires:   expiryText(t.Authorization.Expires),
		},
		Expect: make(map[string]writtenExpectation),
		Labels: t.Labels,
	}
	for _, h := range t.Hosts {
		w.Hosts = append(w.Hosts, h.Entry)
	}
	for _, m := range t.Modules {
		w.Modules = append(w.Modules, m.Name)
	}
	for protocol, e := range t.Expect {
		w.Expect[protocol.String()] = writeExpectation(e)
	}
	return w
}

func writeExpectation(e scan.Expectation) writtenExpectation {
	return writtenExpectation{Open: e.Open.String(), Allow: e.Allow.String()}
}

func prefixTexts(prefixes []netip.Prefix) []string {
	texts := make([]string, 0, len(prefixes))
	for _, p := range prefixes {
		texts = append(texts, prefixText(p))
	}
	return texts
}

// prefixText writes an address as an address and a network as a network.
func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// expiryText writes a moment that is the end of a day in UTC as that day.
func expiryText(end time.Time) string {
	switch utc := end.UTC(); {
	case end.IsZero():
		return ""
	case utc.Equal(utc.Truncate(24 * time.Hour)):
		return utc.AddDate(0, 0, -1).Format(time.DateOnly)
	default:
		return end.Format(time.RFC3339Nano)
	}
}

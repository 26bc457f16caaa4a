// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net/netip"
	"time"

	"github.com/prometheus/common/model"

	"portscan_exporter/internal/scan"
)

// Module is a set of scan settings. It is immutable and safe for concurrent use.
type Module struct {
	Name            string
	Protocol        scan.Protocol
	Method          scan.Method   // always [scan.Connect] for UDP
	Ports           scan.PortSet  // may be empty
	ExcludePorts    scan.PortSet  // never scanned
	Timeout         time.Duration // of a complete scan; positive
	PortTimeout     time.Duration // maximum wait for one answer; positive
	Retries         int           // of a silent port
	MaxRetries      int           // maximum under packet loss; at least Retries, 0 if Retries is 0
	MaxInFlight     int           // attempts per address; at least 1
	Rate            int           // packets per second and address; 0: unlimited
	MaxOpenAttempts int           // maximum number of attempts at an open port; at least 1
	ControlPorts    int           // tried outside the plan if every known port is open; 0: none
	AllPorts        bool          // report all ports, not only the notable ones
	MaxPorts        int           // ports reported individually; at least 1
	MaxAge          time.Duration // of a cached result; 0: results are not cached
	MaxAddresses    int           // that a target may resolve to; at least 1

	Family         scan.Family    // of targets without ip_protocol
	SourceAddress  netip.Addr     // zero: selected by the system
	Resolver       netip.AddrPort // DNS server for names in hosts; zero: those of the system
	ScrapeInterval time.Duration  // for /sd; 0: not set
}

// moduleDraft is a module with the positions that later checks report.
type moduleDraft struct {
	*Module
	portsAt, methodAt, maxRetriesAt, sourceAt value
}

// unset is the value of an integer that the file does not set.
const unset = -1

func newModuleDraft(v value, name string) moduleDraft {
	return moduleDraft{
		Module: &Module{
			Name:            name,
			Protocol:        scan.TCP,
			Method:          scan.Connect,
			Timeout:         9 * time.Second,
			PortTimeout:     950 * time.Millisecond,
			Retries:         2,
			MaxRetries:      unset,
			MaxInFlight:     10000,
			MaxOpenAttempts: 3,
			ControlPorts:    2,
			MaxPorts:        1000,
			MaxAddresses:    256,
		},
		portsAt:  v,
		methodAt: v,
	}
}

// decodeModules decodes all modules.
func (l *loader) decodeModules(v value) {
	found, ok := l.mappingEntries(v)
	if ok && len(found) == 0 {
		l.errorf(v, "no modules are configured: write %s", v.example)
	}
	for _, e := range found {
		l.decodeModule(v.child(e, e.name+`: {ports: "1-1024"}`), e.name)
	}
}

func (l *loader) decodeModule(v value, name string) {
	before := len(l.errs)
	m := newModuleDraft(v, name)
	l.checkName(v, name)
	l.decodeField(v, field{example: v.example, decode: func(v value) {
		l.decodeMapping(v, l.moduleFields(&m)...)
		l.setMaxRetries(&m)
		l.checkMethod(&m)
	}})
	l.cfg.modules = append(l.cfg.modules, m.Module)
	l.moduleNamed[name] = m.Module
	l.modulePos[m.Module] = v
	if m.Method == scan.SYN {
		l.cfg.synModules = append(l.cfg.synModules, m.methodAt)
	}
	if m.SourceAddress.IsValid() {
		l.cfg.sources = append(l.cfg.sources, sourceAddress{addr: m.SourceAddress, at: m.sourceAt})
	}
	if len(l.errs) > before {
		l.invalid[m.Module] = true
	}
}

func (l *loader) moduleFields(m *moduleDraft) []field {
	return []field{
		{key: "protocol", example: "protocol: tcp", decode: oneOf(l, &m.Protocol, protocols())},
		{key: "method", example: "method: connect", decode: recordPosition(&m.methodAt, oneOf(l, &m.Method, methods()))},
		{key: "ports", example: `ports: "1-1024,3306"`, decode: recordPosition(&m.portsAt, l.ports(&m.Protocol, &m.Ports))},
		{key: "exclude_ports", example: `exclude_ports: "9100"`, decode: l.ports(&m.Protocol, &m.ExcludePorts)},
		{key: "timeout", example: "timeout: 9s", decode: l.duration(&m.Timeout, time.Millisecond)},
		{key: "port_timeout", example: "port_timeout: 950ms", decode: l.duration(&m.PortTimeout, time.Millisecond)},
		{key: "retries", example: "retries: 2", decode: l.integer(&m.Retries, 0)},
		{key: "max_retries", example: "max_retries: 10", decode: recordPosition(&m.maxRetriesAt, l.integer(&m.MaxRetries, 0))},
		{key: "max_in_flight", example: "max_in_flight: 10000", decode: l.integer(&m.MaxInFlight, 1)},
		{key: "rate", example: "rate: 0", decode: l.integer(&m.Rate, 0)},
		{key: "max_open_attempts", example: "max_open_attempts: 3", decode: l.integer(&m.MaxOpenAttempts, 1)},
		{key: "control_ports", example: "control_ports: 2", decode: l.integer(&m.ControlPorts, 0)},
		{key: "report", example: "report: notable", decode: oneOf(l, &m.AllPorts, reports())},
		{key: "max_ports", example: "max_ports: 1000", decode: l.integer(&m.MaxPorts, 1)},
		{key: "max_age", example: "max_age: 0s", decode: l.duration(&m.MaxAge, 0)},
		{key: "max_addresses", example: "max_addresses: 256", decode: l.integer(&m.MaxAddresses, 1)},
		{key: "source_address", example: `source_address: "192.0.2.1"`, decode: recordPosition(&m.sourceAt, l.address(&m.SourceAddress))},
		{key: "ip_protocol", example: "ip_protocol: any", decode: oneOf(l, &m.Family, families())},
		{key: "resolver", example: `resolver: "192.0.2.53:53"`, decode: l.resolver(&m.Resolver)},
		{key: "scrape_interval", example: "scrape_interval: 1m", decode: l.scrapeInterval(&m.ScrapeInterval)},
	}
}

// scrapeInterval returns a decoder for a scrape interval. It warns about an interval that
// leaves no time for a late sample before Prometheus's lookback delta, 5m, has passed.
func (l *loader) scrapeInterval(dst *time.Duration) func(value) {
	const longest = 4 * time.Minute
	return func(v value) {
		l.duration(dst, 0)(v)
		if *dst > longest {
			l.warnf(v, "%s is longer than 4m, and Prometheus regards a series as gone 5m after its last sample: write scrape_interval: 4m, and max_age if hosts must be scanned less often",
				model.Duration(*dst))
		}
	}
}

// recordPosition returns a decoder that stores the position of the value in dst.
func recordPosition(dst *value, decode func(value)) func(value) {
	return func(v value) {
		*dst = v
		decode(v)
	}
}

// setMaxRetries sets or checks max_retries.
func (l *loader) setMaxRetries(m *moduleDraft) {
	const usual = 10
	switch {
	case m.Retries == 0:
		m.MaxRetries = 0 // no retries, regardless of the key max_retries
	case m.MaxRetries == unset:
		m.MaxRetries = max(usual, m.Retries)
	case m.MaxRetries < m.Retries:
		l.errorf(m.maxRetriesAt, "%d is less than retries: write %d or more", m.MaxRetries, m.Retries)
	}
}

// checkMethod checks the method for the protocol.
func (l *loader) checkMethod(m *moduleDraft) {
	if m.Protocol == scan.UDP && m.Method == scan.SYN {
		l.errorf(m.methodAt, "method syn supports only tcp: write protocol: tcp, or remove the method")
	}
	l.warnSlowUDP(m)
}

// warnSlowUDP warns if the timeout is too short for the number of UDP ports. Many systems, such
// as Linux, limit ICMP port-unreachable messages to one per second after a burst of six. A scan
// of closed ports takes up to a second longer than the limit requires.
func (l *loader) warnSlowUDP(m *moduleDraft) {
	const burst = 6
	ports := m.Ports.Minus(m.ExcludePorts).Len()
	need := time.Duration(ports-burst+1) * time.Second
	if m.Protocol == scan.UDP && ports > burst && need > m.Timeout {
		l.warnf(m.portsAt, "scanning %d UDP ports can take %s, longer than the timeout of %s, because many hosts report six closed ports at once and then one per second: write fewer ports, or a longer timeout",
			ports, model.Duration(need), model.Duration(m.Timeout))
	}
}

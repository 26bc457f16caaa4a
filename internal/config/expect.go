// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"

	"portscan_exporter/internal/scan"
)

// expect returns a decoder for the expectations of all protocols.
func (l *loader) expect(t *targetDraft) func(value) {
	return func(v value) {
		known := protocols()
		table := make([]field, 0, len(known))
		for _, p := range known {
			table = append(table, field{
				key:     p.name,
				example: fmt.Sprintf("%s: {} if no port may be open", p.name),
				decode:  l.expectation(t, p.value),
			})
		}
		l.decodeMapping(v, table...)
	}
}

func (l *loader) expectation(t *targetDraft, protocol scan.Protocol) func(value) {
	return func(v value) {
		v.example = fmt.Sprintf(`%s: {open: "22,443"}`, protocol)
		var e scan.Expectation
		openAt := v
		l.decodeMapping(v,
			field{key: "open", example: `open: "22,443"`, decode: recordPosition(&openAt, l.ports(&protocol, &e.Open))},
			field{key: "allow", example: `allow: "8000-8010"`, decode: l.ports(&protocol, &e.Allow)},
		)
		t.Expect[protocol] = e
		t.expectAt[protocol], t.openAt[protocol] = v, openAt
	}
}

// checkExpect warns about expectations that no module checks.
func (l *loader) checkExpect(t *targetDraft) {
	for _, p := range protocols() {
		e, ok := t.Expect[p.value]
		if !ok || len(t.Modules) == 0 {
			continue
		}
		scanned := false
		for _, m := range t.Modules {
			if m.Protocol != p.value {
				continue
			}
			scanned = true
			if never := e.Open.Minus(e.Open.Minus(m.ExcludePorts)); !never.IsEmpty() {
				l.warnf(t.openAt[p.value], "module %q excludes %s, which must be open: write each port only in open or only in exclude_ports", m.Name, formatPorts(never))
			}
		}
		if !scanned {
			l.warnf(t.expectAt[p.value], "no module of this target scans %s, so these ports are not checked: write a %s module in modules", p.name, p.name)
		}
	}
}

func formatPorts(s scan.PortSet) string {
	if s.Len() == 1 {
		return "port " + s.String()
	}
	return "ports " + s.String()
}

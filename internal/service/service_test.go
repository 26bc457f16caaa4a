// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package service

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"portscan_exporter/internal/scan"
)

func TestNamesLookup(t *testing.T) {
	t.Parallel()
	names := New()
	for _, tc := range []struct {
		protocol scan.Protocol
		port     uint16
		want     string
	}{
		{scan.TCP, 22, "ssh"},
		{scan.UDP, 22, ""},
		{scan.TCP, 53, "domain"},
		{scan.UDP, 53, "domain"},
		{scan.TCP, 514, "shell"},
		{scan.UDP, 514, "syslog"},
		{scan.TCP, 5432, "postgresql"},
		{scan.TCP, 9090, "prometheus"},
		{scan.TCP, 3389, "ms-wbt-server"},
		{scan.TCP, 61234, ""},
		{0, 22, ""},
	} {
		if got := names.Lookup(tc.protocol, tc.port); got != tc.want {
			t.Errorf("port %d of %v is named %q, want %q", tc.port, tc.protocol, got, tc.want)
		}
	}
}

// TestTableLines checks every line for the form that the head of its table describes, and
// for RFC 6335 section 5.1: a name has at most 15 characters, and a letter.
func TestTableLines(t *testing.T) {
	t.Parallel()
	for name, table := range map[string]string{"names.txt": namesTable, "registry.txt": registryTable} {
		line := regexp.MustCompile(`^([0-9]{1,5})(-[0-9]{1,5})? (tcp|udp|tcp,udp) ([a-z0-9](-?[a-z0-9]){0,14})( unregistered)?$`)
		last, seen := 1, make(map[string]bool)
		for text := range lines(table) {
			parts := line.FindStringSubmatch(text)
			if parts == nil {
				t.Errorf("%s: malformed: %q", name, text)
				continue
			}
			port, err := strconv.Atoi(parts[1])
			if err != nil || port < last || len(ranking(parts[1]+parts[2])) == 0 {
				t.Errorf("%s: out of range or order: %q", name, text)
			}
			if len(parts[4]) > 15 || strings.Trim(parts[4], "0123456789-") == "" {
				t.Errorf("%s: invalid name: %q", name, text)
			}
			if key := parts[1] + parts[2] + parts[4]; seen[key] {
				t.Errorf("%s: listed twice: %q", name, text)
			} else {
				seen[key] = true
			}
			last = port
		}
	}
}

// TestNamesUnregistered compares names.txt with the registry.
func TestNamesUnregistered(t *testing.T) {
	t.Parallel()
	registered := make(map[string]bool)
	for s := range services(registryTable) {
		for protocol := range each(s.protocols) {
			for _, port := range ranking(s.ports) {
				registered[fmt.Sprintf("%d %v %s", port, protocol, s.name)] = true
			}
		}
	}
	for text := range lines(namesTable) {
		fields := strings.Fields(text)
		for protocol := range each(fields[1]) {
			if got, want := registered[fmt.Sprintf("%s %v %s", fields[0], protocol, fields[2])], len(fields) == 3; got != want {
				t.Errorf("%q: registered = %v, want %v", text, got, want)
			}
		}
	}
}

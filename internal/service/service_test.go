// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package service

import (
	"fmt"
	"regexp"
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
		{scan.TCP, 61234, ""},
		{0, 22, ""},
	} {
		if got := names.Lookup(tc.protocol, tc.port); got != tc.want {
			t.Errorf("port %d of %v is named %q, want %q", tc.port, tc.protocol, got, tc.want)
		}
	}
}

// TestTableLines checks every line for the form that the head of the table describes,
// and for RFC 6335 section 5.1: a name has at most 15 characters.
func TestTableLines(t *testing.T) {
	t.Parallel()
	line := regexp.MustCompile(`^([0-9]{1,5}) (tcp|udp|tcp,udp) ([a-z0-9](-?[a-z0-9]){0,14})( unregistered)?\n$`)
	last, lines, named := 0, 0, 0
	for text := range strings.Lines(table) {
		if strings.HasPrefix(text, "#") {
			continue
		}
		parts := line.FindStringSubmatch(text)
		if parts == nil {
			t.Errorf("malformed: %q", text)
			continue
		}
		var port int
		if _, err := fmt.Sscan(parts[1], &port); err != nil || port < max(1, last) || port > 65535 {
			t.Errorf("out of range or order: %q", text)
		}
		if len(parts[3]) > 15 {
			t.Errorf("too long: %q", text)
		}
		last = port
		lines++
		named += 1 + strings.Count(parts[2], ",")
	}
	if got := len(New().names); lines < 200 || got != named {
		t.Errorf("%d lines with %d names give %d names: a port is listed twice", lines, named, got)
	}
}

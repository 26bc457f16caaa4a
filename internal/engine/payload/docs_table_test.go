// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestDocumentedPayloads compares the UDP table of docs/how-it-scans.md with the
// payloads of each port.
func TestDocumentedPayloads(t *testing.T) {
	t.Parallel()
	documented := documentedPayloads(t)
	for _, port := range Ports() {
		var names []string
		for _, p := range ForPort(port) {
			names = append(names, p.Name)
		}
		if got := documented[port]; !slices.Equal(got, names) {
			t.Errorf("docs/how-it-scans.md: payloads of port %d = %v, want %v", port, got, names)
		}
		delete(documented, port)
	}
	for port, names := range documented {
		t.Errorf("docs/how-it-scans.md: payloads of port %d = %v, want none", port, names)
	}
}

// documentedPayloads returns the payload names of the document's table, by port.
func documentedPayloads(t *testing.T) map[uint16][]string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/how-it-scans.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| ([0-9, ]+) \\| ([`a-z0-9, -]+) \\|")
	byPort := make(map[uint16][]string)
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		names := strings.Split(strings.ReplaceAll(m[2], "`", ""), ", ")
		for field := range strings.SplitSeq(m[1], ", ") {
			port, err := strconv.ParseUint(field, 10, 16)
			if err != nil {
				t.Fatalf("row %q: %v", m[0], err)
			}
			byPort[uint16(port)] = append(byPort[uint16(port)], names...)
		}
	}
	return byPort
}

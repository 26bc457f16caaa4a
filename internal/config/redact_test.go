// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"
)

func TestRedactURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://ports.example.org:8443/a?b=c": "https://ports.example.org:8443/a?b=c",
		"exporter":                             "exporter",
		"https://:8443/ports":                  "https://:8443/ports",
		"https://me:secret@example.org/a":      "https://xxxxx@example.org/a",
		"https://secret@example.org":           "https://xxxxx@example.org",
		"//me:secret@example.org":              "//xxxxx@example.org",
		"https://me:sec@ret@example.org":       "xxxxx",
		"https://me:sec/ret@example.org":       "xxxxx",
		"https://me:12/secret@example.org":     "xxxxx",
		"https://me:12?secret@example.org":     "xxxxx",
		"https://me:12#secret@example.org":     "xxxxx",
		"https://me:p@x/secret@example.org":    "xxxxx",
		"https://me:%zzsecret@example.org":     "xxxxx",
		"https://me:secret\n@example.org":      "xxxxx",
		"https://me:secret":                    "xxxxx", // as a port, it is invalid
		"me:secret@example.org":                "xxxxx",
		"me:secret":                            "xxxxx",
	} {
		got := RedactURL(text)
		if got != want || strings.Contains(got, "secret") {
			t.Errorf("RedactURL(%q) = %q, want %q", text, got, want)
		}
	}
}

// TestHostURLErrors requires that the error for a URL in place of a host has no password.
func TestHostURLErrors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://example.org/a":           `"https://example.org/a" is a URL: write only the host, "example.org"`,
		"https://me:secret@example.org":   `"https://xxxxx@example.org" is a URL: write only the host, "example.org"`,
		"https://me:1/secret@example.org": `"xxxxx" is a URL: write only the host`,
	} {
		if _, err := parseHost(text); err == nil || err.Error() != want {
			t.Errorf("parseHost(%q) = %v, want %s", text, err, want)
		}
	}
}

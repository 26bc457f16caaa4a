// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import "testing"

func TestParseResolver(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"192.0.2.53":              "192.0.2.53:53",
		"192.0.2.53:5353":         "192.0.2.53:5353",
		"127.0.0.1:53":            "127.0.0.1:53",
		"[2001:db8::53]":          "[2001:db8::53]:53",
		"[2001:db8::53]:53":       "[2001:db8::53]:53",
		"[::ffff:192.0.2.53]:530": "192.0.2.53:530",
	} {
		got, err := parseResolver(text)
		if err != nil || got.String() != want {
			t.Errorf("parseResolver(%q) = %v, %v, want %s", text, got, err, want)
		}
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package engine

import (
	"net/netip"
	"testing"
)

func TestCanReach(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		from, to string
		want     bool
	}{
		{"192.0.2.1", "203.0.113.7", true},
		{"192.0.2.1", "127.0.0.1", true},
		{"169.254.1.1", "203.0.113.7", true},
		{"127.0.0.1", "127.0.0.2", true},
		{"127.0.0.1", "203.0.113.7", false},
		{"192.0.2.1", "2001:db8::7", false},
		{"2001:db8::1", "2001:db8:7::7", true},
		{"::1", "::1", true},
		{"::1", "2001:db8:7::7", false},
		{"fe80::1", "2001:db8:7::7", false},
		{"fe80::1", "fe80::2", true},
	} {
		if got := canReach(netip.MustParseAddr(tc.from), netip.MustParseAddr(tc.to)); got != tc.want {
			t.Errorf("canReach(%s, %s) = %v, want %v", tc.from, tc.to, got, tc.want)
		}
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net/netip"
	"testing"
)

func TestAddrSetCount(t *testing.T) {
	prefixes := func(texts ...string) []netip.Prefix {
		var all []netip.Prefix
		for _, text := range texts {
			all = append(all, netip.MustParsePrefix(text))
		}
		return all
	}
	cases := []struct {
		from, cut []netip.Prefix
		want      string
	}{
		{prefixes("192.0.2.0/24"), nil, "256"},
		{prefixes("192.0.2.0/24", "192.0.2.0/25", "192.0.3.0/24"), nil, "512"},
		{prefixes("192.0.2.0/24"), prefixes("192.0.2.0/25"), "128"},
		{prefixes("192.0.2.0/24"), prefixes("192.0.2.128/25"), "128"},
		{prefixes("192.0.2.0/24"), prefixes("192.0.2.4/32", "192.0.2.4/30", "10.0.0.0/8", "::/0"), "252"},
		{prefixes("192.0.2.0/24"), prefixes("0.0.0.0/0"), "0"},
		{prefixes("192.0.2.0/26", "192.0.2.128/26"), prefixes("192.0.2.32/27", "192.0.2.64/26", "192.0.2.128/32", "192.0.2.191/32"), "94"},
		{prefixes("192.0.2.0/26", "192.0.2.128/26", "192.0.3.0/24"), prefixes("192.0.2.0/24"), "256"},
		{prefixes("192.0.2.0/24", "2001:db8::/126"), prefixes("192.0.2.0/25", "255.255.255.255/32", "::/8", "2001:db8::1/128"), "131"},
		{prefixes("0.0.0.0/0"), prefixes("255.255.255.255/32", "0.0.0.0/32"), "4294967294"},
		{prefixes("::/0"), prefixes("8000::/1"), "170141183460469231731687303715884105728"},
		{prefixes("::/0"), prefixes("::/0"), "0"},
		{prefixes("0.0.0.0/0", "::/0"), nil, "340282366920938463463374607436063178752"},
	}
	for _, c := range cases {
		if got := prefixAddrs(c.from).subtract(prefixAddrs(c.cut)).count().String(); got != c.want {
			t.Errorf("count of %v minus %v = %s, want %s", c.from, c.cut, got, c.want)
		}
	}
}

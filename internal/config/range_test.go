// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"slices"
	"strings"
	"testing"

	"portscan_exporter/internal/scan"
)

func TestParseHostRange(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{ // first and last address
		"192.0.2.10-50":                        "192.0.2.10 192.0.2.50",
		"192.0.2.10-192.0.2.50":                "192.0.2.10 192.0.2.50",
		"192.0.2.250-192.0.3.5":                "192.0.2.250 192.0.3.5",
		"192.0.2.0-255":                        "192.0.2.0 192.0.2.255",
		"192.0.2.9-9":                          "192.0.2.9 192.0.2.9",
		"::ffff:192.0.2.1-192.0.2.5":           "192.0.2.1 192.0.2.5",
		"::ffff:192.0.2.1-::ffff:192.0.2.5":    "192.0.2.1 192.0.2.5",
		"2001:db8::10-2001:db8::50":            "2001:db8::10 2001:db8::50",
		"2001:DB8::10-2001:db8:0:0::50":        "2001:db8::10 2001:db8::50",
		"2001:db8::10-50":                      "2001:db8::10 2001:db8::50",
		"2001:db8::8-10":                       "2001:db8::8 2001:db8::10", // hexadecimal
		"::ffff:c000:20a-20b":                  "192.0.2.10 192.0.2.11",
		"2001:db8::-ffFF":                      "2001:db8:: 2001:db8::ffff",
		"64:ff9b::192.0.2.1-64:ff9b::c000:205": "64:ff9b::c000:201 64:ff9b::c000:205",
	} {
		h, err := parseHost(text)
		if err != nil {
			t.Errorf("parseHost(%q): %v", text, err)
			continue
		}
		if first, last := h.Bounds(); h.Entry != text || h.IsName() || first.String()+" "+last.String() != want {
			t.Errorf("parseHost(%q) = %+v from %v to %v, want %s", text, h, first, last, want)
		}
	}
	for _, name := range []string{
		"10-0-0-1.example.org", "web-01", "192.0.2.1-de", "192.0.2.10-50.example.org", "1-2.a-3", "dead-beef", "a-1", "192-0-2-10",
	} {
		h, err := parseHost(name)
		isName := err == nil && h.IsName()
		if isName == (name == "192-0-2-10") {
			t.Errorf("parseHost(%q) = %+v, %v, want a host name except for 192-0-2-10", name, h, err)
		}
	}
}

func TestParseHostRangeErrors(t *testing.T) {
	t.Parallel()
	const (
		invalid  = ` is not a valid range: write the first and the last address, such as 192.0.2.10-192.0.2.50 or 192.0.2.10-50`
		notIPv4  = ` is not a valid IPv4 address: write four decimal numbers without leading zeros, such as 192.0.2.10`
		nmap     = ` is a notation of nmap: write networks and ranges, such as 192.0.2.0/24 and 192.0.3.10-50, as entries of their own`
		separate = ` is not one address, network or range: write an entry for each, such as 192.0.2.0/24 and 192.0.3.10-50`
		zone     = ` has an IPv6 zone, which is not supported: write the address without the zone`
		bits     = ` has a prefix length in a range: write the first and the last address, such as 192.0.2.0-192.0.2.255`
		above    = ` ends above 255: write a number up to 255, or the complete last address, such as 192.0.2.10-192.0.3.50`
		wide     = ` has more than half of all addresses: write only the networks that you own, such as 192.0.2.0/24`
		mixed    = ` mixes IPv4 and IPv6: write two addresses of the same IP version`
	)
	for text, want := range map[string]string{
		"192.0.2.50-10":                   `range "192.0.2.50-10" is reversed: write 192.0.2.10-192.0.2.50`,
		"192.0.3.1-192.0.2.50":            `range "192.0.3.1-192.0.2.50" is reversed: write 192.0.2.50-192.0.3.1`,
		"2001:db8::50-10":                 `range "2001:db8::50-10" is reversed: write 2001:db8::10-2001:db8::50`,
		"192.0.2.10 - 50":                 `"192.0.2.10 - 50" is not a valid range: write 192.0.2.10-50, with - and without blanks`,
		"192.0.2.10\u2013192.0.2.50":      `"192.0.2.10–192.0.2.50" is not a valid range: write 192.0.2.10-192.0.2.50, with - and without blanks`,
		"2001:db8::1 -9":                  `"2001:db8::1 -9" is not a valid range: write 2001:db8::1-9, with - and without blanks`,
		"192.0.2.10-256":                  `"192.0.2.10-256"` + above,
		"192.0.2.10-99999999999999999999": `"192.0.2.10-99999999999999999999"` + above,
		"192.0.2.10-050":                  `"192.0.2.10-050"` + invalid,
		"192.0.2.10-":                     `"192.0.2.10-"` + invalid,
		"192.0.2.10-2.50":                 `"192.0.2.10-2.50"` + invalid,
		"192.0.2.10-20-30":                `"192.0.2.10-20-30"` + invalid,
		"192.0.2.10-192.0.2.300":          `"192.0.2.10-192.0.2.300"` + invalid,
		"-":                               `"-"` + invalid,
		"-50":                             `"-50"` + invalid,
		"10-50":                           `"10-50"` + invalid,
		"2001:db8::10-zz":                 `"2001:db8::10-zz"` + invalid,
		"2001:db8::10-":                   `"2001:db8::10-"` + invalid,
		"2001:db8::10-12345":              `"2001:db8::10-12345"` + invalid,
		"64:ff9b::192.0.2.1-5":            `"64:ff9b::192.0.2.1-5"` + invalid, // decimal or hexadecimal?
		"::ffff:192.0.2.1-5":              `"::ffff:192.0.2.1-5"` + invalid,
		"192.0.2.300-310":                 `"192.0.2.300"` + notIPv4,
		"192.0.2.010-50":                  `"192.0.2.010"` + notIPv4,
		"192.0.2.1-2001:db8::1":           `"192.0.2.1-2001:db8::1"` + mixed,
		"2001:db8::1-192.0.2.1":           `"2001:db8::1-192.0.2.1"` + mixed,
		"fe80::1-fe80::5%eth0":            `"fe80::1-fe80::5%eth0"` + zone,
		"fe80::1%eth0-fe80::5%eth0":       `"fe80::1%eth0-fe80::5%eth0"` + zone,
		"192.0.2.0/28-192.0.2.64/28":      `"192.0.2.0/28-192.0.2.64/28"` + bits,
		"192.0.2.0-255/24":                `"192.0.2.0-255/24"` + bits,
		"2001:db8::-ff/120":               `"2001:db8::-ff/120"` + bits,
		"192.0.2.*":                       `"192.0.2.*" has a wildcard: write 192.0.2.0/24`,
		"192.0.*.*":                       `"192.0.*.*" has a wildcard: write 192.0.0.0/16`,
		"*.*.*.*":                         `"*.*.*.*"` + separate,
		"192.0.2.1,5,9":                   `"192.0.2.1,5,9" is a list: write an entry for each: 192.0.2.1, 192.0.2.5, 192.0.2.9`,
		"192.0.2.1-4,9":                   `"192.0.2.1-4,9" is a list: write an entry for each: 192.0.2.1-4, 192.0.2.9`,
		"192.0.2.1,192.0.2.2":             `"192.0.2.1,192.0.2.2"` + separate,
		"192.0.2-3.1-5":                   `"192.0.2-3.1-5"` + nmap,
		"192.0.2,3.1":                     `"192.0.2,3.1"` + nmap,
		"[2001:db8::1]-[2001:db8::9]":     `"[2001:db8::1]-[2001:db8::9]" has brackets: write only the addresses, "2001:db8::1-2001:db8::9"`,
		"0.0.0.0-5":                       "0.0.0.0-5 has the unspecified address: write a range that starts at 0.0.0.1 or later",
		"255.255.255.250-255":             "255.255.255.250-255 has the broadcast address: write a range that ends at 255.255.255.254 or earlier",
		"223.255.255.250-240.0.0.1":       "223.255.255.250-240.0.0.1 has multicast addresses: write a range of unicast addresses",
		"0.0.0.1-223.255.255.255":         "0.0.0.1-223.255.255.255" + wide,
		"::1-feff::":                      "::1-feff::" + wide,
		"fe00::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": "fe00::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff has multicast addresses: write a range of unicast addresses",
	} {
		if h, err := parseScannable(text); err == nil || err.Error() != want {
			t.Errorf("parseScannable(%q) = %+v, %v, want %s", text, h, err, want)
		}
	}
}

// TestLoadRanges checks a configuration with ranges in hosts, exclude_hosts and networks, and its
// text in /config.
func TestLoadRanges(t *testing.T) {
	t.Parallel()
	cfg := loadText(t, `
modules: {tcp: {ports: 1}}
targets:
- name: range
  hosts: [192.0.2.10-20, "2001:db8::10-2001:db8::12"]
  exclude_hosts: [192.0.2.12-13]
  modules: [tcp]
  authorization: {owner: me}
- {name: named, hosts: [www.example.org], networks: [192.0.2.96-112], modules: [tcp], authorization: {owner: me}}
- {name: around, hosts: [192.0.2.8/29, 192.0.2.16/28], modules: [tcp], authorization: {owner: me}}
- {name: one, hosts: [192.0.2.15], modules: [tcp], authorization: {owner: me}}
`)
	for addr, want := range map[string]string{
		"192.0.2.9": "around", "192.0.2.10": "around", "192.0.2.16": "range", "192.0.2.17": "range", "192.0.2.21": "around",
		"192.0.2.15": "one", "192.0.2.12": "around", "2001:db8::12": "range", "2001:db8::13": "",
		"192.0.2.96": "named", "192.0.2.111": "named", "192.0.2.112": "named", "192.0.2.113": "",
	} {
		s, _, err := cfg.Authorize(t.Context(), resolved{"www.example.org": "192.0.2.96 192.0.2.111 192.0.2.112 192.0.2.113"}, addr, "", testTime())
		if got := targetName(s.Target); got != want {
			t.Errorf("Authorize(%s) = %s, %v, want %s", addr, got, err, want)
		}
	}
	text := mustYAML(t, cfg)
	for _, want := range []string{"- 192.0.2.10-20", "- 2001:db8::10-2001:db8::12", "- 192.0.2.12-13", "- 192.0.2.96-112"} {
		if !strings.Contains(text, want) {
			t.Errorf("YAML = %s, want %s", text, want)
		}
	}
	if again := mustYAML(t, loadText(t, text)); again != text {
		t.Errorf("YAML of the loaded text = %s, want %s", again, text)
	}
	task := Selection{Target: cfg.Targets()[0]}.Task(cfg.Modules()[0])
	var inScope []string
	for addr := range task.Hosts[0].All() {
		if _, ok := task.Scope.Match(addr); ok {
			inScope = append(inScope, strings.TrimPrefix(addr.String(), "192.0.2."))
		}
	}
	if want := strings.Fields("10 11 14 15 16 17 18 19 20"); !slices.Equal(inScope, want) {
		t.Errorf("addresses in the scope = %v, want %v", inScope, want)
	}
}

func targetName(t *Target) string {
	if t == nil {
		return ""
	}
	return t.Name
}

// FuzzParseHost checks that an entry of hosts is a name or has addresses, and that its form is
// unambiguous: the same addresses are written by their ends.
func FuzzParseHost(f *testing.F) {
	for _, text := range []string{"192.0.2.10-50", "192.0.2.1-192.0.2.9", "2001:db8::1-ff", "192.0.2.*", "192.0.2.0/24", "www.example.org", "192.0.2-3.1,5", "fe80::1%a-b"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parseScannable(text)
		if err != nil {
			if msg := (value{}).newError(err.Error()).Error(); strings.ContainsAny(msg, "\n\r") {
				t.Errorf("parseScannable(%q) = %q, want one line", text, msg)
			}
			return
		}
		if h.IsName() {
			if strings.Trim(text, "0123456789.-") == "" || strings.ContainsAny(text, ":/,* \t\n") {
				t.Errorf("parseScannable(%q) = a host name", text)
			}
			return
		}
		first, last := h.Bounds()
		again, err := scan.NewRange(text, first, last)
		if err != nil || again.Count() != h.Count() || h.IsRange() && again != h || !h.Contains(first) || !h.Contains(last) {
			t.Errorf("parseScannable(%q) = %+v, and NewRange() of its ends %+v, %v", text, h, again, err)
		}
	})
}

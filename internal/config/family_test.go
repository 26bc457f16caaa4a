// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portscan_exporter/internal/scan"
)

const familyConfig = `
modules:
  both: {ports: 1}
  four: {ports: 1, ip_protocol: ip4}
  six: {ports: 1, ip_protocol: ip6}
targets:
- {name: unset, hosts: [192.0.2.1, "2001:db8::1"], modules: [six, four, both], authorization: {owner: me}}
- {name: any, hosts: [192.0.2.2, "2001:db8::2"], ip_protocol: any, modules: [six, four, both], authorization: {owner: me}}
- {name: four, hosts: [192.0.2.3, "2001:db8::3"], ip_protocol: ip4, modules: [six, four, both], authorization: {owner: me}}
- {name: wide, hosts: [192.0.2.0/28], modules: [both, four], authorization: {owner: me}}
`

// TestModuleFamily checks that ip_protocol of a target has precedence, also if it is any.
func TestModuleFamily(t *testing.T) {
	t.Parallel()
	cfg := loadText(t, familyConfig)
	for target, want := range map[string]string{"unset": "ip6 ip4 any", "any": "any any any", "four": "ip4 ip4 ip4"} {
		s, _, err := cfg.Authorize(t.Context(), noLookups{t}, target, "", testTime())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range s.Target.Modules {
			got = append(got, s.Task(m).Family.String())
		}
		if strings.Join(got, " ") != want {
			t.Errorf("families of target %s = %v, want %s", target, got, want)
		}
	}
	text := mustYAML(t, cfg)
	again := loadText(t, text)
	if diff := cmp.Diff(cfg.Targets(), again.Targets(), cmpOptions()); diff != "" {
		t.Errorf("targets of the loaded text (-want +got):\n%s", diff)
	}
}

// TestModuleFamilyAddress checks that the target that an address is inside does not depend on the
// module of the request, which must cover its IP version.
func TestModuleFamilyAddress(t *testing.T) {
	t.Parallel()
	cfg := loadText(t, familyConfig)
	for _, tc := range []struct{ addr, module, want string }{
		{"192.0.2.1", "", `ip_protocol excludes address 192.0.2.1 of target "unset": use a module of the target that includes it, or change ip_protocol`}, // its first module
		{"192.0.2.1", "four", "unset"},
		{"192.0.2.1", "both", "unset"},
		{"192.0.2.1", "six", `ip_protocol excludes address 192.0.2.1 of target "unset": use a module of the target that includes it, or change ip_protocol`},
		{"2001:db8::1", "", "unset"},
		{"2001:db8::1", "four", `ip_protocol excludes address 2001:db8::1 of target "unset": use a module of the target that includes it, or change ip_protocol`},
		{"192.0.2.2", "", "any"},
		{"192.0.2.2", "six", "any"},
		{"192.0.2.3", "six", "four"},
		{"2001:db8::3", "six", `ip_protocol excludes address 2001:db8::3 of target "four": use a module of the target that includes it, or change ip_protocol`},
		{"2001:db8::9", "six", `target "2001:db8::9" is not configured: add it under targets with its owner's authorization`},
	} {
		s, _, err := cfg.Authorize(t.Context(), noLookups{t}, tc.addr, tc.module, testTime())
		got := targetName(s.Target)
		if err != nil {
			got = err.Error()
		}
		if denied, ok := errors.AsType[*DeniedError](err); err != nil && (!ok || denied == nil) || got != tc.want {
			t.Errorf("Authorize(%s, %s) = %s, want %s", tc.addr, tc.module, got, tc.want)
		}
	}
}

// TestModuleFamilyLimits checks that max_addresses counts only addresses that the module scans.
func TestModuleFamilyLimits(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{name: a, hosts: ["2001:db8::/64", 192.0.2.1], modules: [four], authorization: {owner: me}}`: "",
		`{name: a, hosts: ["2001:db8::/64", 192.0.2.1], modules: [four, six], authorization: {owner: me}}`: `config.yml:6: targets[0].hosts[0]: ` +
			`2001:db8::/64 has 18446744073709551616 addresses, but module "six" allows 300: write a smaller network, or increase max_addresses in the module`,
		`{name: a, hosts: [192.0.2.1-200, 192.0.3.1-100, 192.0.4.1], modules: [six, four], authorization: {owner: me}}`: `config.yml:6: targets[0].modules[0]: ` +
			`no address remains after exclude_hosts and ip_protocol: ip6 of module "six": write another module, or at least one other host`,
		`{name: a, hosts: [192.0.2.1-200, 192.0.3.1-100, 192.0.4.1], modules: [four], authorization: {owner: me}}`: `config.yml:6: targets[0].hosts: ` +
			`hosts has 301 addresses, but module "four" allows 300: write fewer hosts, or increase max_addresses in the module`,
		`{name: a, networks: ["2001:db8::/64"], modules: [four], authorization: {owner: me}}`: `config.yml:6: targets[0].modules[0]: ` +
			`no address remains after exclude_hosts and ip_protocol: ip4 of module "four": write another module, or at least one other network`,
		`{name: a, hosts: [192.0.2.1], preferred_ip_protocol: ip6, ip_protocol_fallback: false, modules: [four], authorization: {owner: me}}`: "" +
			"config.yml:6: targets[0].preferred_ip_protocol: unknown key, of blackbox_exporter: write ip_protocol: ip6 to scan only those addresses, or remove the key to scan those of both IP versions\n" +
			"config.yml:6: targets[0].ip_protocol_fallback: unknown key, of blackbox_exporter: remove the key, and write ip_protocol: ip4 to scan only IPv4 addresses, or ip_protocol: any for both IP versions",
	} {
		_, _, err := newLoader(newReader(), "config.yml", testTime()).load([]byte(
			"modules:\n  four: {ports: 1, ip_protocol: ip4, max_addresses: 300}\n  six: {ports: 1, ip_protocol: ip6, max_addresses: 300}\n\ntargets:\n- " + text))
		if got := errorText(err); got != want {
			t.Errorf("load(%s) = %s, want %s", text, got, want)
		}
	}
	_, _, err := newLoader(newReader(), "config.yml", testTime()).load([]byte("modules: {m: {ports: 1, preferred_ip_protocol: ip4}}"))
	if want := "config.yml:1: modules.m.preferred_ip_protocol: unknown key, of blackbox_exporter: write ip_protocol: ip4 to scan"; !strings.HasPrefix(errorText(err), want) {
		t.Errorf("load() = %v, want %s", err, want)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestModuleFamilyNames checks that names are looked up for the IP version of the module.
func TestModuleFamilyNames(t *testing.T) {
	t.Parallel()
	cfg := loadText(t, `
modules: {six: {ports: 1, ip_protocol: ip6}, four: {ports: 1, ip_protocol: ip4}}
targets: [{name: a, hosts: [www.example.org], networks: ["2001:db8::/64", 192.0.2.0/24], modules: [six, four], authorization: {owner: me}}]
`)
	for text, want := range map[string]scan.Family{"2001:db8::1": scan.IPv6, "192.0.2.1": scan.IPv4} {
		addr := netip.MustParseAddr(text)
		if got := cfg.claims(addr)[0].nameGroup(addr).Family; got != want {
			t.Errorf("family of the lookup for %s = %v, want %v", text, got, want)
		}
	}
}

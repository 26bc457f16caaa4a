// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCheckHost(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yml")
	writeFile(t, file, "modules:\n  here: {ports: 22, source_address: 127.0.0.1}\n  gone:\n    source_address: 192.0.2.99\n")
	cfg, _, err := Load(file, testTime())
	if err != nil {
		t.Fatal(err)
	}
	check := func(got []error, want ...string) {
		t.Helper()
		texts := make([]string, 0, len(got))
		for _, err := range got {
			texts = append(texts, strings.TrimPrefix(err.Error(), file+":"))
		}
		if diff := cmp.Diff(want, texts); diff != "" {
			t.Errorf("errors (-want +got):\n%s", diff)
		}
	}
	const advice = ": write an address of this machine, or remove the key"
	gone := "4: modules.gone.source_address: no interface of this machine has the address 192.0.2.99" + advice
	check(CheckHost(cfg, nil), gone)
	check(cfg.missingSources([]net.Addr{&net.IPNet{IP: net.ParseIP("192.0.2.99"), Mask: net.CIDRMask(24, 32)}}),
		"2: modules.here.source_address: no interface of this machine has the address 127.0.0.1"+advice)
	methods, supported := mustLoad(t, "methods"), func() error { return nil }
	if missing := CheckHost(methods, supported); missing != nil {
		t.Errorf("CheckHost with syn supported = %v, want none", missing)
	}
	unsupported := func() error { return errors.New("it needs a capability: grant it") }
	const want = "testdata/good/methods.yml:2: modules.syn.method: cannot use method syn: it needs a capability: grant it; or write method: connect"
	if missing := CheckHost(methods, unsupported); len(missing) != 1 || missing[0].Error() != want {
		t.Errorf("CheckHost = %v, want %s", missing, want)
	}
	if missing := CheckHost(mustLoad(t, "minimal"), unsupported); missing != nil {
		t.Errorf("CheckHost without requirements = %v, want none", missing)
	}
}

// TestOwnHosts requires one warning for each target that scans addresses of this machine.
func TestOwnHosts(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "config.yml")
	target := func(name, keys string) string {
		return "  - {name: " + name + ", modules: [m], authorization: {owner: me}, " + keys + "}\n"
	}
	writeFile(t, file, "modules: {m: {ports: 22}, m4: {ports: 22, ip_protocol: ip4}}\ntargets:\n"+
		target("loopback", "hosts: [127.0.0.1, '::1']")+
		target("other", "hosts: [192.0.2.3, '2001:db8::2']")+
		target("both", "hosts: [192.0.2.3, 192.0.2.1, '2001:db8::1']")+
		target("network", "hosts: [192.0.2.0/24]")+
		target("range", "hosts: ['2001:db8::-2001:db8::9']")+
		target("excluded", "hosts: [198.51.100.0/25], exclude_hosts: [198.51.100.9]")+
		target("family", "hosts: [192.0.2.3, '2001:db8::1'], ip_protocol: ip4")+
		strings.Replace(target("module", "hosts: [192.0.2.3, '2001:db8::1']"), "[m]", "[m4]", 1)+
		target("named", "hosts: [www.example.org], networks: [192.0.2.0/24]")+
		target("by_address", "networks: [192.0.2.0/24]")+
		target("in_file", "hosts: [192.0.2.3], hosts_file: hosts.txt"))
	writeFile(t, filepath.Join(filepath.Dir(file), "hosts.txt"), "192.0.2.4\n\n192.0.2.1 # this machine\n")
	cfg, _, err := Load(file, testTime())
	if err != nil {
		t.Fatal(err)
	}
	var addrs []net.Addr
	for _, text := range []string{"127.0.0.1/8", "::1/128", "192.0.2.1/24", "198.51.100.9/24", "2001:db8::1/64"} {
		ip, network, err := net.ParseCIDR(text)
		if err != nil {
			t.Fatal(err)
		}
		addrs = append(addrs, &net.IPNet{IP: ip, Mask: network.Mask})
	}
	var got []string
	for _, w := range cfg.ownHosts(addrs) {
		text, rest, _ := strings.Cut(strings.TrimPrefix(w.Error(), filepath.Dir(file)+"/"), " is an address of this machine, ")
		got = append(got, text)
		if ip := text[strings.LastIndex(text, " ")+1:]; !strings.HasSuffix(rest, ": write the target for an exporter on another machine, or exclude_hosts: ["+ip+"]") {
			t.Errorf("warning = %s, want what to write", w)
		}
	}
	want := []string{
		"config.yml:5: targets[2].hosts[1]: 192.0.2.1", "config.yml:6: targets[3].hosts[0]: 192.0.2.1",
		"config.yml:7: targets[4].hosts[0]: 2001:db8::1", "hosts.txt:3: 192.0.2.1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	if own := OwnHosts(mustLoad(t, "minimal")); len(own) != 0 {
		t.Errorf("OwnHosts(minimal) = %v, want none", own)
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"portscan_exporter/internal/testnet"
)

// exclusionConfig has excluded hosts and ports, and an expired target.
const exclusionConfig = `
modules:
  tcp: {ports: "20-30", port_timeout: 100ms, exclude_ports: "22,25-26,443"}
  syn: {ports: "20-30", port_timeout: 100ms, exclude_ports: "22,25-26,443", method: syn}
  udp: {ports: "20-22,30", port_timeout: 100ms, exclude_ports: "22,25-26,443", protocol: udp}
  free: {ports: 22, port_timeout: 100ms}
targets:
- name: wide
  hosts: [web.example.org.]
  networks: [192.0.2.0/24, "2001:db8:1::/64"]
  exclude_hosts: [192.0.2.9, 192.0.2.254, "2001:db8:1::9", 203.0.113.0/24]
  modules: [tcp, syn, udp]
  authorization: {owner: me}
  expect:
    tcp: {open: "22,27,443", allow: 25}
    udp: {open: "22,27,443", allow: 25}
- name: narrow
  hosts: [192.0.2.2/31]
  exclude_hosts: [192.0.2.3]
  modules: [tcp, syn, udp]
  authorization: {owner: me}
- {name: free, hosts: [free.example.org.], networks: [192.0.2.0/24], modules: [free], authorization: {owner: me}}
- {name: four, hosts: [198.51.100.0/28], networks: ["2001:db8:9::/64"], ip_protocol: ip4, modules: [tcp], authorization: {owner: me}}
- {name: ended, hosts: [ended.example.org., 198.51.100.77], networks: [198.51.100.64/28], modules: [tcp, syn, udp], authorization: {owner: me, expires: 2020-01-01}}
`

// TestProbeExclusions resolves a name to excluded addresses, and expects excluded
// ports to be open: they are not scanned, and the probe succeeds.
func TestProbeExclusions(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	h := newNetworkHarness(t, exclusionConfig)
	var hosts strings.Builder
	for a := range strings.FieldsSeq("192.0.2.1 192.0.2.9 192.0.2.254 203.0.113.1 ::ffff:192.0.2.9 2001:db8:1::1 2001:db8:1::9") {
		fmt.Fprintf(&hosts, "%s web.example.org\n", a)
	}
	startDNS(t, hosts.String()+"192.0.2.2 free.example.org\n")
	for _, method := range methods() {
		h.probe(t, "target=wide&module="+method, probeOutcome{addresses: 2, success: true})
		if asked := h.probe(t, "target=192.0.2.1&module="+method, probeOutcome{addresses: 1, success: true}); asked != 1 {
			t.Errorf("%s: got %d DNS queries for an address of a name, want 1", method, asked)
		}
		for _, excluded := range []string{"192.0.2.9", "::ffff:192.0.2.9", "192.0.2.254", "2001:db8:1::9", "203.0.113.1", "192.0.2.3"} {
			h.wantForbidden(t, "target="+excluded+"&module="+method)
		}
	}
	h.wantNoForeignPackets(t)
	h.get(t, "/probe?target=free") // verifies the counter
	if sent := h.takeCounts(t); sent.excluded == 0 {
		t.Errorf("scan of port 22: got packets %+v, want excluded ones", sent)
	}
}

// TestProbeSingleAddress probes addresses: those in numeric hosts are scanned without a DNS
// query, those of a name after one, and all others are refused.
func TestProbeSingleAddress(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	h := newNetworkHarness(t, exclusionConfig)
	startDNS(t, "203.0.113.1 web.example.org\n192.0.2.1 web.example.org\n2001:db8:1::1 web.example.org\n")
	for _, method := range methods() {
		for inside, want := range map[string]int{"192.0.2.1": 1, "::ffff:192.0.2.1": 1, "192.0.2.2": 0, "2001:db8:1::1": 1} {
			if asked := h.probe(t, "target="+inside+"&module="+method, probeOutcome{addresses: 1, success: true}); asked != want {
				t.Errorf("%s, %s: got %d DNS queries, want %d", inside, method, asked, want)
			}
		}
	}
	for _, outside := range append(texts(foreign), "198.51.100.17", "2001:db8:9::1", "::ffff:203.0.113.1", "::ffff:169.254.169.254", "fe80::1%25outside", nameServer) {
		h.wantForbidden(t, "target="+outside)
	}
	h.wantNoForeignPackets(t)
}

func texts(all []netip.Addr) []string {
	var texts []string
	for _, a := range all {
		texts = append(texts, a.String())
	}
	return texts
}

// TestProbeExpiredAuthorization probes a target whose authorization has expired, and
// requests all other endpoints: no packet is sent, DNS queries included.
func TestProbeExpiredAuthorization(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	h := newNetworkHarness(t, exclusionConfig)
	startDNS(t, "198.51.100.77 ended.example.org\n")
	for _, target := range []string{"ended", "198.51.100.77", "198.51.100.70", "::ffff:198.51.100.77"} {
		h.wantForbidden(t, "target="+target)
		for _, method := range methods() {
			h.wantForbidden(t, "debug=true&target="+target+"&module="+method)
		}
	}
	h.takeCounts(t)
	for _, path := range []string{"/", "/sd", "/metrics", "/config", "/logs?id=1", "/target/ended", "/target/wide", "/-/ready", "/-/healthy"} {
		h.get(t, path)
	}
	if err := h.reloader.Reload(); err != nil {
		t.Error(err)
	}
	if sent := h.takeCounts(t); sent != (packetCounts{}) {
		t.Errorf("other endpoints: got packets %+v, want none", sent)
	}
	h.wantNoForeignPackets(t)
}

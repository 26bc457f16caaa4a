// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"net/http"
	"testing"
	"time"

	"portscan_exporter/internal/testnet"
)

// ownershipConfig has a target with a name, one without hosts, and one with a numeric network
// that is less specific than the networks of a name.
const ownershipConfig = `
modules:
  tcp: {ports: "1-3", port_timeout: 100ms, timeout: 2s}
  syn: {ports: "1-3", port_timeout: 100ms, timeout: 2s, method: syn}
  udp: {ports: "1-3", port_timeout: 100ms, timeout: 2s, protocol: udp}
  cached: {ports: "1-3", port_timeout: 100ms, timeout: 2s, max_age: 1h}
targets:
- {name: named, hosts: [web.example.org.], networks: [192.0.2.0/24, "2001:db8:1::/64"], exclude_hosts: [192.0.2.9], modules: [tcp, syn, udp, cached], authorization: {owner: me}}
- {name: asked, networks: [198.51.100.16/28, "64:ff9b::/96"], exclude_hosts: [198.51.100.17], modules: [tcp, syn, udp], authorization: {owner: me}}
- {name: wide, hosts: [198.51.100.0/24], modules: [tcp], authorization: {owner: me}}
- {name: part, hosts: [part.example.org.], networks: [198.51.100.192/26], modules: [tcp], authorization: {owner: me}}
`

// wantRefused checks that a probe is refused after a lookup, without another packet.
func (n *networkHarness) wantRefused(t *testing.T, query string) {
	t.Helper()
	n.takeCounts(t)
	if w := n.get(t, "/probe?"+query); w.Code != http.StatusForbidden {
		t.Errorf("%s: got status %d, want 403: %s", query, w.Code, w.Body)
	}
	if sent := n.takeCounts(t); sent.asked == 0 || sent != (packetCounts{asked: sent.asked}) {
		t.Errorf("%s: got packets %+v, want only DNS queries", query, sent)
	}
}

// TestProbeAddressOfName changes the addresses of a name between probes: only those are
// scanned to which it resolves at that moment, and cached results of others are refused.
func TestProbeAddressOfName(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	h := newNetworkHarness(t, ownershipConfig)
	const first, second, six = "192.0.2.1 web.example.org\n", "192.0.2.2 web.example.org\n", "2001:db8:1::1 web.example.org\n"
	dns := startDNS(t, first)
	scanned := probeOutcome{addresses: 1, success: true}
	h.probe(t, "target=192.0.2.1&module=cached", scanned)
	for _, method := range methods() {
		h.probe(t, "target=192.0.2.1&module="+method, scanned)
		h.wantRefused(t, "target=192.0.2.2&module="+method)
		h.wantRefused(t, "target=2001:db8:1::1&module="+method)
	}
	dns.edit(t, second+six+"192.0.2.9 web.example.org\n203.0.113.1 web.example.org\n")
	h.wantRefused(t, "target=192.0.2.1&module=cached")
	for _, method := range methods() {
		h.wantRefused(t, "target=192.0.2.1&module="+method)
		h.probe(t, "target=::ffff:192.0.2.2&module="+method, scanned)
		h.probe(t, "target=2001:db8:1::1&module="+method, scanned)
		h.wantForbidden(t, "target=192.0.2.9&module="+method)   // excluded
		h.wantForbidden(t, "target=203.0.113.1&module="+method) // outside of the networks
	}
	dns.edit(t, first)
	h.takeCounts(t)
	if w := h.get(t, "/probe?target=192.0.2.1&module=cached"); w.Code != http.StatusOK {
		t.Errorf("cached result: got status %d, want 200: %s", w.Code, w.Body)
	}
	if sent := h.takeCounts(t); sent != (packetCounts{asked: 1}) {
		t.Errorf("cached result: got packets %+v, want one DNS query", sent)
	}
	h.wantNoForeignPackets(t)
}

// TestProbeAddressSpellings asks for addresses of a name in notations that are not theirs.
func TestProbeAddressSpellings(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	h := newNetworkHarness(t, ownershipConfig)
	startDNS(t, "192.0.2.1 web.example.org\n2001:db8:1::1 web.example.org\n")
	for _, target := range []string{
		"192.000.002.001", "0300.0.2.1", "0xc0.0.2.1", "3221225985", "0xc0000201", "192.0.513", "192.0.2.1.", "192.0.2.1%20", "%20192.0.2.1", "192.0.2.1%0a",
		"192.0.2.1:80", "192.0.2.1/32", "192.0.2.0/24", "192.0.2.1%25lo", "192.0.2.1,192.0.2.2", "%5B2001:db8:1::1%5D", "2001:db8:1::1%25lo", "2001:db8:1::1/128",
		"::192.0.2.1", "2002:c000:201::1", "::ffff:0:192.0.2.1", "64:ff9b::198.51.100.17", "64:ff9b::192.0.2.9", "64:ff9b:1::192.0.2.1",
		"web.example.org.", "web.example.org", "www.example.org", "localhost",
	} {
		h.wantForbidden(t, "target="+target)
	}
	h.wantNoForeignPackets(t)
}

// TestProbeAddressDNSFailure has a name server that does not answer, or fails: an address that
// only the name permits is not scanned, and one of a numeric host is.
func TestProbeAddressDNSFailure(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	h := newNetworkHarness(t, ownershipConfig)
	for name, answer := range map[string]func([]byte) []byte{
		"silence":        func([]byte) []byte { return nil },
		"server failure": answerWithCode(2),
	} {
		t.Run(name, func(t *testing.T) {
			serveDNS(t, answer)
			started := time.Now()
			h.probe(t, "target=192.0.2.1", probeOutcome{failed: "dns"})
			h.probe(t, "target=192.0.2.1&module=cached", probeOutcome{failed: "dns"})
			if took := time.Since(started); took > 4*time.Second {
				t.Errorf("probes took %v, want at most the timeout of 2s each", took)
			}
			w := h.get(t, "/probe?target=192.0.2.1&debug=true")
			wantTexts(t, "debug output", w.Body.String(), "FAILED (dns): resolving web.example.org.", "probe_success 0")
			h.takeCounts(t)
			w = h.get(t, "/probe?target=198.51.100.200") // in wide, and in the networks of part
			if sent := h.takeCounts(t); w.Code != http.StatusOK || sent.stray == 0 || sent.asked == 0 {
				t.Errorf("numeric host: got status %d, packets %+v, want DNS queries and a scan", w.Code, sent)
			}
		})
	}
}

// TestProbeTargetWithoutHosts probes addresses of a target that has only networks.
func TestProbeTargetWithoutHosts(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	h := newNetworkHarness(t, ownershipConfig)
	for _, method := range methods() {
		h.takeCounts(t)
		w := h.get(t, "/probe?target=198.51.100.18&module="+method)
		if sent := h.takeCounts(t); w.Code != http.StatusOK || sent.stray == 0 || sent.asked != 0 {
			t.Errorf("%s: got status %d, packets %+v, want a scan without DNS queries", method, w.Code, sent)
		}
		wantTexts(t, "answer", w.Body.String(), `portscan_target_info{owner="me",reference="",target="asked"} 1`,
			`portscan_address_info{host="198.51.100.18",ip="198.51.100.18"} 1`)
		h.wantForbidden(t, "target=198.51.100.17&module="+method) // excluded
		h.takeCounts(t)
		w = h.get(t, "/probe?target=asked&module="+method)
		if sent := h.takeCounts(t); w.Code != http.StatusBadRequest || sent != (packetCounts{}) {
			t.Errorf("%s: got status %d, packets %+v for the name, want 400 and none", method, w.Code, sent)
		}
		wantTexts(t, "refusal", w.Body.String(), `target "asked" has no hosts: ask for an address in its networks`)
	}
}

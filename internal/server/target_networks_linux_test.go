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

// TestProbeNameRebinding changes the addresses of a name between probes: the name
// is resolved once per scan, and each response is checked, independently of its TTL.
func TestProbeNameRebinding(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	h := newNetworkHarness(t, moduleConfig+`
- {name: t, hosts: [web.example.org.], networks: [192.0.2.0/24, "2001:db8:1::/64"], modules: [tcp, syn, udp], authorization: {owner: me}}
`)
	const (
		good  = "192.0.2.1 web.example.org\n2001:db8:1::1 web.example.org\n"
		bad   = "203.0.113.1 web.example.org\n2001:db8:2::1 web.example.org\n"
		mixed = "192.0.2.1 web.example.org\n203.0.113.1 web.example.org\n2001:db8:2::1 web.example.org\n169.254.169.254 web.example.org\n"
	)
	for _, ttl := range []string{"0", "3600"} {
		t.Run("TTL "+ttl, func(t *testing.T) {
			dns := startDNS(t, "", "local-ttl="+ttl)
			for i, step := range []struct {
				hosts string
				want  probeOutcome
			}{
				{good, probeOutcome{addresses: 2, success: true}},
				{bad, probeOutcome{refused: 2, failed: "address_refused"}},
				{mixed, probeOutcome{addresses: 1, refused: 3, failed: "address_refused"}},
				{bad, probeOutcome{refused: 2, failed: "address_refused"}},
				{good, probeOutcome{addresses: 2, success: true}},
				{"", probeOutcome{failed: "dns"}},
			} {
				dns.edit(t, step.hosts)
				for _, method := range methods() {
					// One query per family: a second one could return other addresses.
					if asked := h.probe(t, "target=t&module="+method, step.want); asked != 2 {
						t.Errorf("step %d, %s: got %d DNS queries, want 2", i, method, asked)
					}
				}
			}
		})
	}
	h.wantNoForeignPackets(t)
}

// resolution is a name with its addresses, and the outcome of a probe.
type resolution struct {
	addrs  string // of the name
	chain  int    // number of CNAMEs
	target string // additional keys of the target
	want   probeOutcome
}

func resolutions() map[string]resolution {
	refused := func(addresses, refused int) probeOutcome {
		return probeOutcome{addresses: addresses, refused: refused, failed: "address_refused"}
	}
	complete := func(addresses int) probeOutcome { return probeOutcome{addresses: addresses, success: true} }
	all := map[string]resolution{
		"chain-inside":  {addrs: "192.0.2.1 2001:db8:1::1", chain: 5, want: complete(2)},
		"chain-outside": {addrs: "203.0.113.1 2001:db8:2::1", chain: 5, want: refused(0, 2)},
		"chain-mixed":   {addrs: "192.0.2.1 203.0.113.1", chain: 5, want: refused(1, 1)},

		"four-inside-any": {addrs: "192.0.2.1 2001:db8:2::1", want: refused(1, 1)},
		"four-inside-ip4": {addrs: "192.0.2.1 2001:db8:2::1", target: "ip_protocol: ip4", want: complete(1)},
		"four-inside-ip6": {addrs: "192.0.2.1 2001:db8:2::1", target: "ip_protocol: ip6", want: refused(0, 1)},
		"six-inside-any":  {addrs: "203.0.113.1 2001:db8:1::1", want: refused(1, 1)},
		"six-inside-ip4":  {addrs: "203.0.113.1 2001:db8:1::1", target: "ip_protocol: ip4", want: refused(0, 1)},
		"six-inside-ip6":  {addrs: "203.0.113.1 2001:db8:1::1", target: "ip_protocol: ip6", want: complete(1)},
		"no-six-at-all":   {addrs: "192.0.2.1", target: "ip_protocol: ip6", want: probeOutcome{failed: "dns"}},

		"ends-of-network": {addrs: "192.0.2.0 192.0.2.1 192.0.2.255", want: refused(1, 2)},
		"mapped-inside":   {addrs: "::ffff:192.0.2.1", want: complete(1)},
		"mapped-and-bare": {addrs: "192.0.2.1 ::ffff:192.0.2.1", want: complete(1)},
		"mapped-for-ip6":  {addrs: "::ffff:192.0.2.1", target: "ip_protocol: ip6", want: probeOutcome{failed: "dns"}},

		// Special addresses are refused even if the networks contain them.
		"anywhere": {addrs: "0.0.0.0 255.255.255.255 224.0.0.1 :: ff02::1", target: `networks: [0.0.0.0/1, 128.0.0.0/1, "::/1", "8000::/1"]`, want: refused(0, 5)},
	}
	special := strings.Fields("127.0.0.1 127.8.9.10 ::1 169.254.169.254 ::ffff:169.254.169.254 ::ffff:127.0.0.1 0.0.0.0 :: 255.255.255.255 224.0.0.1 fe80::1 ff02::1")
	for _, a := range special {
		name := strings.NewReplacer(":", "-", ".", "-").Replace("x" + a + "x")
		all["alone-"+name] = resolution{addrs: a, want: refused(0, 1)}
		all["beside-"+name] = resolution{addrs: "192.0.2.1 " + a, want: refused(1, 1)}
	}
	// Two of them are IPv4-mapped forms of others.
	all["all-at-once"] = resolution{addrs: strings.Join(append(special, "192.0.2.1"), " "), want: refused(1, len(special)-2)}
	return all
}

// dnsRecords returns hosts and CNAME lines for the name server.
func dnsRecords(all map[string]resolution) (hosts string, lines []string) {
	var table strings.Builder
	for name, l := range all {
		last := name
		for i := range l.chain {
			next := fmt.Sprintf("%s-%d", name, i)
			lines = append(lines, fmt.Sprintf("cname=%s.example.org,%s.example.org", last, next))
			last = next
		}
		for a := range strings.FieldsSeq(l.addrs) {
			fmt.Fprintf(&table, "%s %s.example.org\n", a, last)
		}
	}
	return table.String(), lines
}

// TestProbeResolvedAddresses scans names that resolve to owned, foreign and special
// addresses with all methods: packets are sent only to owned ones.
func TestProbeResolvedAddresses(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	all := resolutions()
	var text strings.Builder
	text.WriteString(moduleConfig)
	for name, l := range all {
		if !strings.Contains(l.target, "networks") {
			l.target = strings.TrimPrefix(l.target+`, networks: [192.0.2.0/24, "2001:db8:1::/64"]`, ", ")
		}
		fmt.Fprintf(&text, "- {name: %s, hosts: [%s.example.org.], modules: [tcp, syn, udp], authorization: {owner: me}, %s}\n", name, name, l.target)
	}
	text.WriteString("- {name: leak, hosts: [leak.example.org.], networks: [203.0.113.0/24], modules: [tcp, syn, udp], authorization: {owner: me}}\n")
	h := newNetworkHarness(t, text.String())
	hosts, lines := dnsRecords(all)
	startDNS(t, hosts+"203.0.113.2 leak.example.org\n", lines...)
	for _, method := range methods() {
		for name, l := range all {
			if asked := h.probe(t, "target="+name+"&module="+method, l.want); asked == 0 {
				t.Errorf("%s, %s: got no DNS query", name, method)
			}
		}
	}
	h.wantNoForeignPackets(t)
	for _, method := range methods() {
		h.wantCountedPackets(t, "target=leak&module="+method)
	}
}

// TestProbeTooManyAddresses resolves names to 1,000 addresses: above max_addresses
// the probe fails, and none of them is scanned.
func TestProbeTooManyAddresses(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	const many = 1000
	var mine []netip.Addr
	var hosts strings.Builder
	for i := range many {
		a := netip.MustParseAddr(fmt.Sprintf("2001:db8:1::1:%x", i+1))
		mine = append(mine, a)
		fmt.Fprintf(&hosts, "%s inside.example.org\n2001:db8:2::1:%x outside.example.org\n", a, i+1)
		if i > 0 {
			fmt.Fprintf(&hosts, "2001:db8:2::1:%x one.example.org\n", i+1)
		}
	}
	h := newNetworkHarness(t, `
modules:
  usual: {ports: "1-3", port_timeout: 100ms, retries: 0}
  short: {ports: "1-3", port_timeout: 100ms, retries: 0, max_addresses: 999}
  enough: {ports: "1-3", port_timeout: 100ms, retries: 0, max_addresses: 1000}
targets:
- {name: inside, hosts: [inside.example.org.], networks: ["2001:db8:1::/64"], modules: [usual, short, enough], authorization: {owner: me}}
- {name: outside, hosts: [outside.example.org.], networks: ["2001:db8:1::/64"], modules: [usual, short, enough], authorization: {owner: me}}
- {name: one, hosts: [one.example.org.], networks: ["2001:db8:1::/64"], modules: [usual, short, enough], authorization: {owner: me}}
`)
	testnet.AddAddress(t, mine...)
	awaitLocalRoutes(t, mine...)
	startDNS(t, hosts.String()+"2001:db8:1::1 one.example.org\n")
	tooMany := probeOutcome{failed: "too_many_addresses"}
	for query, want := range map[string]probeOutcome{
		"target=inside&module=usual":   tooMany,
		"target=inside&module=short":   tooMany,
		"target=inside&module=enough":  {addresses: many, success: true},
		"target=outside&module=usual":  tooMany,
		"target=outside&module=short":  tooMany,
		"target=outside&module=enough": {refused: many, failed: "address_refused"},
		"target=one&module=usual":      tooMany,
		"target=one&module=enough":     {addresses: 1, refused: many - 1, failed: "address_refused"},
	} {
		h.probe(t, query, want)
	}
	h.wantNoForeignPackets(t)
}

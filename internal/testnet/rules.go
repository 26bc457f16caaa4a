// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet

import (
	"fmt"
	"strings"
)

const (
	// wire is the host's interface in its namespace.
	wire = "wire"

	// burst is the maximum burst of rate limits in packets.
	burst = 5
)

// The names of the counters in a host's namespace.
const (
	synsIn     = "syns_in"
	acksIn     = "acks_in"
	dataIn     = "data_in"
	rstsIn     = "rsts_in"
	finsIn     = "fins_in"
	synacksOut = "synacks_out"
	rstsOut    = "rsts_out"
	icmpsOut   = "icmps_out"
	lostIn     = "lost_in"
	lostOut    = "lost_out"
	udpIn      = "udp_in"
	udpOut     = "udp_out"
	limited    = "limited"
)

// counterRules returns counters with nftables expressions for their packets. Lost packets have
// rules of their own.
func counterRules() (in, out [][2]string) {
	const icmpErrors = "{ destination-unreachable, time-exceeded, parameter-problem }"
	in = [][2]string{
		{synsIn, "tcp flags & (syn | ack | rst) == syn"},
		{acksIn, "tcp flags & (syn | ack | rst | fin) == ack"},
		// Matches if there is a byte after the TCP header. Otherwise the rule ends.
		{dataIn, "meta l4proto tcp @ih,0,8 & 0x00 == 0x00"},
		{rstsIn, "tcp flags & rst == rst"},
		{finsIn, "tcp flags & fin == fin"},
		{udpIn, "meta l4proto udp"},
	}
	out = [][2]string{
		{synacksOut, "tcp flags & (syn | ack) == (syn | ack)"},
		{rstsOut, "tcp flags & rst == rst"},
		{icmpsOut, "icmp type " + icmpErrors},
		{icmpsOut, "icmpv6 type " + icmpErrors},
		{udpOut, "meta l4proto udp"},
	}
	return in, out
}

// rules returns the host's rules for nft(8). They count packets, then drop the lost ones, then
// apply the answers. Their priorities precede those of ordinary filters, see
// [RunningHost.Filter].
func (h Host) rules(l *layout, listeners map[Answer]sharedListener) string {
	var b strings.Builder
	in, out := counterRules()
	fmt.Fprintf(&b, "table inet %s {\n", table)
	for _, name := range []string{synsIn, acksIn, dataIn, rstsIn, finsIn, synacksOut, rstsOut, icmpsOut, udpIn, udpOut, lostIn, lostOut, limited} {
		fmt.Fprintf(&b, "counter %s { }\n", name)
	}
	b.WriteString("chain received { type filter hook prerouting priority -500 ;\n")
	writeCounters(&b, "iifname", in)
	b.WriteString("}\nchain sent { type filter hook output priority -500 ;\n")
	writeCounters(&b, "oifname", out)
	b.WriteString("}\nchain limits { type filter hook output priority -480 ;\n")
	h.writeLimits(&b)
	b.WriteString("}\nchain loss_in { type filter hook prerouting priority -450 ;\n")
	writeLoss(&b, "iifname", h.LossIn, lostIn)
	b.WriteString("}\nchain loss_out { type filter hook output priority -450 ;\n")
	writeLoss(&b, "oifname", h.LossOut, lostOut)
	b.WriteString("}\n")
	writeRedirects(&b, l, listeners)
	writeAnswers(&b, l)
	b.WriteString("}\n")
	return b.String()
}

// writeCounters writes the rules that count packets.
func writeCounters(b *strings.Builder, direction string, counters [][2]string) {
	for _, c := range counters {
		fmt.Fprintf(b, "%s %q %s counter name %s\n", direction, wire, c[1], c[0])
	}
}

// writeLoss writes the rules that drop a ratio of the packets.
func writeLoss(b *strings.Builder, direction string, ratio float64, counter string) {
	const modulus = 1_000_000
	lost := int(ratio * modulus)
	if lost == 0 {
		return
	}
	for _, match := range []string{
		"meta l4proto { tcp, udp, icmp }",
		// The other types of ICMPv6 are neighbor and router discovery.
		"icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem, echo-request, echo-reply }",
	} {
		fmt.Fprintf(b, "%s %q %s numgen random mod %d <= %d counter name %s drop\n",
			direction, wire, match, modulus, lost-1, counter)
	}
}

// writeLimits writes the rules of rate limits. ICMP and ICMPv6 share one rule, because they
// share one limit.
func (h Host) writeLimits(b *strings.Builder) {
	if h.RSTsPerSecond > 0 {
		fmt.Fprintf(b, "oifname %q tcp flags & rst == rst limit rate over %d/second burst %d packets counter name %s drop\n",
			wire, h.RSTsPerSecond, burst, limited)
	}
	if h.ICMPsPerSecond > 0 {
		// Destination unreachable is type 3 of ICMP and type 1 of ICMPv6. Hosts do not send
		// type 1 of ICMP or type 3 of ICMPv6.
		fmt.Fprintf(b, "oifname %q meta l4proto { icmp, ipv6-icmp } @th,0,8 { 1, 3 } limit rate over %d/second burst %d packets counter name %s drop\n",
			wire, h.ICMPsPerSecond, burst, limited)
	}
}

// writeRedirects writes the rules for ports that share a listener, see [openShared]. They
// change no packets and need no connection tracking.
func writeRedirects(b *strings.Builder, l *layout, listeners map[Answer]sharedListener) {
	b.WriteString("chain redirects { type filter hook prerouting priority mangle ;\n")
	for answer, d := range listeners {
		fmt.Fprintf(b, "iifname %q meta nfproto ipv4 tcp dport { %s } tproxy ip to 127.0.0.1:%d accept\n", wire, l.tcp[answer], d.V4)
		if d.V6 != 0 {
			fmt.Fprintf(b, "iifname %q meta nfproto ipv6 tcp dport { %s } tproxy ip6 to [::1]:%d accept\n", wire, l.tcp[answer], d.V6)
		}
	}
	b.WriteString("}\n")
}

// writeAnswers writes the rules of answers by a filter. They reject only SYNs. Other packets to
// these ports are dropped, because the kernel would answer them with a RST.
func writeAnswers(b *strings.Builder, l *layout) {
	const isSYN = "tcp flags & (syn | ack | rst) == syn"
	var elements []string
	for _, reject := range []struct {
		answer Answer
		with   string
	}{
		{RejectPort, "icmpx port-unreachable"},
		{RejectHost, "icmpx host-unreachable"},
		{RejectAdmin, "icmpx admin-prohibited"},
		{RejectReset, "tcp reset"},
	} {
		fmt.Fprintf(b, "chain %s {\n%s reject with %s\ndrop\n}\n", reject.answer, isSYN, reject.with)
		elements = appendElements(elements, l.tcp[reject.answer].String(), "goto "+reject.answer.String())
	}
	elements = appendElements(elements, l.tcp[Drop].String(), "drop")
	writeMap(b, "answers", elements)
	writeUDPAnswers(b, l)
	b.WriteString("chain answers { type filter hook input priority -200 ;\n")
	fmt.Fprintf(b, "iifname %[1]q tcp dport vmap @answers\niifname %[1]q udp dport vmap @udp_answers\n}\n", wire)
}

// writeUDPAnswers writes the rules of UDP answers by a filter.
func writeUDPAnswers(b *strings.Builder, l *layout) {
	elements := appendElements(nil, l.udp[UDPDrop].String(), "drop")
	for _, reject := range []struct {
		answer UDPAnswer
		with   string
	}{
		{UDPRejectHost, "icmpx host-unreachable"},
		{UDPRejectAdmin, "icmpx admin-prohibited"},
		{UDPRejectPort, "icmpx port-unreachable"},
	} {
		fmt.Fprintf(b, "chain udp_%s {\nreject with %s\n}\n", reject.answer, reject.with)
		elements = appendElements(elements, l.udp[reject.answer].String(), "goto udp_"+reject.answer.String())
	}
	writeMap(b, "udp_answers", elements)
}

// writeMap writes an nftables map of ports to verdicts.
func writeMap(b *strings.Builder, name string, elements []string) {
	fmt.Fprintf(b, "map %s { type inet_service : verdict ; flags interval ;\n", name)
	if len(elements) > 0 {
		fmt.Fprintf(b, "elements = { %s }\n", strings.Join(elements, ", "))
	}
	b.WriteString("}\n")
}

// appendElements appends ports to the elements of a map.
func appendElements(elements []string, ports, verdict string) []string {
	if ports == "" {
		return elements
	}
	for part := range strings.SplitSeq(ports, ",") {
		elements = append(elements, part+" : "+verdict)
	}
	return elements
}

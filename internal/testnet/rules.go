package testnet

import (
	"fmt"
	"strings"
)

const (
	// wire is the host's interface in its own namespace.
	wire = "wire"

	// burst is how many packets a limit lets through at once.
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

// counted are the packets that each of the counters above stands for, in
// nftables' own words; those of the packets that are lost have a rule of their own.
func counted() (in, out [][2]string) {
	const anError = "{ destination-unreachable, time-exceeded, parameter-problem }"
	in = [][2]string{
		{synsIn, "tcp flags & (syn | ack | rst) == syn"},
		{acksIn, "tcp flags & (syn | ack | rst | fin) == ack"},
		// Whether a byte stands behind the TCP header; where none does the comparison
		// ends the rule.
		{dataIn, "meta l4proto tcp @ih,0,8 & 0x00 == 0x00"},
		{rstsIn, "tcp flags & rst == rst"},
		{finsIn, "tcp flags & fin == fin"},
		{udpIn, "meta l4proto udp"},
	}
	out = [][2]string{
		{synacksOut, "tcp flags & (syn | ack) == (syn | ack)"},
		{rstsOut, "tcp flags & rst == rst"},
		{icmpsOut, "icmp type " + anError},
		{icmpsOut, "icmpv6 type " + anError},
		{udpOut, "meta l4proto udp"},
	}
	return in, out
}

// rules returns what nft(8) reads to make the host: first everything is
// counted, then some is lost, and of what arrives the answers decide. The
// priorities lie before those of an ordinary filter, which is left to
// [RunningHost.Filter].
func (h Host) rules(l *layout, doors map[Answer]door) string {
	var b strings.Builder
	in, out := counted()
	fmt.Fprintf(&b, "table inet %s {\n", table)
	for _, name := range []string{synsIn, acksIn, dataIn, rstsIn, finsIn, synacksOut, rstsOut, icmpsOut, udpIn, udpOut, lostIn, lostOut, limited} {
		fmt.Fprintf(&b, "counter %s { }\n", name)
	}
	b.WriteString("chain seen { type filter hook prerouting priority -500 ;\n")
	count(&b, "iifname", in)
	b.WriteString("}\nchain said { type filter hook output priority -500 ;\n")
	count(&b, "oifname", out)
	b.WriteString("}\nchain held_back { type filter hook output priority -480 ;\n")
	h.limit(&b)
	b.WriteString("}\nchain there { type filter hook prerouting priority -450 ;\n")
	lose(&b, "iifname", h.LossIn, lostIn)
	b.WriteString("}\nchain back { type filter hook output priority -450 ;\n")
	lose(&b, "oifname", h.LossOut, lostOut)
	b.WriteString("}\n")
	redirect(&b, l, doors)
	decide(&b, l)
	b.WriteString("}\n")
	return b.String()
}

// count writes the rules that count.
func count(b *strings.Builder, direction string, what [][2]string) {
	for _, w := range what {
		fmt.Fprintf(b, "%s %q %s counter name %s\n", direction, wire, w[1], w[0])
	}
}

// lose writes the rules by which a share of the packets is lost.
func lose(b *strings.Builder, direction string, share float64, counter string) {
	const of = 1_000_000
	lost := int(share * of)
	if lost == 0 {
		return
	}
	for _, what := range []string{
		"meta l4proto { tcp, udp, icmp }",
		// The other kinds of ICMPv6 find neighbors and routers.
		"icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem, echo-request, echo-reply }",
	} {
		fmt.Fprintf(b, "%s %q %s numgen random mod %d <= %d counter name %s drop\n",
			direction, wire, what, of, lost-1, counter)
	}
}

// limit writes the rules that keep the host from saying too much. One rule for
// both kinds of ICMP, because they share one budget.
func (h Host) limit(b *strings.Builder) {
	if h.RSTsPerSecond > 0 {
		fmt.Fprintf(b, "oifname %q tcp flags & rst == rst limit rate over %d/second burst %d packets counter name %s drop\n",
			wire, h.RSTsPerSecond, burst, limited)
	}
	if h.ICMPsPerSecond > 0 {
		// Type 3 of ICMP and type 1 of ICMPv6: destination unreachable. Crosswise they
		// are nothing that a host sends.
		fmt.Fprintf(b, "oifname %q meta l4proto { icmp, ipv6-icmp } @th,0,8 { 1, 3 } limit rate over %d/second burst %d packets counter name %s drop\n",
			wire, h.ICMPsPerSecond, burst, limited)
	}
}

// redirect writes the rules for ports that share one listener: see [openDoors].
// The packets stay as they are, and nothing of them is kept in a table.
func redirect(b *strings.Builder, l *layout, doors map[Answer]door) {
	b.WriteString("chain doors { type filter hook prerouting priority mangle ;\n")
	for answer, d := range doors {
		fmt.Fprintf(b, "iifname %q meta nfproto ipv4 tcp dport { %s } tproxy ip to 127.0.0.1:%d accept\n", wire, l.tcp[answer], d.V4)
		if d.V6 != 0 {
			fmt.Fprintf(b, "iifname %q meta nfproto ipv6 tcp dport { %s } tproxy ip6 to [::1]:%d accept\n", wire, l.tcp[answer], d.V6)
		}
	}
	b.WriteString("}\n")
}

// decide writes what the filter does, port by port. Only what opens a connection
// is rejected; everything else at such a port is dropped, so that it does not
// reach the kernel, whose answer would be a RST.
func decide(b *strings.Builder, l *layout) {
	const opens = "tcp flags & (syn | ack | rst) == syn"
	var elements []string
	for _, kind := range []struct {
		answer Answer
		how    string
	}{
		{RejectPort, "icmpx port-unreachable"},
		{RejectHost, "icmpx host-unreachable"},
		{RejectAdmin, "icmpx admin-prohibited"},
		{RejectReset, "tcp reset"},
	} {
		fmt.Fprintf(b, "chain %s {\n%s reject with %s\ndrop\n}\n", kind.answer, opens, kind.how)
		elements = appendElements(elements, l.tcp[kind.answer].String(), "goto "+kind.answer.String())
	}
	elements = appendElements(elements, l.tcp[Drop].String(), "drop")
	writeMap(b, "answers", elements)
	decideUDP(b, l)
	b.WriteString("chain decide { type filter hook input priority -200 ;\n")
	fmt.Fprintf(b, "iifname %[1]q tcp dport vmap @answers\niifname %[1]q udp dport vmap @udp_answers\n}\n", wire)
}

// decideUDP writes the map from UDP ports to what the filter does.
func decideUDP(b *strings.Builder, l *layout) {
	elements := appendElements(nil, l.udp[UDPDrop].String(), "drop")
	for _, kind := range []struct {
		answer UDPAnswer
		how    string
	}{
		{UDPRejectHost, "icmpx host-unreachable"},
		{UDPRejectAdmin, "icmpx admin-prohibited"},
		{UDPRejectPort, "icmpx port-unreachable"},
	} {
		fmt.Fprintf(b, "chain udp_%s {\nreject with %s\n}\n", kind.answer, kind.how)
		elements = appendElements(elements, l.udp[kind.answer].String(), "goto udp_"+kind.answer.String())
	}
	writeMap(b, "udp_answers", elements)
}

// writeMap writes a map from ports to verdicts.
func writeMap(b *strings.Builder, name string, elements []string) {
	fmt.Fprintf(b, "map %s { type inet_service : verdict ; flags interval ;\n", name)
	if len(elements) > 0 {
		fmt.Fprintf(b, "elements = { %s }\n", strings.Join(elements, ", "))
	}
	b.WriteString("}\n")
}

// appendElements adds these ports to the elements of a map.
func appendElements(elements []string, ports, verdict string) []string {
	if ports == "" {
		return elements
	}
	for part := range strings.SplitSeq(ports, ",") {
		elements = append(elements, part+" : "+verdict)
	}
	return elements
}

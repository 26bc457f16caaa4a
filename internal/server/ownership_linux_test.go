package server_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"portscan_exporter/internal/testnet"
)

// TestOwnershipRebinding has a name lead elsewhere from call to call: it is
// resolved once a scan, and each answer is judged by itself, however long it
// says that it is good for.
func TestOwnershipRebinding(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	h := buildEstate(t, modules+`
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
				want  verdict
			}{
				{good, verdict{addresses: 2, success: true}},
				{bad, verdict{refused: 2, failed: "address_refused"}},
				{mixed, verdict{addresses: 1, refused: 3, failed: "address_refused"}},
				{bad, verdict{refused: 2, failed: "address_refused"}},
				{good, verdict{addresses: 2, success: true}},
				{"", verdict{failed: "dns"}},
			} {
				dns.edit(t, step.hosts)
				for _, way := range ways() {
					// One question for each family: nobody looks a second time, who might be told something else.
					if asked := h.probe(t, "target=t&module="+way, step.want); asked != 2 {
						t.Errorf("step %d, %s: the name server was asked %d times, want 2", i, way, asked)
					}
				}
			}
		})
	}
	h.wantNothingForeign(t)
}

// lead is a name, where it leads to, and what is to come of that.
type lead struct {
	addrs  string // that the name has
	chain  int    // how many other names stand between
	target string // more of the target's keys
	want   verdict
}

func leads() map[string]lead {
	refused := func(addresses, refused int) verdict {
		return verdict{addresses: addresses, refused: refused, failed: "address_refused"}
	}
	whole := func(addresses int) verdict { return verdict{addresses: addresses, success: true} }
	all := map[string]lead{
		"chain-inside":  {addrs: "192.0.2.1 2001:db8:1::1", chain: 5, want: whole(2)},
		"chain-outside": {addrs: "203.0.113.1 2001:db8:2::1", chain: 5, want: refused(0, 2)},
		"chain-mixed":   {addrs: "192.0.2.1 203.0.113.1", chain: 5, want: refused(1, 1)},

		"four-inside-any": {addrs: "192.0.2.1 2001:db8:2::1", want: refused(1, 1)},
		"four-inside-ip4": {addrs: "192.0.2.1 2001:db8:2::1", target: "ip_protocol: ip4", want: whole(1)},
		"four-inside-ip6": {addrs: "192.0.2.1 2001:db8:2::1", target: "ip_protocol: ip6", want: refused(0, 1)},
		"six-inside-any":  {addrs: "203.0.113.1 2001:db8:1::1", want: refused(1, 1)},
		"six-inside-ip4":  {addrs: "203.0.113.1 2001:db8:1::1", target: "ip_protocol: ip4", want: refused(0, 1)},
		"six-inside-ip6":  {addrs: "203.0.113.1 2001:db8:1::1", target: "ip_protocol: ip6", want: whole(1)},
		"no-six-at-all":   {addrs: "192.0.2.1", target: "ip_protocol: ip6", want: verdict{failed: "dns"}},

		"ends-of-network": {addrs: "192.0.2.0 192.0.2.1 192.0.2.255", want: refused(1, 2)},
		"mapped-inside":   {addrs: "::ffff:192.0.2.1", want: whole(1)},
		"mapped-and-bare": {addrs: "192.0.2.1 ::ffff:192.0.2.1", want: whole(1)},
		"mapped-for-ip6":  {addrs: "::ffff:192.0.2.1", target: "ip_protocol: ip6", want: verdict{failed: "dns"}},

		// Where everything is allowed, with a warning, these are not all the same.
		"anywhere": {addrs: "0.0.0.0 255.255.255.255 224.0.0.1 :: ff02::1", target: `networks: [0.0.0.0/0, "::/0"]`, want: refused(0, 5)},
	}
	special := strings.Fields("127.0.0.1 127.8.9.10 ::1 169.254.169.254 ::ffff:169.254.169.254 ::ffff:127.0.0.1 0.0.0.0 :: 255.255.255.255 224.0.0.1 fe80::1 ff02::1")
	for _, a := range special {
		name := strings.NewReplacer(":", "-", ".", "-").Replace("x" + a + "x")
		all["alone-"+name] = lead{addrs: a, want: refused(0, 1)}
		all["beside-"+name] = lead{addrs: "192.0.2.1 " + a, want: refused(1, 1)}
	}
	// Go reads a lone :: as 0.0.0.0 too.
	all["alone-x--x"] = lead{addrs: "::", want: refused(0, 2)}
	// Two of them are mapped forms of others.
	all["all-at-once"] = lead{addrs: strings.Join(append(special, "192.0.2.1"), " "), want: refused(1, len(special)-2)}
	return all
}

// records are what the name server needs to know of these names.
func records(all map[string]lead) (hosts string, lines []string) {
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

// TestOwnershipOfAnswers scans names that lead to all kinds of places, in every way:
// nothing is sent but to what is owned.
func TestOwnershipOfAnswers(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	all := leads()
	var text strings.Builder
	text.WriteString(modules)
	for name, l := range all {
		if !strings.Contains(l.target, "networks") {
			l.target = strings.TrimPrefix(l.target+`, networks: [192.0.2.0/24, "2001:db8:1::/64"]`, ", ")
		}
		fmt.Fprintf(&text, "- {name: %s, hosts: [%s.example.org.], modules: [tcp, syn, udp], authorization: {owner: me}, %s}\n", name, name, l.target)
	}
	text.WriteString("- {name: leak, hosts: [leak.example.org.], networks: [203.0.113.0/24], modules: [tcp, syn, udp], authorization: {owner: me}}\n")
	h := buildEstate(t, text.String())
	hosts, lines := records(all)
	startDNS(t, hosts+"203.0.113.2 leak.example.org\n", lines...)
	for _, way := range ways() {
		for name, l := range all {
			if asked := h.probe(t, "target="+name+"&module="+way, l.want); asked == 0 {
				t.Errorf("%s, %s: the name server was not asked", name, way)
			}
		}
	}
	h.wantNothingForeign(t)
	for _, way := range ways() {
		h.wantLeaks(t, "target=leak&module="+way)
	}
}

// TestOwnershipOfManyAddresses has a name lead to 1,000 addresses: more than the
// module takes are an error, and none of them is touched, whosever they are.
func TestOwnershipOfManyAddresses(t *testing.T) {
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
	h := buildEstate(t, `
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
	awaitLocal(t, mine...)
	startDNS(t, hosts.String()+"2001:db8:1::1 one.example.org\n")
	tooMany := verdict{failed: "too_many_addresses"}
	for query, want := range map[string]verdict{
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
	h.wantNothingForeign(t)
}

// estateOfRules is a configuration for what is never touched and who may not ask.
const estateOfRules = `
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

// TestOwnershipExclusions has a name lead to addresses that are excluded, and
// expects ports to be open that are: neither is touched, and nothing failed.
func TestOwnershipExclusions(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	h := buildEstate(t, estateOfRules)
	var hosts strings.Builder
	for a := range strings.FieldsSeq("192.0.2.1 192.0.2.9 192.0.2.254 203.0.113.1 ::ffff:192.0.2.9 2001:db8:1::1 2001:db8:1::9") {
		fmt.Fprintf(&hosts, "%s web.example.org\n", a)
	}
	startDNS(t, hosts.String()+"192.0.2.2 free.example.org\n")
	for _, way := range ways() {
		h.probe(t, "target=wide&module="+way, verdict{addresses: 2, success: true})
		if asked := h.probe(t, "target=192.0.2.1&module="+way, verdict{addresses: 1, success: true}); asked != 0 {
			t.Errorf("%s: the name server was asked %d times for an address", way, asked)
		}
		for _, excluded := range []string{"192.0.2.9", "::ffff:192.0.2.9", "192.0.2.254", "2001:db8:1::9", "203.0.113.1", "192.0.2.3"} {
			h.forbidden(t, "target="+excluded+"&module="+way)
		}
	}
	h.wantNothingForeign(t)
	h.get(t, "/probe?target=free") // to see that the counter does
	if sent := h.tally(t); sent.excluded == 0 {
		t.Errorf("a scan of port 22 sent %+v, and was meant to be seen", sent)
	}
}

// TestOwnershipOfAnAddress asks for addresses: those within the networks of a name
// are scanned, alone and without a question to the name server, and all others
// refused.
func TestOwnershipOfAnAddress(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	h := buildEstate(t, estateOfRules)
	startDNS(t, "203.0.113.1 web.example.org\n")
	for _, way := range ways() {
		for _, inside := range []string{"192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2", "2001:db8:1::1"} {
			if asked := h.probe(t, "target="+inside+"&module="+way, verdict{addresses: 1, success: true}); asked != 0 {
				t.Errorf("%s, %s: the name server was asked %d times", inside, way, asked)
			}
		}
	}
	for _, outside := range append(texts(foreign), "198.51.100.17", "2001:db8:9::1", "::ffff:203.0.113.1", "::ffff:169.254.169.254", "fe80::1%25outside", nameServer) {
		h.forbidden(t, "target="+outside)
	}
	h.wantNothingForeign(t)
}

func texts(all []netip.Addr) []string {
	var texts []string
	for _, a := range all {
		texts = append(texts, a.String())
	}
	return texts
}

// TestOwnershipExpired asks for a target whose authorization has ended, and looks at
// it in every other way that there is: not even its name is looked up.
func TestOwnershipExpired(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	h := buildEstate(t, estateOfRules)
	startDNS(t, "198.51.100.77 ended.example.org\n")
	for _, target := range []string{"ended", "198.51.100.77", "198.51.100.70", "::ffff:198.51.100.77"} {
		h.forbidden(t, "target="+target)
		for _, way := range ways() {
			h.forbidden(t, "debug=true&target="+target+"&module="+way)
		}
	}
	h.tally(t)
	for _, path := range []string{"/", "/sd", "/metrics", "/config", "/logs?id=1", "/target/ended", "/target/wide", "/-/ready", "/-/healthy"} {
		h.get(t, path)
	}
	if err := h.reloader.Reload(); err != nil {
		t.Error(err)
	}
	if sent := h.tally(t); sent != (tally{}) {
		t.Errorf("looking sent %+v", sent)
	}
	h.wantNothingForeign(t)
}

package server_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/engine"
	"portscan_exporter/internal/resolve"
	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/server"
	"portscan_exporter/internal/testnet"
)

// Who is who in these tests: what is owned, and what is not and gets no packet.
var (
	owned   = addrs("192.0.2.1", "192.0.2.2", "2001:db8:1::1")
	foreign = addrs("203.0.113.1", "203.0.113.2", "2001:db8:2::1", "169.254.169.254", "127.0.0.1", "::1",
		"0.0.0.0", "255.255.255.255", "224.0.0.1", "192.0.2.9", "192.0.2.0", "192.0.2.255", "fe80::1", "ff02::1")
)

func addrs(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}
	return all
}

// estate is a network with the owned addresses in it and a way out, the whole
// exporter in it, which asks the name server of the lab, and a count of every
// packet that is sent there.
type estate struct {
	*house

	foreign *testnet.Counter
}

// counters tell the packets apart that go out: those to what is owned, to the name
// server, and all others, which nobody has leave to send. What the kernel says to
// groups by itself is none of them. A port that is never to be touched is counted
// by itself as well.
const counters = `table inet ownership {
	counter inside { }
	counter asked { }
	counter excluded { }
	counter stray { }
	set owned4 { type ipv4_addr ; elements = { 192.0.2.1, 192.0.2.2 } }
	set owned6 { type ipv6_addr ; flags interval ; elements = { 2001:db8:1::1, 2001:db8:1::1:0/112 } }
	chain out { type filter hook output priority -400 ;
		ip6 daddr ff00::/8 meta l4proto ipv6-icmp return
		ip saddr NS ip daddr NS udp dport 53 counter name asked return
		ip saddr NS ip daddr NS tcp dport 53 counter name asked return
		ip saddr NS ip daddr NS return
		meta l4proto { tcp, udp } th dport { 22, 25-26, 443 } counter name excluded
		ip daddr @owned4 counter name inside return
		ip6 daddr @owned6 counter name inside return
		counter name stray
	}
}
`

// tally is what those counters say.
type tally struct{ inside, asked, excluded, stray int }

// buildEstate makes an estate whose exporter has this configuration.
func buildEstate(t *testing.T, text string) *estate {
	t.Helper()
	e := &estate{}
	testnet.AddAddress(t, append(slices.Clone(owned), netip.MustParseAddr(nameServer))...)
	awaitLocal(t, owned...)
	testnet.DefaultRoute(t)
	e.foreign = testnet.CountTo(t, foreign...)
	testnet.Filter(t, strings.ReplaceAll(counters, "NS", nameServer))
	e.house = build(t, text, nil, func(o *server.Options) { o.Scans = ownScans(t, o) })
	return e
}

// ownScans is a coordinator that is wired as main does it, with every engine and a
// resolver that asks over the wire.
func ownScans(t *testing.T, o *server.Options) *coordinator.Coordinator {
	t.Helper()
	budget, err := engine.NewBudget(engine.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	engines := make(map[coordinator.Kind]scan.Scanner)
	for kind, maker := range map[coordinator.Kind]func(*engine.Budget) (*engine.Engine, error){
		{Protocol: scan.TCP, Method: scan.Connect}: engine.NewConnect,
		{Protocol: scan.TCP, Method: scan.SYN}:     engine.NewSYN,
		{Protocol: scan.UDP, Method: scan.Connect}: engine.NewUDP,
	} {
		e, err := maker(budget)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.Close)
		engines[kind] = e
	}
	resolver, err := resolve.New(questions())
	if err != nil {
		t.Fatal(err)
	}
	scans, err := coordinator.New(coordinator.Options{
		Resolver: resolver, Engines: engines, MaxScans: 8, Logger: slog.New(slog.DiscardHandler), Observe: o.Exporter.ObserveScan,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(scans.Close)
	return scans
}

// awaitLocal waits until the kernel takes packets for these IPv6 addresses of ours:
// until then one to them would leave by the default route.
func awaitLocal(t *testing.T, all ...netip.Addr) {
	t.Helper()
	const patience = 10 * time.Second
	for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		table := strings.Fields(output(t, "ip", "-6", "route", "show", "table", "local", "type", "local"))
		missing := func(a netip.Addr) bool { return a.Is6() && !slices.Contains(table, a.String()) }
		if !slices.ContainsFunc(all, missing) {
			return
		}
		if time.Since(begun) > patience {
			t.Fatalf("no route to our own addresses: %v", table)
		}
	}
}

// output runs a program and returns what it prints.
func output(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", program, args, err, out)
	}
	return string(out)
}

// tally returns what was sent since it was last called.
func (e *estate) tally(t *testing.T) tally {
	t.Helper()
	var listing struct {
		Nftables []struct {
			Counter struct {
				Name    string
				Packets int
			}
		}
	}
	if err := json.Unmarshal([]byte(output(t, "nft", "--json", "reset", "counters", "table", "inet", "ownership")), &listing); err != nil {
		t.Fatal(err)
	}
	by := make(map[string]int)
	for _, entry := range listing.Nftables {
		by[entry.Counter.Name] = entry.Counter.Packets
	}
	return tally{inside: by["inside"], asked: by["asked"], excluded: by["excluded"], stray: by["stray"]}
}

// verdict is what an answer of /probe says of whom it scanned.
type verdict struct {
	addresses, refused int
	failed             string // the reasons, in order
	success            bool
}

// readVerdict finds it in an answer.
func readVerdict(t *testing.T, body string) verdict {
	t.Helper()
	var v verdict
	var failed []string
	for line := range strings.Lines(body) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.HasPrefix(name, "#") {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%q is no series", line)
		}
		switch reason, ok := strings.CutPrefix(name, `portscan_scan_failed{reason="`); {
		case ok && n == 1:
			failed = append(failed, strings.TrimSuffix(reason, `"}`))
		case name == "portscan_addresses":
			v.addresses = int(n)
		case name == "portscan_addresses_refused":
			v.refused = int(n)
		case name == "probe_success":
			v.success = n == 1
		}
	}
	slices.Sort(failed)
	v.failed = strings.Join(failed, " ")
	return v
}

// probe asks for a probe and compares its answer; what was sent for it has to go
// to the addresses scanned, if any, and to nobody else. It returns how many
// packets went to the name server.
func (e *estate) probe(t *testing.T, query string, want verdict) (asked int) {
	t.Helper()
	e.tally(t)
	w := e.get(t, "/probe?"+query)
	if w.Code != http.StatusOK {
		t.Fatalf("%s answers %d: %s", query, w.Code, w.Body)
	}
	if got := readVerdict(t, w.Body.String()); got != want {
		t.Errorf("%s gives %+v, want %+v", query, got, want)
	}
	sent := e.tally(t)
	if sent.stray != 0 || sent.excluded != 0 || (sent.inside > 0) != (want.addresses > 0) {
		t.Errorf("%s sent %+v, for %d addresses", query, sent, want.addresses)
	}
	return sent.asked
}

// forbidden asks for a probe that is refused, without a packet to anybody, the
// name server included.
func (e *estate) forbidden(t *testing.T, query string) {
	t.Helper()
	e.tally(t)
	if w := e.get(t, "/probe?"+query); w.Code != http.StatusForbidden {
		t.Errorf("%s answers %d, want a refusal: %s", query, w.Code, w.Body)
	}
	if sent := e.tally(t); sent != (tally{}) {
		t.Errorf("%s sent %+v", query, sent)
	}
}

// wantNothingForeign compares all that was sent by now with what may have been.
func (e *estate) wantNothingForeign(t *testing.T) {
	t.Helper()
	for _, a := range foreign {
		if n := e.foreign.Packets(t, a); n != 0 {
			t.Errorf("%d packets were sent to %v", n, a)
		}
	}
	if n := e.foreign.Left(t); n != 0 {
		t.Errorf("%d packets left the machine", n)
	}
}

// wantLeaks is the proof that the counters see what leaves: it has an address
// scanned that nobody has, of a target whose networks hold it.
func (e *estate) wantLeaks(t *testing.T, query string) {
	t.Helper()
	e.tally(t)
	e.get(t, "/probe?"+query)
	if sent := e.tally(t); sent.stray == 0 || e.foreign.Left(t) == 0 {
		t.Errorf("%s sent %+v, and was meant to be seen", query, sent)
	}
}

// modules are one for each way to scan.
const modules = `
modules:
  tcp: {ports: "1-3", port_timeout: 100ms, retries: 0}
  syn: {ports: "1-3", port_timeout: 100ms, retries: 0, method: syn}
  udp: {ports: "1-3", port_timeout: 100ms, retries: 0, protocol: udp}
targets:
`

// ways are the names of those modules.
func ways() []string { return []string{"tcp", "syn", "udp"} }

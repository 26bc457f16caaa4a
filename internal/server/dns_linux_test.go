package server_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"portscan_exporter/internal/testnet"
)

// nameServer is the address of the lab's name server. No target leads there, so
// that questions and scans can be told apart on the wire.
const nameServer = "198.51.100.53"

// questions is a resolver of the kind that the exporter has, but for whom it asks.
func questions() *net.Resolver {
	return &net.Resolver{PreferGo: true, StrictErrors: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(nameServer, "53"))
	}}
}

// dnsmasq is a name server that knows all of example.org and example.net, and asks
// nobody about the rest.
type dnsmasq struct {
	hosts  string // the file with the names that it answers for
	cmd    *exec.Cmd
	output bytes.Buffer
	edited int
}

// startDNS starts it with a file of hosts and further lines of its configuration.
// It ends with the test.
func startDNS(t *testing.T, hosts string, lines ...string) *dnsmasq {
	t.Helper()
	testnet.NeedProgram(t, "dnsmasq")
	dir := t.TempDir()
	d := &dnsmasq{hosts: filepath.Join(dir, "hosts")}
	file := filepath.Join(dir, "conf")
	write(t, d.hosts, hosts+"192.0.2.250 edition-0.example.org\n")
	write(t, file, strings.Join(append(lines, "local=/example.org/example.net/", "no-resolv", "no-hosts",
		"listen-address="+nameServer, "bind-interfaces", "addn-hosts="+d.hosts, ""), "\n"))
	// In this mode it changes no user, which not every namespace allows, and forks nothing.
	d.cmd = exec.Command("dnsmasq", "--no-daemon", "--conf-file="+file)
	d.cmd.Stdout, d.cmd.Stderr = &d.output, &d.output
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.end(t) })
	d.await(t)
	return d
}

// end ends the server, which has not ended by itself.
func (d *dnsmasq) end(t *testing.T) {
	t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("dnsmasq has ended by itself: %v", err)
	}
	d.cmd.Wait()
	if t.Failed() {
		t.Logf("dnsmasq says:\n%s", d.output.String())
	}
}

// edit replaces the names that it answers for, and returns once it does.
func (d *dnsmasq) edit(t *testing.T, hosts string) {
	t.Helper()
	d.edited++
	write(t, d.hosts, fmt.Sprintf("%s192.0.2.250 edition-%d.example.org\n", hosts, d.edited))
	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	d.await(t)
}

// await waits until the names of the last edition are those that are answered with.
func (d *dnsmasq) await(t *testing.T) {
	t.Helper()
	const patience = 10 * time.Second
	name := fmt.Sprintf("edition-%d.example.org.", d.edited)
	for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		_, err := questions().LookupNetIP(t.Context(), "ip4", name)
		if err == nil {
			return
		}
		if time.Since(begun) > patience {
			t.Fatalf("dnsmasq does not answer for %s: %v", name, err)
		}
	}
}

// serveDNS is a name server that gives every question this answer; where there is
// none it is silent. It ends with the test.
func serveDNS(t *testing.T, answer func(question []byte) []byte) {
	t.Helper()
	at := netip.AddrPortFrom(netip.MustParseAddr(nameServer), 53)
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			if reply := answer(buffer[:n]); reply != nil {
				c.WriteToUDPAddrPort(reply, from)
			}
		}
	})
	t.Cleanup(func() {
		c.Close()
		serving.Wait()
	})
}

// failing answers every question with a response code (RFC 1035 section 4.1.1).
func failing(code byte) func([]byte) []byte {
	return func(question []byte) []byte {
		question[2] |= 0x80 // an answer
		question[3] = question[3]&0xf0 | code
		return question
	}
}

// TestDNSFailures has nobody touched when a name does not resolve, whichever way,
// and scans what the target's hosts say in numbers all the same.
func TestDNSFailures(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	h := buildEstate(t, `
modules: {m: {ports: "1-3", timeout: 1s, port_timeout: 100ms}}
targets:
  - {name: name, hosts: [web.example.org.], networks: [192.0.2.0/24], modules: [m], authorization: {owner: me}}
  - {name: both, hosts: [nothing.example.org., 192.0.2.1], networks: [192.0.2.0/24], modules: [m], authorization: {owner: me}}
`)
	const (
		serverFailure = 2
		refused       = 5
	)
	dnsmasqAnswers := func(hosts string) func(*testing.T) {
		return func(t *testing.T) {
			t.Helper()
			startDNS(t, hosts)
		}
	}
	answers := func(answer func([]byte) []byte) func(*testing.T) {
		return func(t *testing.T) {
			t.Helper()
			serveDNS(t, answer)
		}
	}
	for _, tc := range []struct {
		name   string
		serve  func(*testing.T)
		target string
		want   verdict
	}{
		{"no such name", dnsmasqAnswers(""), "name", verdict{failed: "dns"}},
		{"no address of the name", dnsmasqAnswers("192.0.2.250 other.web.example.org\n"), "name", verdict{failed: "dns"}},
		{"one host of two", dnsmasqAnswers(""), "both", verdict{addresses: 1, failed: "dns"}},
		{"server failure", answers(failing(serverFailure)), "name", verdict{failed: "dns"}},
		{"refused", answers(failing(refused)), "name", verdict{failed: "dns"}},
		{"garbage", answers(func([]byte) []byte { return []byte("no answer at all") }), "name", verdict{failed: "dns"}},
		{"silence", answers(func([]byte) []byte { return nil }), "name", verdict{failed: "dns"}},
		{"nobody there", func(*testing.T) {}, "name", verdict{failed: "dns"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.serve(t)
			if asked := h.probe(t, "target="+tc.target, tc.want); asked == 0 {
				t.Error("the name server was not asked")
			}
		})
	}
	h.wantNothingForeign(t)
}

// half answers A and fails AAAA.
func half(question []byte) []byte {
	var p dnsmessage.Parser
	h, err := p.Start(question)
	if err != nil {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	h.Response = true
	if q.Type == dnsmessage.TypeAAAA {
		h.RCode = dnsmessage.RCodeServerFailure
	}
	b := dnsmessage.NewBuilder(nil, h)
	b.StartQuestions()
	b.Question(q)
	if q.Type == dnsmessage.TypeA {
		b.StartAnswers()
		b.AResource(dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class}, dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}})
	}
	m, _ := b.Finish()
	return m
}

// TestHalfAnAnswer has a name server that knows a name's A records and fails at the
// others: the scan is not whole.
func TestHalfAnAnswer(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	h := buildEstate(t, estateOfRules)
	serveDNS(t, half)
	h.probe(t, "target=wide&module=tcp", verdict{addresses: 1, failed: "dns"})
}

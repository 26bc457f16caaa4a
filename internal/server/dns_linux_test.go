// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

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

	"portscan_exporter/internal/resolve"
	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// nameServer is the address of the name server. It is in no target, so that DNS
// queries and scans are distinguishable.
const nameServer = "198.51.100.53"

// newLabOptions returns the options of a resolver like the exporter's that uses nameServer.
func newLabOptions() resolve.Options {
	o := resolve.System(64)
	o.Settings = func() resolve.Settings {
		return resolve.Settings{Servers: []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr(nameServer), 53)}}
	}
	return o
}

// dnsmasq is a name server that is authoritative for example.org and example.net and
// forwards no queries.
type dnsmasq struct {
	hosts  string // the file with its names
	cmd    *exec.Cmd
	output bytes.Buffer
	edited int
}

// startDNS starts dnsmasq with a hosts file and lines of its configuration. It stops
// at the end of the test.
func startDNS(t *testing.T, hosts string, lines ...string) *dnsmasq {
	t.Helper()
	testnet.NeedProgram(t, "dnsmasq")
	dir := t.TempDir()
	d := &dnsmasq{hosts: filepath.Join(dir, "hosts")}
	file := filepath.Join(dir, "conf")
	writeFile(t, d.hosts, hosts+"192.0.2.250 edition-0.example.org\n")
	writeFile(t, file, strings.Join(append(lines, "local=/example.org/example.net/", "no-resolv", "no-hosts",
		"listen-address="+nameServer, "bind-interfaces", "addn-hosts="+d.hosts, ""), "\n"))
	// In this mode dnsmasq does not change its user, which some namespaces forbid, and does not fork.
	d.cmd = exec.Command("dnsmasq", "--no-daemon", "--conf-file="+file)
	d.cmd.Stdout, d.cmd.Stderr = &d.output, &d.output
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.stop(t) })
	d.await(t)
	return d
}

// stop stops the server.
func (d *dnsmasq) stop(t *testing.T) {
	t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("dnsmasq exited: %v", err)
	}
	d.cmd.Wait()
	if t.Failed() {
		t.Logf("dnsmasq output:\n%s", d.output.String())
	}
}

// edit replaces the names, and returns when the server has loaded them.
func (d *dnsmasq) edit(t *testing.T, hosts string) {
	t.Helper()
	d.edited++
	writeFile(t, d.hosts, fmt.Sprintf("%s192.0.2.250 edition-%d.example.org\n", hosts, d.edited))
	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	d.await(t)
}

// await waits until the server has loaded the last edit.
func (d *dnsmasq) await(t *testing.T) {
	t.Helper()
	const timeout = 10 * time.Second
	name := fmt.Sprintf("edition-%d.example.org.", d.edited)
	options := newLabOptions()
	for started := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		_, err := options.Ask(ctx, resolve.Question{Name: name, Family: scan.IPv4, Servers: options.Settings().Servers})
		cancel()
		if err == nil {
			return
		}
		if time.Since(started) > timeout {
			t.Fatalf("dnsmasq does not answer for %s: %v", name, err)
		}
	}
}

// serveDNS starts a name server that sends answer's response to every query, and
// none if it is nil. It stops at the end of the test.
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

// answerWithCode returns responses with a response code (RFC 1035 section 4.1.1).
func answerWithCode(code byte) func([]byte) []byte {
	return func(question []byte) []byte {
		question[2] |= 0x80 // a response
		question[3] = question[3]&0xf0 | code
		return question
	}
}

// TestProbeDNSFailures checks that a name that does not resolve fails the probe, and
// that the target's other hosts are scanned.
func TestProbeDNSFailures(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	h := newNetworkHarness(t, `
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
		want   probeOutcome
	}{
		{"no such name", dnsmasqAnswers(""), "name", probeOutcome{failed: "dns"}},
		{"no address of the name", dnsmasqAnswers("192.0.2.250 other.web.example.org\n"), "name", probeOutcome{failed: "dns"}},
		{"one host of two", dnsmasqAnswers(""), "both", probeOutcome{addresses: 1, failed: "dns"}},
		{"server failure", answers(answerWithCode(serverFailure)), "name", probeOutcome{failed: "dns"}},
		{"refused", answers(answerWithCode(refused)), "name", probeOutcome{failed: "dns"}},
		{"garbage", answers(func([]byte) []byte { return []byte("no answer at all") }), "name", probeOutcome{failed: "dns"}},
		{"silence", answers(func([]byte) []byte { return nil }), "name", probeOutcome{failed: "dns"}},
		{"silence beside an address", answers(func([]byte) []byte { return nil }), "both", probeOutcome{addresses: 1, failed: "dns"}},
		{"no name server", func(*testing.T) {}, "name", probeOutcome{failed: "dns"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.serve(t)
			if asked := h.probe(t, "target="+tc.target, tc.want); asked == 0 {
				t.Error("got no DNS query")
			}
		})
	}
	h.wantNoForeignPackets(t)
}

// answerOnlyA returns A records and fails AAAA queries.
func answerOnlyA(question []byte) []byte {
	var p dnsmessage.Parser
	h, err := p.Start(question)
	if err != nil {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	h.Response, h.RecursionAvailable = true, true
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

// TestProbePartialDNSResponse checks that the address is scanned if the AAAA query fails or is
// dropped, and that the scan is incomplete.
func TestProbePartialDNSResponse(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	h := newNetworkHarness(t, exclusionConfig)
	t.Run("fails", func(t *testing.T) {
		serveDNS(t, answerOnlyA)
		h.probe(t, "target=wide&module=tcp", probeOutcome{addresses: 1, failed: "dns"})
	})
	t.Run("is dropped", func(t *testing.T) {
		serveDNS(t, func(question []byte) []byte {
			const rcode = 3 // its byte
			if reply := answerOnlyA(question); len(reply) > rcode && reply[rcode]&0xf == 0 {
				return reply
			}
			return nil
		})
		h.probe(t, "target=wide&module=tcp", probeOutcome{addresses: 1, failed: "dns"})
	})
}

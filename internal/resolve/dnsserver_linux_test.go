// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package resolve_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// record is the answer of a dnsServer to a question about a name.
type record struct {
	addrs []string // of both families
	cname []string // the chain that leads to the addresses
	rcode dnsmessage.RCode
	delay time.Duration

	silent map[dnsmessage.Type]dnsmessage.RCode // other answers by type; noAnswer: none
}

// noAnswer is the code of a question that is not answered.
const noAnswer = dnsmessage.RCode(0xffff)

// dnsServer is a DNS server for UDP and TCP. zone returns the record of an absolute name.
type dnsServer struct {
	zone func(name string) (record, bool)
}

// startDNSServer starts a server. It stops at the end of the test.
func startDNSServer(t *testing.T, at string, zone func(name string) (record, bool)) {
	t.Helper()
	s := &dnsServer{zone: zone}
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(at)))
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { s.serveUDP(udp, &serving) })
	serving.Go(func() { s.serveTCP(tcp) })
	t.Cleanup(func() {
		udp.Close()
		tcp.Close()
		serving.Wait()
	})
}

func (s *dnsServer) serveUDP(c *net.UDPConn, serving *sync.WaitGroup) {
	buffer := make([]byte, 1500)
	for {
		n, from, err := c.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return
		}
		query := append([]byte(nil), buffer[:n]...)
		serving.Go(func() {
			if reply := s.answer(query, true); reply != nil {
				c.WriteToUDPAddrPort(reply, from)
			}
		})
	}
}

// serveTCP serves one connection after the other.
func (s *dnsServer) serveTCP(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		c.SetDeadline(time.Now().Add(10 * time.Second))
		for err == nil {
			err = s.serveQuery(c)
		}
		c.Close()
	}
}

// serveQuery answers one query of a TCP connection.
func (s *dnsServer) serveQuery(c net.Conn) error {
	var length [2]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return err
	}
	query := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(c, query); err != nil {
		return err
	}
	reply := s.answer(query, false)
	_, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
	return err
}

// answer returns the response to a query, or nil.
func (s *dnsServer) answer(query []byte, udp bool) []byte {
	var p dnsmessage.Parser
	h, err := p.Start(query)
	if err != nil {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	r, ok := s.zone(strings.ToLower(q.Name.String()))
	if !ok {
		r.rcode = dnsmessage.RCodeNameError
	}
	if code, ok := r.silent[q.Type]; ok {
		r = record{rcode: code}
	}
	time.Sleep(r.delay)
	if r.rcode == noAnswer {
		return nil
	}
	reply := buildReply(h.ID, q, r)
	if limit := payloadSize(&p); udp && len(reply) > limit {
		reply = buildReply(h.ID, q, record{rcode: r.rcode})
		reply[2] |= 0x02 // truncated
	}
	return reply
}

// payloadSize returns the size of UDP responses that the client accepts (RFC 6891).
func payloadSize(p *dnsmessage.Parser) int {
	p.SkipAllQuestions()
	p.SkipAllAnswers()
	p.SkipAllAuthorities()
	if h, err := p.AdditionalHeader(); err == nil && h.Type == dnsmessage.TypeOPT {
		return int(h.Class)
	}
	return 512
}

func buildReply(id uint16, q dnsmessage.Question, r record) []byte {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: id, Response: true, RecursionDesired: true, RecursionAvailable: true, RCode: r.rcode})
	b.EnableCompression()
	b.StartQuestions()
	b.Question(q)
	b.StartAnswers()
	owner := q.Name
	for _, target := range r.cname {
		next := dnsmessage.MustNewName(target)
		b.CNAMEResource(dnsmessage.ResourceHeader{Name: owner, Class: dnsmessage.ClassINET, TTL: 1}, dnsmessage.CNAMEResource{CNAME: next})
		owner = next
	}
	for _, text := range r.addrs {
		header := dnsmessage.ResourceHeader{Name: owner, Class: dnsmessage.ClassINET, TTL: 1}
		switch addr := netip.MustParseAddr(text); {
		case addr.Is4() && q.Type == dnsmessage.TypeA:
			b.AResource(header, dnsmessage.AResource{A: addr.As4()})
		case addr.Is6() && q.Type == dnsmessage.TypeAAAA:
			b.AAAAResource(header, dnsmessage.AAAAResource{AAAA: addr.As16()})
		}
	}
	m, err := b.Finish()
	if err != nil {
		panic(fmt.Sprintf("building a DNS response: %v", err))
	}
	return m
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/net/dns/dnsmessage"

	"portscan_exporter/internal/scan"
)

// System returns the options of a resolver that uses the system's settings and its hosts file, and has
// at most the given number of sockets open.
func System(sockets int) Options {
	c := client{sockets: make(chan struct{}, sockets)}
	return Options{Settings: systemSettings, Hosts: lookupHosts, Ask: c.ask}
}

// client asks DNS servers. It may be used concurrently.
type client struct {
	sockets chan struct{} // has an element for each open socket
}

// errNoDNS prevents questions to DNS servers.
var errNoDNS = errors.New("only the hosts file")

// lookupHosts returns the addresses of a name in the hosts file of the system. Package net finds a
// single label there only without a final dot.
func lookupHosts(name string) []netip.Addr {
	files := net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errNoDNS }}
	addrs, err := files.LookupNetIP(context.Background(), "ip", strings.TrimSuffix(name, "."))
	if err != nil {
		return nil // the name is not in the file
	}
	return addrs
}

// ask returns the answer of the first server that has a definite one. It asks the next server when the
// one before has failed, or has not answered for some time.
func (c client) ask(ctx context.Context, q Question) ([]netip.Addr, error) {
	if len(q.Servers) == 0 {
		return c.askServer(ctx, q, netip.AddrPort{})
	}
	answers := callStaggered(ctx, len(q.Servers), func(ctx context.Context, i int) answer {
		addrs, err := c.askServer(ctx, q, q.Servers[i])
		return answer{addrs: addrs, err: err}
	}, func(answers []*answer) bool { return firstDefinite(answers) >= 0 })
	if i := firstDefinite(answers); i >= 0 {
		return answers[i].addrs, answers[i].err
	}
	errs := make([]error, 0, len(answers))
	for _, a := range answers {
		errs = append(errs, a.err)
	}
	return nil, joinServers(errs)
}

func firstDefinite(answers []*answer) int {
	return slices.IndexFunc(answers, func(a *answer) bool { return a != nil && a.isDefinite() })
}

// askServer asks one server; the zero value: those of the system. It ends with the context, because
// its sockets do.
func (c client) askServer(ctx context.Context, q Question, server netip.AddrPort) ([]netip.Addr, error) {
	x := &exchange{ctx: ctx, server: server, sockets: c.sockets, code: noResponse}
	resolver := net.Resolver{PreferGo: true, Dial: x.dial}
	addrs, err := resolver.LookupNetIP(context.WithoutCancel(ctx), q.Family.String(), q.Name)
	if _, unsuitable := errors.AsType[*net.AddrError](err); unsuitable {
		err = nil // all addresses are of the other family
	}
	switch addrs = append(addrs, x.mapped(q)...); {
	case err != nil:
		return nil, x.newError(err)
	case len(addrs) == 0:
		return nil, &serverError{server: x.asked, problem: ErrNoAddress}
	default:
		return addrs, nil
	}
}

// mapped returns the IPv4-mapped addresses in the answer to a question for IPv6, which package net
// leaves out.
func (x *exchange) mapped(q Question) (addrs []netip.Addr) {
	x.mu.Lock()
	defer x.mu.Unlock()
	var p dnsmessage.Parser
	if _, err := p.Start(x.response); err != nil || q.Family != scan.IPv6 || p.SkipAllQuestions() != nil {
		return nil
	}
	for {
		h, err := p.AnswerHeader()
		switch {
		case err != nil:
			return addrs
		case h.Type != dnsmessage.TypeAAAA:
			err = p.SkipAnswer()
		default:
			var r dnsmessage.AAAAResource
			if r, err = p.AAAAResource(); err == nil && netip.AddrFrom16(r.AAAA).Is4In6() {
				addrs = append(addrs, netip.AddrFrom16(r.AAAA))
			}
		}
		if err != nil {
			return addrs
		}
	}
}

// serverError is why a server has not given an address.
type serverError struct {
	server  string // with the transport, if that is TCP; empty: none was asked
	problem error
}

// serverPrefix is before the server in the text of a serverError.
const serverPrefix = "at "

// Error implements error.
func (e *serverError) Error() string {
	if e.server == "" {
		return e.problem.Error()
	}
	return fmt.Sprintf("%s%s: %v", serverPrefix, e.server, e.problem)
}

// Unwrap returns the problem.
func (e *serverError) Unwrap() error { return e.problem }

// newError returns the error for the last exchange with a server; err is that of the lookup.
func (x *exchange) newError(err error) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	dns, _ := errors.AsType[*net.DNSError](err)
	problem := err
	switch name, failed := responseCodeNames()[x.code]; {
	case dns != nil && dns.IsNotFound && x.code == codeSuccess:
		problem = ErrNoAddress
	case dns != nil && dns.IsNotFound:
		problem = ErrNoName
	case failed:
		problem = errors.New(name)
	case errors.Is(x.ctx.Err(), context.Canceled):
		problem = x.ctx.Err()
	case x.fault != nil:
		problem = x.fault
	case x.end() != nil:
		problem = x.end()
	case dns != nil:
		problem = errors.New(dns.Err)
	}
	return &serverError{server: x.asked, problem: problem}
}

// Response codes (RFC 1035 section 4.1.1).
const (
	noResponse  = -1
	codeSuccess = 0
)

// responseCodeNames returns the texts of codes of failures.
func responseCodeNames() map[int]string {
	return map[int]string{
		1: "format error (FORMERR)",
		2: "server failure (SERVFAIL)",
		4: "not implemented (NOTIMP)",
		5: "refused (REFUSED)",
		9: "not authoritative (NOTAUTH)",
	}
}

// joinServers returns the errors of servers as one. Servers with the same problem are listed together.
func joinServers(errs []error) error {
	var problems []string
	servers := make(map[string][]string)
	for _, err := range errs {
		e, ok := errors.AsType[*serverError](err)
		if !ok {
			return err
		}
		text := e.problem.Error()
		problems = appendNew(problems, text)
		servers[text] = append(servers[text], e.server)
	}
	texts := make([]string, 0, len(problems))
	for _, p := range problems {
		texts = append(texts, (&serverError{server: strings.Join(servers[p], " and "), problem: errors.New(p)}).Error())
	}
	return &textError{text: strings.Join(texts, ", "), causes: errs}
}

// textError is an error with a text of its own.
type textError struct {
	text   string
	causes []error
}

// Error implements error.
func (e *textError) Error() string { return e.text }

// Unwrap returns the causes.
func (e *textError) Unwrap() []error { return e.causes }

// innermost returns the error of the system in an error of package net, without addresses and ports,
// which differ from one exchange to the next.
func innermost(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	return err
}

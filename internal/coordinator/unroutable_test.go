// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// TestUnroutableFamilyLogged scans a dual-stack target on a machine that has no route to the
// addresses of one family for some of the scans. There must be one line when that begins, one
// when it ends, and none when only the other family is scanned or all ports are unknown.
func TestUnroutableFamilyLogged(t *testing.T) {
	t.Parallel()
	const four, six = "192.0.2.1", "2001:db8::1"
	r := &resolver{}
	var unroutable string
	silent := false
	c := setup{resolver: r, engine: func(_ context.Context, req scan.Request, report func(scan.PortResult)) error {
		ports := req.Plan().Ports()
		for _, a := range req.Addresses() {
			switch {
			case silent:
			case a.IP.String() == unroutable:
				report(scan.PortResult{Address: a.IP, Ports: &ports, Cause: scan.CauseNoRoute, Unroutable: true})
			default:
				report(scan.PortResult{Address: a.IP, Ports: &ports, State: scan.Closed, Cause: scan.CauseRST})
			}
		}
		return nil
	}}.start(t)
	defer c.Close()
	scope, err := scan.NewScope([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	task := newTask(t)
	task.Scope = scope
	both := []string{four, six}
	for i, step := range []struct {
		addrs      []string
		unroutable string
		silent     bool
		want       string
	}{
		{both, "", false, ""},
		{both, six, false, `level=WARN msg="No route to addresses" target=t module=m family=IPv6 addresses=[2001:db8::1] count=1 advice="set ip_protocol: ip4 if this machine has no IPv6"`},
		{both, six, false, ""},
		{both, "", true, ""},
		{[]string{four}, "", false, ""}, // ip_protocol: ip4
		{both, six, false, ""},
		{both, "", false, `level=INFO msg="Route to addresses is available again" target=t module=m family=IPv6`},
		{both, "", false, ""},
		{both, four, false, `level=WARN msg="No route to addresses" target=t module=m family=IPv4 addresses=[192.0.2.1] count=1 advice="set ip_protocol: ip6 if this machine has no IPv4"`},
	} {
		r.addrs, unroutable, silent = step.addrs, step.unroutable, step.silent
		c.mustScan(t, time.Second, task)
		got := c.log.take()
		if strings.Count(got, "Route to")+strings.Count(got, "No route to") != min(1, len(step.want)) || !strings.Contains(got, step.want) {
			t.Errorf("step %d: log = %q, want %q", i, got, step.want)
		}
	}
}

// TestUnroutableAddressLogged scans single addresses of a target in turn, one of which has no route
// at first. The scans of the others must not log that it has one again.
func TestUnroutableAddressLogged(t *testing.T) {
	t.Parallel()
	const lacking, other = "192.0.2.1", "192.0.2.2"
	r := &resolver{}
	routable := false
	c := setup{resolver: r, engine: func(_ context.Context, req scan.Request, report func(scan.PortResult)) error {
		ports := req.Plan().Ports()
		for _, a := range req.Addresses() {
			if a.IP.String() == lacking && !routable {
				report(scan.PortResult{Address: a.IP, Ports: &ports, Cause: scan.CauseNoRoute, Unroutable: true})
			} else {
				report(scan.PortResult{Address: a.IP, Ports: &ports, State: scan.Closed, Cause: scan.CauseRST})
			}
		}
		return nil
	}}.start(t)
	defer c.Close()
	task := newTask(t)
	for i, step := range []struct {
		addr     string
		routable bool
		want     string
	}{
		{other, false, ""},
		{lacking, false, "No route to addresses"},
		{other, false, ""},
		{lacking, false, ""},
		{other, true, ""},
		{lacking, true, "Route to addresses is available again"},
		{lacking, false, "No route to addresses"},
		{"", true, "Route to addresses is available again"},
	} {
		r.addrs, routable = []string{lacking, other}, step.routable
		asked := task
		if step.addr != "" {
			r.addrs, asked = []string{step.addr}, task.ForAddress(netip.MustParseAddr(step.addr), step.addr)
		}
		c.mustScan(t, time.Second, asked)
		got := c.log.take()
		if strings.Count(got, "msg=") != min(1, len(step.want)) || !strings.Contains(got, step.want) {
			t.Errorf("step %d: log = %q, want %q", i, got, step.want)
		}
	}
}

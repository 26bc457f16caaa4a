// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"portscan_exporter/internal/scan"
)

func TestRefusedAddressesInResult(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := setup{resolver: resolver{addrs: []string{"192.0.2.1", "198.51.100.1"}}}.start(t)
		defer c.Close()
		r := c.mustScan(t, time.Second, newTask(t)).Result
		if len(r.Addresses) != 1 || len(r.Refused) != 1 || r.Refused[0] != netip.MustParseAddr("198.51.100.1") {
			t.Errorf("got %d addresses, refused %v, want 1, [198.51.100.1]", len(r.Addresses), r.Refused)
		}
		if r.Failed[scan.FailedAddressRefused] == nil || r.Success() {
			t.Errorf("got failed %v, success %v, want address_refused, false", r.Failed, r.Success())
		}
	})
}

// TestRefusedAddressSearchDomain requires the full name of a refused address that a search domain has
// led to.
func TestRefusedAddressSearchDomain(t *testing.T) {
	t.Parallel()
	for fullName, want := range map[string]string{
		"":         "resolved address is outside the target networks",
		"wbe.lab.": "resolved address is outside the target networks: a search domain led from 198.51.100.1 to wbe.lab.: write the full name with a final dot",
	} {
		synctest.Test(t, func(t *testing.T) {
			c := setup{resolver: resolver{addrs: []string{"192.0.2.1", "198.51.100.1"}, fullName: fullName}}.start(t)
			defer c.Close()
			r := c.mustScan(t, time.Second, newTask(t)).Result
			if err := r.Failed[scan.FailedAddressRefused]; err == nil || err.Error() != want {
				t.Errorf("full name %q: got failure %v, want %q", fullName, err, want)
			}
		})
	}
}

// TestResolverDeadline requires that names are resolved with the deadline of the scan's probe.
func TestResolverDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var got time.Duration
		c := setup{resolver: resolver{addrs: []string{"192.0.2.1"}, ask: func(d time.Duration) { got = d }}}.start(t)
		defer c.Close()
		c.mustScan(t, 400*time.Millisecond, newTask(t)) // less than its module's timeout
		if got <= 0 || got > 400*time.Millisecond {
			t.Errorf("got %v to resolve names, want at most 400ms", got)
		}
	})
}

// TestRefusedAddressesLoggedOnce requires a line only when a target's refused addresses change.
func TestRefusedAddressesLoggedOnce(t *testing.T) {
	t.Parallel()
	r := &resolver{}
	c := setup{resolver: r}.start(t)
	defer c.Close()
	notResolved := map[scan.Failure]error{scan.FailedDNS: errors.New("no answer")}
	for i, step := range []struct {
		addrs  []string
		failed map[scan.Failure]error
		want   string
	}{
		{[]string{"192.0.2.1"}, nil, ""},
		{[]string{"192.0.2.1", "198.51.100.1"}, nil, "198.51.100.1"},
		{[]string{"198.51.100.1"}, nil, ""},
		{[]string{"198.51.100.2"}, nil, "198.51.100.2"},
		{nil, notResolved, ""},
		{[]string{"198.51.100.2"}, nil, ""},
		{[]string{"192.0.2.1"}, nil, "again"},
		{[]string{"192.0.2.1"}, nil, ""},
	} {
		r.addrs, r.failed = step.addrs, step.failed
		c.mustScan(t, time.Second, newTask(t))
		if got := c.log.take(); (step.want == "") != (got == "") || !strings.Contains(got, step.want) {
			t.Errorf("step %d, addresses %v, failed %v: log = %q, want %q", i, step.addrs, step.failed, got, step.want)
		}
	}
}

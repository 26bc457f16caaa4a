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

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package lab_test

import "testing"

// testLimit scans a host with a rule that limits connections. No state may be wrong; ports that
// were always beyond the limit can be unknown.
func testLimit(t *testing.T, rate int, match string, actions ...string) {
	t.Helper()
	withMethods(t, serviceHost(), func(t *testing.T, target *target) {
		t.Helper()
		for _, action := range actions {
			target.Exec(t, "iptables", "--flush", "INPUT")
			target.filter(t, "-A INPUT -p tcp -m tcp --syn "+match+" -m comment --comment "+bannedComment+" -j "+action)
			spec := defaultSpec(t, "1-600", "22")
			spec.Rate = rate
			r := target.scan(t, spec)
			t.Logf("%s: %v, %d packets over the limit, %d ports unknown, %+v", action, r.took, target.banned(t), r.score.Unknown(), target.Counts(t))
			r.wantRight(t)
		}
	})
}

// TestSYNRateLimit scans a host that permits 50 connections a second.
func TestSYNRateLimit(t *testing.T) {
	t.Parallel()
	if !isolated(t) {
		return
	}
	testLimit(t, 0, "-m hashlimit --hashlimit-above 50/sec --hashlimit-burst 50 --hashlimit-mode srcip --hashlimit-name syns", rejectAdmin, dropSilent)
}

// TestConnectionLimit scans a host that permits four connections at once, at a rate that does not
// reach the limit. Beyond the limit, open ports look closed.
func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	if !isolated(t) {
		return
	}
	testLimit(t, 100, "-m connlimit --connlimit-above 4 --connlimit-mask 32", rejectReset)
}

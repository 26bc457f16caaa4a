// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package lab_test

import (
	"fmt"
	"testing"
)

// rejectPort is iptables' default action.
const rejectPort = "REJECT --reject-with icmp-port-unreachable"

// testRecentBan scans a host that bans an address after a number of SYNs within a minute.
func testRecentBan(t *testing.T, action string, limit int) {
	t.Helper()
	withMethods(t, serviceHost(), func(t *testing.T, target *target) {
		t.Helper()
		for _, hits := range []int{15, 100} {
			target.Exec(t, "iptables", "--flush", "INPUT")
			target.filter(t, fmt.Sprintf(`-A INPUT -p tcp -m tcp --syn -m recent --name ban%[1]d --update --seconds 60 --hitcount %[1]d -m comment --comment %[2]s -j %[3]s
-A INPUT -p tcp -m tcp --syn -m recent --name ban%[1]d --set`, hits, bannedComment, action))
			target.wantBanned(t, target.scan(t, defaultSpec(t, "1-600", "22,80")), action, limit)
		}
	})
}

// TestRecentBanAdmin scans a host that rejects with admin-prohibited after some SYNs.
func TestRecentBanAdmin(t *testing.T) {
	t.Parallel()
	if !isolated(t) {
		return
	}
	testRecentBan(t, rejectAdmin, maxBannedPackets)
}

// TestRecentBanPort scans a host that rejects with port-unreachable after some SYNs.
func TestRecentBanPort(t *testing.T) {
	t.Parallel()
	if !isolated(t) {
		return
	}
	testRecentBan(t, rejectPort, maxBannedPackets)
}

// TestRecentBanReset scans a host that rejects with a RST after some SYNs.
func TestRecentBanReset(t *testing.T) {
	t.Parallel()
	if !isolated(t) {
		return
	}
	testRecentBan(t, rejectReset, maxBannedPackets)
}

// TestRecentBanDrop scans a host that drops all packets after some SYNs.
func TestRecentBanDrop(t *testing.T) {
	t.Parallel()
	if !isolated(t) {
		return
	}
	testRecentBan(t, dropSilent, maxUnnoticedPackets)
}

// TestBanBetweenScans scans a host that bans the scanner after a complete scan: no port may be
// in another state than before.
func TestBanBetweenScans(t *testing.T) {
	t.Parallel()
	if !isolated(t) {
		return
	}
	withMethods(t, serviceHost(), func(t *testing.T, target *target) {
		t.Helper()
		spec := defaultSpec(t, "1-600", "22")
		r := target.scan(t, spec)
		r.wantComplete(t)
		target.remember(r)
		for _, action := range []string{rejectAdmin, rejectPort} {
			target.Exec(t, "iptables", "--flush", "INPUT")
			target.filter(t, "-A INPUT -p tcp -m comment --comment "+bannedComment+" -j "+action)
			target.wantBanned(t, target.scan(t, spec), action, maxBannedPackets)
		}
	})
}

// TestBanDuringScan scans hosts that ban the scanner in the middle of the scan.
func TestBanDuringScan(t *testing.T) {
	t.Parallel()
	if !isolated(t) {
		return
	}
	withMethods(t, serviceHost(), func(t *testing.T, target *target) {
		t.Helper()
		for _, action := range []string{rejectAdmin, rejectPort, rejectReset, dropSilent} {
			target.Exec(t, "iptables", "--flush", "INPUT")
			r := target.scanDuring(t, defaultSpec(t, "1-600", "22"), func() {
				target.filter(t, "-A INPUT -p tcp -m tcp --syn -m comment --comment "+bannedComment+" -j "+action)
			})
			target.wantBanned(t, r, action, maxBannedPackets)
		}
	})
}

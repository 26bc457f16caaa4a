// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package lab_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// scannerAddr is the address from which testnet scans.
const scannerAddr = "198.51.100.254"

// TestFail2banBan scans a host on which fail2ban bans the scanner, at the port of sshd or at
// all ports.
func TestFail2banBan(t *testing.T) { //nolint:tparallel // its parts have the same address
	t.Parallel()
	if !isolated(t) {
		return
	}
	targets := startDaemonHost(t, scan.NewPortSet(22))
	d := daemons{folder: t.TempDir()}
	targets[0].serve(t, 22, "sshd.sh", d.path("sshd.log"))
	for _, kind := range actionTypes() {
		t.Run(kind, func(t *testing.T) {
			d := daemons{folder: t.TempDir()}
			targets[0].serve(t, 0, "fail2ban.sh", d.path("fail2ban.log"), d.path("fail2ban.sock"), d.path("sshd.log"), kind)
			d.awaitFail2ban(t)
			for _, target := range targets {
				t.Run(target.method.String(), func(t *testing.T) { testFail2banBan(t, target, d, kind) })
			}
		})
	}
}

// actionTypes returns the types of fail2ban's action for nftables.
func actionTypes() []string { return []string{multiport, allports} }

// Types of fail2ban's action for nftables: ban at the ports of the jail, or at all ports.
const (
	multiport = "multiport"
	allports  = "allports"
)

// testFail2banBan bans the scanner between two scans.
func testFail2banBan(t *testing.T, target *target, d daemons, kind string) {
	t.Helper()
	spec := defaultSpec(t, "1-1024", "22")
	r := target.scan(t, spec)
	r.wantComplete(t)
	target.remember(r)
	if out, err := d.fail2ban(t, "set", "sshd", "banip", scannerAddr); err != nil {
		t.Fatal(out, err)
	}
	waitUntil(t, "fail2ban has banned the scanner", func() bool {
		return strings.Contains(target.Exec(t, "nft", "list", "ruleset"), scannerAddr)
	})
	before := target.Counts(t)
	r = target.scan(t, spec)
	after := target.Counts(t)
	t.Logf("%v, %d SYNs, port 22: %+v\n%v", r.took, after.SYNsIn-before.SYNsIn, r.ports[22], r.score)
	if state := r.ports[22].State; state != scan.Unknown && state != scan.Filtered {
		t.Errorf("port 22 is %v, want unknown or filtered", state)
	}
	switch {
	case kind == multiport:
		if r.score.Claimed(scan.Closed) != 1023 {
			t.Errorf("want 1023 closed ports:\n%v", r.score)
		}
	case after.ICMPsOut > before.ICMPsOut:
		r.wantRight(t)
	default: // the limit of ICMP errors is used up, and the host looks dark
	}
	if out, err := d.fail2ban(t, "set", "sshd", "unbanip", scannerAddr); err != nil {
		t.Fatal(out, err)
	}
}

// TestPortsentry scans hosts on which portsentry bans the scanner in the middle of the scan.
func TestPortsentry(t *testing.T) {
	t.Parallel()
	if !isolated(t) {
		return
	}
	withMethods(t, testnet.Host{Ports: map[string]testnet.Answer{"22,80,3306": testnet.Accept}}, func(t *testing.T, target *target) {
		t.Helper()
		log := filepath.Join(t.TempDir(), "portsentry.log")
		target.serve(t, 0, "portsentry.sh", log, "/usr/sbin/iptables -I INPUT -s $TARGET$ -m comment --comment "+bannedComment+" -j DROP")
		waitUntil(t, "portsentry is active", func() bool {
			text, err := os.ReadFile(log)
			return err == nil && strings.Contains(string(text), "now active and listening")
		})
		spec := defaultSpec(t, "1-1024,3306", "22,80,3306")
		spec.Rate = 300
		r := target.scan(t, spec)
		target.wantBanned(t, r, dropSilent, maxBannedPackets)
		text, err := os.ReadFile(log)
		t.Logf("%v\n%s", err, text)
	})
}

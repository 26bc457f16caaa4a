// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package lab_test

import (
	"testing"
	"time"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// maxBannedPackets is the maximum number of packets of a scan after a ban.
const maxBannedPackets = 300

// maxUnnoticedPackets is that number if the ban drops packets and the scan is fast: no answer shows
// the ban, so the scan continues for two seconds.
const maxUnnoticedPackets = 1500

// Actions of iptables for the packets of a banned address.
const (
	rejectAdmin = "REJECT --reject-with icmp-admin-prohibited"
	rejectReset = "REJECT --reject-with tcp-reset"
	dropSilent  = "DROP"
)

// serviceHost is a host with services on common and on other ports, amid closed and silent
// ones.
func serviceHost() testnet.Host {
	return testnet.Host{Ports: map[string]testnet.Answer{
		"22,80": testnet.Accept, "211-220": testnet.Accept, "300-309": testnet.Drop,
	}, ICMPsPerSecond: -1}
}

// wantBanned fails the test if a state is wrong, if the scan did not notice the ban, or if it
// sent more packets than the limit afterwards. There is no limit for RSTs: only the check at the
// end of a scan distinguishes a ban that sends them from closed ports.
func (ta *target) wantBanned(t *testing.T, r scanResult, action string, limit int) {
	t.Helper()
	packets := ta.banned(t)
	t.Logf("%s: %v, %d packets after the ban, %d ports unknown", action, r.took, packets, r.score.Unknown())
	r.wantRight(t)
	if packets > limit && action != rejectReset {
		t.Errorf("packets after the ban = %d, want at most %d", packets, limit)
	}
	if r.score.Unknown() == 0 {
		t.Errorf("no port is unknown, want those that were not known before the ban:\n%v", r.score)
	}
}

// scanDuring scans the target and calls change when a third of the ports is done.
func (ta *target) scanDuring(t *testing.T, spec scan.Spec, change func()) scanResult {
	t.Helper()
	spec.Rate = 300
	changed := make(chan struct{})
	time.AfterFunc(time.Duration(spec.Ports.Len())*time.Second/time.Duration(3*spec.Rate), func() {
		defer close(changed)
		change()
	})
	r := ta.scan(t, spec)
	<-changed
	return r
}

// TestServiceStops scans a host of which one service stops, or is blocked, in the middle of the
// scan: that is no ban, so all other ports have a state.
func TestServiceStops(t *testing.T) {
	t.Parallel()
	if !isolated(t) {
		return
	}
	withMethods(t, serviceHost(), func(t *testing.T, target *target) {
		t.Helper()
		for _, action := range []string{rejectAdmin, rejectReset, dropSilent} {
			target.Exec(t, "iptables", "--flush", "INPUT")
			r := target.scanDuring(t, defaultSpec(t, "1-600", "22,80"), func() {
				target.filter(t, "-A INPUT -p tcp -m tcp --dport 22 --syn -j "+action)
			})
			t.Logf("%s: %v, port 22 is %v", action, r.took, r.ports[22])
			if r.score.Wrong()+r.score.Unknown() > 1 || r.ports[22].State != scan.Open && r.score.Wrong()+r.score.Unknown() > 0 && r.ports[80].State != scan.Open {
				t.Errorf("%s: want all states right, except that of port 22:\n%v", action, r.score)
			}
		}
	})
}

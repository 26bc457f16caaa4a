// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package lab_test

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// unscaled runs rate limits at their real periods, which takes minutes.
var unscaled = flag.Bool("unscaled", false, "run rate limits at their real periods")

// wantPolite fails the test if a port that answered open received more SYNs than
// max_open_attempts allows.
func (ta *target) wantPolite(t *testing.T, spec scan.Spec) {
	t.Helper()
	for port, n := range ta.resetSYNs(t) {
		if n > spec.MaxOpenAttempts || n == 0 {
			t.Errorf("port %d received %d SYNs in a scan, want 1 to %d", port, n, spec.MaxOpenAttempts)
		}
	}
}

// TestOpenAttempts scans all ports of a host that drops packets to all ports but one.
func TestOpenAttempts(t *testing.T) {
	t.Parallel()
	if !isolated(t) {
		return
	}
	withMethods(t, testnet.Host{Default: testnet.Drop, Ports: map[string]testnet.Answer{"22": testnet.Accept}}, func(t *testing.T, target *target) {
		t.Helper()
		spec := defaultSpec(t, "1-65535", "")
		target.countSYNs(t, 22)
		r := target.scan(t, spec)
		t.Logf("%v, %+v", r.took, target.Counts(t))
		r.wantComplete(t)
		target.wantPolite(t, spec)
	})
}

// TestOpenAttemptsLimit scans a host with several open ports amid silent ones and loss, with
// other values of max_open_attempts. States are not compared: with few answers, both attempts at
// an open port can be lost unnoticed.
func TestOpenAttemptsLimit(t *testing.T) {
	t.Parallel()
	if !isolated(t) {
		return
	}
	host := testnet.Host{Default: testnet.Drop, LossIn: .02, LossOut: .02, Ports: map[string]testnet.Answer{"22,80,443": testnet.Accept}}
	withMethods(t, host, func(t *testing.T, target *target) {
		t.Helper()
		target.countSYNs(t, 22, 80, 443)
		for _, limit := range []int{1, 2, 5} {
			spec := defaultSpec(t, "1-2000", "")
			spec.MaxOpenAttempts = limit
			r := target.scan(t, spec)
			t.Logf("limit %d: %v, %+v", limit, r.took, target.Counts(t))
			for port, n := range target.resetSYNs(t) {
				// Attempts whose answer was lost are not at a port that has answered.
				if answered := r.ports[port]; n > limit+lostAnswers {
					t.Errorf("port %d received %d SYNs in a scan (%+v), want at most %d", port, n, answered, limit)
				}
			}
		}
	})
}

// lostAnswers is the number of attempts before the first answer that TestOpenAttemptsLimit
// allows: a chance below one in ten thousand.
const lostAnswers = 3

// connectionLimit is a limit of new connections to port 22, and how often its host is scanned.
type connectionLimit struct {
	hits     int // connections within the period that are too many
	period   time.Duration
	interval time.Duration // of the scans
	action   string
}

// ufwLimit is the limit of `ufw limit 22/tcp`, for scans every 15 s.
func ufwLimit() connectionLimit {
	return connectionLimit{hits: 6, period: 30 * time.Second, interval: 15 * time.Second, action: "REJECT --reject-with icmp-port-unreachable"}
}

// commonLimit is a limit that many guides recommend for sshd, for scans every minute.
func commonLimit() connectionLimit {
	return connectionLimit{hits: 4, period: time.Minute, interval: time.Minute, action: dropSilent}
}

// scaled returns the limit with a period and an interval that are shorter by a factor.
func (l connectionLimit) scaled(factor time.Duration) connectionLimit {
	l.period, l.interval = l.period/factor, l.interval/factor
	return l
}

// rules returns the rules of `ufw default deny` with the limit, as ufw writes them.
func (l connectionLimit) rules() string {
	return fmt.Sprintf(`:ufw-user-limit - [0:0]
:ufw-user-limit-accept - [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -m recent --set --name DEFAULT --rsource
-A INPUT -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -m recent --update --seconds %d --hitcount %d --name DEFAULT --rsource -j ufw-user-limit
-A INPUT -p tcp -m tcp --dport 22 -j ufw-user-limit-accept
-A INPUT -j DROP
-A ufw-user-limit -m limit --limit 3/min -j LOG --log-prefix "[UFW LIMIT BLOCK] "
-A ufw-user-limit -m comment --comment %s -j %s
-A ufw-user-limit-accept -j ACCEPT`, int(l.period.Seconds()), l.hits, bannedComment, l.action)
}

// test scans a host with the limit, which drops packets to all other ports, a number of times.
func (l connectionLimit) test(t *testing.T, scans int) {
	t.Helper()
	ports := "1-65535"
	if !*unscaled {
		ports = "1-200"
	}
	host := testnet.Host{Default: testnet.Drop, Ports: map[string]testnet.Answer{"22": testnet.Accept}}
	withMethods(t, host, func(t *testing.T, target *target) {
		t.Helper()
		target.filter(t, l.rules())
		target.countSYNs(t, 22)
		next := time.NewTicker(l.interval)
		defer next.Stop()
		for scanned := range scans {
			spec := defaultSpec(t, ports, "")
			r := target.scan(t, spec)
			t.Logf("scan %d: %v, %v, %d connections rejected", scanned, r.took, r.ports[22].State, target.banned(t))
			r.wantComplete(t)
			target.remember(r)
			target.wantPolite(t, spec)
			<-next.C
		}
		if n := target.banned(t); n > 0 {
			t.Errorf("%d connections rejected, want 0", n)
		}
	})
}

// TestUFWLimit scans a host with `ufw limit 22/tcp` ten times.
func TestUFWLimit(t *testing.T) {
	t.Parallel()
	if !isolated(t) {
		return
	}
	limit := ufwLimit()
	if !*unscaled {
		limit = limit.scaled(6)
	}
	limit.test(t, 10)
}

// TestCommonLimit scans a host with a common limit for sshd several times.
func TestCommonLimit(t *testing.T) {
	t.Parallel()
	if !isolated(t) {
		return
	}
	limit := commonLimit()
	if !*unscaled {
		limit = limit.scaled(15)
	}
	limit.test(t, 5)
}

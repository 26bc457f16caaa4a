// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package lab_test

import (
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"net/smtp"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// scans is the number of scans of the daemons with each method.
var scans = flag.Int("scans", 5, "number of scans of the daemons with each method")

// daemonPorts are the ports of sshd, postfix and MariaDB.
const daemonPorts = "22,25,3306"

// daemons are the daemons of a host.
type daemons struct {
	folder string // with the sockets and logs
	logs   map[string]*daemonLog
}

// path returns the path of a socket or log.
func (d daemons) path(name string) string { return filepath.Join(d.folder, name) }

// startDaemons starts sshd, postfix, MariaDB and fail2ban on the target.
func startDaemons(t *testing.T, ta *target) daemons {
	t.Helper()
	d := daemons{folder: t.TempDir(), logs: make(map[string]*daemonLog)}
	for _, name := range []string{"sshd", "postfix", "mariadb", "fail2ban"} {
		d.logs[name] = &daemonLog{name: d.path(name + ".log")}
	}
	ta.serve(t, 22, "sshd.sh", d.path("sshd.log"))
	ta.serve(t, 25, "postfix.sh", d.path("postfix.log"))
	ta.serve(t, 3306, "mariadb.sh", d.path("mariadb.log"), d.path("mariadb.sock"))
	ta.serve(t, 0, "fail2ban.sh", d.path("fail2ban.log"), d.path("fail2ban.sock"), d.path("sshd.log"), multiport)
	d.awaitFail2ban(t)
	return d
}

// awaitFail2ban waits until fail2ban watches the log of sshd.
func (d daemons) awaitFail2ban(t *testing.T) {
	t.Helper()
	waitUntil(t, "fail2ban runs", func() bool {
		_, err := d.fail2ban(t, "status", "sshd")
		return err == nil
	})
}

// fail2ban runs a command of fail2ban-client.
func (d daemons) fail2ban(t *testing.T, command ...string) (string, error) {
	t.Helper()
	return client(t, slices.Concat([]string{"fail2ban-client", "--socket", d.path("fail2ban.sock")}, command)...)
}

// counters returns those of MariaDB's counters of failed connections that are not zero.
func (d daemons) counters(t *testing.T) map[string]int {
	t.Helper()
	const query = `SELECT VARIABLE_NAME, VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS
WHERE VARIABLE_NAME REGEXP '^(ABORTED_CONNECTS|CONNECTION_ERRORS)' AND VARIABLE_VALUE > 0`
	out, err := client(t, "mariadb", "--no-defaults", "--user=root", "--socket="+d.path("mariadb.sock"), "--skip-column-names", "--execute="+query)
	if err != nil {
		t.Fatal(out, err)
	}
	counters := make(map[string]int)
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if counters[name], err = strconv.Atoi(value); err != nil {
			t.Fatal(err)
		}
	}
	return counters
}

// wantServing fails the test unless all daemons serve clients on the scanner's address.
func wantServing(t *testing.T, addr netip.Addr) {
	t.Helper()
	if out, err := client(t, "ssh-keyscan", "-t", "ed25519", addr.String()); err != nil || !strings.Contains(out, "ssh-ed25519") {
		t.Errorf("sshd: %v\n%s", err, out)
	}
	if out, err := client(t, "mariadb", "--no-defaults", "--user=lab", "--host="+addr.String(), "--execute=SELECT 'served'"); err != nil || !strings.Contains(out, "served") {
		t.Errorf("MariaDB: %v\n%s", err, out)
	}
	c, err := smtp.Dial(netip.AddrPortFrom(addr, 25).String())
	if err != nil {
		t.Errorf("postfix: %v", err)
		return
	}
	defer c.Close()
	if err := c.Hello("scanner.example"); err != nil {
		t.Errorf("postfix: %v", err)
	}
	if err := c.Quit(); err != nil {
		t.Errorf("postfix: %v", err)
	}
}

// TestDaemonsUnharmed scans a host with sshd, postfix, MariaDB and fail2ban several times.
// Afterwards, they must serve clients on the scanner's address. The test logs what they log.
func TestDaemonsUnharmed(t *testing.T) {
	t.Parallel()
	if !isolated(t) {
		return
	}
	targets := startDaemonHost(t, parsePorts(t, daemonPorts))
	d := startDaemons(t, targets[0])
	targets[0].countSYNs(t, 22, 25, 3306)
	slices.Reverse(targets) // half-open scans first, so that nothing is left to log of others
	for _, target := range targets {
		waitUntil(t, "daemons have logged their start", func() bool {
			time.Sleep(logDelay)
			return d.newLogs(t) == ""
		})
		testUnharmed(t, target, d)
	}
}

// testUnharmed scans the daemons. They must not notice a half-open scan, and no connect scan but
// the first, because later ones know which ports are open.
func testUnharmed(t *testing.T, target *target, d daemons) {
	t.Helper()
	before, first := d.counters(t), ""
	syns := make(map[uint16]int)
	for scanned := range *scans {
		spec := defaultSpec(t, "1-1024,3306", "")
		r := target.scan(t, spec)
		r.wantComplete(t)
		target.remember(r)
		for port, n := range target.resetSYNs(t) {
			syns[port] += n
			if n < 1 || n > spec.MaxOpenAttempts {
				t.Errorf("port %d received %d SYNs in a scan, want 1 to %d", port, n, spec.MaxOpenAttempts)
			}
		}
		if scanned == 0 {
			time.Sleep(logDelay)
			first = d.newLogs(t)
		}
	}
	time.Sleep(logDelay)
	after, later := d.counters(t), d.newLogs(t)
	t.Logf("%d %v scans, SYNs by port: %v\nMariaDB before: %v\nafter: %v\nfirst scan:\n%slater:\n%s", *scans, target.method, syns, before, after, first, later)
	if target.method == scan.SYN && (!maps.Equal(before, after) || first+later != "") {
		t.Errorf("services noticed %v scans, want half-open scans to be invisible to them", target.method)
	}
	// A machine that is busy may be late to reset a connection.
	if n := after[abortedConnects] - before[abortedConnects]; n > *scans/2 {
		t.Errorf("MariaDB noticed %d connections in %d scans, want at most that of the first", n, *scans)
	}
	wantServing(t, target.addr)
	status, err := d.fail2ban(t, "status", "sshd")
	if err != nil || !regexp.MustCompile(`Total banned:\s+0\n`).MatchString(status) {
		t.Errorf("fail2ban: want no ban: %v\n%s", err, status)
	}
}

// abortedConnects is MariaDB's counter of connections without a login.
const abortedConnects = "ABORTED_CONNECTS"

// logDelay is enough time for daemons to log, and for fail2ban to read.
const logDelay = 2 * time.Second

// newLogs returns the new log lines of all daemons with their numbers.
func (d daemons) newLogs(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(d.logs)) {
		lines := d.logs[name].newLines(t)
		for _, line := range slices.Sorted(maps.Keys(lines)) {
			fmt.Fprintf(&b, "%s: %d x %s\n", name, lines[line], line)
		}
	}
	return b.String()
}

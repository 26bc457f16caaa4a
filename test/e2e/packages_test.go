// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// copyIn copies a file into the system.
func (s systemRoot) copyIn(t *testing.T, path, as string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s.writeFile(t, as, f)
	return as
}

const (
	installedConfig = "/etc/portscan_exporter/config.yml"
	installedUnit   = "/usr/lib/systemd/system/portscan_exporter.service"
	dropInDir       = "/etc/systemd/system/portscan_exporter.service.d"
	auditFile       = "/var/log/portscan_exporter/audit.log"
	// ownTarget is a target that an operator adds to the installed configuration.
	ownTarget = `
  - name: mine
    hosts: [127.0.0.1]
    modules: [tcp_default]
    authorization: {owner: "the test"}
`
)

// testDeb installs, uses, upgrades and removes a package with dpkg in a system booted with systemd.
func testDeb(t *testing.T, dist, newer string) {
	t.Helper()
	needProgram(t, "dpkg")
	needProgram(t, "curl")
	r := newBootedRoot(t)
	r.run(t, "dpkg", "--install", r.copyIn(t, findOne(t, dist, "*.deb"), "/tmp/first.deb"))
	if got := r.run(t, "dpkg-query", "--show", "--showformat=${Status}", "portscan-exporter"); got != "install ok installed" {
		t.Errorf("package status = %q, want install ok installed", got)
	}
	r.run(t, "id", "portscan_exporter")
	r.run(t, "dpkg", "--verify", "portscan-exporter")
	checkUnits(t, r)
	if r.serviceActive(t) {
		t.Error("service is active before it was enabled")
	}
	testUnit(t, r)

	r.writeFile(t, installedConfig, strings.NewReader(r.run(t, "cat", installedConfig)+ownTarget))
	r.run(t, "dpkg", "--force-confdef", "--force-confold", "--install", r.copyIn(t, findOne(t, newer, "*.deb"), "/tmp/newer.deb"))
	r.checkContains(t, installedConfig, "name: mine")
	r.checkContains(t, installedConfig+".dpkg-dist", "# newer")
	m := parseMetrics(t, r.getBody(t, "/metrics"))
	if m.countByPrefix(`portscan_exporter_build_info{`) != 1 || m.sumByPrefix("portscan_exporter_config_targets") != 2 {
		t.Errorf("metrics after the upgrade: %v", m)
	}
	if got := r.getBody(t, "/metrics"); !strings.Contains(got, `version="99.0.0"`) {
		t.Error("the previous version is running after the upgrade")
	}

	r.run(t, "dpkg", "--remove", "portscan-exporter")
	if r.fileExists(t, "/usr/bin/portscan_exporter") || r.fileExists(t, installedUnit) || !r.fileExists(t, installedConfig) || r.serviceActive(t) {
		t.Error("a removed package must leave only its configuration")
	}
	r.run(t, "dpkg", "--purge", "portscan-exporter")
	if left := r.run(t, "sh", "-c", "find /etc /usr /var -xdev -path /var/lib/docker -prune -o -path '*portscan_exporter*' -newer /tmp/first.deb -print"); left != "" {
		t.Errorf("files left by a purged package: %s", left)
	}
}

// serviceActive reports whether the service or its socket is active.
func (s systemRoot) serviceActive(t *testing.T) bool {
	t.Helper()
	return s.command(t, "systemctl", "--quiet", "is-active", "portscan_exporter.service", "portscan_exporter.socket").Run() == nil
}

// getBody requests a path of the exporter in the system, which must respond with status 200.
func (s systemRoot) getBody(t *testing.T, path string) string {
	t.Helper()
	return s.run(t, "curl", "--silent", "--show-error", "--fail", "--max-time", "30", "http://127.0.0.1:10115"+path)
}

// testUnit runs the unit with systemd, also with the drop-in for half-open scans and with an audit
// file.
func testUnit(t *testing.T, r systemRoot) {
	t.Helper()
	r.writeFile(t, "/etc/default/portscan_exporter", strings.NewReader("OPTIONS=--audit.file="+auditFile+"\n"))
	r.run(t, "systemctl", "enable", "--quiet", "--now", "portscan_exporter.socket", "portscan_exporter.service")
	scan := func(capabilities string) {
		t.Helper()
		parseMetrics(t, r.getBody(t, "/probe?target=localhost")).wantValue(t, "probe_success", 1)
		status := r.run(t, "sh", "-c", "cat /proc/$(systemctl show --property=MainPID --value portscan_exporter)/status")
		for _, line := range append(capabilityLines(capabilities), "CapBnd:\t"+capabilities, "Seccomp:\t2") {
			if !strings.Contains(status, line+"\n") {
				t.Errorf("process status lacks %q:\n%s", line, status)
			}
		}
	}
	scan("0000000000000000")
	r.run(t, "systemctl", "restart", "portscan_exporter.service")
	r.getBody(t, "/-/healthy")
	r.checkContains(t, "/var/lib/portscan_exporter/state.json", "127.0.0.1")
	config := r.run(t, "cat", installedConfig)
	r.run(t, "install", "-D", "-m", "644", "/usr/share/doc/portscan-exporter/examples/syn.conf", dropInDir+"/syn.conf")
	r.writeFile(t, installedConfig, strings.NewReader(strings.Replace(config, "method: connect", "method: syn", 1)))
	r.run(t, "systemctl", "daemon-reload")
	r.run(t, "systemctl", "restart", "portscan_exporter.service")
	scan("0000000000002000")
	r.writeFile(t, installedConfig, strings.NewReader(config))
	r.run(t, "systemctl", "reload", "portscan_exporter.service")
	r.run(t, "rm", "-r", dropInDir)
	testLogRotation(t, r)
	// The socket stays open. The next request starts the service.
	r.run(t, "systemctl", "stop", "portscan_exporter.service")
	if got := r.run(t, "systemctl", "show", "--property=Result", "--value", "portscan_exporter.service"); got != "success\n" {
		t.Errorf("result of the stopped service = %s, want success", got)
	}
	r.getBody(t, "/-/healthy")
}

// testRPM installs, upgrades and removes a package with rpm, without systemd.
func testRPM(t *testing.T, dist, newer string) {
	t.Helper()
	needProgram(t, "rpm")
	r := newSystemRoot(t)
	rpm := func(args ...string) string {
		t.Helper()
		// The rpm database of this system is empty, so dependencies cannot be satisfied.
		return r.run(t, append([]string{"rpm", "--nodeps", "--force-debian"}, args...)...)
	}
	first := r.copyIn(t, findOne(t, dist, "*.rpm"), "/tmp/first.rpm")
	r.run(t, "rpm", "--checksig", "--nosignature", first)
	rpm("--install", first)
	r.run(t, "id", "portscan_exporter")
	configs := r.run(t, "rpm", "--query", "--configfiles", "portscan-exporter")
	if want := "/etc/default/portscan_exporter\n/etc/logrotate.d/portscan_exporter\n/etc/portscan_exporter/config.yml\n"; configs != want {
		t.Errorf("configuration files = %q, want %q", configs, want)
	}
	testInstalledCommand(t, r)
	r.writeFile(t, installedConfig, strings.NewReader(r.run(t, "cat", installedConfig)+ownTarget))
	rpm("--upgrade", r.copyIn(t, findOne(t, newer, "*.rpm"), "/tmp/newer.rpm"))
	r.checkContains(t, installedConfig, "name: mine")
	r.checkContains(t, installedConfig+".rpmnew", "# newer")
	if got := r.run(t, "portscan_exporter", "--version"); !strings.Contains(got, "version 99.0.0 ") {
		t.Errorf("version after the upgrade = %s, want 99.0.0", got)
	}
	rpm("--erase", "portscan-exporter")
	if r.fileExists(t, "/usr/bin/portscan_exporter") || r.fileExists(t, installedUnit) || !r.fileExists(t, installedConfig+".rpmsave") {
		t.Error("a removed package must leave only its changed configuration")
	}
}

// checkUnits verifies the installed units and their security scores, with and without the drop-in.
func checkUnits(t *testing.T, r systemRoot) {
	t.Helper()
	needProgram(t, "systemd-analyze")
	verify := func() {
		t.Helper()
		cmd := r.command(t, "systemd-analyze", "verify", "--man=no", "portscan_exporter.service", "portscan_exporter.socket")
		// The output may also be about other units of this system.
		if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "portscan_exporter") {
			t.Errorf("systemd-analyze verify: %v\n%s", err, out)
		}
	}
	verify()
	score := func(threshold string) string {
		t.Helper()
		out := r.run(t, "systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold="+threshold, "portscan_exporter.service")
		line := regexp.MustCompile(`Overall exposure level for portscan_exporter.service: (\S+)`).FindStringSubmatch(out)
		if line == nil {
			t.Fatalf("no exposure level: %s", out)
		}
		return line[1]
	}
	scores := []string{score("15")}
	r.run(t, "install", "-D", "-m", "644", "/usr/share/doc/portscan-exporter/examples/syn.conf", dropInDir+"/syn.conf")
	verify()
	scores = append(scores, score("20"))
	r.run(t, "rm", "-r", dropInDir)
	t.Logf("exposure levels without and with syn.conf: %v", scores)
}

// testInstalledCommand runs the command of the installed unit with its user and socket.
func testInstalledCommand(t *testing.T, r systemRoot) {
	t.Helper()
	start := regexp.MustCompile(`(?m)^ExecStart=(.+)$`).FindStringSubmatch(r.run(t, "cat", installedUnit))
	if start == nil {
		t.Fatal("unit has no ExecStart")
	}
	l := listenTCP(t)
	defer l.Close()
	socket, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	// With systemd, StateDirectory creates it.
	r.run(t, "install", "-d", "-o", "portscan_exporter", "-m", "700", "/var/lib/portscan_exporter")
	enter := r.enter[:len(r.enter)-1] // chroot takes the user before the root
	script := ". /etc/default/portscan_exporter; export LISTEN_FDS=1 LISTEN_PID=$$; exec " + start[1]
	cmd := exec.Command(enter[0], append(enter[1:len(enter):len(enter)],
		"--userspec=portscan_exporter:portscan_exporter", r.root, "/bin/sh", "-c", script)...)
	cmd.ExtraFiles = []*os.File{socket}
	e := &exporter{addr: l.Addr().String()}
	e.process = startCommand(t, cmd)
	e.awaitReady(t)
	e.probe(t, "target=localhost").wantValue(t, "probe_success", 1)
	e.stop(t)
	r.checkContains(t, "/var/lib/portscan_exporter/state.json", "127.0.0.1")
}

// testLogRotation rotates the audit file with logrotate.
func testLogRotation(t *testing.T, r systemRoot) {
	t.Helper()
	needProgram(t, "logrotate")
	r.checkContains(t, auditFile, `"target":"localhost"`)
	r.run(t, "logrotate", "--force", "--state=/tmp/logrotate", "/etc/logrotate.d/portscan_exporter")
	r.checkContains(t, auditFile+".1", `"target":"localhost"`)
	eventually(t, 20*time.Second, "the audit file is reopened", func() error {
		if !r.fileExists(t, auditFile) {
			return os.ErrNotExist
		}
		return nil
	})
	if got := r.run(t, "stat", "--format=%U %a", auditFile); got != "portscan_exporter 600\n" {
		t.Errorf("owner and mode of the audit file = %s, want portscan_exporter 600", got)
	}
}

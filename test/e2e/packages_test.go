package e2e

import (
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// fetch puts a file of the release into the system.
func (r systemRoot) fetch(t *testing.T, path, as string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r.put(t, as, f)
	return as
}

const (
	installedConfig = "/etc/portscan_exporter/config.yml"
	installedUnit   = "/usr/lib/systemd/system/portscan_exporter.service"
	auditFile       = "/var/log/portscan_exporter/audit.log"
	// ownTarget is what an owner adds to the installed configuration.
	ownTarget = `
  - name: mine
    hosts: [127.0.0.1]
    modules: [tcp_default]
    authorization: {owner: "the test"}
`
)

// testDeb installs a package with dpkg where systemd runs, uses it, upgrades it, and
// removes it.
func testDeb(t *testing.T, dist, newer string) {
	t.Helper()
	needProgram(t, "dpkg")
	needProgram(t, "curl")
	r := newBootedRoot(t)
	r.do(t, "dpkg", "--install", r.fetch(t, one(t, dist, "*.deb"), "/tmp/first.deb"))
	if got := r.do(t, "dpkg-query", "--show", "--showformat=${Status}", "portscan-exporter"); got != "install ok installed" {
		t.Errorf("dpkg says %q", got)
	}
	r.do(t, "id", "portscan_exporter")
	r.do(t, "dpkg", "--verify", "portscan-exporter")
	checkUnits(t, r)
	if r.active(t) {
		t.Error("the service was started before anybody said what may be scanned")
	}
	runUnit(t, r)

	r.put(t, installedConfig, strings.NewReader(r.do(t, "cat", installedConfig)+ownTarget))
	r.do(t, "dpkg", "--force-confdef", "--force-confold", "--install", r.fetch(t, one(t, newer, "*.deb"), "/tmp/newer.deb"))
	r.contains(t, installedConfig, "name: mine")
	r.contains(t, installedConfig+".dpkg-dist", "# newer")
	m := parse(t, r.ask(t, "/metrics"))
	if m.count(`portscan_exporter_build_info{`) != 1 || m.sum("portscan_exporter_config_targets") != 2 {
		t.Errorf("after the upgrade %v", m)
	}
	if got := r.ask(t, "/metrics"); !strings.Contains(got, `version="99.0.0"`) {
		t.Error("after the upgrade the version before still runs")
	}

	r.do(t, "dpkg", "--remove", "portscan-exporter")
	if r.has(t, "/usr/bin/portscan_exporter") || r.has(t, installedUnit) || !r.has(t, installedConfig) || r.active(t) {
		t.Error("a removed package has to leave its configuration, and nothing else")
	}
	r.do(t, "dpkg", "--purge", "portscan-exporter")
	if left := r.do(t, "sh", "-c", "find /etc /usr /var -xdev -path /var/lib/docker -prune -o -path '*portscan_exporter*' -newer /tmp/first.deb -print"); left != "" {
		t.Errorf("a purged package has left %s", left)
	}
}

// active tells whether the service or its socket is.
func (r systemRoot) active(t *testing.T) bool {
	t.Helper()
	return r.command(t, "systemctl", "--quiet", "is-active", "portscan_exporter.service", "portscan_exporter.socket").Run() == nil
}

// ask asks the exporter that runs in there, which must answer with a 200.
func (r systemRoot) ask(t *testing.T, path string) string {
	t.Helper()
	return r.do(t, "curl", "--silent", "--show-error", "--fail", "--max-time", "30", "http://127.0.0.1:10115"+path)
}

// runUnit has systemd run the unit, with all that it forbids; with the drop-in; and
// with an audit file, which is rotated.
func runUnit(t *testing.T, r systemRoot) {
	t.Helper()
	r.put(t, "/etc/default/portscan_exporter", strings.NewReader("OPTIONS=--audit.file="+auditFile+"\n"))
	r.do(t, "systemctl", "enable", "--quiet", "--now", "portscan_exporter.socket", "portscan_exporter.service")
	scan := func(capabilities string) {
		t.Helper()
		parse(t, r.ask(t, "/probe?target=localhost")).want(t, "probe_success", 1)
		status := r.do(t, "sh", "-c", "cat /proc/$(systemctl show --property=MainPID --value portscan_exporter)/status")
		for _, line := range []string{"CapEff:\t" + capabilities, "CapBnd:\t" + capabilities, "NoNewPrivs:\t1", "Seccomp:\t2"} {
			if !strings.Contains(status, line+"\n") {
				t.Errorf("it runs without %q:\n%s", line, status)
			}
		}
	}
	scan("0000000000000000")
	r.do(t, "systemctl", "restart", "portscan_exporter.service")
	r.ask(t, "/-/healthy")
	r.contains(t, "/var/lib/portscan_exporter/state.json", "127.0.0.1")
	config := r.do(t, "cat", installedConfig)
	r.do(t, "install", "-D", "-m", "644", "/usr/share/doc/portscan-exporter/examples/syn.conf", "/etc/systemd/system/portscan_exporter.service.d/syn.conf")
	r.put(t, installedConfig, strings.NewReader(strings.Replace(config, "method: connect", "method: syn", 1)))
	r.do(t, "systemctl", "daemon-reload")
	r.do(t, "systemctl", "restart", "portscan_exporter.service")
	scan("0000000000002000")
	r.put(t, installedConfig, strings.NewReader(config))
	r.do(t, "systemctl", "reload", "portscan_exporter.service")
	r.do(t, "rm", "-r", "/etc/systemd/system/portscan_exporter.service.d")
	rotate(t, r)
	// The socket stays open meanwhile: who comes then is not refused, and starts it.
	r.do(t, "systemctl", "stop", "portscan_exporter.service")
	if got := r.do(t, "systemctl", "show", "--property=Result", "--value", "portscan_exporter.service"); got != "success\n" {
		t.Errorf("it was stopped with %s", got)
	}
	r.ask(t, "/-/healthy")
}

// testRPM does the same with rpm, as far as that goes on this system.
func testRPM(t *testing.T, dist, newer string) {
	t.Helper()
	needProgram(t, "rpm")
	r := newSystemRoot(t)
	rpm := func(args ...string) string {
		t.Helper()
		// The system's packages are dpkg's: rpm knows of none of them, and would rather not.
		return r.do(t, append([]string{"rpm", "--nodeps", "--force-debian"}, args...)...)
	}
	first := r.fetch(t, one(t, dist, "*.rpm"), "/tmp/first.rpm")
	r.do(t, "rpm", "--checksig", "--nosignature", first)
	rpm("--install", first)
	r.do(t, "id", "portscan_exporter")
	configs := r.do(t, "rpm", "--query", "--configfiles", "portscan-exporter")
	if want := "/etc/default/portscan_exporter\n/etc/logrotate.d/portscan_exporter\n/etc/portscan_exporter/config.yml\n"; configs != want {
		t.Errorf("its configuration is %q, want %q", configs, want)
	}
	useInstalled(t, r)
	r.put(t, installedConfig, strings.NewReader(r.do(t, "cat", installedConfig)+ownTarget))
	rpm("--upgrade", r.fetch(t, one(t, newer, "*.rpm"), "/tmp/newer.rpm"))
	r.contains(t, installedConfig, "name: mine")
	r.contains(t, installedConfig+".rpmnew", "# newer")
	if got := r.do(t, "portscan_exporter", "--version"); !strings.Contains(got, "version 99.0.0 ") {
		t.Errorf("after the upgrade it is %s", got)
	}
	rpm("--erase", "portscan-exporter")
	if r.has(t, "/usr/bin/portscan_exporter") || r.has(t, installedUnit) || !r.has(t, installedConfig+".rpmsave") {
		t.Error("a removed package has to leave a changed configuration, and nothing else")
	}
}

// checkUnits has systemd look at the installed units, with and without the drop-in.
func checkUnits(t *testing.T, r systemRoot) {
	t.Helper()
	needProgram(t, "systemd-analyze")
	verify := func() {
		t.Helper()
		cmd := r.command(t, "systemd-analyze", "verify", "--man=no", "portscan_exporter.service", "portscan_exporter.socket")
		// It has a word to say about other units of this system, too.
		if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "portscan_exporter") {
			t.Errorf("systemd-analyze verify: %v\n%s", err, out)
		}
	}
	verify()
	score := func(threshold string) string {
		t.Helper()
		out := r.do(t, "systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold="+threshold, "portscan_exporter.service")
		line := regexp.MustCompile(`Overall exposure level for portscan_exporter.service: (\S+)`).FindStringSubmatch(out)
		if line == nil {
			t.Fatalf("no score: %s", out)
		}
		return line[1]
	}
	scores := []string{score("15")}
	r.do(t, "install", "-D", "-m", "644", "/usr/share/doc/portscan-exporter/examples/syn.conf", "/etc/systemd/system/portscan_exporter.service.d/syn.conf")
	verify()
	scores = append(scores, score("20"))
	r.do(t, "rm", "-r", "/etc/systemd/system/portscan_exporter.service.d")
	t.Logf("systemd's scores without and with syn.conf: %v", scores)
}

// useInstalled runs what the installed unit would, as its user and with its socket.
func useInstalled(t *testing.T, r systemRoot) {
	t.Helper()
	start := regexp.MustCompile(`(?m)^ExecStart=(.+)$`).FindStringSubmatch(r.do(t, "cat", installedUnit))
	if start == nil {
		t.Fatal("the unit starts nothing")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	// systemd makes it: StateDirectory.
	r.do(t, "install", "-d", "-o", "portscan_exporter", "-m", "700", "/var/lib/portscan_exporter")
	enter := r.enter[:len(r.enter)-1] // chroot takes the user before the root
	script := ". /etc/default/portscan_exporter; export LISTEN_FDS=1 LISTEN_PID=$$; exec " + start[1]
	cmd := exec.CommandContext(t.Context(), enter[0], append(enter[1:len(enter):len(enter)],
		"--userspec=portscan_exporter:portscan_exporter", r.root, "/bin/sh", "-c", script)...)
	cmd.Cancel = func() error { return nil } // the test's end ends it, as every program
	cmd.ExtraFiles = []*os.File{socket}
	e := &exporter{addr: l.Addr().String()}
	e.process = launch(t, cmd)
	e.awaitReady(t)
	e.probe(t, "target=localhost").want(t, "probe_success", 1)
	e.stop(t)
	r.contains(t, "/var/lib/portscan_exporter/state.json", "127.0.0.1")
}

// rotate has logrotate move the audit file away, and the exporter begin another one.
func rotate(t *testing.T, r systemRoot) {
	t.Helper()
	needProgram(t, "logrotate")
	r.contains(t, auditFile, `"target":"localhost"`)
	r.do(t, "logrotate", "--force", "--state=/tmp/logrotate", "/etc/logrotate.d/portscan_exporter")
	r.contains(t, auditFile+".1", `"target":"localhost"`)
	eventually(t, 20*time.Second, "a new audit file is there", func() error {
		if !r.has(t, auditFile) {
			return os.ErrNotExist
		}
		return nil
	})
	if got := r.do(t, "stat", "--format=%U %a", auditFile); got != "portscan_exporter 600\n" {
		t.Errorf("the new audit file is %s", got)
	}
}

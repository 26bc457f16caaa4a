package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const composeDir = repository + "/deploy/compose"

// composeCommand returns a command of Compose, of whichever generation is there.
func composeCommand(t *testing.T, project string, env []string, args ...string) *exec.Cmd {
	t.Helper()
	program, all := needProgram(t, "docker"), []string{"compose"}
	if exec.Command(program, "compose", "version").Run() != nil {
		program, all = needProgram(t, "docker-compose"), nil
	}
	all = append(all, "--file="+filepath.Join(composeDir, "compose.yaml"), "--project-name="+project)
	cmd := exec.Command(program, append(all, args...)...)
	cmd.Env = append(os.Environ(), env...)
	return cmd
}

// composeMounts returns the files that the services see: where they lie here, by where they
// are there. One that is not here fails the test.
func composeMounts(t *testing.T) map[string]string {
	t.Helper()
	text := readFile(t, filepath.Join(composeDir, "compose.yaml"))
	files := make(map[string]string)
	for _, m := range regexp.MustCompile(`(?m)^\s+- (\.\.?/\S+):(/\S+):ro$`).FindAllStringSubmatch(text, -1) {
		from := filepath.Join(composeDir, m[1])
		if _, err := os.Stat(from); err != nil {
			t.Error(err)
		}
		files[m[2]] = from
	}
	return files
}

// TestComposeFilesValid has each program that can be had here check what Compose would hand
// to it.
func TestComposeFilesValid(t *testing.T) {
	t.Parallel()
	runCommand(t, composeCommand(t, "check", nil, "config", "--quiet"))
	files := composeMounts(t)

	// As Prometheus finds them: side by side.
	dir := t.TempDir()
	for there, here := range files {
		if path.Dir(there) == "/etc/prometheus" {
			copyFile(t, here, filepath.Join(dir, path.Base(there)))
		}
	}
	out := runIn(t, dir, needProgram(t, "promtool"), "check", "config", "prometheus.yml")
	if !strings.Contains(out, "is valid prometheus config file syntax") {
		t.Errorf("promtool says %s", out)
	}
	if !strings.Contains(out, "rules found") {
		t.Errorf("promtool has found no rules: %s", out)
	}
	runIn(t, ".", needProgram(t, "amtool"), "check-config", files["/etc/alertmanager/alertmanager.yml"])
	o := runExporter(t, "--config.check", "--config.file="+files["/etc/portscan_exporter/config.yml"])
	o.wantStatus(t, 0)
}

// TestShippedConfigurationsValid checks every configuration that something is deployed with.
func TestShippedConfigurationsValid(t *testing.T) {
	t.Parallel()
	var n int
	for _, pattern := range []string{repository + "/deploy/*/config.yml", repository + "/deploy/*/*/config.yml", repository + "/deploy/*/*/*/config.yml", repository + "/deploy/*/*/*/*/config.yml"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range found {
			n++
			o := runExporter(t, "--config.check", "--config.file="+file)
			o.wantStatus(t, 0)
		}
	}
	if n < 5 {
		t.Errorf("%d were found", n)
	}
}

// testCompose runs what can be run of it without a registry: the exporter and what it
// scans.
func testCompose(t *testing.T, image string) {
	t.Helper()
	project := fmt.Sprintf("portscan_exporter_test_%d", time.Now().UnixNano())
	port := freePort(t)
	env := []string{"PORTSCAN_IMAGE=" + image, fmt.Sprintf("PORTSCAN_PORT=%d", port)}
	t.Cleanup(func() {
		cmd := composeCommand(t, project, env, "down", "--volumes", "--timeout=5")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", cmd.Args, err, out)
		}
	})
	runCommand(t, composeCommand(t, project, env, "up", "--detach", "--no-build", "exporter", "demo-web", "demo-db"))
	e := &exporter{url: fmt.Sprintf("http://127.0.0.1:%d", port)}
	eventually(t, time.Minute, "the exporter is ready", func() error { return checkStatus(e.url+"/-/ready", 200) })
	for target, want := range map[string]struct{ open, unexpected float64 }{"demo-web": {2, 0}, "demo-db": {2, 1}} {
		m := e.probe(t, "target="+target)
		m.wantValue(t, "probe_success", 1)
		if open := m.sumByPrefix(`portscan_port_open{`); open != want.open {
			t.Errorf("%s has %v ports open, want %v", target, open, want.open)
		}
		if unexpected := m.sumByPrefix(`portscan_ports_violating{expected="closed"`); unexpected != want.unexpected {
			t.Errorf("%s has %v ports open that should not be, want %v", target, unexpected, want.unexpected)
		}
	}
}

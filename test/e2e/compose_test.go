// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const composeDir = repository + "/deploy/compose"

// composeCommand returns a Compose command, either as a plugin of docker or as docker-compose.
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

// composeMounts returns the mounted directories: the path on this machine by the path in the
// container. A missing directory or a file fails the test.
func composeMounts(t *testing.T) map[string]string {
	t.Helper()
	text := readFile(t, filepath.Join(composeDir, "compose.yaml"))
	dirs := make(map[string]string)
	for _, m := range regexp.MustCompile(`(?m)^\s+- (\.\.?/\S+):(/\S+):ro$`).FindAllStringSubmatch(text, -1) {
		from := filepath.Join(composeDir, m[1])
		if info, err := os.Stat(from); err != nil || !info.IsDir() {
			t.Errorf("%s is not a directory: %v", from, err)
		}
		dirs[m[2]] = from
	}
	return dirs
}

// TestComposeFilesValid checks each mounted configuration with the program that reads it.
func TestComposeFilesValid(t *testing.T) {
	t.Parallel()
	runCommand(t, composeCommand(t, "check", nil, "config", "--quiet"))
	dirs := composeMounts(t)

	// promtool looks for the rules at their path on this machine.
	dir := t.TempDir()
	text := readFile(t, filepath.Join(dirs["/etc/prometheus"], "prometheus.yml"))
	const rules = "/etc/prometheus-rules"
	rulesDir, err := filepath.Abs(dirs[rules])
	if err != nil {
		t.Fatal(err)
	}
	replaceFile(t, filepath.Join(dir, "prometheus.yml"), strings.ReplaceAll(text, rules, rulesDir))
	out := runIn(t, dir, needProgram(t, "promtool"), "check", "config", "prometheus.yml")
	if !strings.Contains(out, "is valid prometheus config file syntax") {
		t.Errorf("promtool check config = %s, want valid syntax", out)
	}
	if !strings.Contains(out, "rules found") {
		t.Errorf("promtool check config = %s, want rules", out)
	}
	runIn(t, ".", needProgram(t, "amtool"), "check-config", filepath.Join(dirs["/etc/alertmanager"], "alertmanager.yml"))
	o := runExporter(t, "--config.check", "--config.file="+filepath.Join(dirs["/etc/portscan_exporter"], "config.yml"))
	o.wantStatus(t, 0)
}

// TestShippedConfigurationsValid checks each configuration in deploy.
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
		t.Errorf("got %d configurations, want at least 5", n)
	}
}

// testCompose runs the services that need no registry: the exporter and its targets.
func testCompose(t *testing.T, engine containerEngine, image string) {
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
		id, err := composeCommand(t, project, env, "ps", "--quiet", target).Output()
		if err != nil {
			t.Fatal(err)
		}
		c := container{engine, strings.TrimSpace(string(id))}
		eventually(t, time.Minute, target+" is healthy", func() error { return c.checkHealth(t, "healthy", "Healthy") })
		m := e.probe(t, "target="+target)
		m.wantValue(t, "probe_success", 1)
		if open := m.sumByPrefix(`portscan_port_open{`); open != want.open {
			t.Errorf("%s: got %v open ports, want %v", target, open, want.open)
		}
		if unexpected := m.sumByPrefix(`portscan_ports_violating{expected="closed"`); unexpected != want.unexpected {
			t.Errorf("%s: got %v unexpected open ports, want %v", target, unexpected, want.unexpected)
		}
	}
}

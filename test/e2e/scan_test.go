// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestScanJSON decodes the output by the keys that docs/cli.md documents.
func TestScanJSON(t *testing.T) {
	t.Parallel()
	s := newTestPorts(t)
	listenLocal(t, s.listening)
	config := scanConfig(t, s, fmt.Sprintf(`{open: "%d,%d"}`, s.listening, s.free))
	o := runExporter(t, "--config.file="+config, "scan", "own", "--output=json")
	o.wantStatus(t, 1)
	if o.stderr != "" {
		t.Errorf("stderr = %q, want none", o.stderr)
	}
	var got struct {
		Version   int
		Complete  bool
		Violating int
		Addresses []struct {
			Address string
			Ports   []struct {
				Port            int
				State, Expected string
				Violating       bool
				ResponseSeconds *float64 `json:"response_seconds"`
			}
		}
	}
	if err := json.Unmarshal([]byte(o.stdout), &got); err != nil {
		t.Fatalf("%v in:\n%s", err, o.stdout)
	}
	if got.Version != 1 || !got.Complete || got.Violating != 1 || len(got.Addresses) != 1 || len(got.Addresses[0].Ports) != 2 {
		t.Fatalf("document = %+v", got)
	}
	for _, p := range got.Addresses[0].Ports {
		open := p.Port == s.listening
		if (p.State == "open") != open || p.Violating == open || p.Expected != "open" || p.ResponseSeconds == nil || *p.ResponseSeconds <= 0 {
			t.Errorf("port = %+v", p)
		}
	}
}

// TestScanMatchesProbe compares the series and help texts of both, but not the values.
func TestScanMatchesProbe(t *testing.T) {
	t.Parallel()
	s := newTestPorts(t)
	listenLocal(t, s.listening)
	e := startExporter(t, s.config())
	scanned := runExporter(t, "--config.file="+e.config, "scan", "own", "--output=prometheus")
	scanned.wantStatus(t, 1)
	if probed := getBody(t, e.url+"/probe?target=own"); stripValues(probed) != stripValues(scanned.stdout) {
		t.Errorf("/probe:\n%s\nscan:\n%s", stripValues(probed), stripValues(scanned.stdout))
	}
}

// stripValues removes the values from an exposition.
func stripValues(exposition string) string {
	return regexp.MustCompile(`(?m)^([^#].*) \S+$`).ReplaceAllString(exposition, "$1")
}

// TestTextfileCollector writes files for several targets and modules and for an address, which
// node_exporter must accept together.
func TestTextfileCollector(t *testing.T) {
	t.Parallel()
	path := needProgram(t, "prometheus-node-exporter")
	s := newTestPorts(t)
	listenLocal(t, s.listening)
	targets, labels, _ := strings.Cut(s.config(), "external_labels")
	config := writeFile(t, "config.yml", targets+fmt.Sprintf(`  - name: other
    hosts: [127.0.0.1, 127.0.0.2]
    modules: [quick]
    authorization: {owner: "another", expires: 2999-01-01}
    expect: {tcp: {open: "%d"}}
  - {name: asked, networks: [127.0.0.0/8], modules: [quick], authorization: {owner: "another"}}
external_labels%s`, s.free, labels))
	dir := t.TempDir()
	for _, target := range []string{"own", "other"} {
		runTextfileScript(t, config, dir, target, 1) // violating
	}
	for file, args := range map[string][]string{"own_paced": {"own", "--module=paced"}, "address": {"127.0.0.9"}} {
		o := runExporter(t, append([]string{"--config.file=" + config, "scan", "--output=textfile"}, args...)...)
		if o.status > 1 {
			t.Errorf("%v: exit status = %d, want at most 1: %s", args, o.status, o.stderr)
		}
		replaceFile(t, filepath.Join(dir, file+".prom"), o.stdout)
	}
	runTextfileScript(t, config, dir, "unknown", 2) // refused
	if files, _ := filepath.Glob(dir + "/*"); len(files) != 4 {
		t.Errorf("files = %v, want 4", files)
	}
	addr := freeAddress(t)
	node := startKilledProcess(t, path, "--collector.disable-defaults", "--collector.textfile", "--collector.textfile.directory="+dir, "--web.listen-address="+addr)
	url := "http://" + addr + "/metrics"
	eventually(t, 30*time.Second, "node_exporter is ready", func() error { return checkStatus(url, 200) })
	m := parseMetrics(t, getBody(t, url))
	m.wantValue(t, "node_textfile_scrape_error", 0)
	if n := m.countByPrefix("node_textfile_mtime_seconds{"); n != 4 {
		t.Errorf("node_exporter has read %d files, want 4", n)
	}
	for series, want := range map[string]float64{
		`probe_success{module="quick",target="own"}`:                                                                                            1,
		`probe_success{module="paced",target="own"}`:                                                                                            1,
		`probe_success{module="quick",target="127.0.0.9"}`:                                                                                      1,
		`portscan_target_info{module="quick",owner="the test",reference="T-1",target="own"}`:                                                    1,
		`portscan_target_info{module="quick",owner="another",reference="",target="127.0.0.9"}`:                                                  1,
		fmt.Sprintf(`portscan_port_open{expected="open",ip="127.0.0.1",module="quick",port="%d",protocol="tcp",target="own"}`, s.listening):     1,
		fmt.Sprintf(`portscan_port_open{expected="open",ip="127.0.0.2",module="quick",port="%d",protocol="tcp",target="other"}`, s.free):        0,
		fmt.Sprintf(`portscan_port_open{expected="closed",ip="127.0.0.1",module="quick",port="%d",protocol="tcp",target="other"}`, s.listening): 1,
	} {
		m.wantValue(t, series, want)
	}
	if out := node.output.String(); strings.Contains(out, "level=error") || strings.Contains(out, "inconsistent") || strings.Contains(out, "collected before") {
		t.Errorf("node_exporter logged errors:\n%s", out)
	}
}

// runTextfileScript runs the script in docs/cli.md and checks its exit status.
func runTextfileScript(t *testing.T, config, dir, target string, want int) {
	t.Helper()
	_, script, ok := strings.Cut(readFile(t, repository+"/docs/cli.md"), "```sh\n#!/bin/sh\n")
	script, _, _ = strings.Cut(script, "```")
	const file, folder = "config=/etc/portscan_exporter/config.yml\n", "dir=/var/lib/prometheus/node-exporter\n"
	if !ok || !strings.Contains(script, file) || !strings.Contains(script, folder) {
		t.Fatal("docs/cli.md does not contain the script")
	}
	script = strings.NewReplacer(file, "config="+config+"\n", folder, "dir="+dir+"\n").Replace(script)
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script, "sh", target)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(binary(t))+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if status := cmd.ProcessState.ExitCode(); status != want {
		t.Errorf("%s: %v, want exit status %d\n%s", target, err, want, out)
	}
}

// startKilledProcess is [startProcess] for a program that does not exit with status 0 on SIGTERM.
func startKilledProcess(t *testing.T, path string, args ...string) *process {
	t.Helper()
	p := watchCommand(t, exec.Command(path, args...))
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
	})
	return p
}

// minuteConfig has a scan of one minute. The listening port is scanned first, because it is
// expected to be open.
func minuteConfig(t *testing.T, s testPorts) string {
	t.Helper()
	return writeFile(t, "slow.yml", fmt.Sprintf(`modules:
  slow: {ports: 30000-30999, rate: 20, timeout: 10m}
targets:
  - name: own
    hosts: [127.0.0.1]
    modules: [slow]
    authorization: {owner: "the test"}
    expect: {tcp: {open: "%d"}}
`, s.listening))
}

// listenAndWait opens the declared port, and returns a function that waits until a scan that has
// been started has found it. Declared ports are tried first, and their services see no connection.
func listenAndWait(t *testing.T, port int) (wait func()) {
	t.Helper()
	l, err := net.Listen("tcp", localAddress(port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return func() { time.Sleep(3 * time.Second) }
}

// TestScanInterrupted interrupts scans whose output is a pipe.
func TestScanInterrupted(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{
		"table":      "scan incomplete (canceled): interrupted",
		"json":       `"complete":false,"violating":0,"failures":[{"reason":"canceled","message":"interrupted"}]`,
		"prometheus": `portscan_scan_failed{reason="canceled"} 1`,
		"textfile":   `portscan_scan_failed{module="slow",reason="canceled",target="own"} 1`,
	} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			s := newTestPorts(t)
			wait := listenAndWait(t, s.listening)
			var stdout, stderr safeBuffer
			cmd := exec.CommandContext(t.Context(), binary(t), "--config.file="+minuteConfig(t, s), "scan", "own", "--output="+format)
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			wait()
			_ = cmd.Process.Signal(os.Interrupt)
			_ = cmd.Wait() // the status is checked below
			out, errors := stdout.String(), stderr.String()
			if status := cmd.ProcessState.ExitCode(); status != 2 {
				t.Errorf("exit status = %d, want 2", status)
			}
			if !strings.Contains(out, want) || !strings.Contains(out, strconv.Itoa(s.listening)) {
				t.Errorf("%q or port %d is missing in:\n%s", want, s.listening, truncate(out))
			}
			if strings.Contains(errors, "(canceled): interrupted") != (format != "table") {
				t.Errorf("stderr = %q", errors)
			}
			if strings.ContainsAny(out+errors, "\x1b\r") {
				t.Errorf("terminal sequences in a pipe:\n%q\n%q", truncate(out), errors)
			}
		})
	}
}

func truncate(text string) string { return text[:min(len(text), 2000)] }

// TestShellCompletion presses Tab in a shell in a terminal. A second Tab lists the candidates.
func TestShellCompletion(t *testing.T) {
	t.Parallel()
	s := newTestPorts(t)
	config := writeFile(t, "config.yml", s.config())
	tm := newTerminal(t, 200, 50, "TERM=screen", "PATH="+filepath.Dir(binary(t))+":"+os.Getenv("PATH"))
	tm.typeLine(t, `eval "$(portscan_exporter --completion-script-bash)"; cd `+filepath.Dir(config))
	for _, tc := range []struct{ typed, want string }{
		{"portscan_exporter ", `^healthcheck +help +scan +serve *$`},
		{"portscan_exporter sc", `^\$ portscan_exporter scan$`},
		{"portscan_exporter --log.level=warn se", `^\$ portscan_exporter --log.level=warn serve$`},
		{"portscan_exporter scan ", `^\$ portscan_exporter scan own`},
		{"portscan_exporter --config.file=config.yml scan o", `^\$ portscan_exporter --config.file=config.yml scan own`},
		{"portscan_exporter scan own --module ", `^paced +quick *$`},
		{"portscan_exporter scan own --module=q", `^\$ portscan_exporter scan own --module=quick`},
		{"portscan_exporter scan own --output ", `^json +prometheus +table +textfile *$`},
		{"portscan_exporter scan own --al", `^\$ portscan_exporter scan own --all`},
	} {
		tm.run(t, "send-keys", "C-u", "C-l")
		tm.run(t, "send-keys", "-l", tc.typed)
		tm.run(t, "send-keys", "Tab")
		if !strings.Contains(tc.want, "portscan_exporter") { // several candidates
			tm.run(t, "send-keys", "Tab")
		}
		tm.awaitLine(t, tc.want)
	}
}

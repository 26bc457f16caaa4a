// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// commandResult is the exit status and the output of a command.
type commandResult struct {
	status         int
	stdout, stderr string
}

// runExporter runs the exporter until it exits.
func runExporter(t *testing.T, args ...string) commandResult {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), binary(t), args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return commandResult{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func (r commandResult) wantStatus(t *testing.T, status int) {
	t.Helper()
	if r.status != status {
		t.Errorf("exit status = %d, want %d\nstdout: %s\nstderr: %s", r.status, status, r.stdout, r.stderr)
	}
}

func (r commandResult) wantOutput(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(r.stdout+r.stderr, text) {
			t.Errorf("output lacks %q\nstdout: %s\nstderr: %s", text, r.stdout, r.stderr)
		}
	}
}

func TestConfigCheck(t *testing.T) {
	t.Parallel()
	good := runExporter(t, "--config.check", "--config.file="+repository+"/config.yml")
	good.wantStatus(t, 0)
	good.wantOutput(t, "is valid")

	bad := writeFile(t, "bad.yml", `modules:
  one:
    ports: "70000"
    timeout: 0s
    color: blue
targets:
  - name: own
    hosts: [127.0.0.1]
    modules: [one]
    authorization: {owner: "the test"}
`)
	check := runExporter(t, "--config.check", "--config.file="+bad)
	check.wantStatus(t, 1)
	lines := strings.Split(strings.TrimSpace(check.stderr), "\n")
	if len(lines) != 3 || check.stdout != "" {
		t.Fatalf("want 3 lines on stderr and none on stdout\nstdout: %s\nstderr: %s", check.stdout, check.stderr)
	}
	for i, line := range lines {
		if want := fmt.Sprintf("error: %s:%d: modules.one.", bad, i+3); !strings.HasPrefix(line, want) {
			t.Errorf("line %d = %q, want prefix %q", i+1, line, want)
		}
	}
	runExporter(t, "--config.check", "--config.file="+bad+".missing").wantStatus(t, 1)

	serving := runExporter(t, "--config.file="+bad, "--web.listen-address=127.0.0.1:0")
	serving.wantStatus(t, 1)
	serving.wantOutput(t, bad+":3: ", bad+":4: ", bad+":5: ")
}

// scanConfig has one target with the expectation for TCP, and one with an expired authorization.
func scanConfig(t *testing.T, s testPorts, expect string) string {
	t.Helper()
	return writeFile(t, "scan.yml", fmt.Sprintf(`modules:
  quick: {ports: [%d, %d]}
targets:
  - name: own
    hosts: [127.0.0.1]
    modules: [quick]
    authorization: {owner: "the test"}
    expect:
      tcp: %s
  - name: expired
    hosts: [127.0.0.1]
    modules: [quick]
    authorization: {owner: "the test", expires: 2020-01-31}
`, s.listening, s.free, expect))
}

func TestScanCommand(t *testing.T) {
	t.Parallel()
	s := newTestPorts(t)
	listenLocal(t, s.listening)
	asExpected := scanConfig(t, s, fmt.Sprintf(`{open: "%d"}`, s.listening))

	good := runExporter(t, "--config.file="+asExpected, "scan", "own")
	good.wantStatus(t, 0)
	good.wantOutput(t, "ADDRESS", "not shown on 127.0.0.1: 1 closed")
	checkRow(t, good, s.listening, "127.0.0.1", "tcp", "OPEN", "open")
	all := runExporter(t, "--config.file="+asExpected, "scan", "own", "--all")
	all.wantStatus(t, 0)
	checkRow(t, all, s.free, "127.0.0.1", "tcp", "CLOSED", "closed")

	unexpected := runExporter(t, "--config.file="+scanConfig(t, s, "{}"), "scan", "own")
	unexpected.wantStatus(t, 1)
	checkRow(t, unexpected, s.listening, "127.0.0.1", "tcp", "OPEN", "closed")
	missing := runExporter(t, "--config.file="+scanConfig(t, s, fmt.Sprintf(`{open: "%d,%d"}`, s.listening, s.free)), "scan", "own")
	missing.wantStatus(t, 1)
	checkRow(t, missing, s.free, "127.0.0.1", "tcp", "CLOSED", "open")

	for name, args := range map[string][]string{
		"is not configured":                    {"scan", "unknown"},
		"module \"another\" is not configured": {"scan", "own", "--module=another"},
		"authorization":                        {"scan", "expired"},
		"--ports":                              {"scan", "own", "--ports=0"},
		"target":                               {"scan"},
		"192.0.2.1":                            {"scan", "192.0.2.1"},
		"unknown long flag":                    {"scan", "own", "--no-such-flag"},
		"unexpected another":                   {"scan", "own", "another"},
	} {
		refused := runExporter(t, append([]string{"--config.file=" + asExpected}, args...)...)
		refused.wantStatus(t, 2)
		refused.wantOutput(t, name)
	}
	absent := runExporter(t, "--config.file="+asExpected+".missing", "scan", "own")
	absent.wantStatus(t, 2)
	absent.wantOutput(t, asExpected+".missing: cannot read file")
}

// checkRow fails the test unless the table has a row that begins with these columns.
func checkRow(t *testing.T, o commandResult, port int, address, protocol, state, expected string) {
	t.Helper()
	want := fmt.Sprintf("%s %d %s %s %s ", address, port, protocol, state, expected)
	for line := range strings.Lines(o.stdout) {
		if strings.HasPrefix(strings.Join(strings.Fields(line), " "), want) {
			return
		}
	}
	t.Errorf("no row %q in:\n%s", want, o.stdout)
}

func TestCommandLineFlags(t *testing.T) {
	t.Parallel()
	version := runExporter(t, "--version")
	version.wantStatus(t, 0)
	version.wantOutput(t, "portscan_exporter, version ")
	help := runExporter(t, "--help")
	help.wantStatus(t, 0)
	help.wantOutput(t, "--config.file", "--web.listen-address", "healthcheck")
	for _, args := range [][]string{{"--no-such-flag"}, {"no-such-command"}, {"--log.level=loud"}, {"--timeout-offset=soon"}} {
		o := runExporter(t, args...)
		o.wantStatus(t, 2)
		o.wantOutput(t, "try --help")
	}
}

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// outcome is how a command went.
type outcome struct {
	status         int
	stdout, stderr string
}

// command runs the program to its end.
func command(t *testing.T, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), binary(t), args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func (o outcome) want(t *testing.T, status int) {
	t.Helper()
	if o.status != status {
		t.Errorf("status %d, want %d\nstdout: %s\nstderr: %s", o.status, status, o.stdout, o.stderr)
	}
}

func (o outcome) wantText(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(o.stdout+o.stderr, text) {
			t.Errorf("%q is not in the output\nstdout: %s\nstderr: %s", text, o.stdout, o.stderr)
		}
	}
}

func TestConfigCheck(t *testing.T) {
	t.Parallel()
	good := command(t, "--config.check", "--config.file="+repository+"/config.yml")
	good.want(t, 0)
	good.wantText(t, "is usable")

	bad := write(t, "bad.yml", `modules:
  one:
    ports: "70000"
    timeout: 0s
    colour: blue
targets:
  - name: own
    hosts: [127.0.0.1]
    modules: [one]
    authorization: {owner: "the test"}
`)
	check := command(t, "--config.check", "--config.file="+bad)
	check.want(t, 1)
	lines := strings.Split(strings.TrimSpace(check.stderr), "\n")
	if len(lines) != 3 || check.stdout != "" {
		t.Fatalf("want three lines on stderr and none on stdout\nstdout: %s\nstderr: %s", check.stdout, check.stderr)
	}
	for i, line := range lines {
		if want := fmt.Sprintf("error: %s:%d: modules.one.", bad, i+3); !strings.HasPrefix(line, want) {
			t.Errorf("line %d is %q, want it to begin with %q", i+1, line, want)
		}
	}
	command(t, "--config.check", "--config.file="+bad+".missing").want(t, 1)

	serving := command(t, "--config.file="+bad, "--web.listen-address=127.0.0.1:0")
	serving.want(t, 1)
	serving.wantText(t, bad+":3: ", bad+":4: ", bad+":5: ")
}

// scanConfig has one target; expect is what may stand under its key tcp.
func scanConfig(t *testing.T, s scene, expect string) string {
	t.Helper()
	return write(t, "scan.yml", fmt.Sprintf(`modules:
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
	s := newScene(t)
	listen(t, s.listening)
	asExpected := scanConfig(t, s, fmt.Sprintf(`{open: "%d"}`, s.listening))

	good := command(t, "--config.file="+asExpected, "scan", "own")
	good.want(t, 0)
	good.wantText(t, "ADDRESS", "not shown of 127.0.0.1: 1 closed")
	wantRow(t, good, s.listening, "127.0.0.1", "tcp", "OPEN", "open")
	all := command(t, "--config.file="+asExpected, "scan", "own", "--all")
	all.want(t, 0)
	wantRow(t, all, s.free, "127.0.0.1", "tcp", "CLOSED", "closed")

	unexpected := command(t, "--config.file="+scanConfig(t, s, "{}"), "scan", "own")
	unexpected.want(t, 1)
	wantRow(t, unexpected, s.listening, "127.0.0.1", "tcp", "OPEN", "closed")
	missing := command(t, "--config.file="+scanConfig(t, s, fmt.Sprintf(`{open: "%d,%d"}`, s.listening, s.free)), "scan", "own")
	missing.want(t, 1)
	wantRow(t, missing, s.free, "127.0.0.1", "tcp", "CLOSED", "open")

	for name, args := range map[string][]string{
		"is not configured":                    {"scan", "nobody"},
		"module \"another\" is not configured": {"scan", "own", "--module=another"},
		"authorization":                        {"scan", "expired"},
		"--ports":                              {"scan", "own", "--ports=0"},
		"target":                               {"scan"},
		"192.0.2.1":                            {"scan", "192.0.2.1"},
		"unknown long flag":                    {"scan", "own", "--no-such-flag"},
		"unexpected another":                   {"scan", "own", "another"},
	} {
		refused := command(t, append([]string{"--config.file=" + asExpected}, args...)...)
		refused.want(t, 2)
		refused.wantText(t, name)
	}
	absent := command(t, "--config.file="+asExpected+".missing", "scan", "own")
	absent.want(t, 2)
	absent.wantText(t, asExpected+".missing: the file can't be read")
}

// wantRow looks for the row of a port in the table; the columns are those around
// the port.
func wantRow(t *testing.T, o outcome, port int, address, protocol, state, expected string) {
	t.Helper()
	want := fmt.Sprintf("%s %d %s %s %s ", address, port, protocol, state, expected)
	for line := range strings.Lines(o.stdout) {
		if strings.HasPrefix(strings.Join(strings.Fields(line), " "), want) {
			return
		}
	}
	t.Errorf("no row %q in\n%s", want, o.stdout)
}

func TestHealthcheck(t *testing.T) {
	t.Parallel()
	e := serve(t, targetsConfig("own"))
	command(t, "healthcheck", "--url="+e.url+"/-/healthy").want(t, 0)
	command(t, "healthcheck", "--url="+e.url+"/no-such-path").want(t, 1)
	command(t, "healthcheck", fmt.Sprintf("--url=http://127.0.0.1:%d/-/healthy", freePort(t))).want(t, 1)
	command(t, "healthcheck", "--url=::").want(t, 1)
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	version := command(t, "--version")
	version.want(t, 0)
	version.wantText(t, "portscan_exporter, version ")
	help := command(t, "--help")
	help.want(t, 0)
	help.wantText(t, "--config.file", "--web.listen-address", "healthcheck")
	for _, args := range [][]string{{"--no-such-flag"}, {"no-such-command"}, {"--log.level=loud"}, {"--timeout-offset=soon"}} {
		o := command(t, args...)
		o.want(t, 2)
		o.wantText(t, "try --help")
	}
}

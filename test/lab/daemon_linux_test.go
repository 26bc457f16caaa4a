// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package lab_test

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// unpackedDaemons is the folder of the packages that scripts/install-test-deps unpacks.
const unpackedDaemons = "../../.build/daemons"

// startTimeout is the maximum time until a daemon accepts connections.
const startTimeout = time.Minute

// enter returns the arguments of sh that run a script of testdata as if the daemons' packages
// were installed, see testdata/enter.sh.
func enter(t *testing.T, script string, args ...string) []string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(unpackedDaemons, "complete")); err != nil {
		testnet.Skip(t, "daemons are not unpacked: run make test-deps")
	}
	testnet.NeedProgram(t, "unshare", "setpriv", "ss")
	unpacked, err := filepath.Abs(unpackedDaemons)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat([]string{"testdata/enter.sh", t.TempDir(), unpacked, script}, args)
}

// serve starts the daemon of a script of testdata on the target, and waits until it listens on
// the port; 0: it does not listen.
func (ta *target) serve(t *testing.T, port uint16, script string, args ...string) {
	t.Helper()
	// The processes of a PID namespace end with the first of them. unshare ignores SIGTERM.
	const run = `setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child sh "$@" &
trap "kill -KILL $!" TERM
wait $!`
	ta.Serve(t, "sh", slices.Concat([]string{"-c", run, "sh"}, enter(t, "testdata/"+script, args...))...)
	if port != 0 {
		listens := regexp.MustCompile(fmt.Sprintf(`:%d\s`, port))
		waitUntil(t, script+" listens", func() bool { return listens.MatchString(ta.Exec(t, "ss", "-Hltn")) })
	}
}

// waitUntil waits until the condition is true.
func waitUntil(t *testing.T, name string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(startTimeout); !condition(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waiting until %s: not within %v", name, startTimeout)
		}
	}
}

// client runs a command of the daemons' packages in the scanner's namespace and returns its
// output.
func client(t *testing.T, command ...string) (string, error) {
	t.Helper()
	args := slices.Concat([]string{"--mount", "sh"}, enter(t, "-c", append([]string{`exec "$@"`, "sh"}, command...)...))
	out, err := exec.CommandContext(t.Context(), "unshare", args...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// startDaemonHost starts a host without services, which [target.serve] adds, and returns a
// target for each method of scanning it.
func startDaemonHost(t *testing.T, open scan.PortSet) []*target {
	t.Helper()
	addr := netip.MustParseAddr("192.0.2.1")
	host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{addr}})[0]
	state := func(_ netip.Addr, port uint16) scan.State {
		if open.Contains(port) {
			return scan.Open
		}
		return scan.Closed
	}
	targets := make([]*target, 0, len(methods()))
	for _, method := range methods() {
		targets = append(targets, &target{RunningHost: host, addr: addr, method: method, engine: newEngine(t, method), state: state})
	}
	return targets
}

// daemonLog is a log file of a daemon.
type daemonLog struct {
	name string
	read int // bytes
}

// newLines returns the lines since the last call, by text. Numbers and addresses are replaced.
func (l *daemonLog) newLines(t *testing.T) map[string]int {
	t.Helper()
	text, err := os.ReadFile(l.name)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	variable := regexp.MustCompile(`^[-\dT:. ]{15,}|^\w{3} +\d+ [\d:]+ |\d+`)
	lines := make(map[string]int)
	for line := range strings.Lines(string(text[l.read:])) {
		lines[variable.ReplaceAllString(strings.TrimSpace(line), "#")]++
	}
	l.read = len(text)
	return lines
}

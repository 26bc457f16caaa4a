// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	// childTest is the environment variable with the name of the child's test.
	childTest = "PORTSCAN_TESTNET_TEST"

	// childOutcome is the environment variable with the file for the outcome of the
	// child's test. The exit status is the same for a passed test, a skipped one and one
	// that does not exist.
	childOutcome = "PORTSCAN_TESTNET_OUTCOME"
)

// The outcomes in that file.
const (
	passed  = "passed"
	failed  = "failed"
	skipped = "skipped"
)

// inheritedFlags are the flags of package testing that a child inherits, besides the flags
// that tests define. The others, such as those for profiles, apply only to the parent.
var inheritedFlags = []string{ //nolint:gochecknoglobals // a constant list
	"test.cpu", "test.fullpath", "test.paniconexit0", "test.parallel", "test.short",
}

// Isolated runs the test in a separate network namespace. It executes the test binary under
// unshare(1) for this test only, and reports the child's output and outcome. It returns true
// in the child, where loopback is the only interface, and false in the parent, which must
// return at once:
//
//	if !testnet.Isolated(t) {
//		return
//	}
//
// The namespace belongs to a process instead of a thread, because Go moves goroutines
// between threads.
//
// Subtests cannot call Isolated, but run in the namespace of their test. Code before the
// call runs twice, and once more for each host of [Start], whose process does not return
// from the call. Without root privileges, the child is root in a user namespace. The child's
// deadline is earlier than the parent's, so that a hanging child prints its own goroutines.
// The cache of go test does not track files that the child reads: after a change of test
// data, run with -count=1.
func Isolated(t *testing.T) bool {
	t.Helper()
	return isolate(t, false)
}

// IsolatedExclusively returns false in the parent like [Isolated]. It is for tests that change
// state of the machine which all namespaces share: no other isolated test of any package runs
// at the same time.
func IsolatedExclusively(t *testing.T) bool {
	t.Helper()
	return isolate(t, true)
}

func isolate(t *testing.T, exclusively bool) bool {
	t.Helper()
	if strings.Contains(t.Name(), "/") {
		t.Fatalf("testnet.Isolated: %s is a subtest, call Isolated in the test itself", t.Name())
	}
	if isHost() {
		runHost(t)
	}
	if isolated() {
		if name := os.Getenv(childTest); name != t.Name() {
			t.Fatalf("testnet.Isolated: namespace belongs to %s, not to %s", name, t.Name())
		}
		enterNamespace(t)
		return true
	}
	if runtime.GOOS != "linux" {
		Skip(t, "network namespaces require Linux")
	}
	NeedProgram(t, "unshare", "ip", "nft")
	lockMachine(t, exclusively)
	runChild(t)
	return false
}

// isolated reports whether this process is the child of [Isolated].
func isolated() bool { return os.Getenv(childTest) != "" }

// needIsolated fails the test outside of [Isolated], to protect the machine's own network.
func needIsolated(tb testing.TB) {
	tb.Helper()
	if !isolated() {
		tb.Fatal("changing the network: call testnet.Isolated first")
	}
}

// enterNamespace prepares the namespace in the child, and writes the outcome at the end of
// the test.
func enterNamespace(t *testing.T) {
	t.Helper()
	file := os.Getenv(childOutcome)
	// This cleanup is registered first and runs last, after failures of all others.
	t.Cleanup(func() {
		outcome := passed
		switch {
		case t.Failed():
			outcome = failed
		case t.Skipped():
			outcome = skipped
		}
		if err := os.WriteFile(file, []byte(outcome), 0o600); err != nil {
			t.Error(err)
		}
	})
	run(t, "", "ip", "link", "set", "lo", "up")
}

// runChild runs the child in the parent and reports its outcome.
func runChild(t *testing.T) {
	t.Helper()
	prefix := unshareCommand(t)
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "outcome")

	cmd := exec.CommandContext(t.Context(), prefix[0], slices.Concat(prefix[1:], []string{binary}, childArgs(t.Name(), childTimeout(t)))...)
	cmd.Env = append(os.Environ(),
		childTest+"="+t.Name(),
		childOutcome+"="+file,
		"PATH="+os.Getenv("PATH")+":"+adminPath,
		// Programs with the race detector wait for one second before they exit, by default.
		// A tenth is enough. A value in GORACE has precedence.
		"GORACE=atexit_sleep_ms=100 "+os.Getenv("GORACE"),
	)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	// Programs that the test has left behind keep the output open.
	cmd.WaitDelay = 5 * time.Second
	failure := cmd.Run()

	outcome, err := os.ReadFile(file)
	switch {
	case failure != nil:
		t.Fatalf("%s in its namespace: %v", t.Name(), failure)
	case errors.Is(err, os.ErrNotExist):
		t.Fatalf("%s did not run in its namespace: no test has exactly this name, or it did not call testnet.Isolated", t.Name())
	case err != nil:
		t.Fatal(err)
	case string(outcome) == skipped:
		Skip(t, "skipped in its namespace, see the reason above")
	case string(outcome) != passed:
		t.Fatalf("%s %s in its namespace", t.Name(), outcome)
	}
}

// NeedNamespaces skips the test, see [Skip], unless the machine permits network namespaces.
func NeedNamespaces(t *testing.T) {
	t.Helper()
	NeedProgram(t, "unshare", "ip", "nft")
	unshareCommand(t)
}

// unshareCommand returns the command that runs another one in a new network namespace. The
// test is skipped if the machine does not permit it.
func unshareCommand(t *testing.T) []string {
	t.Helper()
	path, err := findProgram("unshare")
	if err != nil {
		t.Fatal(err)
	}
	command := []string{path, "--net", "--"}
	if os.Geteuid() != 0 {
		command = slices.Insert(command, 1, "--map-root-user")
	}
	try := exec.CommandContext(t.Context(), command[0], append(slices.Clone(command[1:]), "true")...)
	if out, err := try.CombinedOutput(); err != nil {
		Skip(t, fmt.Sprintf("cannot create a network namespace: %s: %v: %s",
			strings.Join(try.Args, " "), err, strings.TrimSpace(string(out))))
	}
	return command
}

// childTimeout returns the timeout of the child; 0 is unlimited.
func childTimeout(t *testing.T) time.Duration {
	t.Helper()
	deadline, ok := t.Deadline()
	if !ok {
		return 0
	}
	// The parent needs time to print the output of a hanging child.
	left := time.Until(deadline)
	return max(left-min(left/2, 5*time.Second), time.Millisecond)
}

// childArgs returns the arguments of the child for the test.
func childArgs(test string, timeout time.Duration) []string {
	args := []string{
		"-test.run=^" + regexp.QuoteMeta(test) + "$",
		"-test.v=true",
		"-test.count=1",
		"-test.timeout=" + timeout.String(),
	}
	if flag.Lookup("test.cpu").Value.String() != "" {
		// -test.cpu can be a list, of which the parent runs one value.
		args = append(args, "-test.cpu="+strconv.Itoa(runtime.GOMAXPROCS(0)))
	}
	flag.Visit(func(f *flag.Flag) {
		own := !strings.HasPrefix(f.Name, "test.")
		if own || slices.Contains(inheritedFlags, f.Name) && f.Name != "test.cpu" {
			args = append(args, "-"+f.Name+"="+f.Value.String())
		}
	})
	if flag.NArg() > 0 {
		args = append(append(args, "--"), flag.Args()...)
	}
	return args
}

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
	// childTest names, in the environment of a child, the test that it is for.
	childTest = "PORTSCAN_TESTNET_TEST"

	// childOutcome is the file in which a child writes how its test ended. The
	// exit status alone does not tell a test that passed from one that was
	// skipped, or from one that was never found.
	childOutcome = "PORTSCAN_TESTNET_OUTCOME"
)

// The words in that file.
const (
	passed  = "passed"
	failed  = "failed"
	skipped = "skipped"
)

// handedOn are the flags of the test binary that a child gets as its parent got
// them. All others of the testing package are the parent's alone: it repeats,
// profiles, and picks tests; flags that the tests themselves define are handed on.
var handedOn = []string{ //nolint:gochecknoglobals // a constant list
	"test.cpu", "test.fullpath", "test.paniconexit0", "test.parallel", "test.short",
}

// Isolated runs the test in a network namespace of its own: it executes the
// test binary again for this one test, under unshare(1), and passes output and
// outcome on. It returns true in that child, where loopback is up and nothing
// else is there, and false in the parent, which has to return at once:
//
//	if !testnet.Isolated(t) {
//		return
//	}
//
// A process for each test, and not a thread, because Go moves goroutines
// between threads as it likes: here all of them live in the namespace.
//
// Only a test can be isolated, not a subtest (the subtests of an isolated test
// are isolated with it), and what stands before the call runs twice, and once
// more for each host of [Start], whose process comes no further than this call.
// Where the test is not run as root, it is root in a user namespace of its own.
// The deadline of the child lies a little before the parent's, so that a test
// that hangs shows its own goroutines. A cached result of go test does not know
// which files the child has read: after changing test data alone, run with
// -count=1.
func Isolated(t *testing.T) bool {
	t.Helper()
	if strings.Contains(t.Name(), "/") {
		t.Fatalf("testnet.Isolated: %s is a subtest; call it at the beginning of the test itself", t.Name())
	}
	if isHost() {
		serve(t)
	}
	if isolated() {
		if name := os.Getenv(childTest); name != t.Name() {
			t.Fatalf("testnet.Isolated: the namespace was made for %s, not for %s", name, t.Name())
		}
		enter(t)
		return true
	}
	if runtime.GOOS != "linux" {
		Skip(t, "network namespaces are Linux's")
	}
	NeedProgram(t, "unshare", "ip", "nft")
	inNamespace(t)
	return false
}

// isolated says whether this process is the child of [Isolated].
func isolated() bool { return os.Getenv(childTest) != "" }

// needIsolated keeps what changes the network from the machine's own.
func needIsolated(tb testing.TB) {
	tb.Helper()
	if !isolated() {
		tb.Fatal("this changes the network: call testnet.Isolated at the beginning of the test")
	}
}

// enter is the child's side: it makes the namespace usable and sees to it that
// the parent learns how the test ended.
func enter(t *testing.T) {
	t.Helper()
	file := os.Getenv(childOutcome)
	// The first cleanup registered is the last to run: it sees the failures of all others.
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

// inNamespace is the parent's side: it runs the child and judges it.
func inNamespace(t *testing.T) {
	t.Helper()
	prefix := unshare(t)
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
		// A program with the race detector in it waits for a second before it exits, in
		// case another thread is about to report. A tenth will do; what GORACE says wins.
		"GORACE=atexit_sleep_ms=100 "+os.Getenv("GORACE"),
	)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	// A program that the test has started and left behind holds the output open.
	cmd.WaitDelay = 5 * time.Second
	failure := cmd.Run()

	outcome, err := os.ReadFile(file)
	switch {
	case failure != nil:
		t.Fatalf("%s failed in its namespace: %v", t.Name(), failure)
	case errors.Is(err, os.ErrNotExist):
		t.Fatalf("%s was never run in its namespace: no test of the binary has exactly that name, or it did not reach testnet.Isolated", t.Name())
	case err != nil:
		t.Fatal(err)
	case string(outcome) == skipped:
		Skip(t, "it was skipped in its namespace; the reason is above")
	case string(outcome) != passed:
		t.Fatalf("%s %s in its namespace", t.Name(), outcome)
	}
}

// unshare returns the command that runs another one in a fresh network
// namespace. The test is skipped where the machine allows none.
func unshare(t *testing.T) []string {
	t.Helper()
	path, err := find("unshare")
	if err != nil {
		t.Fatal(err)
	}
	command := []string{path, "--net", "--"}
	if os.Geteuid() != 0 {
		command = slices.Insert(command, 1, "--map-root-user")
	}
	try := exec.CommandContext(t.Context(), command[0], append(slices.Clone(command[1:]), "true")...)
	if out, err := try.CombinedOutput(); err != nil {
		Skip(t, fmt.Sprintf("no network namespace to be had: %s: %v: %s",
			strings.Join(try.Args, " "), err, strings.TrimSpace(string(out))))
	}
	return command
}

// childTimeout returns how long the child may take; 0 stands for no limit.
func childTimeout(t *testing.T) time.Duration {
	t.Helper()
	deadline, ok := t.Deadline()
	if !ok {
		return 0
	}
	// The parent needs a moment to pass on what a child that hung has to say.
	left := time.Until(deadline)
	return max(left-min(left/10, 5*time.Second), time.Millisecond)
}

// childArgs returns the command line of a child that runs the test.
func childArgs(test string, timeout time.Duration) []string {
	args := []string{
		"-test.run=^" + regexp.QuoteMeta(test) + "$",
		"-test.v=true",
		"-test.count=1",
		"-test.timeout=" + timeout.String(),
	}
	if flag.Lookup("test.cpu").Value.String() != "" {
		// -test.cpu may be a list, of which the parent is at one.
		args = append(args, "-test.cpu="+strconv.Itoa(runtime.GOMAXPROCS(0)))
	}
	flag.Visit(func(f *flag.Flag) {
		own := !strings.HasPrefix(f.Name, "test.")
		if own || slices.Contains(handedOn, f.Name) && f.Name != "test.cpu" {
			args = append(args, "-"+f.Name+"="+f.Value.String())
		}
	})
	if flag.NArg() > 0 {
		args = append(append(args, "--"), flag.Args()...)
	}
	return args
}

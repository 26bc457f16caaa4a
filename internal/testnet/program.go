package testnet

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// endsWithin is how long a program may take to end when it is asked to.
const endsWithin = 5 * time.Second

// Serve starts a real program in the host's namespace, which has to stay in the
// foreground, and ends it with the test. What it prints is shown if the test
// fails, and a program that ends by itself fails the test. The test is skipped
// where the program is not installed.
//
// When the program is ready is for the caller to find out. What it makes of a
// port the truth of the host does not know; at a port that a filter of the host's
// decides about it hears nothing.
func (r *RunningHost) Serve(tb testing.TB, name string, args ...string) {
	tb.Helper()
	NeedProgram(tb, name)
	path, err := find(name)
	if err != nil {
		tb.Fatal(err)
	}
	// nsenter becomes the program, so that its process is the program's own.
	enter := r.enter(path, args...)
	var output bytes.Buffer
	cmd := exec.Command(enter[0], enter[1:]...)
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.WaitDelay = endsWithin // for what it has started and left behind
	dieWithParent(cmd)
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	tb.Cleanup(func() {
		early := !endProgram(cmd, ended)
		if early {
			tb.Errorf("%s ended before the test: %v", name, cmd.ProcessState)
		}
		if tb.Failed() {
			tb.Logf("%s:\n%s", strings.Join(slices.Concat([]string{name}, args), " "), output.String())
		}
	})
}

// endProgram ends the program and waits for it. It tells whether the program was
// still there.
func endProgram(cmd *exec.Cmd, ended <-chan struct{}) (there bool) {
	select {
	case <-ended:
		return false
	default:
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(endsWithin):
		_ = cmd.Process.Kill()
		<-ended
	}
	return true
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

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

// stopTimeout is the maximum time for a program to stop on SIGTERM.
const stopTimeout = 5 * time.Second

// Serve starts a program in the host's namespace and stops it at the end of the test. The
// program must run in the foreground. Its output is logged if the test fails. The test
// fails if the program exits early, and is skipped if it is not installed.
//
// The caller must wait until the program is ready. [RunningHost.State] ignores the program,
// and the host's filters apply to its ports.
func (r *RunningHost) Serve(tb testing.TB, name string, args ...string) {
	tb.Helper()
	NeedProgram(tb, name)
	path, err := findProgram(name)
	if err != nil {
		tb.Fatal(err)
	}
	// nsenter executes the program in its own process.
	command := r.nsenter(path, args...)
	var output bytes.Buffer
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.WaitDelay = stopTimeout // for child processes that it has left behind
	killWithParent(cmd)
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	tb.Cleanup(func() {
		early := !stopProgram(cmd, ended)
		if early {
			tb.Errorf("%s exited before the end of the test: %v", name, cmd.ProcessState)
		}
		if tb.Failed() {
			tb.Logf("%s:\n%s", strings.Join(slices.Concat([]string{name}, args), " "), output.String())
		}
	})
}

// stopProgram stops the program and waits for it. It reports whether the program was
// running.
func stopProgram(cmd *exec.Cmd, ended <-chan struct{}) (running bool) {
	select {
	case <-ended:
		return false
	default:
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(stopTimeout):
		_ = cmd.Process.Kill()
		<-ended
	}
	return true
}

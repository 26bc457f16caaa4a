// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"
)

const (
	// hostRole is the environment variable of the process of a test host.
	hostRole = "PORTSCAN_TESTNET_HOST"

	// hostTimeout is the maximum time until a host's process is ready.
	hostTimeout = 30 * time.Second

	// readyDescriptor is the pipe on which a host reports that it is ready.
	readyDescriptor = 3
)

// task is the task of a host's process, which it reads from standard input.
type task struct {
	Listen      map[Answer]string    // ports with a listener
	ListenUDP   map[UDPAnswer]string // UDP ports with a listener
	Addrs       []netip.Addr         // addresses of the host
	NoICMPLimit bool                 // disable the kernel's limits of ICMP errors
}

// sharedListener has the ports of a listener that many ports share, see [openShared].
type sharedListener struct{ V4, V6 uint16 }

// readyReport is the report of a host's process that it is ready.
type readyReport struct {
	Listeners map[Answer]sharedListener
}

// process is a host's process, which keeps its namespace alive. It executes the test binary.
type process struct {
	cmd    *exec.Cmd
	ready  *os.File
	output bytes.Buffer  // must not be read before ended
	ended  chan struct{} // closed when the process has exited
}

// pid returns the process ID, which identifies its namespace.
func (p *process) pid() int { return p.cmd.Process.Pid }

// startProcess starts a host's process. It stops at the end of the test. If this process
// crashes, the host's standard input is closed and the host stops, too.
func startProcess(t *testing.T, todo task) *process {
	t.Helper()
	unshare, err := findProgram("unshare")
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	readEnd, writeEnd, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{ready: readEnd, ended: make(chan struct{})}
	args := append([]string{"--net", "--", binary}, childArgs(os.Getenv(childTest), 0)...)
	p.cmd = exec.Command(unshare, args...)
	p.cmd.Env = append(os.Environ(), hostRole+"=1")
	p.cmd.ExtraFiles = []*os.File{writeEnd} // becomes descriptor 3
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	input, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = writeEnd.Close()
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() { p.stop(t) })
	if err := json.NewEncoder(input).Encode(todo); err != nil {
		t.Fatal(p.failed(err))
	}
	return p
}

// awaitReady waits until the host is ready.
func (p *process) awaitReady(t *testing.T) map[Answer]sharedListener {
	t.Helper()
	defer func() { _ = p.ready.Close() }()
	if err := p.ready.SetReadDeadline(time.Now().Add(hostTimeout)); err != nil {
		t.Fatal(err)
	}
	var report readyReport
	if err := json.NewDecoder(p.ready).Decode(&report); err != nil {
		t.Fatal(p.failed(err))
	}
	return report.Listeners
}

// failed stops the process and returns an error with its output.
func (p *process) failed(err error) error {
	_ = p.cmd.Process.Kill()
	<-p.ended
	return fmt.Errorf("running the process of a host: %w\n%s", err, p.output.String())
}

// stop stops the process. The test fails if the process has exited early.
func (p *process) stop(t *testing.T) {
	t.Helper()
	select {
	case <-p.ended:
		if !t.Failed() {
			t.Errorf("process of a host exited before the end of the test: %v\n%s", p.cmd.ProcessState, p.output.String())
		}
	default:
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// isHost reports whether this process is a host's process.
func isHost() bool { return os.Getenv(hostRole) != "" }

// runHost runs the task of a host's process until standard input is closed. It does not
// return.
func runHost(t *testing.T) {
	t.Helper()
	var todo task
	if err := json.NewDecoder(os.Stdin).Decode(&todo); err != nil {
		t.Fatal(err)
	}
	disableDAD(t)
	run(t, "", "ip", "link", "set", "lo", "up")
	report := readyReport{Listeners: todo.openListeners(t)}
	pipe := os.NewFile(readyDescriptor, "ready")
	if err := json.NewEncoder(pipe).Encode(report); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	// The test must not run in this process.
	os.Exit(0) //nolint:forbidigo // see above
}

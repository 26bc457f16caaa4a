// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// buildRace builds the exporter once with the race detector.
var buildRace = sync.OnceValues(func() (string, error) {
	path := filepath.Join(buildDir, "portscan_exporter")
	cmd := exec.Command("go", "build", "-race", "-buildvcs=false", "-o", path, ".")
	cmd.Dir = repository
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v: %w\n%s", cmd.Args, err, out)
	}
	return path, nil
})

// binary returns the path of the exporter, built with the race detector.
func binary(t *testing.T) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		skip(t, "the tests need Linux")
	}
	needProgram(t, "gcc") // the race detector needs cgo
	path, err := buildRace()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// process is a program started by a test.
type process struct {
	name   string
	cmd    *exec.Cmd
	output safeBuffer
	done   chan struct{} // closed when the program has ended
}

// startProcess starts a program that ends with the test. The test fails if the program does not end
// on SIGTERM or if its exit status is not 0.
func startProcess(t *testing.T, path string, args ...string) *process {
	t.Helper()
	return startCommand(t, exec.Command(path, args...))
}

// startCommand is [startProcess] for a command.
func startCommand(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0") // otherwise the race detector delays the exit by 1s
	p := watchCommand(t, cmd)
	t.Cleanup(func() { p.stop(t) })
	return p
}

// watchCommand starts a command and collects its output. The caller must end it.
func watchCommand(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{name: filepath.Base(cmd.Path), cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // the status is in ProcessState
	}()
	return p
}

func (p *process) stop(t *testing.T) {
	t.Helper()
	const patience = 20 * time.Second // generous for a busy machine; TestShutdown tests measure the time
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.done
		t.Errorf("%s did not end within %v of SIGTERM", p.name, patience)
	}
	if status := p.cmd.ProcessState.ExitCode(); status != 0 {
		t.Errorf("exit status of %s = %d, want 0", p.name, status)
	}
	out := p.output.String()
	for _, bad := range []string{"DATA RACE", "panic:", "panic="} {
		if strings.Contains(out, bad) {
			t.Errorf("%s printed %q", p.name, bad)
		}
	}
	if t.Failed() {
		t.Logf("output of %s:\n%s", p.name, out)
	}
}

// checkRunning fails the test if the program has ended.
func (p *process) checkRunning(t *testing.T) {
	t.Helper()
	select {
	case <-p.done:
		t.Fatalf("%s has ended: %v\n%s", p.name, p.cmd.ProcessState, p.output.String())
	default:
	}
}

// safeBuffer stores the output of a program. It is safe for concurrent use.
type safeBuffer struct {
	mu  sync.Mutex
	all strings.Builder
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.String()
}

// exporter is a running portscan_exporter.
type exporter struct {
	*process
	addr   string // host:port
	url    string // without a trailing slash
	config string // the path of its configuration file
}

// startExporter starts the exporter on a free port and waits until it is ready.
func startExporter(t *testing.T, config string, flags ...string) *exporter {
	t.Helper()
	e := startExporterUnready(t, config, flags...)
	e.awaitReady(t)
	return e
}

func (e *exporter) awaitReady(t *testing.T) {
	t.Helper()
	if e.url == "" {
		e.url = "http://" + e.addr
	}
	eventually(t, 30*time.Second, "the exporter is ready", func() error {
		e.checkRunning(t)
		return checkStatus(e.url+"/-/ready", 200)
	})
}

// startExporterUnready starts the exporter without waiting until it is ready.
func startExporterUnready(t *testing.T, config string, flags ...string) *exporter {
	t.Helper()
	return startBinary(t, binary(t), config, flags...)
}

func startBinary(t *testing.T, path, config string, flags ...string) *exporter {
	t.Helper()
	e := &exporter{addr: freeAddress(t), config: writeFile(t, "config.yml", config)}
	e.process = startProcess(t, path, append([]string{"--config.file=" + e.config, "--web.listen-address=" + e.addr}, flags...)...)
	return e
}

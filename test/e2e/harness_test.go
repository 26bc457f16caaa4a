// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// repository is the root of the repository.
const repository = "../.."

// buildDir contains the binaries under test while the tests run.
var buildDir string

func TestMain(m *testing.M) {
	setParallel()
	dir, err := os.MkdirTemp("", "portscan_exporter_e2e_")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	buildDir = dir
	if err := os.Chmod(dir, 0o755); err != nil { // unprivileged users run the binary
		fmt.Fprintln(os.Stderr, err)
	}
	status := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(status)
}

// setParallel runs twice as many tests at once as there are processors, because most tests wait for
// Prometheus. An explicit -parallel has precedence.
func setParallel() {
	flag.Parse()
	const name = "test.parallel"
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	if !set {
		_ = flag.Set(name, strconv.Itoa(2*runtime.GOMAXPROCS(0)))
	}
}

// skip skips the test because of a missing requirement. With PORTSCAN_TEST_NO_SKIP=1, as in CI, it
// fails the test instead.
func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("PORTSCAN_TEST_NO_SKIP") == "1" {
		t.Fatalf("%s (PORTSCAN_TEST_NO_SKIP=1 makes a skip fail)", why)
	}
	t.Skipf("SKIPPED, NOT TESTED: %s", why)
}

// needProgram returns the path of a program, or skips the test if it is not installed.
func needProgram(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		skip(t, "not installed: "+name)
	}
	return path
}

// writeFile writes a file in a temporary directory and returns its path.
func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	replaceFile(t, path, text)
	return path
}

// replaceFile replaces a file atomically, so that the exporter never reads a part of it.
func replaceFile(t *testing.T, path, text string) {
	t.Helper()
	replaceFileMode(t, path, text, 0o600)
}

func replaceFileMode(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	next := path + ".next"
	if err := os.WriteFile(next, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

// nextPort counts through ports below the ephemeral range, so that a port that must be closed is
// not opened by another test.
var nextPort atomic.Uint32

func init() { //nolint:gochecknoinits // two runs side by side begin at different ports
	nextPort.Store(12000 + rand.Uint32N(15000))
}

// freePort returns an unused port that no other test gets.
func freePort(t *testing.T) int {
	t.Helper()
	for range 1000 {
		port := int(nextPort.Add(1))
		if isFree(port) {
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// isFree reports whether the port can be listened on. No other test starts a program
// meanwhile: between fork and exec it would hold a copy of the listener.
func isFree(port int) bool {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	l, err := net.Listen("tcp", localAddress(port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// freeAddress returns an unused address of 127.0.0.1.
func freeAddress(t *testing.T) string {
	t.Helper()
	return localAddress(freePort(t))
}

func localAddress(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// listenLocal is [listenOn] for a port of 127.0.0.1.
func listenLocal(t *testing.T, port int) (closePort func()) {
	t.Helper()
	return listenOn(t, localAddress(port))
}

// listenOn opens a TCP port until the returned function is called or the test ends, and closes
// each connection at once.
func listenOn(t *testing.T, address string) (closePort func()) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	closePort = sync.OnceFunc(func() { _ = l.Close() })
	t.Cleanup(closePort)
	return closePort
}

// eventually waits until check returns nil. After the timeout it fails the test and reports the
// condition.
func eventually(t *testing.T, within time.Duration, condition string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("timeout after %v: %s: %v", within, condition, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

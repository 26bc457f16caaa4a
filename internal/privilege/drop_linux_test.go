// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package privilege

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"portscan_exporter/internal/testnet"
)

// childRole is an environment variable with the role of a test's child process, whose
// capabilities the test drops.
const childRole = "PORTSCAN_TEST_CHILD_ROLE"

// runRoles runs this test in a child process for each role, as root or, with capabilities,
// as another user who has them. It returns the role in the child, and "" in the parent,
// which must return at once.
func runRoles(t *testing.T, roles map[string][]uintptr) string {
	t.Helper()
	if role := os.Getenv(childRole); role != "" {
		return role
	}
	if os.Getuid() != 0 {
		testnet.Skip(t, "only root can switch to another user")
	}
	for role, caps := range roles {
		cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), childRole+"="+role)
		cmd.Dir = "/"
		if caps != nil {
			const nobody = 65534
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, AmbientCaps: caps}
		}
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
			t.Errorf("test as %s: %v\n%s", role, err, out)
		}
	}
	return ""
}

// startThreads starts threads that end with the test.
func startThreads(t *testing.T) {
	t.Helper()
	const threads = 10
	done, running := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(done) })
	for range threads {
		go func() {
			runtime.LockOSThread()
			running <- struct{}{}
			<-done
		}()
		<-running
	}
}

// checkThreads requires lines in /proc/PID/task/*/status of each thread.
func checkThreads(t *testing.T, when string, lines ...string) {
	t.Helper()
	threads, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil || len(threads) == 0 {
		t.Fatalf("threads = %v, %v", threads, err)
	}
	for _, thread := range threads {
		status, err := os.ReadFile(thread)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // the thread has ended
		}
		for _, line := range lines {
			if err != nil || !strings.Contains(string(status), line+"\n") {
				t.Errorf("%s: %s lacks %q: %v\n%s", when, thread, line, err, status)
			}
		}
	}
}

// capLines returns lines of /proc/PID/status for these sets, as hexadecimal numbers.
func capLines(permitted, effective uint64) []string {
	return []string{
		"CapInh:\t0000000000000000", fmt.Sprintf("CapPrm:\t%016x", permitted), fmt.Sprintf("CapEff:\t%016x", effective),
		"CapAmb:\t0000000000000000", "NoNewPrivs:\t1",
	}
}

const (
	netRaw  = 1 << unix.CAP_NET_RAW
	netBind = 1 << unix.CAP_NET_BIND_SERVICE
)

// rawSocket opens and closes a raw socket.
func rawSocket() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err == nil {
		_ = unix.Close(fd)
	}
	return err
}

// TestDrop drops the capabilities of all threads, as root and as other users. CAP_NET_RAW
// must be in effect within WithNetRaw only.
func TestDrop(t *testing.T) {
	role := runRoles(t, map[string][]uintptr{
		"root":   nil,
		"many":   {unix.CAP_NET_RAW, unix.CAP_NET_BIND_SERVICE, unix.CAP_NET_ADMIN, unix.CAP_SETPCAP, unix.CAP_DAC_OVERRIDE},
		"raw":    {unix.CAP_NET_RAW},
		"others": {unix.CAP_NET_ADMIN},
		"none":   {},
	})
	if role == "" {
		return
	}
	startThreads(t)
	var listening, final uint64
	switch role {
	case "root", "many":
		listening, final = netRaw|netBind, netRaw
	case "raw":
		listening, final = netRaw, netRaw
	}
	bounds := map[string]string{"root": "0000000000000000", "many": "0000000000000000"}
	_, after, err := DropBeforeListening()
	if want := map[uint64]string{netRaw | netBind: "cap_net_bind_service=ep cap_net_raw+p", netRaw: "cap_net_raw=p", 0: "="}[listening]; err != nil || after != want {
		t.Errorf("DropBeforeListening() = %q, %v, want %q", after, err, want)
	}
	checkThreads(t, "before listening", capLines(listening, listening&netBind)...)
	for range 2 { // the second time, there is nothing to drop
		if _, after, err = Drop(); err != nil || (after == "cap_net_raw=p") != (final == netRaw) {
			t.Errorf("Drop() = %q, %v", after, err)
		}
	}
	checkThreads(t, "after the drop", capLines(final, 0)...)
	if bound := bounds[role]; bound != "" {
		checkThreads(t, "after the drop", "CapBnd:\t"+bound)
	}
	if err := rawSocket(); !errors.Is(err, unix.EPERM) {
		t.Errorf("raw socket outside of WithNetRaw: %v, want %v", err, unix.EPERM)
	}
	if err := WithNetRaw(rawSocket); (err == nil) != (final == netRaw) {
		t.Errorf("raw socket within WithNetRaw: %v", err)
	}
	checkThreads(t, "after a raw socket", capLines(final, 0)...)
}

// TestDropConcurrently drops capabilities while another thread opens a raw socket, which must
// be opened.
func TestDropConcurrently(t *testing.T) {
	if runRoles(t, map[string][]uintptr{"root": nil}) == "" {
		return
	}
	if _, _, err := DropBeforeListening(); err != nil {
		t.Fatal(err)
	}
	started, opened := make(chan struct{}), make(chan error)
	go func() {
		opened <- WithNetRaw(func() error {
			close(started)
			time.Sleep(200 * time.Millisecond) // the other thread drops, unless it waits
			return rawSocket()
		})
	}()
	<-started
	if _, _, err := Drop(); err != nil {
		t.Error(err)
	}
	if err := <-opened; err != nil {
		t.Errorf("raw socket within WithNetRaw: %v", err)
	}
	checkThreads(t, "at the end", capLines(netRaw, 0)...)
}

// TestDropRefused refuses capset(2) with a seccomp filter, as service managers do. The
// capability must stay in effect, and raw sockets be available.
func TestDropRefused(t *testing.T) {
	role := runRoles(t, map[string][]uintptr{"raw": {unix.CAP_NET_RAW}, "none": {}})
	if role == "" {
		return
	}
	refuseCapset(t)
	_, after, err := Drop()
	if role == "none" { // nothing to drop
		if err != nil {
			t.Errorf("Drop() without capabilities = %v", err)
		}
		return
	}
	if !errors.Is(err, unix.EPERM) || after != "cap_net_raw=eip" {
		t.Errorf("Drop() = %q, %v, want cap_net_raw=eip and %v", after, err, unix.EPERM)
	}
	if err := WithNetRaw(rawSocket); err != nil {
		t.Errorf("raw socket within WithNetRaw: %v", err)
	}
}

// refuseCapset makes capset(2) fail with EPERM in all threads.
func refuseCapset(t *testing.T) {
	t.Helper()
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // the system call's number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.SYS_CAPSET},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := installFilter(&program); err != nil {
		t.Fatal(err)
	}
}

func installFilter(program *unix.SockFprog) error {
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(program)))
	if errno != 0 {
		return errno
	}
	return nil
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// systemRoot is a copy of this machine's system whose changes are discarded: an overlay in memory,
// held by namespaces.
type systemRoot struct {
	root  string   // path in the mount namespace of the holder
	enter []string // command prefix that runs a command in the system
}

// overlayScript mounts the overlay at $0/root, without the devices of this machine.
const overlayScript = `set -e
mount -t tmpfs tmpfs "$0"
mkdir "$0/upper" "$0/work" "$0/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$0/upper,workdir=$0/work" "$0/root"
cd "$0/root"
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/shm dev/pts
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
for node in null zero full random urandom tty; do
	touch "dev/$node"
	mount --bind "/dev/$node" "dev/$node"
done
mount -t proc proc proc
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
`

// bootScript starts systemd as the first process of the overlay. Units that are enabled on this
// machine are not started, and kernel settings are read-only.
const bootScript = `
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
ip link set lo up
rm -rf etc/fstab etc/rc?.d etc/systemd/system/*.wants etc/systemd/system/*.requires
mkdir old
pivot_root . old
echo ready
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /bin/sh -c '
	umount -l /old
	exec /lib/systemd/systemd --system --unit=basic.target --log-target=journal --show-status=0 >/dev/null'
`

// newSystemRoot returns a system without running processes.
func newSystemRoot(t *testing.T) systemRoot {
	t.Helper()
	nsenter, chroot := needProgram(t, "nsenter"), needProgram(t, "chroot")
	dir, holder := startRootHolder(t, overlayScript+"echo ready\nexec sleep infinity", "--mount")
	root := filepath.Join(dir, "root")
	return systemRoot{root, []string{nsenter, fmt.Sprintf("--mount=/proc/%d/ns/mnt", holder), chroot, root}}
}

// newBootedRoot returns a system booted by systemd, with its own network.
func newBootedRoot(t *testing.T) systemRoot {
	t.Helper()
	nsenter := needProgram(t, "nsenter")
	needProgram(t, "ip")
	if _, err := os.Stat("/lib/systemd/systemd"); err != nil {
		skip(t, "not installed: systemd")
	}
	_, holder := startRootHolder(t, overlayScript+bootScript, "--mount", "--pid", "--fork", "--kill-child", "--net", "--uts", "--ipc", "--cgroup")
	children := readFile(t, fmt.Sprintf("/proc/%d/task/%d/children", holder, holder))
	r := systemRoot{"/", []string{
		nsenter, "--target=" + strings.TrimSpace(children),
		"--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--root", "--wd",
	}}
	eventually(t, time.Minute, "systemd has booted", func() error {
		out, err := r.command(t, "systemctl", "is-active", "basic.target").CombinedOutput()
		if err != nil {
			err = errors.New(string(out))
		}
		return err
	})
	t.Cleanup(func() {
		if t.Failed() {
			// The context of the test has ended.
			out, _ := exec.Command(r.enter[0], append(r.enter[1:], "journalctl", "--no-pager", "--lines=60")...).CombinedOutput()
			t.Logf("journal:\n%s", out)
		}
	})
	return r
}

// startRootHolder runs a script in new namespaces until the test ends. It returns the directory of
// the script and the process that holds the namespaces.
func startRootHolder(t *testing.T, script string, namespaces ...string) (dir string, pid int) {
	t.Helper()
	if os.Getuid() != 0 {
		skip(t, "only root can mount")
	}
	unshare := needProgram(t, "unshare")
	dir = t.TempDir()
	pid = startHolder(t, "system", exec.Command(unshare, append(append(namespaces, "--propagation=private"), "sh", "-c", script, dir)...))
	return dir, pid
}

// startHolder starts a process that creates namespaces, prints "ready" and holds them until the
// test ends. It skips the test if namespaces cannot be created.
func startHolder(t *testing.T, resource string, holder *exec.Cmd) (pid int) {
	t.Helper()
	holder.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	holder.Stderr = t.Output()
	stdout, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = holder.Process.Kill()
		_ = holder.Wait() // killed
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		skip(t, fmt.Sprintf("cannot create a %s for the test: %v", resource, err))
	}
	return holder.Process.Pid
}

// command returns a command that runs in the system.
func (s systemRoot) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	all := append(s.enter[1:len(s.enter):len(s.enter)], args...)
	return exec.CommandContext(t.Context(), s.enter[0], all...)
}

// run runs a command in the system, which must succeed, and returns its output.
func (s systemRoot) run(t *testing.T, args ...string) string {
	t.Helper()
	return runCommand(t, s.command(t, args...))
}

// writeFile writes a file in the system.
func (s systemRoot) writeFile(t *testing.T, path string, content io.Reader) {
	t.Helper()
	cmd := s.command(t, "sh", "-c", `mkdir -p "$(dirname "$0")" && cat >"$0"`, path)
	cmd.Stdin = content
	runCommand(t, cmd)
}

// fileExists reports whether a file exists in the system.
func (s systemRoot) fileExists(t *testing.T, path string) bool {
	t.Helper()
	return s.command(t, "test", "-e", path).Run() == nil
}

// checkContains fails the test unless a file in the system contains the text.
func (s systemRoot) checkContains(t *testing.T, path, text string) {
	t.Helper()
	if got := s.run(t, "cat", path); !strings.Contains(got, text) {
		t.Errorf("%s lacks %q: %s", path, text, got)
	}
}

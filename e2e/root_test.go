package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// systemRoot is this machine's own system with all that is installed, in which changes
// reach nobody: an overlay in memory, that a mount namespace of its own holds.
type systemRoot struct {
	dir   string
	enter []string // the command that runs another one in there
}

// newSystemRoot makes one, for as long as the test runs.
func newSystemRoot(t *testing.T) systemRoot {
	t.Helper()
	if os.Getuid() != 0 {
		skip(t, "only root mounts")
	}
	unshare, nsenter, chroot := needProgram(t, "unshare"), needProgram(t, "nsenter"), needProgram(t, "chroot")
	dir := t.TempDir()
	const script = `set -e
mount -t tmpfs tmpfs "$0"
mkdir "$0/upper" "$0/work" "$0/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$0/upper,workdir=$0/work" "$0/root"
mount --rbind /dev "$0/root/dev"
mount -t proc proc "$0/root/proc"
echo ready
exec sleep infinity`
	holder := exec.Command(unshare, "--mount", "--propagation=private", "sh", "-c", script, dir)
	holder.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	holder.Stderr = t.Output()
	said, err := holder.StdoutPipe()
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
	if line, err := bufio.NewReader(said).ReadString('\n'); line != "ready\n" {
		skip(t, fmt.Sprintf("no overlay over / to be had: %v", err))
	}
	return systemRoot{dir, []string{nsenter, fmt.Sprintf("--mount=/proc/%d/ns/mnt", holder.Process.Pid), chroot, filepath.Join(dir, "root")}}
}

// command returns a command that runs in there.
func (r systemRoot) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	all := append(r.enter[1:len(r.enter):len(r.enter)], args...)
	return exec.CommandContext(t.Context(), r.enter[0], all...)
}

// do runs a command in there, which must succeed, and returns what it prints.
func (r systemRoot) do(t *testing.T, args ...string) string {
	t.Helper()
	return outputOf(t, r.command(t, args...))
}

// put writes a file in there.
func (r systemRoot) put(t *testing.T, path string, content io.Reader) {
	t.Helper()
	cmd := r.command(t, "sh", "-c", `mkdir -p "$(dirname "$0")" && cat >"$0"`, path)
	cmd.Stdin = content
	outputOf(t, cmd)
}

// has tells whether there is such a file in there.
func (r systemRoot) has(t *testing.T, path string) bool {
	t.Helper()
	return r.command(t, "test", "-e", path).Run() == nil
}

// contains fails the test unless a file in there has the text.
func (r systemRoot) contains(t *testing.T, path, text string) {
	t.Helper()
	if got := r.do(t, "cat", path); !strings.Contains(got, text) {
		t.Errorf("%s does not say %q: %s", path, text, got)
	}
}

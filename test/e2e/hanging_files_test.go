// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// hangingFile is a file in a file system of its own that can stop responding.
type hangingFile struct {
	fs.Inode

	mu   sync.Mutex
	text string
	gate chan struct{} // closed while the file system responds
}

func newHangingFile(text string) *hangingFile {
	gate := make(chan struct{})
	close(gate)
	return &hangingFile{text: text, gate: gate}
}

// hang makes the file hang until the returned function is called.
func (h *hangingFile) hang() (release func()) {
	gate := make(chan struct{})
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gate = gate
	return sync.OnceFunc(func() { close(gate) })
}

func (h *hangingFile) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size, out.Nlink = 0o444, uint64(len(h.text)), 1
	return 0
}

func (h *hangingFile) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, 0
}

func (h *hangingFile) Read(ctx context.Context, _ fs.FileHandle, dest []byte, offset int64) (fuse.ReadResult, syscall.Errno) {
	h.mu.Lock()
	gate := h.gate
	h.mu.Unlock()
	select {
	case <-gate:
	case <-ctx.Done(): // the reader has been killed
		return nil, syscall.EINTR
	}
	n := copy(dest, h.text[min(offset, int64(len(h.text))):])
	return fuse.ReadResultData(dest[:n]), 0
}

// startHangingExporter starts the exporter in a mount namespace in which its configuration is the
// only file of a file system.
func startHangingExporter(t *testing.T, file *hangingFile, flags ...string) *exporter {
	t.Helper()
	const name = "/dev/fuse"
	fd, err := syscall.Open(name, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		skip(t, fmt.Sprintf("no file systems in user space: opening %s: %v", name, err))
	}
	device := os.NewFile(uintptr(fd), name)
	dir := t.TempDir()
	e := &exporter{addr: freeAddress(t), config: filepath.Join(dir, "config.yml")}
	e.url = "http://" + e.addr
	const mount = `mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 test "$0" && exec 3<&- && echo mounted && exec "$@"`
	args := []string{"--mount", "sh", "-c", mount, dir, binary(t), "--config.file=" + e.config, "--web.listen-address=" + e.addr}
	cmd := exec.Command(needProgram(t, "unshare"), append(args, flags...)...)
	cmd.ExtraFiles = []*os.File{device}
	e.process = watchCommand(t, cmd)
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-e.done
		if t.Failed() {
			t.Logf("output:\n%s", e.output.String())
		}
	})
	eventually(t, 10*time.Second, "the file system is mounted", func() error {
		e.checkRunning(t)
		if !strings.Contains(e.output.String(), "mounted\n") {
			return errors.New("not mounted")
		}
		return nil
	})
	root := &fs.Inode{}
	serveFiles(t, fd, root, file)
	return e
}

// serveFiles serves a file system with one file, config.yml, until its namespace ends.
func serveFiles(t *testing.T, fd int, root *fs.Inode, file *hangingFile) {
	t.Helper()
	at := &fs.Options{OnAdd: func(ctx context.Context) {
		root.AddChild("config.yml", root.NewPersistentInode(ctx, file, fs.StableAttr{Mode: syscall.S_IFREG}), true)
	}}
	server, err := fuse.NewServer(fs.NewNodeFS(root, at), fmt.Sprintf("/dev/fd/%d", fd), &fuse.MountOptions{})
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve()
}

// TestReloadHangingFile reloads from a file system that does not respond. Everything else must go
// on, the shutdown included.
func TestReloadHangingFile(t *testing.T) {
	t.Parallel()
	file := newHangingFile(targetsConfig("own"))
	e := startHangingExporter(t, file, "--config.enable-auto-reload", "--config.auto-reload-interval=3s")
	e.awaitReady(t)
	postReload(t, e, http.StatusOK)

	release := file.hang()
	defer release()
	e.signal(t, syscall.SIGHUP)
	reloads := make(chan response, 2)
	for range cap(reloads) {
		go func() {
			a, err := request("POST", e.url+"/-/reload")
			if err != nil {
				a.body = err.Error()
			}
			reloads <- a
		}()
	}
	for range 10 {
		wantStatus(t, e.url+"/-/ready", http.StatusOK)
		wantStatus(t, e.url+"/probe?target=own", http.StatusOK)
	}
	for range cap(reloads) {
		if a := <-reloads; a.status != http.StatusInternalServerError || !strings.Contains(a.body, e.config+": cannot read file: ") {
			t.Errorf("POST /-/reload = %d %q, want 500 and the name of the file", a.status, a.body)
		}
	}
	if want := e.config + ": cannot read file: file system did not respond within 10s: check the file system"; !strings.Contains(e.output.String(), want) {
		t.Errorf("log lacks %q", want)
	}
	awaitReloadStatus(t, e, 0)

	release()
	eventually(t, 20*time.Second, "a reload succeeds", func() error {
		if a, err := request("POST", e.url+"/-/reload"); err != nil || a.status != http.StatusOK {
			return fmt.Errorf("%w, %d %s", err, a.status, a.body)
		}
		return nil
	})
	awaitReloadStatus(t, e, 1)

	releaseAgain := file.hang()
	defer releaseAgain()
	go func() { _, _ = request("POST", e.url+"/-/reload") }()
	e.signal(t, syscall.SIGHUP)
	time.Sleep(time.Second) // usually they wait for the file then
	e.checkEndsWithin(t, maxShutdown, e.terminate(t))
}

// TestStartHangingFile starts with a file system that does not respond.
func TestStartHangingFile(t *testing.T) {
	t.Parallel()
	for _, flags := range [][]string{nil, {"--config.check"}} {
		t.Run(strings.Join(flags, ""), func(t *testing.T) {
			t.Parallel()
			file := newHangingFile(targetsConfig("own"))
			release := file.hang()
			defer release()
			e := startHangingExporter(t, file, flags...)
			select {
			case <-e.done:
			case <-time.After(time.Minute):
				t.Fatal("the exporter is running")
			}
			if status := e.cmd.ProcessState.ExitCode(); status != 1 || !strings.Contains(e.output.String(), e.config+": cannot read file: file system did not respond within 10s") {
				t.Errorf("exit status = %d, want 1 and an error:\n%s", status, e.output.String())
			}
		})
	}
}

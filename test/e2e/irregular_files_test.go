// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// irregularFile is a path that the exporter must neither read nor write.
type irregularFile struct {
	name   string
	create func(path string) error // on the path itself, and on what a link leads to
	want   string                  // in the error
}

func irregularFiles() []irregularFile {
	link := func(to string) func(string) error {
		return func(path string) error { return os.Symlink(to, path) }
	}
	return []irregularFile{
		{"FIFO", func(path string) error { return syscall.Mkfifo(path, 0o600) }, "is a FIFO: write the path of a regular file"},
		{"device", link("/dev/zero"), "is a device: write the path of a regular file"},
		{"directory", func(path string) error { return os.Mkdir(path, 0o700) }, "is a directory: write the path of a regular file"},
		{"socket", createSocket, "is a socket: write the path of a regular file"},
		{"dangling link", link("missing"), "no such file or directory"},
		{"link loop", func(path string) error { return os.Symlink(filepath.Base(path), path) }, "too many levels of symbolic links"},
		{"large file", func(path string) error {
			const gigabyte = 1 << 30
			f, err := os.Create(path)
			if err != nil {
				return err
			}
			defer f.Close()
			return f.Truncate(gigabyte)
		}, "is larger than 64 MiB: write a smaller file"},
	}
}

func createSocket(path string) error {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	return l.Close()
}

// TestIrregularFiles has files that block, have no end, are too large or do not exist, in place of
// each file that the exporter reads or writes.
func TestIrregularFiles(t *testing.T) {
	t.Parallel()
	const withTargets = "modules: {few: {ports: \"1-10\"}}\ntarget_files: [file.yml]\n"
	for _, kind := range irregularFiles() {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file, config, targets := filepath.Join(dir, "file.yml"), filepath.Join(dir, "config.yml"), filepath.Join(dir, "targets.yml")
			if err := kind.create(file); err != nil {
				t.Fatal(err)
			}
			replaceFile(t, config, targetsConfig("own"))
			replaceFile(t, targets, withTargets)
			listen := "--web.listen-address=" + freeAddress(t)
			for _, args := range [][]string{
				{"--config.check", "--config.file=" + file},
				{"--config.check", "--config.file=" + targets},
				{"--config.file=" + file, listen},
				{"--config.file=" + targets, listen},
				{"--config.file=" + config, "--web.config.file=" + file, listen},
			} {
				o := runExporter(t, args...)
				o.wantStatus(t, 1)
				o.wantOutput(t, kind.want)
			}
			for _, key := range []string{"cert_file", "key_file", "client_ca_file"} {
				web := writeFile(t, "web.yml", "tls_server_config: {"+key+": "+file+"}\n")
				o := runExporter(t, "--config.file="+config, "--web.config.file="+web, listen)
				o.wantStatus(t, 1)
				o.wantOutput(t, web+": "+key+": ", strings.Replace(kind.want, "64 MiB", "4 MiB", 1))
			}
			if o := runExporter(t, "scan", "own", "--config.file="+file); o.status != 2 {
				t.Errorf("exit status of scan = %d, want 2", o.status)
			}
			if kind.name == "large file" {
				return // a state file has another limit, and an audit file none
			}
			for _, flag := range []string{"--state.file=", "--audit.file="} {
				o := runExporter(t, "--config.file="+config, flag+file, listen)
				o.wantStatus(t, 1)
				o.wantOutput(t, flag[:len(flag)-1], file+" is a", "write the path of a regular file")
			}
			if _, err := os.Lstat(filepath.Join(dir, "missing")); err == nil {
				t.Error("the exporter created what a link leads to")
			}
		})
	}
}

// TestReloadIrregularFiles replaces the configuration and target files of a running exporter.
func TestReloadIrregularFiles(t *testing.T) {
	t.Parallel()
	const list = "target_files: [file.yml]\n"
	e := startExporter(t, targetsConfig("own"), "--config.enable-auto-reload", "--config.auto-reload-interval=100ms")
	replaceFile(t, filepath.Join(filepath.Dir(e.config), "file.yml"), "[]")
	replaceFile(t, e.config, targetsConfig("own")+list)
	postReload(t, e, http.StatusOK)
	for _, kind := range irregularFiles() {
		for _, name := range []string{"file.yml", "config.yml"} {
			path := filepath.Join(filepath.Dir(e.config), name)
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			if err := kind.create(path); err != nil {
				t.Fatal(err)
			}
			a, err := request("POST", e.url+"/-/reload")
			if err != nil || a.status != http.StatusInternalServerError || !strings.Contains(a.body, kind.want) {
				t.Errorf("%s as %s: reload = %d, %v, want 500 and %q: %s", kind.name, name, a.status, err, kind.want, a.body)
			}
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			valid := "[]"
			if name == "config.yml" {
				valid = targetsConfig("own") + list
			}
			replaceFile(t, path, valid)
			postReload(t, e, http.StatusOK)
		}
	}
	wantStatus(t, e.url+"/probe?target=own", http.StatusOK)
	e.checkEndsWithin(t, maxShutdown, e.terminate(t))
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package config

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLoadIrregularFile has files that must not be read, as configuration and target files.
func TestLoadIrregularFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, "targets.d", name+".yml") }
	writeFile(t, in("large"), "[]")
	for _, err := range []error{
		unix.Mkfifo(in("fifo"), 0o600),
		os.Symlink("fifo.yml", in("link")),
		os.Symlink("/dev/zero", in("zero")),
		os.Symlink("missing.yml", in("dangling")),
		os.Symlink("loop.yml", in("loop")),
		os.Truncate(in("large"), 1<<30),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	listener, err := net.Listen("unix", in("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	config := filepath.Join(dir, "config.yml")
	writeFile(t, config, goodText+"target_files: ['targets.d/*.yml', targets.d, 'targets.d/none*.yml']\n")
	_, _, loadErr := Load(config, testTime())
	if _, err := NewSafeConfig(config, nil).Checksum(); err != nil {
		t.Errorf("Checksum = %v, want no error", err)
	}
	for name, want := range map[string]struct{ before, after string }{
		"fifo":     {"", " is a FIFO: write the path of a regular file"},
		"link":     {"", " is a FIFO: write the path of a regular file"},
		"zero":     {"", " is a device: write the path of a regular file"},
		"socket":   {"", " is a socket: write the path of a regular file"},
		"large":    {"", " is larger than 64 MiB: write a smaller file"},
		"dangling": {"cannot read ", ": no such file or directory"},
		"loop":     {"cannot read ", ": too many levels of symbolic links"},
	} {
		asTarget := config + ":2: target_files[0]: " + want.before + in(name) + want.after
		if loadErr == nil || !strings.Contains(loadErr.Error()+"\n", asTarget+"\n") {
			t.Errorf("Load = %v\nwant %q", loadErr, asTarget)
		}
		asConfig := in(name) + ": " + want.before + "file" + want.after
		if _, _, err := Load(in(name), testTime()); err == nil || err.Error() != asConfig {
			t.Errorf("Load(%s) = %v, want %q", name, err, asConfig)
		}
	}
	writeFile(t, config, strings.Replace(hostsFileConfig, "hosts.txt", "targets.d/fifo.yml", 1))
	want := config + ":4: targets[0].hosts_file: " + in("fifo") + " is a FIFO: write the path of a regular file"
	if _, _, err := Load(config, testTime()); err == nil || err.Error() != want {
		t.Errorf("Load() with a FIFO of hosts = %v, want %s", err, want)
	}
	if _, err := NewSafeConfig(config, nil).Checksum(); err != nil {
		t.Errorf("Checksum() with a FIFO of hosts = %v, want no error", err)
	}
	if want := "target_files[1]: " + filepath.Dir(in("")) + " is a directory: write the path of a regular file"; !strings.Contains(loadErr.Error(), want) {
		t.Errorf("Load = %v, want %q", loadErr, want)
	}
}

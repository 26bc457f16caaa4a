// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestAuditFileFIFO requires one error in the log and no start for a FIFO without a reader.
func TestAuditFileFIFO(t *testing.T) {
	noLeaks(t)
	config := writeConfig(t, "modules: {m: {ports: 1}}\ntargets: [{name: t, hosts: [127.0.0.1], modules: [m], authorization: {owner: me}}]\n")
	fifo := filepath.Join(t.TempDir(), "audit.log")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	const exitFailure = 1
	var stdout, stderr bytes.Buffer
	code := run([]string{"--config.file=" + config, "--web.listen-address=" + freeAddress(t), "--audit.file=" + fifo}, &stdout, &stderr)
	want := "--audit.file: opening the audit file: " + fifo + " is a FIFO: write the path of a regular file"
	if got := stderr.String(); code != exitFailure || strings.Count(got, "level=ERROR") != 1 || !strings.Contains(got, want) {
		t.Errorf("exit status %d, %q; want %d and one error with %q", code, got, exitFailure, want)
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"portscan_exporter/internal/config"
)

// TestStillAllowedAddressMoved moves an address to another target while its scan is
// queued: the first target's authorization no longer covers it.
func TestStillAllowedAddressMoved(t *testing.T) {
	t.Parallel()
	const text = `modules: {m: {ports: 1}}
targets:
  - {name: first, hosts: [192.0.2.1], modules: [m], authorization: {owner: one}}
  - {name: second, hosts: [192.0.2.2], modules: [m], authorization: {owner: another}}
`
	file := filepath.Join(t.TempDir(), "config.yml")
	safe := config.NewSafeConfig(file, nil)
	load := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := safe.Reload(time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	load(text)
	selection, module, err := safe.Get().Authorize("192.0.2.1", "m", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	task := selection.Task(module)
	allow := stillAllowed(safe)
	if now, err := allow(task); err != nil || now.Key() != task.Key() {
		t.Errorf("unchanged configuration: got %+v, %v", now, err)
	}
	load(strings.NewReplacer("192.0.2.1", "192.0.2.2", "192.0.2.2", "192.0.2.1").Replace(text))
	if now, err := allow(task); err == nil || err.Error() != "192.0.2.1 now belongs to target second, not to first" {
		t.Errorf("moved address: got %+v, %v, want an error", now, err)
	}
}

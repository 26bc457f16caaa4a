// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"portscan_exporter/internal/config"
	"portscan_exporter/internal/scan"
)

// names is a [config.Names] in which every name has one address; "": lookups fail. It counts them.
type names struct {
	addr    string
	lookups int
}

func (n *names) FindName(_ context.Context, addr netip.Addr, groups []scan.NameGroup) (int, string, error) {
	n.lookups++
	switch n.addr {
	case addr.String():
		return 0, groups[0].Names[0].Entry, nil
	case "":
		return 0, "", errors.New("timeout")
	}
	return -1, "", nil
}

// newSafeConfig returns a configuration and a function that replaces its text.
func newSafeConfig(t *testing.T, text string) (*config.SafeConfig, func(string)) {
	t.Helper()
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
	return safe, load
}

// newAllowedTask returns the task for an address according to the configuration.
func newAllowedTask(t *testing.T, safe *config.SafeConfig, found config.Names, asked string) scan.Task {
	t.Helper()
	selection, module, err := safe.Get().Authorize(t.Context(), found, asked, "m", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return selection.Task(module)
}

// TestStillAllowedAddressMoved moves an address to another target while its scan is
// queued: the first target's authorization no longer covers it.
func TestStillAllowedAddressMoved(t *testing.T) {
	t.Parallel()
	const text = `modules: {m: {ports: 1}}
targets:
  - {name: first, hosts: [192.0.2.1], modules: [m], authorization: {owner: one}}
  - {name: second, hosts: [192.0.2.2], modules: [m], authorization: {owner: another}}
`
	safe, load := newSafeConfig(t, text)
	task := newAllowedTask(t, safe, &names{}, "192.0.2.1")
	allow, keep := stillAllowed(safe, &names{}), stillConfigured(safe)
	if now, err := allow(t.Context(), task); err != nil || now.Key() != task.Key() {
		t.Errorf("unchanged configuration: got %+v, %v", now, err)
	}
	load(strings.NewReplacer("192.0.2.1", "192.0.2.2", "192.0.2.2", "192.0.2.1").Replace(text))
	for range 2 {
		if now, err := allow(t.Context(), task); err == nil || err.Error() != "192.0.2.1 now belongs to target second, not to first" {
			t.Errorf("moved address: got %+v, %v, want an error", now, err)
		}
		allow = func(_ context.Context, task scan.Task) (scan.Task, error) { return keep(task) }
	}
}

// TestStillAllowedNameMoved has a name resolve to another address while a scan is queued: the
// scan is not allowed. A running one continues, without a lookup.
func TestStillAllowedNameMoved(t *testing.T) {
	t.Parallel()
	safe, load := newSafeConfig(t, `modules: {m: {ports: 1}}
targets: [{name: web, hosts: [www.example.org], networks: [192.0.2.0/24], modules: [m], authorization: {owner: one}}]
`)
	found := &names{addr: "192.0.2.1"}
	task := newAllowedTask(t, safe, found, "192.0.2.1")
	allow, keep := stillAllowed(safe, found), stillConfigured(safe)
	if now, err := allow(t.Context(), task); err != nil || now.Key() != task.Key() || now.Hosts[0].Entry != "www.example.org" {
		t.Errorf("same address: got %+v, %v, want the task", now, err)
	}
	found.addr = "192.0.2.2"
	if _, err := allow(t.Context(), task); err == nil || !strings.Contains(err.Error(), "does not lead to address 192.0.2.1") {
		t.Errorf("other address: got %v, want a refusal", err)
	}
	found.addr = ""
	_, err := allow(t.Context(), task)
	if _, ok := errors.AsType[*config.UnresolvedError](err); !ok {
		t.Errorf("failed lookup: got %v, want an UnresolvedError", err)
	}
	lookups := found.lookups
	if now, err := keep(task); err != nil || now.Key() != task.Key() || found.lookups != lookups {
		t.Errorf("running scan: got %+v, %v and %d lookups, want the task and none", now, err, found.lookups-lookups)
	}
	load(`modules: {m: {ports: 1}}
targets: [{name: web, hosts: [www.example.org], networks: [198.51.100.0/24], modules: [m], authorization: {owner: one}}]
`)
	if _, err := keep(task); err == nil {
		t.Error("running scan of an address outside of new networks: got no error")
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

func TestConfigAuthorize(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yml")
	writeFile(t, file, `
modules: {first: {ports: "1"}, second: {ports: "2"}, spare: {ports: "3"}}
targets:
  - {name: web, hosts: [192.0.2.1], modules: [first, second], authorization: {owner: net team}}
  - {name: old, hosts: [192.0.2.2], modules: [first], authorization: {owner: net team, expires: 2020-01-31}}
  - {name: other, hosts: [192.0.2.3], modules: [spare], authorization: {owner: me}}
  - {name: asked, networks: [198.51.100.0/24], modules: [first], authorization: {owner: me}}
`)
	cfg, _, err := Load(file, testTime())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		target, module   string
		wantTarget, want string // names
		denial           Denial // "": none
		message          string
	}{
		{target: "web", wantTarget: "web", want: "first"},
		{target: "192.0.2.1", module: "second", wantTarget: "web", want: "second"},
		{target: "198.51.100.9", wantTarget: "asked", want: "first"},
		{target: "asked", denial: NoHosts, message: `target "asked" has no hosts: ask for an address in its networks`},
		{target: "db", denial: UnknownTarget, message: `target "db" is not configured: add it`},
		{target: strings.Repeat("x", 9000), denial: UnknownTarget, message: `xxx..." is not configured`},
		{target: "web", module: "third", denial: UnknownModule, message: `module "third" is not configured: use a module of target "web"`},
		{target: "web", module: "spare", denial: UnlistedModule, message: `target "web" does not list module "spare"`},
		{target: "old", denial: ExpiredAuthorization, message: `authorization for target "old" expired at 2020-02-01T00:00:00Z: ask its owner "net team"`},
	} {
		selection, module, err := cfg.Authorize(t.Context(), noLookups{t}, c.target, c.module, testTime())
		if c.denial == "" {
			if err != nil || selection.Target.Name != c.wantTarget || module.Name != c.want {
				t.Errorf("Authorize(%q, %q) = %v, %v, %v, want %s and %s", c.target, c.module, selection.Target, module, err, c.wantTarget, c.want)
			}
			continue
		}
		denied, ok := errors.AsType[*DeniedError](err)
		if !ok || denied.Denial != c.denial || !strings.Contains(denied.Error(), c.message) || strings.Contains(denied.Error(), "\n") {
			t.Errorf("Authorize(%.20q, %q) = %v, want %s", c.target, c.module, err, c.message)
		}
	}
}

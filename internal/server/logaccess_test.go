// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

// TestLogAccess requires that a log can be read only while the target is as it was probed.
func TestLogAccess(t *testing.T) {
	t.Parallel()
	const text = `
modules: {m: {ports: "1-3"}, n: {ports: "1-3"}}
targets:
  - {name: web, hosts: [127.0.0.1, www.example.org], networks: [127.0.0.0/8], exclude_hosts: [127.0.0.9], modules: [m, n], authorization: {owner: me, reference: R1}, expect: {tcp: {}}}
`
	const current, outdated, expired = "", "was removed or changed", "expired"
	for _, tc := range []struct{ old, replacement, want string }{
		{"", "", current},
		{"R1", "R2", current},
		{"owner: me", "owner: me, expires: 2099-01-01", current},
		{"expect: {tcp: {}}", "labels: {a: b}", current},
		{`{ports: "1-3"}, n`, `{ports: "4-9"}, n`, current},
		{"[m, n]", "[m]", current},
		{"[m, n]", "[n]", outdated},
		{"name: web", "name: other", outdated},
		{"owner: me", "owner: you", outdated},
		{"127.0.0.1, www", "127.0.0.2, www", outdated},
		{", www.example.org", "", outdated},
		{"127.0.0.0/8", "127.0.0.0/16", outdated},
		{"127.0.0.9", "127.0.0.8", outdated},
		{"modules: [m", "ip_protocol: ip4, modules: [m", outdated},
		{"owner: me", "owner: me, expires: 2020-01-01", expired},
		{"web, hosts: [127.0.0.1, www.example.org]", "web, hosts: [127.0.0.3], ip_protocol: ip4", outdated},
	} {
		h := newHarness(t, text, stubLookup{netip.MustParseAddr("127.0.0.1")}, nil)
		h.get(t, "/probe?target=web")
		writeFile(t, h.file, strings.Replace(text, tc.old, tc.replacement, 1))
		if err := h.reloader.Reload(); err != nil {
			t.Fatal(err)
		}
		w, index := h.get(t, "/logs?id=1"), h.get(t, "/").Body.String()
		status, links := http.StatusForbidden, 0
		if tc.want == current {
			status, links = http.StatusOK, 2
		}
		if w.Code != status || !strings.Contains(w.Body.String(), tc.want) {
			t.Errorf("with %q in place of %q: got %d, %s, want %d and %q", tc.replacement, tc.old, w.Code, w.Body, status, tc.want)
		}
		if got := strings.Count(index, "/logs?id=1"); got != links {
			t.Errorf("with %q in place of %q: status page has %d links to the log, want %d", tc.replacement, tc.old, got, links)
		}
		if row := sectionText(t, index, "complete"); strings.Contains(row, "web") == (tc.want == outdated) {
			t.Errorf("with %q in place of %q: recent probes are %q", tc.replacement, tc.old, row)
		}
	}
}

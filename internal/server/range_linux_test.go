// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

// TestProbeHostsFileRange scans a range of a hosts file, across the last octets 255 and 0, before and
// after the file changes.
func TestProbeHostsFileRange(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.3.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	hosts := filepath.Join(t.TempDir(), "hosts.txt")
	writeFile(t, hosts, "# rack\r\n127.0.2.254-127.0.3.1\r\n")
	h := newHarness(t, fmt.Sprintf(`
modules: {m: {ports: %s, timeout: 20s}}
targets: [{name: rack, hosts_file: %q, exclude_hosts: [127.0.2.253-254], modules: [m], authorization: {owner: me}}]
`, port, hosts), nil, nil)
	answer := h.get(t, "/probe?target=rack").Body.String()
	for ip, open := range map[string]int{"127.0.2.255": 0, "127.0.3.0": 1, "127.0.3.1": 0} {
		wantTexts(t, "answer", answer, fmt.Sprintf("portscan_ports{ip=%q,protocol=\"tcp\",state=\"open\"} %d\n", ip, open),
			fmt.Sprintf("portscan_address_info{host=\"127.0.2.254-127.0.3.1\",ip=%q} 1\n", ip))
	}
	wantTexts(t, "answer", answer, "\nportscan_addresses 3\n", "\nprobe_success 1\n")

	writeFile(t, hosts, "127.0.3.1\n")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/-/reload", nil))
	if answer := h.get(t, "/probe?target=rack").Body.String(); w.Code != http.StatusOK || strings.Contains(answer, "127.0.3.0") || !strings.Contains(answer, "\nportscan_addresses 1\n") {
		t.Errorf("after a reload with status %d: got %s, want only 127.0.3.1", w.Code, answer)
	}
	if w := h.get(t, "/probe?target=127.0.3.0"); w.Code != http.StatusForbidden {
		t.Errorf("address that left the file: got status %d, want 403", w.Code)
	}
}

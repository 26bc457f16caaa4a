// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// invalidRequest is a request that the exporter must refuse.
type invalidRequest struct {
	name    string
	request string // raw bytes, or a path for a GET request
	status  int
	input   string // part of the request that must not appear in the metrics
}

const (
	timeoutHeader = "X-Prometheus-Scrape-Timeout-Seconds"
	badRequest    = http.StatusBadRequest
	forbidden     = http.StatusForbidden
	noMethod      = http.StatusMethodNotAllowed
	tooLarge      = http.StatusRequestHeaderFieldsTooLarge
)

func rawRequest(method, path string, headers ...string) string {
	return method + " " + path + " HTTP/1.1\r\nHost: exporter\r\nConnection: close\r\n" + strings.Join(headers, "") + "\r\n"
}

func timeoutRequest(values ...string) string {
	var headers []string
	for _, v := range values {
		headers = append(headers, timeoutHeader+": "+v+"\r\n")
	}
	return rawRequest("GET", "/probe?target=own", headers...)
}

func invalidParameters() []invalidRequest {
	return []invalidRequest{
		{"no parameter", "/probe", badRequest, ""},
		{"empty target", "/probe?target=", badRequest, ""},
		{"empty module", "/probe?target=own&module=", badRequest, ""},
		{"duplicate target", "/probe?target=own&target=own", badRequest, ""},
		{"duplicate module", "/probe?target=own&module=few&module=few", badRequest, ""},
		{"unknown parameter", "/probe?target=own&ports=1-65535", badRequest, "1-65535"},
		{"unknown parameter, non-UTF-8", "/probe?target=own&%ff%fe=1", badRequest, ""},
		{"unknown module", "/probe?target=own&module=mallory", badRequest, "mallory"},
		{"module of another target", "/probe?target=own&module=spare", forbidden, ""},
		{"bad debug", "/probe?target=own&debug=perhaps", badRequest, "perhaps"},
		{"bad escape", "/probe?target=%zz", badRequest, "%zz"},
		{"semicolons", "/probe?target=own;module=few", badRequest, ""},
		{"huge target", "/probe?target=" + strings.Repeat("a", 10_000), forbidden, "aaaaaaaa"},
		{"control characters", "/probe?target=own%0d%0aX-Evil:%201%00", forbidden, "X-Evil"},
		{"non-UTF-8", "/probe?target=own%ff%fe", forbidden, "\xff"},
		{"upper case", "/probe?target=OWN", forbidden, "OWN"},
		{"space", "/probe?target=own%20", forbidden, "own "},
	}
}

func invalidTargets() []invalidRequest {
	var all []invalidRequest
	for _, target := range []string{
		"https://example.org/", "file:///etc/passwd", "127.0.0.1", "127.0.0.1:22", "127.0.0.77:80", "127.0.0.77/32",
		"127.0.0.076", "127.1", "2130706509", "0x7f00004d", "localhost", "0.0.0.0", "169.254.169.254",
		"255.255.255.255", "224.0.0.1", "::", "::1", "[::1]", "[::1]:80", "::ffff:127.0.0.1", "::ffff:192.0.2.1",
		"::ffff:7f00:1", "::127.0.0.77", "64:ff9b::7f00:4d", "fe80::1%25lo", "::ffff:127.0.0.77%25lo", "192.0.2.0/24", "../own", "own/", "*",
	} {
		input := strings.ReplaceAll(target, "%25", "%")
		if input == "::" || input == "*" {
			input = ""
		}
		all = append(all, invalidRequest{"target " + target, "/probe?target=" + target, forbidden, input})
	}
	return all
}

func invalidHTTP() []invalidRequest {
	all := []invalidRequest{
		{"path traversal", "/../../etc/passwd", badRequest, "passwd"},
		{"path traversal, escaped", "/%2e%2e/%2e%2e/etc/passwd", badRequest, "passwd"},
		{"path traversal below a path", "/probe/../metrics", badRequest, ""},
		{"duplicate slash", "//probe?target=own", badRequest, ""},
		{"unknown path", "/probe/own", http.StatusNotFound, ""},
		{"reload by GET", "/-/reload", noMethod, ""},
		{"duplicate timeout", timeoutRequest("5", "5"), badRequest, ""},
		{"1 MB of header", rawRequest("GET", "/probe?target=own", "X-Big: "+strings.Repeat("b", 1<<20)+"\r\n"), tooLarge, "bbbbbbbb"},
		{"1 MB of path", rawRequest("GET", "/probe?target="+strings.Repeat("c", 1<<20)), tooLarge, "cccccccc"},
		{"100 000 headers", rawRequest("GET", "/probe?target=own", strings.Repeat("A: 1\r\n", 100_000)), tooLarge, ""},
		{"not HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", badRequest, ""},
		{"no Host", "GET /probe?target=own HTTP/1.1\r\n\r\n", badRequest, ""},
		{"duplicate Host", rawRequest("GET", "/probe?target=own", "Host: mallory\r\n"), badRequest, "mallory"},
	}
	for _, v := range []string{"", "abc", "-1", "0", "NaN", "-Inf", "1e999", "5s", "5,5", "0x", "\xff"} {
		all = append(all, invalidRequest{fmt.Sprintf("timeout %q", v), timeoutRequest(v), badRequest, ""})
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"} {
		all = append(all, invalidRequest{method, rawRequest(method, "/probe?target=own", "Content-Length: 0\r\n"), noMethod, method})
	}
	return all
}

// twoModulesConfig has addresses that no invalid request names.
const twoModulesConfig = `modules:
  few: {ports: "1-10"}
  spare: {ports: "1-10"}
targets:
  - name: own
    hosts: [127.0.0.77]
    modules: [few]
    authorization: {owner: "the test"}
  - name: other
    hosts: [127.0.0.78]
    modules: [spare]
    authorization: {owner: "the test"}
`

func TestServerInvalidRequests(t *testing.T) {
	t.Parallel()
	e := startExporter(t, twoModulesConfig)
	var all []invalidRequest
	for _, some := range [][]invalidRequest{invalidParameters(), invalidTargets(), invalidHTTP()} {
		all = append(all, some...)
	}
	for _, h := range all {
		request := h.request
		if strings.HasPrefix(request, "/") {
			request = rawRequest("GET", request)
		}
		a := requestRaw(t, e.addr, request)
		if a.status != h.status {
			t.Errorf("%s: status = %d, want %d: %.200q", h.name, a.status, h.status, a.body)
		}
		if line := strings.TrimSuffix(a.body, "\n"); line == "" || strings.ContainsAny(line, "\r\n") || len(line) > 500 {
			t.Errorf("%s: body = %.600q, want one line", h.name, a.body)
		}
	}
	e.checkRunning(t)

	exposition := getBody(t, e.url+"/metrics")
	for _, h := range all {
		if h.input != "" && strings.Contains(exposition, h.input) {
			t.Errorf("%s: metrics contain %.80q", h.name, h.input)
		}
	}
	m := parseMetrics(t, exposition)
	m.wantValue(t, `portscan_exporter_scans_total{module="few"}`, 0)
	m.wantValue(t, `portscan_exporter_scans_total{module="spare"}`, 0)
	m.wantValue(t, `portscan_exporter_attempts_total{protocol="tcp"}`, 0)
	if m[`portscan_exporter_probes_refused_total{reason="unknown_target"}`] < float64(len(invalidTargets())) {
		t.Error("not all refusals were counted")
	}

	// Valid requests still work.
	e.probe(t, "target=own").wantValue(t, "probe_success", 1)
	e.probe(t, "target=127.0.0.77&module=few", timeoutHeader, "5").wantValue(t, "probe_success", 1)
	m = e.scrapeMetrics(t)
	m.wantValue(t, `portscan_exporter_attempts_total{protocol="tcp"}`, 20)
}

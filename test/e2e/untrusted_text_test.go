// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"
)

// hostileText has control characters of ASCII and Unicode, bidirectional marks, invisible
// characters and a line separator.
const hostileText = "x\x1b]0;y\a\x7f\u009b2J\u0085\u202e\u2066\u200e\u061c\u200b\ufeff\u3164\u2028\U000e0041z"

// checkVisible fails the test if the text has a hostile character other than a line feed.
func checkVisible(t *testing.T, name, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Errorf("%s is not UTF-8", name)
	}
	for _, r := range text {
		if r != '\n' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point) {
			i := strings.IndexRune(text, r)
			t.Errorf("%s has %U: %q", name, r, text[max(0, i-60):min(len(text), i+60)])
			return
		}
	}
}

// hostileConfig has invisible characters where they are permitted.
const hostileConfig = `modules: {few: {ports: "1-10"}}
targets:
  - name: own
    hosts: [127.0.0.77]
    modules: [few]
    authorization: {owner: "zero\u200bwidth", reference: "hangul\u3164filler"}
    labels: {note: "tag\U000E0041"}
`

// TestUntrustedText sends hostile names and headers, and checks all outputs that people read.
func TestUntrustedText(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"logfmt", "json"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			auditFile := filepath.Join(t.TempDir(), "audit.log")
			e := startHostileExporter(t, "--log.level=debug", "--log.format="+format, "--audit.file="+auditFile)
			password := []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(hostileUser+":secret"))}
			for _, path := range []string{
				"/probe?target=" + url.QueryEscape(hostileText), "/probe?target=own&module=" + url.QueryEscape(hostileText),
				"/probe?target=%ff%fe%c3%28", "/probe?" + url.QueryEscape(hostileText) + "=1", "/probe?target=own&debug=" + url.QueryEscape(hostileText),
				"/target/" + url.PathEscape(hostileText), "/target/own?module=" + url.QueryEscape(hostileText),
				"/target/own?address=" + url.QueryEscape(hostileText), "/logs?id=" + url.QueryEscape(hostileText),
				"/probe?target=own&debug=true", "/probe?target=own", "/logs?id=1", "/logs?id=2", "/", "/target/own",
			} {
				a, err := request("GET", e.url+path, password...)
				if err != nil {
					t.Fatal(err)
				}
				checkVisible(t, path, withoutMetrics(path, a.body))
			}
			for _, value := range []string{hostileText, "\u202e\u009b"} {
				for _, raw := range []string{"GET /sd HTTP/1.1\r\nHost: " + value, "GET /probe?target=own HTTP/1.1\r\nHost: a\r\n" + timeoutHeader + ": " + value} {
					a := requestRaw(t, e.addr, raw+"\r\nConnection: close\r\n"+strings.Join(password, ": ")+"\r\n\r\n")
					checkVisible(t, raw, a.body)
				}
			}
			checkPagesEscape(t, e, password)
			checkReloadEscapes(t, e, password)
			checkVisible(t, "log", e.output.String())
			audit, err := os.ReadFile(auditFile)
			if err != nil {
				t.Fatal(err)
			}
			checkVisible(t, "audit file", string(audit))
			checkAuditUser(t, string(audit))
		})
	}
}

// hostileUser is a user name that exporter-toolkit accepts.
const hostileUser = "user\u202e\u009b"

// startHostileExporter starts the exporter with hostile names of its file, a user and labels.
func startHostileExporter(t *testing.T, flags ...string) *exporter {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	web := writeFile(t, "web.yml", fmt.Sprintf("basic_auth_users: {%q: %q}\n", hostileUser, hash))
	e := &exporter{addr: freeAddress(t), config: writeFile(t, "config\x1b\u202e\u009b.yml", hostileConfig)}
	e.url = "http://" + e.addr
	flags = append(flags, "--config.file="+e.config, "--web.config.file="+web, "--web.listen-address="+e.addr)
	e.process = startProcess(t, binary(t), flags...)
	eventually(t, 30*time.Second, "the exporter answers", func() error {
		e.checkRunning(t)
		return checkStatus(e.url+"/-/ready", 401)
	})
	return e
}

// withoutMetrics returns the part of an answer that is not data for programs.
func withoutMetrics(path, body string) string {
	if path == "/probe?target=own" {
		return ""
	}
	return body
}

// checkPagesEscape checks that pages show permitted invisible characters as escapes.
func checkPagesEscape(t *testing.T, e *exporter, password []string) {
	t.Helper()
	for _, path := range []string{"/", "/target/own"} {
		page := getBody(t, e.url+path, password...)
		for _, want := range []string{`zero\u200bwidth`, `hangul\u3164filler`, `tag\udb40\udc41`} {
			if !strings.Contains(page, want) {
				t.Errorf("%s lacks %s", path, want)
			}
		}
	}
}

// checkReloadEscapes checks the answer to a failed reload, which has the name of the file.
func checkReloadEscapes(t *testing.T, e *exporter, password []string) {
	t.Helper()
	if err := os.WriteFile(e.config, []byte(hostileConfig+"x: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := request("POST", e.url+"/-/reload", password...)
	if err != nil || a.status != 500 || !strings.Contains(a.body, `config\u001b\u202e\u009b.yml:`) {
		t.Errorf("POST /-/reload = %d %q, %v, want 500 and the escaped name of the file", a.status, a.body, err)
	}
	checkVisible(t, "answer to a reload", a.body)
}

// checkAuditUser checks that programs read the user's name from the audit file.
func checkAuditUser(t *testing.T, audit string) {
	t.Helper()
	line, _, _ := strings.Cut(audit, "\n")
	var entry struct {
		User string `json:"user"`
	}
	if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.User != hostileUser {
		t.Errorf("user of %s = %q, %v, want %q", line, entry.User, err, hostileUser)
	}
}

// TestUntrustedTextOnTerminal checks errors and results of commands with hostile names.
func TestUntrustedTextOnTerminal(t *testing.T) {
	t.Parallel()
	good := writeFile(t, "config\x1b\u202e\u009b.yml", hostileConfig)
	bad := writeFile(t, "bad\x1b\u202e.yml", `modules: {"a\u202eb": {ports: "\u009b"}}
targets: [{name: "\u2066", hosts: ["\u200f"], modules: ["\e[2J"], authorization: {owner: "\u202e"}, labels: {"\u2028": "\x7f"}}]
`)
	for _, tc := range []struct {
		status int
		args   []string
	}{
		{0, []string{"--config.check", "--config.file=" + good}},
		{1, []string{"--config.check", "--config.file=" + bad}},
		{1, []string{"serve", "--config.file=" + bad}},
		{2, []string{"scan", "--config.file=" + good, hostileText}},
		{2, []string{"scan", "--config.file=" + bad, "own"}},
		{2, []string{"scan", "--config.file=" + good, "--audit.file=/none/" + hostileText, "own"}},
		{2, []string{"--" + hostileText}},
		{1, []string{"healthcheck", "--url=http://127.0.0.1:1/" + hostileText}},
		{0, []string{"scan", "--config.file=" + good, "own"}},
		{0, []string{"scan", "--config.file=" + good, "--output=json", "own"}},
	} {
		o := runExporter(t, tc.args...)
		o.wantStatus(t, tc.status)
		checkVisible(t, fmt.Sprintf("output of %q", tc.args), o.stdout+o.stderr)
	}
	var result struct {
		Authorization struct {
			Owner string `json:"owner"`
		} `json:"authorization"`
	}
	o := runExporter(t, "scan", "--config.file="+good, "--output=json", "own")
	if err := json.Unmarshal([]byte(o.stdout), &result); err != nil || result.Authorization.Owner != "zero\u200bwidth" {
		t.Errorf("owner = %q, %v, want %q", result.Authorization.Owner, err, "zero\u200bwidth")
	}
}

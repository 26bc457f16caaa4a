// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unicode/utf8"
)

func TestEventLines(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	l, dropped, _ := openLog(t, path)
	arrived := time.Date(2026, 1, 2, 4, 4, 5, 6, time.FixedZone("", 3600))
	l.Scan(Scan{
		ID: "7", Remote: "192.0.2.1:5", User: "prom", Target: "web", Module: "m", Owner: "net team", Reference: "CHG-1",
		Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.9")}, Refused: []netip.Addr{netip.MustParseAddr("2001:db8::1")},
		Ports: 7, Attempts: 8, Started: arrived, Ended: arrived.Add(time.Second), Outcome: "incomplete", Reason: "deadline",
	})
	l.Scan(Scan{ID: "8", Remote: CommandLine, Target: "web", Module: "m", Owner: "me", Started: arrived, Ended: arrived, Outcome: "failed", Reason: "dns"})
	l.Probe(Probe{
		Time: arrived, Remote: "192.0.2.1:5", User: "prom", Target: "192.0.2.9", Module: "m", Scan: "7",
		Source: Joined, Status: 200, Duration: time.Second,
	})
	l.Refusal(Refusal{Time: arrived, Remote: "192.0.2.7:6", Target: "other", Outcome: "unknown_target", Reason: "not configured", Status: 403})
	l.Close()
	const want = `{"event":"scan","time":"2026-01-02T03:04:06.000000006Z","id":"7","remote":"192.0.2.1:5","user":"prom","target":"web","module":"m","owner":"net team","reference":"CHG-1","addresses":["192.0.2.9"],"refused":["2001:db8::1"],"ports":7,"attempts":8,"started":"2026-01-02T03:04:05.000000006Z","ended":"2026-01-02T03:04:06.000000006Z","outcome":"incomplete","reason":"deadline"}
{"event":"scan","time":"2026-01-02T03:04:05.000000006Z","id":"8","remote":"command line","target":"web","module":"m","owner":"me","ports":0,"attempts":0,"started":"2026-01-02T03:04:05.000000006Z","ended":"2026-01-02T03:04:05.000000006Z","outcome":"failed","reason":"dns"}
{"event":"probe","time":"2026-01-02T03:04:05.000000006Z","remote":"192.0.2.1:5","user":"prom","target":"192.0.2.9","module":"m","scan":"7","source":"joined","status":200,"duration_ns":1000000000}
{"event":"refusal","time":"2026-01-02T03:04:05.000000006Z","remote":"192.0.2.7:6","target":"other","outcome":"unknown_target","reason":"not configured","status":403}
`
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("file = %s, %v, want %s", got, err, want)
	}
	if dropped.Load() != 0 {
		t.Errorf("dropped = %d, want 0", dropped.Load())
	}
}

func TestEscapeControls(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain, ünï and 日本 😀": `"plain, ünï and 日本 😀"`,
		"a\nb\x1b[31m\x00":    `"a\nb\u001b[31m\u0000"`,
		"\x7f\u0080\u009b31m": `"\u007f\u0080\u009b31m"`,
		"\u061c\u200e\u200f":  `"\u061c\u200e\u200f"`,
		"\u202a\u202e\u202c":  `"\u202a\u202e\u202c"`,
		"\u2066\u2068\u2069":  `"\u2066\u2068\u2069"`,
		"\u2028\u2029\ufeff":  `"\u2028\u2029\ufeff"`,
		"\U000e0041":          `"\udb40\udc41"`,
		"<\xff>\"\\":          `"\u003c\ufffd\u003e\"\\"`,
	} {
		line, err := encodeLine(text)
		if got := string(line); err != nil || got != want+"\n" {
			t.Errorf("encodeLine(%q) = %s, %v, want %s", text, got, err, want)
		}
		var decoded string
		if err := json.Unmarshal(line, &decoded); err != nil || utf8.ValidString(text) && decoded != text {
			t.Errorf("decoding %s = %q, %v, want %q", line, decoded, err, text)
		}
	}
}

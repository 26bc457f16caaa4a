// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package printable

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestEscape(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"letters", "Équipe 株式会社 Команда 🛡", "Équipe 株式会社 Команда 🛡"},
		{"HTML and quotes", `<b>"x"\`, `<b>"x"\`},
		{"C0", "a\x00\x1b[31m\r\n\tb", `a\u0000\u001b[31m\r\n\tb`},
		{"DEL and C1", "a\x7f\u0080\u009b2Jb\u009f", `a\u007f\u0080\u009b2Jb\u009f`},
		{"bidirectional embedding", "\u202aa\u202bb\u202cc\u202dd\u202e", `\u202aa\u202bb\u202cc\u202dd\u202e`},
		{"bidirectional isolates", "\u2066a\u2067b\u2068c\u2069", `\u2066a\u2067b\u2068c\u2069`},
		{"bidirectional marks", "\u200ea\u200fb\u061c", `\u200ea\u200fb\u061c`},
		{"zero width", "a\u200b\u200c\u200d\u2060\ufeff\u00adb", `a\u200b\u200c\u200d\u2060\ufeff\u00adb`},
		{"separators", "a\u2028b\u2029c", `a\u2028b\u2029c`},
		{"invisible letters", "\u115f\u1160\u3164\uffa0\u034f\u17b4", `\u115f\u1160\u3164\uffa0\u034f\u17b4`},
		{"variation selectors", "a\ufe0fb\U000e0100", `a\ufe0fb\udb40\udd00`},
		{"tags", "a\U000e0041", `a\udb40\udc41`},
		{"invalid UTF-8", "a\xff\xc3(\xed\xa0\x80", "a\ufffd\ufffd(\ufffd\ufffd\ufffd"},
	} {
		if got := Escape(tc.text); got != tc.want {
			t.Errorf("%s: Escape(%q) = %q, want %q", tc.name, tc.text, got, tc.want)
		}
	}
}

func TestEscapeLinesKeepsLines(t *testing.T) {
	if got, want := EscapeLines("a\u202e\nb\r\n"), `a\u202e`+"\nb"+`\r`+"\n"; got != want {
		t.Errorf("EscapeLines() = %q, want %q", got, want)
	}
}

func TestFindDeceptive(t *testing.T) {
	for text, want := range map[string]rune{
		"net team": 0, "Équipe réseau": 0, "می\u200cخواهم": 0, "🛡\ufe0f": 0, "": 0,
		"a\nb": '\n', "a\tb": '\t', "a\x7fb": 0x7f, "a\u0085b": 0x85, "a\u202eb": 0x202e, "\u2069": 0x2069,
		"\u200e": 0x200e, "\u061c": 0x61c, "a\u2028": 0x2028,
	} {
		if got, found := FindDeceptive(text); got != want || found != (want != 0) {
			t.Errorf("FindDeceptive(%q) = %U, %v, want %U", text, got, found, want)
		}
	}
}

func TestWriter(t *testing.T) {
	var b bytes.Buffer
	n, err := NewWriter(&b).Write([]byte("a\x1bb\n"))
	if got, want := b.String(), `a\u001bb`+"\n"; got != want || n != 4 || err != nil {
		t.Errorf("Write() = %d, %v, writes %q, want 4, nil, %q", n, err, got, want)
	}
	failure := errors.New("disk is full")
	if n, err := NewWriter(failingWriter{failure}).Write([]byte("a")); n != 0 || !errors.Is(err, failure) {
		t.Errorf("Write() = %d, %v, want 0, %v", n, err, failure)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

// FuzzEscape checks properties of escaped text: it has no invisible characters, escaping is
// idempotent, visible text is unchanged, and JSON keeps its meaning.
func FuzzEscape(f *testing.F) {
	for _, text := range []string{"", "a\x1b", "\u202e", "\xff", "\U000e0001", `\u202e`, "\\\u202e", "a\nb"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := Escape(text)
		for _, r := range got {
			if r < ' ' || 0x7e < r && r < 0xa0 || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Bidi_Control) {
				t.Fatalf("Escape(%q) has %U", text, r)
			}
		}
		if again := Escape(got); !utf8.ValidString(got) || again != got {
			t.Fatalf("Escape(%q) = %q, escaped again %q", text, got, again)
		}
		if lines := strings.Count(EscapeLines(text), "\n"); lines != strings.Count(text, "\n") {
			t.Fatalf("EscapeLines(%q) has %d lines", text, lines)
		}
		encoded, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		var plain, escaped string
		if err := json.Unmarshal(encoded, &plain); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(Escape(string(encoded))), &escaped); err != nil || escaped != plain {
			t.Fatalf("Escape(%s) = %q as JSON, %v, want %q", encoded, escaped, err, plain)
		}
	})
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"
)

func TestParseInternationalName(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ü", 60)
	for _, tc := range []struct{ text, name, shown string }{
		{"bücher.example", "xn--bcher-kva.example", "bücher.example (xn--bcher-kva.example)"},
		{"Bücher.Example.", "xn--bcher-kva.example.", "Bücher.Example. (xn--bcher-kva.example.)"},
		{"bu\u0308cher.example", "xn--bcher-kva.example", "bu\u0308cher.example (xn--bcher-kva.example)"}, // decomposed
		{"faß.example", "xn--fa-hia.example", "faß.example (xn--fa-hia.example)"},
		{"_sip.bücher.example", "_sip.xn--bcher-kva.example", "_sip.bücher.example (_sip.xn--bcher-kva.example)"},
		{"例え。テスト", "xn--r8jz45g.xn--zckzah", "例え。テスト (xn--r8jz45g.xn--zckzah)"},
		{"نامه\u200cای.example", "xn--mgba3gch31f060k.example", "نامه\u200cای.example (xn--mgba3gch31f060k.example)"},
		{"ｗｗｗ.example.org", "www.example.org", "ｗｗｗ.example.org (www.example.org)"},
		{"xn--bcher-kva.example", "xn--bcher-kva.example", "xn--bcher-kva.example (bücher.example)"},
		{"XN--Bcher-KVA.example", "XN--Bcher-KVA.example", "XN--Bcher-KVA.example (bücher.example)"},
		{"xn--mgba3gch31f060k.example", "xn--mgba3gch31f060k.example", "xn--mgba3gch31f060k.example"}, // invisible character
		{"xn--a.example", "xn--a.example", "xn--a.example"},                                           // decodes to a control character
		{"xn--zzzzzzzzzzzz.example", "xn--zzzzzzzzzzzz.example", "xn--zzzzzzzzzzzz.example"},
		{"r3---sn.example", "r3---sn.example", "r3---sn.example"},
	} {
		h, err := parseHost(tc.text)
		if err != nil || !h.IsName() || h.Entry != tc.text || h.Name() != tc.name || h.String() != tc.shown || FormatHost(tc.text) != tc.shown {
			t.Errorf("parseHost(%q) = %q with name %q, %v, want %q with name %q", tc.text, h, h.Name(), err, tc.shown, tc.name)
		}
	}
	for text, want := range map[string]string{
		"bü\u202echer.example":               `"bü\u202echer.example" has an invisible character: write the name without it`,
		"bü\u00adcher.example":               `"bü\u00adcher.example" has an invisible character: write the name without it`,
		"bü cher.example":                    `"bü cher.example" is not a valid host name, address or network: write one such as www.example.org or 192.0.2.0/24`,
		"\u0308a.example":                    "\"\u0308a.example\" is not a valid internationalized name (invalid label \"\u0308a\"): write the name as registered, or its ASCII form, such as xn--bcher-kva.example",
		"אa.example":                         `"אa.example" is not a valid internationalized name (invalid label "אa.example"): write the name as registered, or its ASCII form, such as xn--bcher-kva.example`,
		"１９２.０.２.１":                          `"１９２.０.２.１" is not a valid IPv4 address: write four decimal numbers without leading zeros, such as 192.0.2.10`,
		"℀.example":                          `"℀.example" is not a valid host name, address or network: write one such as www.example.org or 192.0.2.0/24`,
		long + ".example":                    `"` + long[:60] + `..." is not a valid host name, address or network: write one such as www.example.org or 192.0.2.0/24`,
		strings.Repeat("ü.", 60) + "example": `"` + strings.Repeat("ü.", 20) + `..." is too long for a host name: write at most 253 characters`,
		strings.Repeat("x", 1<<20):           `"` + strings.Repeat("x", 60) + `..." is too long for a host name: write at most 253 characters`,
	} {
		if h, err := parseHost(text); err == nil || err.Error() != want {
			t.Errorf("parseHost(%q) = %q, %v, want %s", text, h, err, want)
		}
	}
}

// TestAuthorizeInternationalName checks that names are looked up in ASCII, and that the address
// has the entry as written.
func TestAuthorizeInternationalName(t *testing.T) {
	t.Parallel()
	cfg := loadText(t, `
modules: {tcp: {ports: 1}}
targets: [{name: web, hosts: [bücher.example], networks: [192.0.2.0/24], modules: [tcp], authorization: {owner: me}}]
`)
	s, m, err := cfg.Authorize(t.Context(), resolved{"xn--bcher-kva.example": "192.0.2.1"}, "192.0.2.1", "", testTime())
	if err != nil {
		t.Fatal(err)
	}
	if host := s.Task(m).Hosts[0]; host.Entry != "bücher.example" {
		t.Errorf("entry = %q, want bücher.example", host.Entry)
	}
}

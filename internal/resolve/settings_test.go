// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func servers(texts ...string) (all []netip.AddrPort) {
	for _, s := range texts {
		all = append(all, netip.MustParseAddrPort(s))
	}
	return all
}

func TestParseSettings(t *testing.T) {
	t.Parallel()
	local := servers("127.0.0.1:53", "[::1]:53")
	for name, tc := range map[string]struct {
		text, host string
		want       Settings
	}{
		"empty":            {"", "h", Settings{Servers: local, Ndots: 1}},
		"domain of host":   {"", "h.example.org", Settings{Servers: local, Ndots: 1, Search: []string{"example.org."}}},
		"search over host": {"search a.lab", "h.example.org", Settings{Servers: local, Ndots: 1, Search: []string{"a.lab."}}},
		"no search":        {"search .", "h.example.org", Settings{Servers: local, Ndots: 1}},
		"servers": {
			"nameserver 192.0.2.1\n nameserver\t2001:db8::1 # first\nnameserver fe80::1%eth0\nnameserver 192.0.2.4\n", "",
			Settings{Servers: servers("192.0.2.1:53", "[2001:db8::1]:53", "[fe80::1%eth0]:53"), Ndots: 1},
		},
		"invalid":         {"nameserver ns.example.org\nnameserver\n\n\x00\nnonsense a b\nsearch\noptions ndots:x ndots\nnameserver ::ffff:192.0.2.1", "", Settings{Servers: servers("192.0.2.1:53"), Ndots: 1}},
		"comments":        {"#nameserver 192.0.2.1\n;search lab\n", "", Settings{Servers: local, Ndots: 1}},
		"the last list":   {"search a.lab b.lab.\ndomain c.lab\nsearch d.lab e.lab\n", "", Settings{Servers: local, Ndots: 1, Search: []string{"d.lab.", "e.lab."}}},
		"the last domain": {"search a.lab b.lab.\ndomain c.lab d.lab\n", "", Settings{Servers: local, Ndots: 1, Search: []string{"c.lab."}}},
		"ndots":           {"options rotate ndots:5 timeout:1\r\n", "", Settings{Servers: local, Ndots: 5}},
		"high ndots":      {"options ndots:99", "", Settings{Servers: local, Ndots: 15}},
		"negative ndots":  {"options ndots:-1", "", Settings{Servers: local}},
	} {
		if diff := cmp.Diff(tc.want, parseSettings(tc.text, tc.host), cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
			t.Errorf("%s: parseSettings(%q) (-want +got):\n%s", name, tc.text, diff)
		}
	}
}

func TestReadSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "resolv.conf")
	for text, want := range map[string]int{
		"nameserver 192.0.2.1\n":                                1,
		strings.Repeat("#\n", 1<<20) + "nameserver 192.0.2.1\n": 0,
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := readSettings(file); len(got.Servers) != want {
			t.Errorf("readSettings() of %d bytes = %v, want %d servers", len(text), got, want)
		}
	}
	for _, path := range []string{dir, filepath.Join(dir, "missing")} {
		if got := readSettings(path); got.Servers != nil || got.Search != nil {
			t.Errorf("readSettings(%s) = %v, want none", path, got)
		}
	}
}

func TestSettingsCandidates(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 60) + "." + strings.Repeat("b", 60) + "."
	some := Settings{Servers: servers("192.0.2.1:53"), Search: []string{"a.lab.", "b.lab."}, Ndots: 1}
	for _, tc := range []struct {
		name  string
		ndots int
		want  string
	}{
		{"web", 1, "web.a.lab. web.b.lab. web."},
		{"web", 5, "web.a.lab. web.b.lab. web."},
		{"web", 0, "web.a.lab. web.b.lab. web."},
		{"web.", 5, "web."},
		{"web.prod", 1, "web.prod."},
		{"web.prod", 2, "web.prod. web.prod.a.lab. web.prod.b.lab."},
		{"web.prod.", 5, "web.prod."},
		{"a.b.c.d", 3, "a.b.c.d."},
		{long + long + "cccccccc", 15, long + long + "cccccccc."},
	} {
		s := some
		s.Ndots = tc.ndots
		if got := s.candidates(tc.name); !slices.Equal(got, strings.Fields(tc.want)) {
			t.Errorf("candidates(%q) with ndots:%d = %v, want %s", tc.name, tc.ndots, got, tc.want)
		}
	}
	if got := (Settings{}).candidates("web"); !slices.Equal(got, []string{"web"}) {
		t.Errorf("candidates(web) without settings = %v, want web", got)
	}
	if got := (Settings{}).candidates("web.prod"); !slices.Equal(got, []string{"web.prod."}) {
		t.Errorf("candidates(web.prod) without settings = %v, want web.prod.", got)
	}
}

func FuzzParseSettings(f *testing.F) {
	f.Add("nameserver 192.0.2.1\nsearch a.lab b.lab.\noptions ndots:5\n", "h.example.org", "web")
	f.Add("domain .\nsearch .. .a\noptions ndots:-9\n", ".", "a.b.")
	f.Fuzz(func(t *testing.T, text, host, name string) {
		s := parseSettings(text, host)
		if len(s.Servers) == 0 || len(s.Servers) > 3 || s.Ndots < 0 || s.Ndots > 15 {
			t.Errorf("parseSettings(%q) = %v", text, s)
		}
		candidates := s.candidates(name)
		if !slices.Contains(candidates, absoluteName(name)) || isAbsolute(name) && len(candidates) > 1 {
			t.Errorf("candidates(%q) = %v", name, candidates)
		}
		for _, c := range candidates {
			if !isAbsolute(c) || !strings.HasPrefix(c, absoluteName(name)) {
				t.Errorf("candidates(%q) = %v", name, candidates)
			}
		}
	})
}

package config

import (
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const goodText = "modules: {tcp: {ports: 22}}\n"

func TestReload(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yml")
	writeFile(t, file, goodText)
	s := NewSafeConfig(file, nil)
	if s.Get() != nil {
		t.Error("there is a configuration before any was loaded")
	}
	warnings, err := s.Reload(noon())
	if err != nil || len(warnings) != 1 {
		t.Fatalf("Reload = %q, %v: want one warning", warnings, err)
	}
	first := s.Get()
	writeFile(t, file, "modules: {tcp: {port: 22}}\n")
	if _, err := s.Reload(noon()); err == nil || s.Get() != first {
		t.Errorf("Reload of a bad file = %v, and the configuration changed: %v", err, s.Get() != first)
	}
	writeFile(t, file, goodText)
	if _, err := s.Reload(noon()); err != nil || s.Get() == first {
		t.Errorf("Reload of a good file = %v, and the configuration is still the first: %v", err, s.Get() == first)
	}
}

func TestReloadCheck(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yml")
	writeFile(t, file, goodText)
	wrong := errors.New("not on this machine")
	s := NewSafeConfig(file, func(c *Config) error {
		if _, ok := c.Module("tcp"); !ok {
			return wrong
		}
		return nil
	})
	if _, err := s.Reload(noon()); err != nil {
		t.Fatal(err)
	}
	first := s.Get()
	writeFile(t, file, "modules: {other: {ports: 22}}\n")
	if _, err := s.Reload(noon()); !errors.Is(err, wrong) || s.Get() != first {
		t.Errorf("Reload = %v, and the configuration changed: %v", err, s.Get() != first)
	}
}

func TestReloadConcurrently(t *testing.T) {
	s := NewSafeConfig("testdata/good/full.yml", nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := s.Reload(noon()); err != nil {
				t.Error(err)
			}
			if _, ok := s.Get().Find("192.0.2.1"); !ok {
				t.Error("the address was not found")
			}
		})
	}
	wg.Wait()
}

func TestChecksum(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "config.yml")
	extra := filepath.Join(dir, "targets.d", "a.yml")
	seen := make(map[string]string)
	// step says what was changed; the checksum has to change with it.
	step := func(what string) {
		t.Helper()
		sum, err := Checksum(file)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if before, ok := seen[sum]; ok {
			t.Errorf("the checksum after %q is that after %q", what, before)
		}
		seen[sum] = what
		if again, err := Checksum(file); err != nil || again != sum {
			t.Errorf("%s: the second checksum differs (%v)", what, err)
		}
	}
	if _, err := Checksum(file); err == nil {
		t.Error("no error without a file")
	}
	writeFile(t, file, goodText)
	step("a plain file")
	writeFile(t, file, goodText+"target_files: ['targets.d/*.yml', literal.yml]\n")
	step("target files that are not there")
	writeFile(t, extra, "targets: []\n")
	step("a target file")
	writeFile(t, extra, "targets: [\n")
	step("a broken target file")
	writeFile(t, filepath.Join(dir, "targets.d", "b.yml"), "")
	step("an empty target file")
	writeFile(t, filepath.Join(dir, "literal.yml"), "")
	step("a named target file")
	writeFile(t, file, "modules: [\n")
	step("a broken file")
	writeFile(t, file, "target_files: [[], '[']\nunknown: 1\n")
	step("a wrong file")
	writeFile(t, file, "- x\n")
	step("a list")
}

func TestCheckHost(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yml")
	writeFile(t, file, "modules:\n  here: {ports: 22, source_address: 127.0.0.1}\n  gone:\n    source_address: 192.0.2.99\n")
	cfg, _, err := Load(file, noon())
	if err != nil {
		t.Fatal(err)
	}
	check := func(got []error, want ...string) {
		t.Helper()
		texts := make([]string, 0, len(got))
		for _, err := range got {
			texts = append(texts, strings.TrimPrefix(err.Error(), file+":"))
		}
		if diff := cmp.Diff(want, texts); diff != "" {
			t.Errorf("what is missing (-want +got):\n%s", diff)
		}
	}
	const advice = ": write an address of this machine, or remove the key"
	gone := "4: modules.gone.source_address: no interface of this machine has the address 192.0.2.99" + advice
	check(CheckHost(cfg, nil), gone)
	check(cfg.missingSources([]net.Addr{&net.IPNet{IP: net.ParseIP("192.0.2.99"), Mask: net.CIDRMask(24, 32)}}),
		"2: modules.here.source_address: no interface of this machine has the address 127.0.0.1"+advice)
	methods, able := mustLoad(t, "methods"), func() error { return nil }
	if missing := CheckHost(methods, able); missing != nil {
		t.Errorf("missing = %v, and this machine can", missing)
	}
	unable := func() error { return errors.New("it needs a capability: grant it") }
	const want = "testdata/good/methods.yml:2: modules.syn.method: method syn is not available: it needs a capability: grant it; or write method: connect"
	if missing := CheckHost(methods, unable); len(missing) != 1 || missing[0].Error() != want {
		t.Errorf("missing = %v, want %s", missing, want)
	}
	if missing := CheckHost(mustLoad(t, "minimal"), unable); missing != nil {
		t.Errorf("missing = %v, and nothing is asked for", missing)
	}
}

func TestExpired(t *testing.T) {
	day := func(s string) time.Time {
		end, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return end
	}
	a := mustLoad(t, "full").Targets()[0].Authorization
	for at, want := range map[string]bool{
		"2027-06-30T23:59:59Z":      false,
		"2027-07-01T00:00:00Z":      true,
		"2027-07-01T01:30:00+02:00": false,
		"2030-01-01T00:00:00Z":      true,
	} {
		if got := a.Expired(day(at)); got != want {
			t.Errorf("Expired(%s) = %v, want %v", at, got, want)
		}
	}
	if (Authorization{}).Expired(day("2999-01-01T00:00:00Z")) {
		t.Error("an authorization without an end expired")
	}
}

func TestSpans(t *testing.T) {
	prefixes := func(texts ...string) []netip.Prefix {
		var all []netip.Prefix
		for _, text := range texts {
			all = append(all, netip.MustParsePrefix(text))
		}
		return all
	}
	cases := []struct {
		from, cut []netip.Prefix
		want      string
	}{
		{prefixes("192.0.2.0/24"), nil, "256"},
		{prefixes("192.0.2.0/24", "192.0.2.0/25", "192.0.3.0/24"), nil, "512"},
		{prefixes("192.0.2.0/24"), prefixes("192.0.2.0/25"), "128"},
		{prefixes("192.0.2.0/24"), prefixes("192.0.2.128/25"), "128"},
		{prefixes("192.0.2.0/24"), prefixes("192.0.2.4/32", "192.0.2.4/30", "10.0.0.0/8", "::/0"), "252"},
		{prefixes("192.0.2.0/24"), prefixes("0.0.0.0/0"), "0"},
		{prefixes("0.0.0.0/0"), prefixes("255.255.255.255/32", "0.0.0.0/32"), "4294967294"},
		{prefixes("::/0"), prefixes("8000::/1"), "170141183460469231731687303715884105728"},
		{prefixes("::/0"), prefixes("::/0"), "0"},
		{prefixes("0.0.0.0/0", "::/0"), nil, "340282366920938463463374607436063178752"},
	}
	for _, c := range cases {
		if got := prefixAddrs(c.from).subtract(prefixAddrs(c.cut)).count().String(); got != c.want {
			t.Errorf("%v less %v are %s addresses, want %s", c.from, c.cut, got, c.want)
		}
	}
}

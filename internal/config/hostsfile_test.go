// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// hostsFileConfig is a configuration with a target for the key hosts_file.
const hostsFileConfig = `modules: {tcp: {ports: 22}}
targets:
- name: web
  hosts_file: hosts.txt
  modules: [tcp]
  authorization: {owner: me}
  networks: [198.51.100.0/24]
`

// loadHostsFile loads hostsFileConfig with the content of the file and returns the entries.
func loadHostsFile(t *testing.T, content string, replace ...string) ([]string, error) {
	t.Helper()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "hosts.txt"), content)
	file := filepath.Join(dir, "config.yml")
	writeFile(t, file, strings.NewReplacer(replace...).Replace(hostsFileConfig))
	cfg, _, err := Load(file, testTime())
	if err != nil {
		return strings.Split(strings.ReplaceAll(err.Error(), dir+"/", ""), "\n"), err
	}
	return hostEntries(cfg.Targets()[0].Hosts), nil
}

func TestLoadHostsFile(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ content, want string }{
		"lines":          {"192.0.2.1\nwww.example.org\n192.0.2.10-20", "192.0.2.1 www.example.org 192.0.2.10-20"},
		"comments":       {"# all\n  # more\n192.0.2.1 # 192.0.2.2\n192.0.2.3#x\n#\n", "192.0.2.1 192.0.2.3"},
		"several a line": {"192.0.2.1 192.0.2.2\t192.0.2.3\n", "192.0.2.1 192.0.2.2 192.0.2.3"},
		"blanks":         {"\n \t192.0.2.1 \t\n\n\n", "192.0.2.1"},
		"CRLF":           {"192.0.2.1\r\n\r\n# x\r\n2001:db8::1\r\n", "192.0.2.1 2001:db8::1"},
		"CR":             {"# x\r192.0.2.1\r192.0.2.2", "192.0.2.1 192.0.2.2"},
		"BOM":            {"\ufeff192.0.2.1\n", "192.0.2.1"},
		"duplicates":     {"192.0.2.1\n192.0.2.1\n192.0.2.0/30", "192.0.2.1 192.0.2.1 192.0.2.0/30"},
		"IDN":            {"bücher.example", "bücher.example"},
		"long line":      {strings.Repeat("192.0.2.1 ", 100_000), strings.TrimSpace(strings.Repeat("192.0.2.1 ", 100_000))},
	} {
		if got, err := loadHostsFile(t, tc.content); err != nil || strings.Join(got, " ") != tc.want {
			t.Errorf("%s: Load() = %.200q, %v, want %.200q", name, got, err, tc.want)
		}
	}
}

// TestLoadHostsFileBeside has both keys: the entries of the file follow those of hosts.
func TestLoadHostsFileBeside(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{"192.0.2.2": "192.0.2.1 192.0.2.2", "# none": "192.0.2.1"} {
		got, err := loadHostsFile(t, content, "hosts_file:", "hosts: [192.0.2.1]\n  hosts_file:")
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("Load() = %q, %v, want %s", got, err, want)
		}
	}
}

func TestLoadHostsFileErrors(t *testing.T) {
	t.Parallel()
	const notText = `line is not text in UTF-8 without control characters: write one host per line, in UTF-8`
	many := []string{}
	for i := range maxFileErrors {
		many = append(many, fmt.Sprintf(`hosts.txt:%d: "192.0.2.300" is not a valid IPv4 address: write four decimal numbers without leading zeros, such as 192.0.2.10`, 2+i))
	}
	for name, tc := range map[string]struct {
		content string
		replace []string
		want    []string
	}{
		"empty":    {"", nil, []string{"config.yml:4: targets[0].hosts_file: hosts.txt has no hosts: write at least one, one per line, or remove the key"}},
		"comments": {"# 192.0.2.1\n", nil, []string{"config.yml:4: targets[0].hosts_file: hosts.txt has no hosts: write at least one, one per line, or remove the key"}},
		"entries": {"192.0.2.1\n192.0.2.50-40 http://www.example.org\n192.0.2.1, 192.0.2.2\n192.0.2.1 - 9\n0.0.0.0/0", nil, []string{
			`hosts.txt:2: range "192.0.2.50-40" is reversed: write 192.0.2.40-192.0.2.50`,
			`hosts.txt:2: "http://www.example.org" is a URL: write only the host, "www.example.org"`,
			`hosts.txt:3: "192.0.2.1," is a list: write an entry for each: 192.0.2.1`,
			`hosts.txt:4: "-" is not a valid range: write the first and the last address, such as 192.0.2.10-192.0.2.50 or 192.0.2.10-50`,
			`hosts.txt:4: "9" is not a valid IPv4 address: write four decimal numbers without leading zeros, such as 192.0.2.10`,
			`hosts.txt:5: 0.0.0.0/0 has all addresses: write only the networks that you own, such as 192.0.2.0/24`,
		}},
		"many":    {"\n" + strings.Repeat("192.0.2.300\n", 10_000), nil, append(many, "hosts.txt:22: file has more than 20 errors: correct those above, then check the file again")},
		"binary":  {"192.0.2.1\n\x7fELF\x00\x01\n\x00", nil, []string{"hosts.txt:2: " + notText}},
		"UTF-16":  {"\xff\xfe1\x009\x002\x00", nil, []string{"hosts.txt:1: " + notText}},
		"Latin-1": {"192.0.2.1\nb\xfccher.example", nil, []string{"hosts.txt:2: " + notText}},
		"long":    {strings.Repeat("x", 1<<20), nil, []string{`hosts.txt:1: "` + strings.Repeat("x", 60) + `..." is too long for a host name: write at most 253 characters`}},
		"sum": {"192.0.2.1-200", []string{"hosts_file:", "hosts: [192.0.3.1-100]\n  hosts_file:"}, []string{
			`config.yml:4: targets[0].hosts: hosts has 300 addresses, but module "tcp" allows 256: write fewer hosts, or increase max_addresses in the module`,
		}},
		"large": {"192.0.2.1\n192.0.0.0/22\n", nil, []string{
			`hosts.txt:2: 192.0.0.0/22 has 1022 addresses, but module "tcp" allows 256: write a smaller network, or increase max_addresses in the module`,
		}},
		"name":       {"www.example.org", []string{"networks: [198.51.100.0/24]", ""}, []string{"config.yml:3: targets[0]: networks is missing, but hosts has a name: write the networks that the name may resolve to, such as networks: [192.0.2.0/24]"}},
		"missing":    {"", []string{"hosts.txt", "none.txt"}, []string{"config.yml:4: targets[0].hosts_file: cannot read none.txt: no such file or directory"}},
		"blank name": {"", []string{"hosts.txt", `""`}, []string{"config.yml:4: targets[0].hosts_file: must not be empty: write hosts_file: hosts.txt, or remove the key"}},
		"list":       {"", []string{"hosts.txt", "[hosts.txt]"}, []string{"config.yml:4: targets[0].hosts_file: must not be a list: write hosts_file: hosts.txt"}},
	} {
		got, err := loadHostsFile(t, tc.content, tc.replace...)
		if diff := cmp.Diff(tc.want, got); err == nil || diff != "" {
			t.Errorf("%s: errors (-want +got):\n%s", name, diff)
		}
	}
}

// TestLoadHostsFileShared names a file in two targets, one of them in a target file of another
// directory: its errors are reported once.
func TestLoadHostsFileShared(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config, hosts, extra := filepath.Join(dir, "config.yml"), filepath.Join(dir, "hosts.txt"), filepath.Join(dir, "targets.d", "a.yml")
	writeFile(t, config, hostsFileConfig+"target_files: [targets.d/*.yml]\n")
	writeFile(t, extra, "- {name: b, hosts_file: ../hosts.txt, modules: [tcp], authorization: {owner: me}}\n")
	writeFile(t, hosts, "192.0.2.1 # one\n")
	cfg, _, err := Load(config, testTime())
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(cfg.Targets()[1].Hosts); got != "[192.0.2.1]" {
		t.Errorf("hosts of the target file = %s, want [192.0.2.1]", got)
	}
	text := mustYAML(t, cfg)
	if strings.Contains(text, "hosts_file") || strings.Count(text, "- 192.0.2.1\n") != 2 {
		t.Errorf("YAML = %s, want the entries of the file in hosts", text)
	}
	if again := mustYAML(t, loadText(t, text)); again != text {
		t.Errorf("YAML of the loaded text = %s, want %s", again, text)
	}
	writeFile(t, hosts, "192.0.2.1/24\n")
	want := hosts + `:1: "192.0.2.1/24" has host bits set: write 192.0.2.0/24 for the network, or 192.0.2.1 for the single address`
	if _, _, err := Load(config, testTime()); err == nil || err.Error() != want {
		t.Errorf("Load() = %v, want %s", err, want)
	}
}

// FuzzParseHostsFile checks that a file has only valid hosts, or a bounded number of errors of one
// line with its name.
func FuzzParseHostsFile(f *testing.F) {
	for _, content := range []string{"192.0.2.1\nwww.example.org # x\r\n", "\ufeff192.0.2.10-50 2001:db8::1-f\t192.0.2.*", "\x00", "bücher.example\r#", "1,2\n-\n"} {
		f.Add([]byte(content))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		l, file := newLoader(newReader(), "config.yml", testTime()), &hostsFile{}
		l.parseHostsFile(file, "hosts.txt", content)
		if file.valid != (len(l.errs) == 0) || len(l.errs) > maxFileErrors+1 || len(file.hosts) != len(file.at) {
			t.Errorf("parseHostsFile() = %d hosts at %d positions, valid %v, %d errors", len(file.hosts), len(file.at), file.valid, len(l.errs))
		}
		for _, err := range l.errs {
			if text := err.Error(); !strings.HasPrefix(text, "hosts.txt:") || strings.ContainsAny(text, "\r\n") {
				t.Errorf("error = %q, want one line with the file", text)
			}
		}
		for i, h := range file.hosts {
			if strings.ContainsAny(h.Entry, "# \t\r\n") || file.at[i].line < 1 {
				t.Errorf("host %q in line %d", h.Entry, file.at[i].line)
			}
		}
	})
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"portscan_exporter/internal/scan"
)

func TestLoadServices(t *testing.T) {
	cfg := mustLoad(t, "services")
	for name, want := range map[string][2]string{
		"names": {"22,591,8008,8080,60000-65535", "1-7,22004-22005"},
		"udp":   {"69", ""},
		"top":   {"21-23,25,53,80,110-111,135,139,143,443,445,993,995,1433,1521,2375,2379,3306,8000-8001", ""},
		"every": {"1-65535", "22"},
	} {
		m, _ := cfg.Module(name)
		if got := [2]string{m.Ports.String(), m.ExcludePorts.String()}; got != want {
			t.Errorf("module %s has ports %q, want %q", name, got, want)
		}
	}
	expect := cfg.Targets()[0].Expect
	tcp, udp := expect[scan.TCP], expect[scan.UDP]
	if got, want := tcp.Open.String()+" "+tcp.Allow.String()+" "+udp.Open.String(), "22 22,80,9090 514"; got != want {
		t.Errorf("expected ports = %q, want %q", got, want)
	}
}

func TestPortParserParse(t *testing.T) {
	t.Parallel()
	p := NewPortParser()
	for _, tc := range []struct {
		protocol   scan.Protocol
		text, want string
	}{
		{scan.TCP, "", ""},
		{scan.TCP, "8000-8100, 22", "22,8000-8100"},
		{scan.TCP, "ssh,http-alt,60000-", "22,591,8008,8080,60000-65535"},
		{scan.TCP, "MS-SQL-s", "1433"},
		{scan.TCP, "bears-01", "2852"},
		{scan.TCP, "3com-tsmux", "106"},
		{scan.TCP, "top-1", "22"},
		{scan.TCP, "TOP-5 ,all", "1-65535"},
		{scan.UDP, "top-3", "53,67,69"},
		{scan.UDP, "syslog", "514"},
	} {
		got, err := p.Parse(tc.protocol, tc.text)
		if err != nil || got.String() != tc.want {
			t.Errorf("Parse(%v, %q) = %q, %v, want %q", tc.protocol, tc.text, got, err, tc.want)
		}
	}
	for _, protocol := range []scan.Protocol{scan.TCP, scan.UDP} {
		for text, want := range map[string]int{"top-100": 100, "top-1000": 1000, "top-5000": 5000} {
			if got, err := p.Parse(protocol, text); err != nil || got.Len() != want {
				t.Errorf("Parse(%v, %q) has %d ports, error %v, want %d", protocol, text, got.Len(), err, want)
			}
		}
	}
}

func TestPortParserErrors(t *testing.T) {
	t.Parallel()
	const otherwise = ` is not a port, a range or a service: write a number from 1 to 65535, a range such as 8000-8100, or a service such as ssh`
	p := NewPortParser()
	for text, want := range map[string]string{
		"-":                                `"-" is a range without ports: write all, for every port`,
		"*":                                `"*" is not a port: write all, for every port`,
		"22,any":                           `"any" is not a port: write all, for every port`,
		"T:80,U:53":                        `"T:80" has a protocol: write only 80`,
		"U:53":                             `"U:53" is for udp in a list of tcp ports: write 53 in a udp module, or in expect.udp`,
		"S:9":                              `"S:9" is for another protocol: write only ports of tcp or udp`,
		"tcp/ssh":                          `"tcp/ssh" has a protocol: write only ssh`,
		"53/udp":                           `"53/udp" is for udp in a list of tcp ports: write 53 in a udp module, or in expect.udp`,
		"http*":                            `"http*" has a wildcard: write each service, such as http,https`,
		"[1-100]":                          `"[1-100]" has brackets: write 1-100`,
		"[1-100,200]":                      `"[1-100" has brackets: write 1-100`,
		"()":                               `"()" has brackets: write 8000-8100`,
		"0-":                               `port 0 is out of range: write 1 to 65535`,
		"1-70000":                          `port 70000 is out of range: write 1 to 65535`,
		"100-1":                            `range 100-1 is reversed: write 1-100`,
		"192.0.2.1:80":                     `"192.0.2.1:80" has a host: write only 80 here, and the host in hosts`,
		"192.0.2.1:*":                      `"192.0.2.1:*" has a host: write only all here, and the host in hosts`,
		"[2001:db8::1]:80":                 `"[2001:db8::1]:80" has a host: write only 80 here, and the host in hosts`,
		"www.example.org:80":               `"www.example.org:80" has a host: write only 80 here, and the host in hosts`,
		"192.0.2.0/24":                     `"192.0.2.0/24" is an address: write it in hosts`,
		"2001:db8::1":                      `"2001:db8::1" is an address: write it in hosts`,
		"http://x:80":                      `"http://x:80" is a URL: write only its port here, such as 80, and its host in hosts`,
		"https://www.example.org/a":        `"https://www.example.org/a" is a URL: write only its port here, such as https, and its host in hosts`,
		"top-0":                            `top-0 is out of range: write top-1 to top-6007, or all`,
		"top-9999999999999999999999999999": `top-999999999999999999999999... is out of range: write top-1 to top-6007, or all`,
		"top 100":                          `"top 100" is not a service: write top-100`,
		"top":                              `"top" is not a service: write top-100`,
		"--top-ports=100":                  `"--top-ports=100" is not a service: write top-100`,
		"ssh-smtp":                         `"ssh-smtp" is a range of service names: write 22-25`,
		"25-ssh":                           `"25-ssh" is a range of service names: write 22-25`,
		"ms-sql-s-":                        `"ms-sql-s-" is a range of service names: write 1433-`,
		"-ssh":                             `"-ssh" is a range of service names: write -22`,
		"htpp":                             `unknown service "htpp": did you mean "http"?`,
		"syslog":                           `service "syslog" has only udp port 514: write its tcp port, or syslog in a list of udp ports`,
		"8000:8010":                        `"8000:8010" is not a range: write 8000-8010`,
		"8000..8010":                       `"8000..8010" is not a range: write 8000-8010`,
		"8000\u20138010":                   "\"8000\u20138010\" is not a range: write 8000-8010",
		"22 80  ssh":                       `"22 80  ssh" has no commas: write 22,80,ssh`,
		"22;80":                            `"22;80" has no commas: write 22,80`,
		"!80":                              `"!80" is negated: write 80 in exclude_ports`,
		"yes":                              `"yes"` + otherwise,
		"1-2-3":                            `"1-2-3"` + otherwise,
		"T:\x1b[31m":                       `"T:\x1b[31m"` + otherwise,
		"ssh-all":                          `unknown service "ssh-all": did you mean "sshell"?`,
	} {
		got, err := p.Parse(scan.TCP, text)
		if err == nil || err.Error() != want {
			t.Errorf("Parse(tcp, %q) = %q, %v, want error %q", text, got, err, want)
		}
	}
}

// TestPortParserPasswords checks that no error has the password of a URL.
func TestPortParserPasswords(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://me:77777@example.org:80":  `"https://xxxxx@example.org:80" is a URL: write only its port here, such as https, and its host in hosts`,
		"https://me:77777/7@example.org":   `"xxxxx" is a URL: write only its port here, such as https, and its host in hosts`,
		"me:77777@example.org":             `"xxxxx" is not a port, a range or a service: write a number from 1 to 65535, a range such as 8000-8100, or a service such as ssh`,
		"https://me:77777@example.org:80 ": `"https://xxxxx@example.org:80" is a URL: write only its port here, such as https, and its host in hosts`,
	} {
		if _, err := NewPortParser().Parse(scan.TCP, text); err == nil || err.Error() != want {
			t.Errorf("Parse(tcp, %q) error = %v, want %q", text, err, want)
		}
	}
}

// FuzzPortParser checks that errors have one short line, and that what is parsed can be
// parsed again without names.
func FuzzPortParser(f *testing.F) {
	for _, seed := range []string{"", "ssh", "top-100,http-alt", "T:80", "[::1]:80", "http://x:80", "a-b-c", "22 80", "8000..", "\u2013", "top", "-ssh"} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	p := NewPortParser()
	f.Fuzz(func(t *testing.T, text string, udp bool) {
		protocol := scan.TCP
		if udp {
			protocol = scan.UDP
		}
		set, err := p.Parse(protocol, text)
		if err != nil {
			if msg := err.Error(); msg == "" || len(msg) > 600 || strings.ContainsAny(msg, "\n\r\x1b") {
				t.Fatalf("Parse(%v, %q) error = %q, want one line of at most 600 bytes", protocol, text, msg)
			}
			return
		}
		if back, err := scan.ParsePortSet(set.String()); err != nil || !back.Equal(set) {
			t.Fatalf("Parse(%v, %q) = %q, parsed again = %q, %v", protocol, text, set, back, err)
		}
		if numeric, err := scan.ParsePortSet(text); err == nil && !numeric.Equal(set) {
			t.Fatalf("Parse(%v, %q) = %q, want %q, as without names", protocol, text, set, numeric)
		}
	})
}

// TestManyStrayPorts loads a long list of names without quotes. With quadratic time, that takes a
// minute.
func TestManyStrayPorts(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "config.yml")
	var names strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&names, ",a%d", i)
	}
	writeFile(t, file, "modules: {tcp: {ports: ssh"+names.String()+"}}\n")
	_, _, err := Load(file, testTime())
	if want := `modules.tcp.ports: YAML parses the text after the comma as a key: write ports: "ssh,a0,a1,`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Load() = %.200v, want %s", err, want)
	}
}

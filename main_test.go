// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kingpin/v2"
	"go.uber.org/goleak"

	"portscan_exporter/internal/app"
)

// runMain is set in the environment of a test binary that acts as the program: the
// parser of the command line exits by itself after --help.
const runMain = "PORTSCAN_TEST_RUN_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(runMain) != "" {
		main()
	}
	os.Exit(m.Run())
}

// noLeaks fails the test if it leaves a goroutine.
func noLeaks(t *testing.T) {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestRunExitStatus(t *testing.T) {
	noLeaks(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	good := writeConfig(t, "modules: {m: {ports: 1}}\ntargets: [{name: t, hosts: [127.0.0.1], modules: [m], authorization: {owner: me}}]\n")
	foreign := writeConfig(t, "modules: {m: {ports: 1, source_address: 192.0.2.77}}\ntargets: [{name: t, hosts: [127.0.0.1], modules: [m], authorization: {owner: me}}]\n")
	listen := "--web.listen-address=" + taken.Addr().String()
	for name, tc := range map[string]struct {
		args []string
		code int
		want string
	}{
		"address in use":        {[]string{"--config.file=" + good, listen}, app.ExitFailure, "address already in use"},
		"address in use twice":  {[]string{"--config.file=" + good, listen, "--web.health-listen-address=" + freeAddress(t)}, app.ExitFailure, "address already in use"},
		"health address":        {[]string{"--config.file=" + good, listen, "--web.health-listen-address=" + taken.Addr().String()}, app.ExitFailure, "same port as --web.listen-address="},
		"no file":               {[]string{"--config.file=/nonexistent.yml"}, app.ExitFailure, "/nonexistent.yml"},
		"foreign source":        {[]string{"--config.file=" + foreign}, app.ExitFailure, "192.0.2.77"},
		"no host in the URL":    {[]string{"--config.file=" + good, "--web.external-url=https://:8443/ports"}, app.ExitFailure, "--web.external-url=https://:8443/ports: write an absolute URL"},
		"bad URL":               {[]string{"--config.file=" + good, "--web.external-url=exporter"}, app.ExitFailure, "--web.external-url=exporter: write an absolute URL"},
		"no connections":        {[]string{"--config.file=" + good, "--web.max-connections=0"}, app.ExitRefused, "--web.max-connections=0: must be positive: write 512"},
		"password in the URL":   {[]string{"--config.file=" + good, "--web.external-url=https://me:secret@example.org"}, app.ExitFailure, "--web.external-url=https://xxxxx@example.org: remove the user name"},
		"slash in the password": {[]string{"--config.file=" + good, "--web.external-url=https://me:1/secret@example.org"}, app.ExitFailure, "--web.external-url=xxxxx: remove the user name"},
		"port in the URL":       {[]string{"--config.file=" + good, "--web.external-url=https://example.org:65536/"}, app.ExitFailure, "--web.external-url=https://example.org:65536/: write a port"},
		"no interval":           {[]string{"--config.file=" + good, "--config.auto-reload-interval=0s"}, app.ExitRefused, "must be positive: write 30s"},
		"bad prefix":            {[]string{"--config.file=" + good, "--web.route-prefix=/{a"}, app.ExitFailure, "--web.route-prefix=/{a: use letters"},
		"bad flag":              {[]string{"--nonsense"}, app.ExitRefused, "try --help"},
		"bad command":           {[]string{"sacn"}, app.ExitRefused, "try --help"},
		"check":                 {[]string{"--config.check", "--config.file=" + good}, app.ExitOK, ""},
		"check, foreign":        {[]string{"--config.check", "--config.file=" + foreign}, app.ExitOK, "warning: "},
		"check, no file":        {[]string{"--config.check", "--config.file=/nonexistent.yml"}, app.ExitFailure, "error: "},
		"check, as a command":   {[]string{"serve", "--config.check", "--config.file=" + good}, app.ExitOK, ""},
		"scan, unknown target":  {[]string{"scan", "nobody", "--config.file=" + good}, app.ExitRefused, `target "nobody" is not configured`},
		"scan, other module":    {[]string{"scan", "t", "--module=x", "--config.file=" + good}, app.ExitRefused, `module "x" is not configured: use a module of target "t"`},
		"scan, bad ports":       {[]string{"scan", "t", "--ports=0", "--config.file=" + good}, app.ExitRefused, "--ports: port 0 is out of range"},
		"scan, no file":         {[]string{"scan", "t", "--config.file=/nonexistent.yml"}, app.ExitRefused, "/nonexistent.yml"},
		"scan, a typo":          {[]string{"scan", "tt", "--config.file=" + good}, app.ExitRefused, `owner's authorization; did you mean "t"?`},
		"scan, no such output":  {[]string{"scan", "t", "--output=xml", "--config.file=" + good}, app.ExitRefused, "must be one of table,json,prometheus,textfile"},
		"unhealthy":             {[]string{"healthcheck", "--url=http://" + freeAddress(t)}, app.ExitFailure, "checking health"},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(tc.args, &stdout, &stderr); code != tc.code || !strings.Contains(stderr.String(), tc.want) {
			t.Errorf("%s: exit status %d, %q; want %d and %q", name, code, stderr.String(), tc.code, tc.want)
		}
	}
}

// TestScanCommand scans loopback.
func TestScanCommand(t *testing.T) {
	noLeaks(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	file := writeConfig(t, strings.ReplaceAll(`
modules: {m: {ports: "1-5", exclude_ports: 3}}
targets:
  - {name: good, hosts: [127.0.0.1], modules: [m], authorization: {owner: me}, expect: {tcp: {open: "PORT"}}}
  - {name: bad, hosts: [127.0.0.1], modules: [m], authorization: {owner: me}, expect: {tcp: {}}}
  - {name: ended, hosts: [127.0.0.1], modules: [m], authorization: {owner: me, expires: 2020-01-01}}
`, "PORT", port))
	for name, tc := range map[string]struct {
		args []string
		code int
		want []string
	}{
		"as expected":       {[]string{"good"}, app.ExitOK, []string{"127.0.0.1  " + port, "OPEN", "not shown on 127.0.0.1: 4 closed"}},
		"json":              {[]string{"good", "--output=json"}, app.ExitOK, []string{`"complete":true`, `"violating":0`}},
		"json, violating":   {[]string{"bad", "--ports=" + port, "--output=json"}, app.ExitFailure, []string{`"violating":1`}},
		"prometheus":        {[]string{"good", "--output=prometheus"}, app.ExitOK, []string{"\nprobe_success 1\n"}},
		"textfile":          {[]string{"good", "--output=textfile", "--no-progress"}, app.ExitOK, []string{"\nprobe_success{module=\"m\",target=\"good\"} 1\n"}},
		"all":               {[]string{"good", "--all"}, app.ExitOK, []string{"127.0.0.1  1 ", "CLOSED"}},
		"not as expected":   {[]string{"bad", "--ports=" + port}, app.ExitFailure, []string{"127.0.0.1  " + port}},
		"excluded for good": {[]string{"bad", "--ports=3"}, app.ExitRefused, []string{"no ports to scan"}},
		"ended":             {[]string{"ended"}, app.ExitRefused, []string{"authorization for target \"ended\" expired"}},
	} {
		var out bytes.Buffer
		code := run(append([]string{"scan", "--config.file=" + file}, tc.args...), &out, &out)
		if code != tc.code {
			t.Errorf("%s: exit status %d, want %d:\n%s", name, code, tc.code, out.String())
		}
		for _, want := range tc.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s lacks %q:\n%s", name, want, out.String())
			}
		}
	}
}

func TestCompletionArgs(t *testing.T) {
	t.Parallel()
	app := kingpin.New("portscan_exporter", "")
	app.Command("serve", "").Default()
	app.Command("scan", "")
	for line, want := range map[string]string{
		"":                     "",
		"scan web":             "scan web",
		"--completion-bash":    "--completion-bash",
		"--completion-bash ":   "--completion-bash",
		"--completion-bash sc": "--completion-bash",
		"--completion-bash --log.level = warn sc": "--completion-bash",
		"--completion-bash --log.level = w":       "--completion-bash --log.level w",
		"--completion-bash --lo":                  "--completion-bash --lo",
		"--completion-bash scan w":                "--completion-bash scan w",
		"--completion-bash scan web --module ":    "--completion-bash scan web --module ",
	} {
		if got := strings.Join(completionArgs(app, strings.Split(line, " ")), " "); got != want {
			t.Errorf("%q becomes %q, want %q", line, got, want)
		}
	}
}

// TestDocumentedFlags requires that the tables of docs/cli.md list exactly the flags, each
// with its default.
func TestDocumentedFlags(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	model := newParser(&options{}, io.Discard, io.Discard).Model()
	sections := strings.Split(string(text), "\n## ")
	if got, want := documentedFlags(sections[0]), flagDefaults(model.Flags); !maps.Equal(got, want) {
		t.Errorf("docs/cli.md: flags of all commands = %q, want %q", got, want)
	}
	for _, c := range model.Commands {
		i := slices.IndexFunc(sections, func(s string) bool { return strings.HasPrefix(s, "Flags of "+c.Name+"\n") })
		if i < 0 {
			if c.Name != "help" {
				t.Errorf("docs/cli.md has no section \"Flags of %s\"", c.Name)
			}
			continue
		}
		if got, want := documentedFlags(sections[i]), flagDefaults(c.Flags); !maps.Equal(got, want) {
			t.Errorf("docs/cli.md: flags of %s = %q, want %q", c.Name, got, want)
		}
	}
}

// documentedFlags returns the defaults in tables of flags, which are in backticks.
func documentedFlags(section string) map[string]string {
	flags := make(map[string]string)
	for _, row := range regexp.MustCompile("(?m)^\\| `--([^`]+)` \\| (?:`([^`]*)` )?").FindAllStringSubmatch(section, -1) {
		flags[row[1]] = row[2]
	}
	return flags
}

// flagDefaults returns the default of each flag. A switch has none, but the prefix "no-"
// if it is on.
func flagDefaults(all []*kingpin.FlagModel) map[string]string {
	flags := make(map[string]string)
	for _, f := range all {
		value := strings.Join(f.Default, ",")
		switch {
		case f.Hidden || f.Name == "help":
		case f.IsBoolFlag() && value == "true":
			flags["no-"+f.Name] = ""
		case f.IsBoolFlag():
			flags[f.Name] = ""
		default:
			flags[f.Name] = value
		}
	}
	return flags
}

// TestHelpFitsScreen holds the help of each command to one screen of 100 columns.
func TestHelpFitsScreen(t *testing.T) {
	const screen = 40
	for _, tc := range []struct {
		command string
		want    []string
	}{
		{"", []string{"--web.listen-address", "--state.file", "--config.file", "healthcheck", "scan"}},
		{"serve", []string{"--web.listen-address", "--config.file"}},
		{"scan", []string{"<target>", "--output", "--config.file"}},
		{"healthcheck", []string{"--url", "--ca-file", "--web.health-listen-address", "$PORTSCAN_HEALTHCHECK_URL"}},
	} {
		args := append(strings.Fields(tc.command), "--help")
		cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
		cmd.Env = append(os.Environ(), runMain+"=1", "COLUMNS=100")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%q: %v", args, err)
		}
		if lines := bytes.Count(out, []byte("\n")); lines > screen {
			t.Errorf("%q prints %d lines, want at most %d:\n%s", args, lines, screen, out)
		}
		for _, want := range tc.want {
			if !strings.Contains(string(out), want) {
				t.Errorf("%q lacks %q:\n%s", args, want, out)
			}
		}
	}
}

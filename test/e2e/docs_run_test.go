// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// expectedOutput returns the output of commands in blocks that do not show it.
func expectedOutput() map[string]string {
	return map[string]string{
		"README.md: promtool check config /etc/prometheus/prometheus.yml": "SUCCESS: 1 rule files found",
		"docs/cli.md: portscan_exporter scan web --output=json | " +
			`jq -r '.addresses[] | "\(.address) \(.ports[] | select(.violating) | "\(.port) is \(.state)")"'`: //
		"192.0.2.10 443 is closed\n2001:db8::a 10115 is open\n",
	}
}

// sandbox is a system root and a network with the repository in /src, the exporter installed, and
// the addresses that the documents use.
type sandbox struct {
	systemRoot
	network     []string // command prefix that enters only the network
	tree        string   // the repository outside of the sandbox
	listed, ran map[string]bool
}

const sandboxRepository = "/src"

func newSandbox(t *testing.T) *sandbox {
	t.Helper()
	for _, program := range []string{"bash", "curl", "jq", "tar", "ip", "nft", "setcap", "promtool", "amtool", "systemd-sysusers"} {
		needProgram(t, program)
	}
	s := &sandbox{systemRoot: newSystemRoot(t), tree: cloneSources(t, nil), listed: make(map[string]bool), ran: make(map[string]bool)}
	holder := startHolder(t, "network", exec.Command(needProgram(t, "unshare"), "--net", "sh", "-c", `set -e
ip link set lo up
ip address add 192.0.2.10/32 dev lo
ip address add 2001:db8::a/128 dev lo nodad
echo ready
exec sleep infinity`))
	s.network = []string{needProgram(t, "nsenter"), fmt.Sprintf("--net=/proc/%d/ns/net", holder)}
	s.enter = append(s.network[:2:2], s.enter...)

	archive := exec.CommandContext(t.Context(), "tar", "--create", "--exclude=.git", "--directory="+s.tree, ".")
	files, err := archive.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	unpack := s.command(t, "sh", "-c", `mkdir "$0" && exec tar --extract --directory="$0"`, sandboxRepository)
	unpack.Stdin = files
	if err := archive.Start(); err != nil {
		t.Fatal(err)
	}
	runCommand(t, unpack)
	if err := archive.Wait(); err != nil {
		t.Fatal(err)
	}
	s.run(t, "chmod", "755", s.copyIn(t, binary(t), "/usr/bin/portscan_exporter"))
	return s
}

// command returns a command that runs in the sandbox.
func (s *sandbox) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := s.systemRoot.command(t, args...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0") // otherwise the race detector delays the exit by 1s
	return cmd
}

// startExporter starts the exporter in the sandbox until the test ends.
func (s *sandbox) startExporter(t *testing.T, config string, addresses ...string) {
	t.Helper()
	args := []string{"portscan_exporter", "--config.file=" + config}
	for _, a := range addresses {
		args = append(args, "--web.listen-address="+a)
	}
	cmd := s.command(t, args...)
	cmd.Cancel = func() error { return nil } // the cleanup sends SIGTERM
	p := startCommand(t, cmd)
	for _, a := range addresses {
		s.awaitServer(t, p, a)
	}
}

func (s *sandbox) awaitServer(t *testing.T, p *process, address string) {
	t.Helper()
	eventually(t, 60*time.Second, address+" is served", func() error {
		p.checkRunning(t)
		return s.command(t, "curl", "--silent", "--fail", "--globoff", "http://"+address+"/-/ready").Run()
	})
}

// startGoRun runs the first command of the README until the test ends. It uses the build cache.
func (s *sandbox) startGoRun(t *testing.T) {
	t.Helper()
	cmd := exec.Command(s.network[0], append(s.network[1:2:2], "go", "run", ".")...)
	cmd.Dir, cmd.Env = s.tree, append(cacheEnv(buildCache(t)), "CGO_ENABLED=0", "GOFLAGS=-trimpath")
	// `go run` does not forward SIGTERM, so signal the process group, as Ctrl-C does.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p := watchCommand(t, cmd)
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
		select {
		case <-p.done:
		case <-time.After(20 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			t.Errorf("`go run .` did not end:\n%s", p.output.String())
		}
	})
	s.awaitServer(t, p, "localhost:10115")
}

// document is a document whose commands are run.
type document struct {
	*sandbox
	file   string
	blocks []codeBlock
	home   string // working directory of sh blocks
	dir    string // working directory of console blocks
	scenes []func(*testing.T)
}

// yamlBlock returns the YAML block that contains the text.
func (d *document) yamlBlock(t *testing.T, word string) string {
	t.Helper()
	return findYAML(t, d.blocks, word)
}

func findYAML(t *testing.T, blocks []codeBlock, word string) string {
	t.Helper()
	for _, b := range blocks {
		if b.language == "yaml" && strings.Contains(b.text, word) {
			return b.text
		}
	}
	t.Fatalf("no YAML block with %q", word)
	return ""
}

// writeConfig creates a directory with this config.yml, which is the working directory of the next
// commands.
func (d *document) writeConfig(t *testing.T, config string) {
	t.Helper()
	d.dir = "/doc/" + strings.ReplaceAll(d.file, "/", "_")
	d.writeFile(t, d.dir+"/config.yml", strings.NewReader(config))
}

// substitutions replaces commands that the sandbox does not have.
func substitutions() *strings.Replacer {
	return strings.NewReplacer(
		"sudo ", "", // the test runs as root
		`eval "$(portscan_exporter --completion-script-zsh)"`, "portscan_exporter --completion-script-zsh | grep --quiet compdef", // zsh is not installed
	)
}

// runCommands runs the commands of an sh block, which must succeed.
func (d *document) runCommands(t *testing.T, b codeBlock) {
	t.Helper()
	script := "cd " + d.home + "\n"
	for _, c := range b.commands() {
		key := b.file + ": " + regexp.MustCompile(` {2,}`).ReplaceAllString(c, " ")
		if _, ok := untestedCommands()[key]; ok {
			d.listed[key] = true
			continue
		}
		d.ran[key] = true
		c = substitutions().Replace(c)
		out, err := d.command(t, "bash", "-eu", "-c", script+c).CombinedOutput()
		if err != nil && expectedOutput()[key] == "" {
			t.Errorf("%v: %s: %v\n%s", b, c, err, out)
		}
		if want := expectedOutput()[key]; !strings.Contains(string(out), want) {
			t.Errorf("%v: output of %s =\n%swant\n%s", b, c, out, want)
		}
		if m := regexp.MustCompile(`^cd (\S+)$`).FindStringSubmatch(c); m != nil {
			script += c + "\n"
		}
	}
}

// runConsole runs the commands of a console block and compares their output.
func (d *document) runConsole(t *testing.T, b codeBlock) {
	t.Helper()
	if len(d.scenes) == 0 {
		t.Errorf("%v: no scene is defined for this block", b)
		return
	}
	d.scenes[0](t)
	d.scenes = d.scenes[1:]
	const mark = "@@@@"
	var script, documented strings.Builder
	script.WriteString("cd " + d.dir + "\nstatus=0\n")
	for line := range strings.Lines(b.text) {
		if c, ok := strings.CutPrefix(line, "$ "); ok {
			documented.WriteString(mark + "\n")
			script.WriteString("echo " + mark + "\n(exit $status)\n" + c + "status=$?\n")
		} else {
			documented.WriteString(line)
		}
	}
	out, err := d.command(t, "bash", "-c", script.String()+"exit 0").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", b, err, out)
	}
	if !matchesOutput(string(out), documented.String()) {
		t.Errorf("%v: documented output:\n%s\nactual output:\n%s", b, documented.String(), out)
	}
}

// matchesOutput reports whether the output matches the documented one, except for times and lines
// that the document leaves out.
func matchesOutput(got, documented string) bool {
	var pattern strings.Builder
	for line := range strings.Lines(normalizeOutput(documented)) {
		if line == "...\n" {
			pattern.WriteString(`(?s:.*?)`)
		} else {
			pattern.WriteString(regexp.QuoteMeta(line))
		}
	}
	return regexp.MustCompile("^" + pattern.String() + "$").MatchString(normalizeOutput(got))
}

// normalizeOutput replaces the parts of an output that differ from run to run.
func normalizeOutput(text string) string {
	for _, r := range [][2]string{
		{`\b\d{4}-\d\d-\d\dT[\d:.]+Z`, "TIME"},
		{`\b[\d.]+(?:ns|µs|ms|s)\b`, "DURATION"},
		{`(?m)^(\S*(?:_seconds|_timestamp)\S*) [\d.e+-]+$`, "$1 SECONDS"},
		{`\b(attempts|retries)=\d+`, "$1=N"},                         // depends on the load of the machine
		{`(?m)^warning: .* is an address of this machine, .*\n`, ""}, // the namespace has the hosts of the documents
		{`[ \t]+`, " "}, // the width of columns depends on their content
		{`(?m) $`, ""},
	} {
		text = regexp.MustCompile(r[0]).ReplaceAllString(text, r[1])
	}
	return text
}

// newDocument sets up the requirements of the commands of a document.
func (s *sandbox) newDocument(t *testing.T, file string, all []codeBlock) *document {
	t.Helper()
	d := &document{sandbox: s, file: file, blocks: all, dir: filepath.Join(sandboxRepository, filepath.Dir(file))}
	switch file {
	case "README.md":
		d.setUpReadme(t)
	case "docs/configuration.md":
		d.setUpConfiguration(t)
	case "docs/cli.md":
		d.setUpCLI(t)
	case "docs/alerts.md": // run in the root of the repository
		d.dir = sandboxRepository
	case "docs/dashboards.md": // in the root of the repository, with directories of Grafana's package
		d.dir = sandboxRepository
		s.run(t, "mkdir", "-p", "/etc/grafana/provisioning/datasources", "/etc/grafana/provisioning/dashboards")
	case "docs/deployment.md": // a binary for setcap, and the configuration of the package
		s.run(t, "cp", "/usr/bin/portscan_exporter", d.dir)
		s.run(t, "install", "-D", "-m", "644", sandboxRepository+"/config.yml", "/etc/portscan_exporter/config.yml")
	case "deploy/systemd/README.md": // run in the root of an archive
		d.dir = sandboxRepository
		s.run(t, "cp", "/usr/bin/portscan_exporter", sandboxRepository)
	}
	d.home = d.dir
	return d
}

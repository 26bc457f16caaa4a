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

// expectedOutput is what commands must print that run without their output beside them.
func expectedOutput() map[string]string {
	return map[string]string{
		"README.md: promtool check config /etc/prometheus/prometheus.yml": "SUCCESS: 1 rule files found",
		"docs/cli.md: portscan_exporter scan web --output=json | " +
			`jq -r '.addresses[] | .address as $a | .ports[] | select(.violating) | "\($a) \(.port) is \(.state)"'`: //
		"192.0.2.10 443 is closed\n2001:db8::a 10115 is open\n",
	}
}

// sandbox is a system and a network of its own, with the repository in /src, the
// program in its place, and the addresses of the documents.
type sandbox struct {
	systemRoot
	network     []string // the command that runs another one in its network, and in our files
	tree        string   // the repository, in our files
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

// command returns a command that runs in there.
func (s *sandbox) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := s.systemRoot.command(t, args...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0") // the race detector's own second at the end
	return cmd
}

// startExporter starts the program in there, with other flags than where it listens, until the
// test's end.
func (s *sandbox) startExporter(t *testing.T, config string, addresses ...string) {
	t.Helper()
	args := []string{"portscan_exporter", "--config.file=" + config}
	for _, a := range addresses {
		args = append(args, "--web.listen-address="+a)
	}
	cmd := s.command(t, args...)
	cmd.Cancel = func() error { return nil } // the test's end ends it, as every program
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

// startGoRun does what README begins with, until the test's end. What is compiled already
// need not be again.
func (s *sandbox) startGoRun(t *testing.T) {
	t.Helper()
	cmd := exec.Command(s.network[0], append(s.network[1:2:2], "go", "run", ".")...)
	cmd.Dir, cmd.Env = s.tree, append(cacheEnv(buildCache(t)), "CGO_ENABLED=0", "GOFLAGS=-trimpath")
	// `go run` hands no SIGTERM on, as a terminal does with Ctrl-C.
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
	home   string // where the commands of its scripts are run
	dir    string // where its conversations are held
	scenes []func(*testing.T)
}

// yamlBlock returns the document's block of YAML that has this text.
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

// writeConfig makes a folder with this config.yml, in which the next commands are run.
func (d *document) writeConfig(t *testing.T, config string) {
	t.Helper()
	d.dir = "/doc/" + strings.ReplaceAll(d.file, "/", "_")
	d.writeFile(t, d.dir+"/config.yml", strings.NewReader(config))
}

// substitutions is what is run in place of programs that are not there.
func substitutions() *strings.Replacer {
	return strings.NewReplacer(
		"kubectl apply -f -", "tail --lines=+5 | sed 's/^  //' | cmp - prometheus/alerts.yml", // there is no cluster
		"sudo ", "", // this is root
		`eval "$(portscan_exporter --completion-script-zsh)"`, "portscan_exporter --completion-script-zsh | grep --quiet compdef", // there is no zsh
	)
}

// runCommands runs the commands of a block, all of which must succeed.
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
			t.Errorf("%v: %s prints\n%swhich has no\n%s", b, c, out, want)
		}
		if m := regexp.MustCompile(`^cd (\S+)$`).FindStringSubmatch(c); m != nil {
			script += c + "\n"
		}
	}
}

// runConsole runs a block's commands, and compares what they print.
func (d *document) runConsole(t *testing.T, b codeBlock) {
	t.Helper()
	if len(d.scenes) == 0 {
		t.Errorf("%v: there is no scene for this block", b)
		return
	}
	d.scenes[0](t)
	d.scenes = d.scenes[1:]
	const mark = "@@@@"
	var script, said strings.Builder
	script.WriteString("cd " + d.dir + "\nstatus=0\n")
	for line := range strings.Lines(b.text) {
		if c, ok := strings.CutPrefix(line, "$ "); ok {
			said.WriteString(mark + "\n")
			script.WriteString("echo " + mark + "\n(exit $status)\n" + c + "status=$?\n")
		} else {
			said.WriteString(line)
		}
	}
	out, err := d.command(t, "bash", "-c", script.String()+"exit 0").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", b, err, out)
	}
	if !matchesOutput(string(out), said.String()) {
		t.Errorf("%v says\n%s\nand really it is\n%s", b, said.String(), out)
	}
}

// matchesOutput tells whether an output is what a document says it is, but for times and what
// it leaves out.
func matchesOutput(got, said string) bool {
	var pattern strings.Builder
	for line := range strings.Lines(normalizeOutput(said)) {
		if line == "...\n" {
			pattern.WriteString(`(?s:.*?)`)
		} else {
			pattern.WriteString(regexp.QuoteMeta(line))
		}
	}
	return regexp.MustCompile("^" + pattern.String() + "$").MatchString(normalizeOutput(got))
}

// normalizeOutput is a text without what no two runs have in common.
func normalizeOutput(text string) string {
	for _, r := range [][2]string{
		{`\b\d{4}-\d\d-\d\dT[\d:.]+Z`, "TIME"},
		{`\b[\d.]+(?:ns|µs|ms|s)\b`, "DURATION"},
		{`(?m)^(\S*(?:_seconds|_timestamp)\S*) [\d.e+-]+$`, "$1 SECONDS"},
		{`\b(attempts|retries)=\d+`, "$1=N"}, // a busy machine asks again
		{`[ \t]+`, " "},                      // columns are as wide as what is in them
		{`(?m) $`, ""},
	} {
		text = regexp.MustCompile(r[0]).ReplaceAllString(text, r[1])
	}
	return text
}

// newDocument makes ready what a document's commands need.
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
	case "docs/alerts.md": // from the root of the repository
		d.dir = sandboxRepository
	case "docs/dashboards.md": // as Grafana's package has them
		s.run(t, "mkdir", "-p", "/etc/grafana/provisioning/datasources", "/etc/grafana/provisioning/dashboards")
	case "docs/deployment.md": // for setcap, which must not change the installed program
		s.run(t, "cp", "/usr/bin/portscan_exporter", d.dir)
	case "deploy/systemd/README.md": // from the root of an archive
		d.dir = sandboxRepository
		s.run(t, "cp", "/usr/bin/portscan_exporter", sandboxRepository)
	}
	d.home = d.dir
	return d
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// untestedCommands returns the commands of the documents that no test runs unchanged, with the
// reason. Each other command is run. A script is listed by its first line.
func untestedCommands() map[string]string {
	const (
		partOfTest = "make test runs these tests"
		noSystemd  = "the sandbox has no systemd; TestRelease verifies and runs the units"
		noRegistry = "requires a registry; TestImage builds the image and runs Compose without one"
		ownFiles   = "TestHealthcheckTLS runs it with its own files and URL"
		noCluster  = "requires a cluster; deploy/kubernetes/check builds and checks the manifests"
	)
	return map[string]string{
		"README.md: go run .":                                         "runs until interrupted; startGoRun starts it",
		"README.md: systemctl reload prometheus":                      noSystemd,
		"CONTRIBUTING.md: go test ./internal/config":                  partOfTest,
		"CONTRIBUTING.md: go test ./collector -update":                partOfTest,
		"CONTRIBUTING.md: git diff --stat collector/testdata":         "the sandbox has no .git",
		"CONTRIBUTING.md: go test -run 'TestProbeTwoAddresses$' .":    partOfTest,
		"CONTRIBUTING.md: go test -run 'TestDocuments/docs/cli.md' .": partOfTest,
		"docs/cli.md: portscan_exporter healthcheck --web.config.file=web.yml --ca-file=tls.crt " +
			"--username=prometheus --password-file=password": ownFiles,
		"docs/cli.md: portscan_exporter healthcheck --url=https://ports.example.org:10115/-/healthy " +
			"--username=prometheus --password-file=password": ownFiles,
		"docs/cli.md: #!/bin/sh":                               "TestTextfileCollector runs it with node_exporter",
		"docs/dashboards.md: systemctl restart grafana-server": noSystemd,

		"docs/alerts.md: kubectl apply --namespace=monitoring --filename=deploy/kubernetes/operator/prometheusrule.yaml": noCluster,

		"docs/deployment.md: docker build --tag portscan_exporter .": noRegistry,
		"docs/deployment.md: docker run --read-only --cap-drop=ALL --publish=127.0.0.1:10115:10115 " +
			"--volume=$PWD/config:/etc/portscan_exporter:ro portscan_exporter": noRegistry,
		"docs/deployment.md: docker run --read-only --cap-drop=ALL --cap-add=NET_RAW --publish=127.0.0.1:10115:10115 " +
			"--volume=$PWD/config:/etc/portscan_exporter:ro portscan_exporter": noRegistry,
		"docs/deployment.md: docker run --read-only --cap-drop=ALL --publish=127.0.0.1:10115:10115 " +
			"--volume=$PWD/config:/etc/portscan_exporter:ro --env=PORTSCAN_WEB_CONFIG_FILE=/etc/portscan_exporter/web.yml " +
			"--env=PORTSCAN_WEB_HEALTH_LISTEN_ADDRESS=127.0.0.1:10116 portscan_exporter": noRegistry,
		"docs/deployment.md: apt install ./portscan-exporter_0.2.0_amd64.deb":                           "TestRelease installs and upgrades packages",
		"docs/deployment.md: systemctl enable --now portscan_exporter.socket portscan_exporter.service": noSystemd,
		"deploy/compose/README.md: docker compose -f deploy/compose/compose.yaml up --build":            noRegistry,
		"deploy/kubernetes/README.md: docker build --tag REGISTRY/portscan_exporter:0.1.0 . && " +
			"docker push REGISTRY/portscan_exporter:0.1.0": noRegistry,
		"deploy/kubernetes/README.md: kubectl apply -k deploy/kubernetes/base":                                noCluster,
		"deploy/systemd/README.md: systemctl daemon-reload":                                                   noSystemd,
		"deploy/systemd/README.md: systemctl enable --now portscan_exporter.socket portscan_exporter.service": noSystemd,
	}
}

// codeBlock is a fenced code block of a document.
type codeBlock struct {
	file     string // relative to the root of the repository
	line     int
	language string
	text     string
}

func (c codeBlock) String() string { return fmt.Sprintf("%s:%d", c.file, c.line) }

// readDocuments returns the code blocks of each document.
func readDocuments(t *testing.T) map[string][]codeBlock {
	t.Helper()
	all := make(map[string][]codeBlock)
	err := filepath.WalkDir(repository, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && path != repository && (strings.HasPrefix(e.Name(), ".") || e.Name() == "dist"):
			return filepath.SkipDir
		case filepath.Ext(path) == ".md":
			file, err := filepath.Rel(repository, path)
			all[file] = codeBlocks(file, readFile(t, path))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func codeBlocks(file, text string) (all []codeBlock) {
	for _, m := range regexp.MustCompile("(?ms)^```([^\n]*)\n(.*?)^```$").FindAllStringSubmatchIndex(text, -1) {
		all = append(all, codeBlock{file, strings.Count(text[:m[0]], "\n") + 1, text[m[2]:m[3]], text[m[4]:m[5]]})
	}
	return all
}

// commands returns the shell commands of a block without comments. Continued lines form one command.
func (c codeBlock) commands() (all []string) {
	text := strings.ReplaceAll(c.text, "\\\n", "")
	if strings.HasPrefix(text, "#!") {
		return []string{strings.SplitN(text, "\n", 2)[0]}
	}
	for line := range strings.Lines(text) {
		command := regexp.MustCompile(`(^|\s+)# .*`).ReplaceAllString(strings.TrimRight(line, "\n"), "")
		if command != "" {
			all = append(all, command)
		}
	}
	return all
}

// TestDocuments runs the commands of the documents, compares their output and checks their YAML, in
// a sandbox that has the addresses, ports and paths that the documents use.
func TestDocuments(t *testing.T) { //nolint:tparallel // the documents share a network, and its ports
	t.Parallel()
	all := readDocuments(t)
	s := newSandbox(t)
	counted, ran := make(map[string]int), 0
	for _, file := range slices.Sorted(maps.Keys(all)) {
		t.Run(file, func(t *testing.T) {
			ran++
			d := s.newDocument(t, file, all[file])
			for _, b := range all[file] {
				counted[b.language]++
				switch b.language {
				case "sh":
					d.runCommands(t, b)
				case "console":
					d.runConsole(t, b)
				case "yaml":
					d.checkYAML(t, b)
				case "", "json", "ini", "promql": // templates, numbers, logs, responses, queries
					if regexp.MustCompile(`(?m)^\$ `).MatchString(b.text) {
						t.Errorf("%v: a block with commands must be a console block", b)
					}
				default:
					t.Errorf("%v: unknown language %q", b, b.language)
				}
			}
			if n := len(d.scenes); n > 0 {
				t.Errorf("got %d more scenes than console blocks", n)
			}
		})
	}
	if ran < len(all) { // -run selects documents
		return
	}
	if counted["sh"] < 10 || counted["console"] < 8 || counted["yaml"] < 15 {
		t.Errorf("got too few blocks: %v", counted)
	}
	for _, key := range slices.Sorted(maps.Keys(untestedCommands())) {
		if !s.listed[key] {
			t.Errorf("no document has the command %q", key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(expectedOutput())) {
		if !s.ran[key] {
			t.Errorf("no document has the command %q", key)
		}
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// hardenedFlags run a container with a read-only root and without capabilities.
var hardenedFlags = []string{"--read-only", "--cap-drop=ALL"}

func TestImage(t *testing.T) {
	t.Parallel()
	engine := newContainerEngine(t)
	image := engine.buildImage(t)
	t.Run("content", func(t *testing.T) {
		t.Parallel()
		testImageContent(t, engine, image)
	})
	t.Run("network", func(t *testing.T) {
		t.Parallel()
		testImageNetwork(t, engine, image)
	})
	t.Run("mounts", func(t *testing.T) {
		t.Parallel()
		testImageMounts(t, engine, image)
	})
	t.Run("refusals", func(t *testing.T) {
		t.Parallel()
		testImageRefusals(t, engine, image)
	})
	t.Run("health", func(t *testing.T) {
		t.Parallel()
		testImageHealth(t, engine, image)
	})
	t.Run("compose", func(t *testing.T) {
		t.Parallel()
		testCompose(t, engine, image)
	})
}

// testImageContent checks the metadata, the files and the version of the image.
func testImageContent(t *testing.T, engine containerEngine, image string) {
	t.Helper()
	var info struct {
		Size   int64
		Config struct {
			User, WorkingDir string
			Entrypoint, Cmd  []string
			Healthcheck      struct {
				Test    []string
				Timeout time.Duration
			}
		}
	}
	engine.inspect(t, image, &info)
	const most = 25 << 20
	if info.Size > most {
		t.Errorf("image size = %d bytes, want at most %d", info.Size, most)
	}
	t.Logf("image size: %.1f MB", float64(info.Size)/1e6)
	c := info.Config
	if c.User != "65534:65534" || c.WorkingDir != "/etc/portscan_exporter" || c.Cmd != nil {
		t.Errorf("image configuration = %+v", c)
	}
	if got := append(c.Entrypoint, c.Healthcheck.Test...); !slices.Equal(got, []string{"/bin/portscan_exporter", "CMD", "/bin/portscan_exporter", "healthcheck"}) {
		t.Errorf("entrypoint and health check = %q", got)
	}
	if c.Healthcheck.Timeout <= 5*time.Second {
		t.Errorf("timeout of the health check = %v, want more than the command's, which then reports the cause", c.Healthcheck.Timeout)
	}
	files := engine.imageFiles(t, image)
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	if want := []string{"bin/portscan_exporter", "etc/portscan_exporter/config.yml", "etc/ssl/certs/ca-certificates.crt"}; !slices.Equal(names, want) {
		t.Fatalf("files = %q, want %q", names, want)
	}
	program := files["bin/portscan_exporter"]
	// setcap cap_net_raw+p writes revision 2 without the effective flag, and bit 13.
	const netRawPermitted = "\x00\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	if got := program.header.PAXRecords["SCHILY.xattr.security.capability"]; got != netRawPermitted {
		t.Errorf("capabilities of the binary = %q, want %q", got, netRawPermitted)
	}
	checkStatic(t, program.data)
	if string(files["etc/portscan_exporter/config.yml"].data) != readFile(t, repository+"/config.yml") {
		t.Error("config.yml of the image differs from the repository's")
	}
	version := readFile(t, repository+"/VERSION")
	printed := engine.run(t, slices.Concat([]string{"run", "--rm"}, hardenedFlags, []string{image, "--version"})...)
	if first, rest, _ := strings.Cut(printed, "\n"); !strings.HasPrefix(first, "portscan_exporter, version "+strings.TrimSpace(version)+" (branch: , revision: ") ||
		strings.Contains(first, "revision: )") || strings.Contains(first, "modified") || !strings.Contains(rest, "20260102-03:04:05") {
		t.Errorf("version = %q", printed)
	}
}

// imageConfig has the two scanned containers as its target.
func imageConfig(prefix, name string) string {
	return fmt.Sprintf(`modules:
  full: {ports: "1-10200"}
  half_open: {ports: "1-10200", method: syn}
targets:
  - name: %s
    hosts: [one, two]
    networks: [%s]
    modules: [full, half_open]
    authorization: {owner: "the test"}
    expect:
      tcp: {open: "8001"}
`, name, prefix)
}

// testImageNetwork scans two containers from a third one, which has CAP_NET_RAW, reloads that one
// and stops it.
func testImageNetwork(t *testing.T, engine containerEngine, image string) {
	t.Helper()
	network, prefix := engine.createNetwork(t)
	on := func(name string) []string {
		return slices.Concat(hardenedFlags, []string{"--network=" + network, "--network-alias=" + name})
	}
	one := engine.startContainer(t, append(on("one"), image, "--web.listen-address=:8001", "--web.listen-address=:9001")...).address(t)
	two := engine.startContainer(t, append(on("two"), image, "--web.listen-address=:8001")...).address(t)

	file := writeReadable(t, strings.Replace(imageConfig(prefix, "pair"), "full, half_open", "full", 1))
	c := engine.startContainer(t, append(on("exporter"), "--cap-add=NET_RAW", "--health-interval=500ms",
		"--volume="+filepath.Dir(file)+":/etc/portscan_exporter:ro", image)...)
	e := &exporter{url: "http://" + c.address(t) + ":10115", config: file}
	eventually(t, time.Minute, "the container is ready", func() error { return checkStatus(e.url+"/-/ready", 200) })
	eventually(t, time.Minute, "the container is healthy", func() error {
		if health := engine.run(t, "inspect", "--format={{.State.Health.Status}}", c.id); health != "healthy" {
			return errors.New(health)
		}
		return nil
	})
	check := func(query string) {
		t.Helper()
		m := e.probe(t, query)
		port := func(ip, port, expected string) string {
			return fmt.Sprintf(`portscan_port_open{expected=%q,ip=%q,port=%q,protocol="tcp"}`, expected, ip, port)
		}
		m.wantValue(t, "probe_success", 1)
		m.wantValue(t, "portscan_addresses", 2)
		m.wantValue(t, port(one, "8001", "open"), 1)
		m.wantValue(t, port(one, "9001", "closed"), 1)
		m.wantValue(t, port(two, "8001", "open"), 1)
		m.wantValue(t, fmt.Sprintf(`portscan_ports{ip=%q,protocol="tcp",state="closed"}`, one), 10198)
		m.wantValue(t, fmt.Sprintf(`portscan_ports{ip=%q,protocol="tcp",state="closed"}`, two), 10199)
	}
	check("target=pair&module=full")

	replaceFileMode(t, file, imageConfig(prefix, "renamed"), 0o644)
	if a, err := request("POST", e.url+"/-/reload"); err != nil || a.status != 200 {
		t.Fatalf("POST /-/reload: %v, status %d, want 200: %s", err, a.status, a.body)
	}
	check("target=renamed&module=half_open")
	checkCapabilities(t, engine.run(t, "inspect", "--format={{.State.Pid}}", c.id), "0000000000002000")
	replaceFileMode(t, file, imageConfig(prefix, "again"), 0o644)
	engine.run(t, "kill", "--signal=HUP", c.id)
	eventually(t, 20*time.Second, "SIGHUP reloads the configuration", func() error { return checkStatus(e.url+"/probe?target=again", 200) })

	// After 5 s the engine sends SIGKILL, which results in another status.
	engine.run(t, "stop", "--time=5", c.id)
	if status := engine.run(t, "inspect", "--format={{.State.ExitCode}}", c.id); status != "0" {
		t.Errorf("exit status after SIGTERM = %s, want 0", status)
	}
}

// testImageMounts replaces the configuration on the host, which the container has as a mounted file
// or in a mounted directory.
func testImageMounts(t *testing.T, engine containerEngine, image string) {
	t.Helper()
	network, _ := engine.createNetwork(t)
	const warning = "/etc/portscan_exporter/config.yml: file was replaced, but this process reads the old one: mount its directory, not the file"
	for name, warned := range map[string]bool{"file": true, "directory": false} {
		file := writeReadable(t, targetsConfig("before"))
		mount := "--volume=" + filepath.Dir(file) + ":/etc/portscan_exporter:ro"
		if name == "file" {
			mount = "--volume=" + file + ":/etc/portscan_exporter/config.yml:ro"
		}
		c := engine.startContainer(t, slices.Concat(hardenedFlags, []string{"--network=" + network, mount, image, "--config.file=/etc/portscan_exporter/config.yml"})...)
		e := &exporter{url: "http://" + c.address(t) + ":10115"}
		eventually(t, time.Minute, "the container is ready", func() error { return checkStatus(e.url+"/-/ready", 200) })
		replaceFileMode(t, file, targetsConfig("after"), 0o644)
		if a, err := request("POST", e.url+"/-/reload"); err != nil || a.status != 200 {
			t.Fatalf("POST /-/reload: %v, status %d, want 200: %s", err, a.status, a.body)
		}
		if config := getBody(t, e.url+"/config"); strings.Contains(config, "before") != warned || strings.Contains(config, "after") == warned {
			t.Errorf("mounted %s: configuration after the reload:\n%s", name, config)
		}
		log, err := exec.Command(engine.path, "logs", c.id).CombinedOutput()
		if err != nil || strings.Contains(string(log), warning) != warned {
			t.Errorf("mounted %s: %v, want the warning %q in the log: %t\n%s", name, err, warning, warned, log)
		}
		out, err := exec.Command(engine.path, "exec", c.id, "/bin/portscan_exporter", "--config.check", "--config.file=/etc/portscan_exporter/config.yml").CombinedOutput()
		if err != nil || strings.Contains(string(out), "warning: "+warning) != warned {
			t.Errorf("mounted %s: --config.check: %v, want the warning %q: %t\n%s", name, err, warning, warned, out)
		}
	}
}

// testImageRefusals uses half-open scans without CAP_NET_RAW. The exporter must report the missing
// capability.
func testImageRefusals(t *testing.T, engine containerEngine, image string) {
	t.Helper()
	file := writeReadable(t, imageConfig("192.0.2.0/24", "pair"))
	mount := "--volume=" + filepath.Dir(file) + ":/etc/portscan_exporter:ro"
	for name, options := range map[string][]string{
		"dropped":           nil,
		"no new privileges": {"--cap-add=NET_RAW", "--security-opt=no-new-privileges"},
	} {
		c := engine.startContainer(t, slices.Concat([]string{"--network=none", mount}, hardenedFlags, options, []string{image})...)
		eventually(t, time.Minute, name+": the container has ended", func() error {
			if status := engine.run(t, "inspect", "--format={{.State.Status}}", c.id); status != "exited" {
				return errors.New(status)
			}
			return nil
		})
		out, err := exec.Command(engine.path, "logs", c.id).CombinedOutput()
		if status := engine.run(t, "inspect", "--format={{.State.ExitCode}}", c.id); err != nil || status != "1" || !strings.Contains(string(out), "CAP_NET_RAW") {
			t.Errorf("%s: exit status = %s, want 1 and CAP_NET_RAW in the log: %v: %s", name, status, err, out)
		}
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	starvedProbes  = 14
	starvedTimeout = 10 * time.Second // the scrape timeout
)

// starvedConfig has targets at different addresses, and modules that report every port.
func starvedConfig() string {
	var b strings.Builder
	b.WriteString(`modules:
  every: {ports: "1-65535", report: all, max_ports: 65535}
  thousand: {ports: "1-65535", report: all}
targets:
`)
	for i := range starvedProbes {
		fmt.Fprintf(&b, "- {name: t%d, hosts: [127.0.93.%d], modules: [every, thousand], authorization: {owner: test}}\n", i, i+1)
	}
	return b.String()
}

// startStarved starts the exporter in a container with a tenth of a CPU.
func startStarved(t *testing.T) (url string) {
	t.Helper()
	engine := newContainerEngine(t)
	image := engine.importBinary(t, plainBinary(t), starvedConfig())
	network, _ := engine.createNetwork(t)
	c := engine.startContainer(t, "--cpus=0.1", "--network="+network, image, "/portscan_exporter", "--config.file=/config.yml")
	url = "http://" + c.address(t) + ":10115"
	eventually(t, 30*time.Second, "the exporter is ready", func() error { return checkStatus(url+"/-/ready", http.StatusOK) })
	return url
}

// importBinary makes an image of the exporter and its configuration.
func (e containerEngine) importBinary(t *testing.T, binary, config string) (image string) {
	t.Helper()
	dir := t.TempDir()
	copyFile(t, binary, dir+"/portscan_exporter")
	replaceFileMode(t, dir+"/config.yml", config, 0o644)
	archive := t.TempDir() + "/image.tar"
	runIn(t, dir, needProgram(t, "tar"), "-cf", archive, "portscan_exporter", "config.yml")
	image = e.run(t, "import", archive)
	e.runAtCleanup(t, "rmi", image)
	return image
}

// starvedAnswer is the answer to one of the probes at once.
type starvedAnswer struct {
	response

	err  error
	took time.Duration // until its last byte
}

// probeAtOnce probes all targets at once.
func probeAtOnce(url, module string) []starvedAnswer {
	answers := make([]starvedAnswer, starvedProbes)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			sent := time.Now()
			a, err := request("GET", fmt.Sprintf("%s/probe?target=t%d&module=%s", url, i, module), timeoutHeader, fmt.Sprint(starvedTimeout.Seconds()))
			answers[i] = starvedAnswer{a, err, time.Since(sent)}
		})
	}
	all.Wait()
	return answers
}

// TestStarvedMachine probes 14 targets at once with a tenth of a CPU. All answers must arrive before
// the scrape timeout.
func TestStarvedMachine(t *testing.T) {
	url := startStarved(t)
	for _, module := range []string{"thousand", "every", "thousand"} {
		slowest, reported, known := time.Duration(0), 0, 0.0
		for i, a := range probeAtOnce(url, module) {
			slowest = max(slowest, a.took)
			if a.err != nil || a.status != http.StatusOK || a.took > starvedTimeout {
				t.Errorf("probe %d of %s: got status %d, %v after %v, want 200 within %v", i, module, a.status, a.err, a.took, starvedTimeout)
				continue
			}
			m := parseMetrics(t, a.body)
			reported += m.countByPrefix("portscan_port_open{")
			known += m.sumByPrefix("portscan_ports{") - m.sumByPrefix("portscan_ports_unknown{")
		}
		t.Logf("%s: slowest answer after %v, %v ports known, %d reported", module, slowest.Round(time.Millisecond), known, reported)
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// loadHosts are the targets of a load test. Each has its own address and other open ports than its
// neighbors, so that a response for another target is detected.
type loadHosts struct {
	firstPort int // first of the ports, which are the same for all targets
}

func newLoadHosts(t *testing.T) loadHosts {
	t.Helper()
	h := loadHosts{firstPort: findFreeRange(t, loadPorts)}
	for i := range loadTargets {
		for _, port := range h.openPorts(i) {
			listenOn(t, fmt.Sprintf("%s:%d", h.address(i), port))
		}
	}
	return h
}

// findFreeRange returns the first of n consecutive unused ports. It checks an address of the load
// test, which also finds listeners on all addresses.
func findFreeRange(t *testing.T, n int) int {
	t.Helper()
	const lowest, highest = 28000, 32000 // above the ports of freePort, below the ephemeral range
	for first := lowest; first+n <= highest; first += n {
		taken := false
		for i := range n {
			taken = taken || isListening(first+i)
		}
		if !taken {
			return first
		}
	}
	t.Fatalf("no %d consecutive free ports", n)
	return 0
}

func isListening(port int) bool {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.1.1:%d", port))
	if err == nil {
		_ = l.Close()
	}
	return err != nil
}

func (loadHosts) targetName(i int) string { return fmt.Sprintf("t%d", i) }
func (loadHosts) address(i int) string    { return fmt.Sprintf("127.0.1.%d", i+1) }

// openPorts returns the one or two open ports of a target. The first one is expected to be open.
func (h loadHosts) openPorts(i int) []int {
	ports := []int{h.firstPort + i%loadPorts}
	if second := h.firstPort + (37*i+11)%loadPorts; i%2 == 1 && second != ports[0] {
		ports = append(ports, second)
	}
	return ports
}

func (h loadHosts) config(more string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%smodules:\n  hundred: {ports: \"%d-%d\"}\ntargets:\n", more, h.firstPort, h.firstPort+loadPorts-1)
	for i := range loadTargets {
		fmt.Fprintf(&b, "  - name: %s\n    hosts: [%s]\n    modules: [hundred]\n    authorization: {owner: \"the test\"}\n    expect: {tcp: {open: %d}}\n",
			h.targetName(i), h.address(i), h.openPorts(i)[0])
	}
	return b.String()
}

// checkResponse compares a response with the open ports. An incomplete response may lack ports, but
// must not be wrong.
func (h loadHosts) checkResponse(i int, body string) (complete bool, err error) {
	m, err := readMetrics(body)
	if err != nil {
		return false, err
	}
	seen := 0
	for series, v := range m {
		if !strings.HasPrefix(series, "portscan_port_open{") {
			continue
		}
		port, err := strconv.Atoi(labelValue(series, "port"))
		if err != nil || labelValue(series, "ip") != h.address(i) || slices.Contains(h.openPorts(i), port) != (v == 1) {
			return false, fmt.Errorf("%s = %v, want open ports %v of %s", series, v, h.openPorts(i), h.address(i))
		}
		seen++
	}
	state := func(s string) int {
		return int(m.sumByPrefix(fmt.Sprintf(`portscan_ports{ip="%s",protocol="tcp",state="%s"}`, h.address(i), s)))
	}
	open, closed, unknown := len(h.openPorts(i)), loadPorts-len(h.openPorts(i)), state("unknown")
	switch {
	case state("open") != seen, state("open") > open, state("closed") > closed, state("filtered")+state("open_filtered") > 0:
		return false, fmt.Errorf("got %d open, %d closed and %d filtered ports, which is wrong", state("open"), state("closed"), state("filtered"))
	case m["probe_success"] != 1:
		return false, nil
	case state("open") != open || state("closed") != closed || unknown != 0:
		return false, fmt.Errorf("got %d open, %d closed and %d unknown ports with probe_success 1", state("open"), state("closed"), unknown)
	}
	return true, nil
}

func labelValue(series, name string) string {
	_, rest, _ := strings.Cut(series, name+`="`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

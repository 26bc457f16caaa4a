// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"
)

// manyTargets is the configuration of an exporter that takes seconds to start.
func manyTargets(n int) string {
	var b strings.Builder
	b.WriteString("modules:\n  few: {ports: \"1-10\"}\ntargets:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - {name: t%d, hosts: [127.1.%d.%d], modules: [few], authorization: {owner: \"the test\"}}\n", i, i/250, 1+i%250)
	}
	return b.String()
}

// startSlowly starts an exporter and returns while it loads its configuration.
func startSlowly(t *testing.T) *exporter {
	t.Helper()
	e := startExporterUnready(t, manyTargets(5_000))
	eventually(t, 30*time.Second, "the exporter starts", func() error {
		e.checkRunning(t)
		if !strings.Contains(e.output.String(), "Starting portscan_exporter") {
			return errors.New("not yet")
		}
		return nil
	})
	return e
}

// TestReloadDuringStart sends SIGHUP at random moments of the start. The exporter must reload when
// it has started.
func TestReloadDuringStart(t *testing.T) {
	t.Parallel()
	const loaded = "Configuration loaded"
	e := startSlowly(t)
	signals := 0
	for ; !strings.Contains(e.output.String(), loaded); signals++ {
		e.signal(t, syscall.SIGHUP)
		e.checkRunning(t)
		time.Sleep(rand.N(100 * time.Millisecond))
	}
	if signals == 0 {
		t.Fatal("the configuration was loaded before a signal was sent")
	}
	e.awaitReady(t)
	eventually(t, 60*time.Second, "the exporter reloads", func() error {
		e.checkRunning(t)
		if n := strings.Count(e.output.String(), loaded); n < 2 {
			return fmt.Errorf("got %d loads", n)
		}
		return nil
	})
	t.Logf("%d signals", signals)
}

// TestTerminateDuringStart sends SIGTERM at a random moment of the start.
func TestTerminateDuringStart(t *testing.T) {
	t.Parallel()
	e := startSlowly(t)
	time.Sleep(rand.N(300 * time.Millisecond))
	e.checkEndsWithin(t, 2*time.Second, e.terminate(t))
	if out := e.output.String(); strings.Contains(out, "Listening on") {
		t.Errorf("the exporter had started before the signal:\n%s", out)
	}
}

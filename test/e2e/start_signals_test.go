// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startSlowly starts an exporter and returns while it waits for its configuration, until release
// is called.
func startSlowly(t *testing.T) (e *exporter, release func()) {
	t.Helper()
	file := newHangingFile(targetsConfig("own"))
	release = file.hang()
	t.Cleanup(release)
	e = startHangingExporter(t, file)
	eventually(t, 30*time.Second, "the exporter starts", func() error {
		e.checkRunning(t)
		if !strings.Contains(e.output.String(), "Starting portscan_exporter") {
			return errors.New("not yet")
		}
		return nil
	})
	return e, release
}

// TestReloadDuringStart sends SIGHUP during the start. The exporter must reload when it has started.
func TestReloadDuringStart(t *testing.T) {
	t.Parallel()
	const loaded = "Configuration loaded"
	e, release := startSlowly(t)
	e.signal(t, syscall.SIGHUP)
	time.Sleep(100 * time.Millisecond) // usually it has arrived then
	e.checkRunning(t)
	if strings.Contains(e.output.String(), loaded) {
		t.Fatal("the configuration was loaded before the signal was sent")
	}
	release()
	e.awaitReady(t)
	eventually(t, 60*time.Second, "the exporter reloads", func() error {
		e.checkRunning(t)
		if n := strings.Count(e.output.String(), loaded); n < 2 {
			return fmt.Errorf("got %d loads", n)
		}
		return nil
	})
	e.checkEndsWithin(t, maxShutdown, e.terminate(t))
}

// TestTerminateDuringStart sends SIGTERM during the start.
func TestTerminateDuringStart(t *testing.T) {
	t.Parallel()
	e, _ := startSlowly(t)
	e.checkEndsWithin(t, 2*time.Second, e.terminate(t))
	if out := e.output.String(); strings.Contains(out, "Configuration loaded") {
		t.Errorf("the exporter had started before the signal:\n%s", out)
	}
}

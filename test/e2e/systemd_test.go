// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func listenTCP(t *testing.T) *net.TCPListener {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// startWithSocket starts the exporter, or a command that executes it, with a listening socket as
// systemd does: as descriptor 3, announced by environment variables.
func startWithSocket(t *testing.T, l *net.TCPListener, command ...string) *exporter {
	t.Helper()
	shell := needProgram(t, "sh")
	socket, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	script := `export LISTEN_FDS=1 LISTEN_PID=$$; exec "$0" "$@"`
	cmd := exec.Command(shell, append([]string{"-c", script}, command...)...)
	cmd.ExtraFiles = []*os.File{socket}
	return &exporter{addr: l.Addr().String(), process: startCommand(t, cmd)}
}

// TestSystemdSocket serves on an inherited socket. A request sent before the start is answered,
// too.
func TestSystemdSocket(t *testing.T) {
	t.Parallel()
	binary(t) // build before the first request is sent
	l := listenTCP(t)
	defer l.Close()
	early := connect(t, l.Addr().String())
	if _, err := io.WriteString(early, rawRequest("GET", "/-/healthy")); err != nil {
		t.Fatal(err)
	}
	e := startWithSocket(t, l, binary(t), "--web.systemd-socket", "--config.file="+writeFile(t, "config.yml", targetsConfig("own")))
	e.awaitReady(t)
	if a, err := readResponse(early); err != nil || a.status != http.StatusOK {
		t.Errorf("early request got %d, %v, want 200", a.status, err)
	}
	e.probe(t, "target=own").wantValue(t, "probe_success", 1)
	if n := strings.Count(e.output.String(), `msg="Listening on" address=`); n != 1 {
		t.Errorf("got %d listeners in the log, want only the inherited socket", n)
	}
}

func TestSystemdSocketMissing(t *testing.T) {
	t.Parallel()
	config := writeFile(t, "config.yml", targetsConfig("own"))
	o := runExporter(t, "--web.systemd-socket", "--config.file="+config)
	o.wantStatus(t, 1)
	o.wantOutput(t, "no socket activation file descriptors found")
}

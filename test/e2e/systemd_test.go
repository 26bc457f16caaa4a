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

// startWithSocket starts the program as systemd does: with listening sockets in its hands
// from descriptor 3 on, and their number and its own id in the environment.
func startWithSocket(t *testing.T, l *net.TCPListener, args ...string) *exporter {
	t.Helper()
	return startCommandWithSocket(t, l, append([]string{binary(t)}, args...)...)
}

// startCommandWithSocket starts a command that becomes the program, as [startWithSocket] does.
func startCommandWithSocket(t *testing.T, l *net.TCPListener, command ...string) *exporter {
	t.Helper()
	shell := needProgram(t, "sh")
	socket, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	script := `export LISTEN_FDS=1 LISTEN_PID=$$; exec "$0" "$@"`
	cmd := exec.CommandContext(t.Context(), shell, append([]string{"-c", script}, command...)...)
	cmd.Cancel = func() error { return nil } // the test's end ends it, as every program
	cmd.ExtraFiles = []*os.File{socket}
	return &exporter{addr: l.Addr().String(), process: startCommand(t, cmd)}
}

// TestSystemdSocket serves on a socket that somebody else has opened. Who came before
// the exporter did is answered, too.
func TestSystemdSocket(t *testing.T) {
	t.Parallel()
	binary(t) // whoever comes early does not wait until it is built
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	early := connect(t, l.Addr().String())
	if _, err := io.WriteString(early, rawRequest("GET", "/-/healthy")); err != nil {
		t.Fatal(err)
	}
	e := startWithSocket(t, l.(*net.TCPListener), "--web.systemd-socket", "--config.file="+writeFile(t, "config.yml", targetsConfig("own")))
	e.awaitReady(t)
	if a, err := readResponse(early); err != nil || a.status != http.StatusOK {
		t.Errorf("who came first got %d, %v", a.status, err)
	}
	e.probe(t, "target=own").wantValue(t, "probe_success", 1)
	if n := strings.Count(e.output.String(), `msg="Listening on" address=`); n != 1 {
		t.Errorf("it says %d times where it listens, want once: it has opened a port of its own as well", n)
	}
}

// TestSystemdSocketMissing asks for sockets where there are none.
func TestSystemdSocketMissing(t *testing.T) {
	t.Parallel()
	config := writeFile(t, "config.yml", targetsConfig("own"))
	o := runExporter(t, "--web.systemd-socket", "--config.file="+config)
	o.wantStatus(t, 1)
	o.wantOutput(t, "no socket activation file descriptors found")
}

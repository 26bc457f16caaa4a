package testnet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"
)

const (
	// hostRole marks, in the environment, the process that is a host.
	hostRole = "PORTSCAN_TESTNET_HOST"

	// readyWithin is how long a host's process may take to begin.
	readyWithin = 30 * time.Second

	// toParent is the descriptor of the pipe by which a host says that it is ready.
	toParent = 3
)

// task tells a host's process what to do. It comes through standard input.
type task struct {
	Listen      map[Answer]string    // the ports that need a listener
	ListenUDP   map[UDPAnswer]string // the UDP ports that do
	Addrs       []netip.Addr         // the host's
	NoICMPLimit bool                 // whether the kernel's limits on ICMP errors are lifted
}

// door is a listener that many ports share, by its own port in each family; see
// [openDoors].
type door struct{ V4, V6 uint16 }

// ready is what a host's process says when it is.
type ready struct {
	Doors map[Answer]door
}

// process is a host's process, which keeps its namespace alive: the test's own
// binary, executed once more.
type process struct {
	cmd    *exec.Cmd
	ready  *os.File
	output bytes.Buffer  // not to be read before ended
	ended  chan struct{} // closed when the process is gone
}

// pid is the process's, by which its namespace is found.
func (p *process) pid() int { return p.cmd.Process.Pid }

// launch starts a host's process. It ends with the test, and if this process
// dies without a word the host's standard input ends and the host with it.
func launch(t *testing.T, do task) *process {
	t.Helper()
	unshare, err := find("unshare")
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	said, says, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{ready: said, ended: make(chan struct{})}
	args := append([]string{"--net", "--", binary}, childArgs(os.Getenv(childTest), 0)...)
	p.cmd = exec.Command(unshare, args...)
	p.cmd.Env = append(os.Environ(), hostRole+"=1")
	p.cmd.ExtraFiles = []*os.File{says} // the first of them is descriptor 3
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	input, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = says.Close()
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() { p.end(t) })
	if err := json.NewEncoder(input).Encode(do); err != nil {
		t.Fatal(p.died(err))
	}
	return p
}

// await waits until the host is ready.
func (p *process) await(t *testing.T) map[Answer]door {
	t.Helper()
	defer func() { _ = p.ready.Close() }()
	if err := p.ready.SetReadDeadline(time.Now().Add(readyWithin)); err != nil {
		t.Fatal(err)
	}
	var is ready
	if err := json.NewDecoder(p.ready).Decode(&is); err != nil {
		t.Fatal(p.died(err))
	}
	return is.Doors
}

// died describes a process that failed to do its part.
func (p *process) died(err error) error {
	_ = p.cmd.Process.Kill()
	<-p.ended
	return fmt.Errorf("the process of a host: %w\n%s", err, p.output.String())
}

// end ends the process. One that is gone already has left the test without a
// host, and the test has to know.
func (p *process) end(t *testing.T) {
	t.Helper()
	select {
	case <-p.ended:
		if !t.Failed() {
			t.Errorf("the process of a host ended before the test: %v\n%s", p.cmd.ProcessState, p.output.String())
		}
	default:
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// isHost tells whether this process is to be a host.
func isHost() bool { return os.Getenv(hostRole) != "" }

// serve is the host's side: it does what it is told until its standard input
// ends, and does not return.
func serve(t *testing.T) {
	t.Helper()
	var do task
	if err := json.NewDecoder(os.Stdin).Decode(&do); err != nil {
		t.Fatal(err)
	}
	settle(t)
	run(t, "", "ip", "link", "set", "lo", "up")
	is := ready{Doors: do.open(t)}
	says := os.NewFile(toParent, "ready")
	if err := json.NewEncoder(says).Encode(is); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	// The test must not run here, and its outcome is not this process's to tell.
	os.Exit(0) //nolint:forbidigo // see above
}

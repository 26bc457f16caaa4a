package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// repository is the root of the repository.
const repository = "../.."

// buildDir contains the binaries under test while the tests run.
var buildDir string

func TestMain(m *testing.M) {
	setParallel()
	dir, err := os.MkdirTemp("", "portscan_exporter_e2e_")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	buildDir = dir
	if err := os.Chmod(dir, 0o755); err != nil { // unprivileged users run the binary
		fmt.Fprintln(os.Stderr, err)
	}
	status := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(status)
}

// setParallel runs twice as many tests at once as there are processors, because most tests wait for
// Prometheus. An explicit -parallel has precedence.
func setParallel() {
	flag.Parse()
	const name = "test.parallel"
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	if !set {
		_ = flag.Set(name, strconv.Itoa(2*runtime.GOMAXPROCS(0)))
	}
}

// skip skips the test because of a missing requirement. With PORTSCAN_TEST_NO_SKIP=1, as in CI, it
// fails the test instead.
func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("PORTSCAN_TEST_NO_SKIP") == "1" {
		t.Fatalf("%s (PORTSCAN_TEST_NO_SKIP=1 makes a skip fail)", why)
	}
	t.Skipf("SKIPPED, NOT TESTED: %s", why)
}

// needProgram returns the path of a program, or skips the test if it is not installed.
func needProgram(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		skip(t, "not installed: "+name)
	}
	return path
}

// buildRace builds the exporter once with the race detector.
var buildRace = sync.OnceValues(func() (string, error) {
	path := filepath.Join(buildDir, "portscan_exporter")
	cmd := exec.Command("go", "build", "-race", "-buildvcs=false", "-o", path, ".")
	cmd.Dir = repository
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v: %w\n%s", cmd.Args, err, out)
	}
	return path, nil
})

// binary returns the path of the exporter, built with the race detector.
func binary(t *testing.T) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		skip(t, "the tests need Linux")
	}
	needProgram(t, "gcc") // the race detector needs cgo
	path, err := buildRace()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// process is a program started by a test.
type process struct {
	name   string
	cmd    *exec.Cmd
	output safeBuffer
	done   chan struct{} // closed when the program has ended
}

// startProcess starts a program that ends with the test. The test fails if the program does not end
// on SIGTERM or if its exit status is not 0.
func startProcess(t *testing.T, path string, args ...string) *process {
	t.Helper()
	return startCommand(t, exec.Command(path, args...))
}

// startCommand is [startProcess] for a command.
func startCommand(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0") // otherwise the race detector delays the exit by 1s
	p := watchCommand(t, cmd)
	t.Cleanup(func() { p.stop(t) })
	return p
}

// watchCommand starts a command and collects its output. The caller must end it.
func watchCommand(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{name: filepath.Base(cmd.Path), cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // the status is in ProcessState
	}()
	return p
}

func (p *process) stop(t *testing.T) {
	t.Helper()
	const patience = 20 * time.Second // generous for a busy machine; TestShutdown tests measure the time
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.done
		t.Errorf("%s did not end within %v of SIGTERM", p.name, patience)
	}
	if status := p.cmd.ProcessState.ExitCode(); status != 0 {
		t.Errorf("exit status of %s = %d, want 0", p.name, status)
	}
	out := p.output.String()
	for _, bad := range []string{"DATA RACE", "panic:", "panic="} {
		if strings.Contains(out, bad) {
			t.Errorf("%s printed %q", p.name, bad)
		}
	}
	if t.Failed() {
		t.Logf("output of %s:\n%s", p.name, out)
	}
}

// checkRunning fails the test if the program has ended.
func (p *process) checkRunning(t *testing.T) {
	t.Helper()
	select {
	case <-p.done:
		t.Fatalf("%s has ended: %v\n%s", p.name, p.cmd.ProcessState, p.output.String())
	default:
	}
}

// safeBuffer stores the output of a program. It is safe for concurrent use.
type safeBuffer struct {
	mu  sync.Mutex
	all strings.Builder
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.String()
}

// exporter is a running portscan_exporter.
type exporter struct {
	*process
	addr   string // host:port
	url    string // without a trailing slash
	config string // the path of its configuration file
}

// startExporter starts the exporter on a free port and waits until it is ready.
func startExporter(t *testing.T, config string, flags ...string) *exporter {
	t.Helper()
	e := startExporterUnready(t, config, flags...)
	e.awaitReady(t)
	return e
}

func (e *exporter) awaitReady(t *testing.T) {
	t.Helper()
	if e.url == "" {
		e.url = "http://" + e.addr
	}
	eventually(t, 30*time.Second, "the exporter is ready", func() error {
		e.checkRunning(t)
		return checkStatus(e.url+"/-/ready", 200)
	})
}

// startExporterUnready starts the exporter without waiting until it is ready.
func startExporterUnready(t *testing.T, config string, flags ...string) *exporter {
	t.Helper()
	return startBinary(t, binary(t), config, flags...)
}

func startBinary(t *testing.T, path, config string, flags ...string) *exporter {
	t.Helper()
	e := &exporter{addr: freeAddress(t), config: writeFile(t, "config.yml", config)}
	e.process = startProcess(t, path, append([]string{"--config.file=" + e.config, "--web.listen-address=" + e.addr}, flags...)...)
	return e
}

// writeFile writes a file in a temporary directory and returns its path.
func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	replaceFile(t, path, text)
	return path
}

// replaceFile replaces a file atomically, so that the exporter never reads a part of it.
func replaceFile(t *testing.T, path, text string) {
	t.Helper()
	replaceFileMode(t, path, text, 0o600)
}

func replaceFileMode(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	next := path + ".next"
	if err := os.WriteFile(next, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

// nextPort counts through ports below the ephemeral range, so that a port that must be closed is
// not opened by another test.
var nextPort atomic.Uint32

func init() { //nolint:gochecknoinits // two runs side by side begin at different ports
	nextPort.Store(12000 + rand.Uint32N(15000))
}

// freePort returns an unused port that no other test gets.
func freePort(t *testing.T) int {
	t.Helper()
	for range 1000 {
		port := int(nextPort.Add(1))
		if l, err := net.Listen("tcp", localAddress(port)); err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// freeAddress returns an unused address of 127.0.0.1.
func freeAddress(t *testing.T) string {
	t.Helper()
	return localAddress(freePort(t))
}

func localAddress(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// listenLocal is [listenOn] for a port of 127.0.0.1.
func listenLocal(t *testing.T, port int) (closePort func()) {
	t.Helper()
	return listenOn(t, localAddress(port))
}

// listenOn opens a TCP port until the returned function is called or the test ends, and closes
// each connection at once.
func listenOn(t *testing.T, address string) (closePort func()) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	closePort = sync.OnceFunc(func() { _ = l.Close() })
	t.Cleanup(closePort)
	return closePort
}

// eventually waits until check returns nil. After the timeout it fails the test and reports the
// condition.
func eventually(t *testing.T, within time.Duration, condition string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("timeout after %v: %s: %v", within, condition, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

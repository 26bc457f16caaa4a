package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"portscan_exporter/engine"
	"portscan_exporter/scan"
)

// cost is what one run of a contender took. The CPU time holds the target's
// kernel's, which answers in the sender's context.
type cost struct {
	wall, user, system time.Duration
	rss                float64 // MiB at the peak
	kernel             float64 // MiB that the kernel's own memory grew by, at the peak
	open               int
	whole              bool
}

func (c cost) cpu() time.Duration { return c.user + c.system }

// self measures something in this process.
func self(f func() (open int, whole bool)) cost {
	var before, after unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &before)
	begun := time.Now()
	open, whole := f()
	wall := time.Since(begun)
	_ = unix.Getrusage(unix.RUSAGE_SELF, &after)
	return cost{
		wall: wall, user: time.Duration(after.Utime.Nano() - before.Utime.Nano()),
		system: time.Duration(after.Stime.Nano() - before.Stime.Nano()), open: open, whole: whole,
	}
}

// dialed is the portable engine: a net.Dialer and a goroutine an attempt.
func dialed(t *testing.T, addr netip.Addr, ports string) cost {
	t.Helper()
	budget, err := engine.NewBudget(engine.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	dial, err := engine.NewDial(budget)
	if err != nil {
		t.Fatal(err)
	}
	set, err := scan.ParsePortSet(ports)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := scan.NewPlan(scan.Spec{
		Protocol: scan.TCP, Method: scan.Connect, Ports: set, Timeout: time.Minute, PortTimeout: 950 * time.Millisecond,
		Retries: 2, MaxRetries: 10, MaxInFlight: 10000,
	})
	if err != nil {
		t.Fatal(err)
	}
	scope, err := scan.NewScope([]netip.Prefix{netip.PrefixFrom(addr, addr.BitLen())}, nil)
	if err != nil {
		t.Fatal(err)
	}
	req, _, err := scan.NewRequest(plan, scope, []scan.Address{{IP: addr}})
	if err != nil {
		t.Fatal(err)
	}
	return self(func() (int, bool) {
		recorder, err := scan.NewRecorder(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := dial.Scan(t.Context(), req, recorder.Record); err != nil {
			t.Fatal(err)
		}
		results, _, _ := recorder.Snapshot(scan.CauseDeadline)
		return results[0].Count(scan.Open), results[0].Count(scan.Unknown) == 0
	})
}

// bare is the floor: a loop over the kernel that keeps its sockets, on one
// thread, with no waits, retries or results worth the name. It is of use against
// a host that answers every attempt, and fast.
func bare(t *testing.T, addr netip.Addr, ports string) cost {
	t.Helper()
	set, err := scan.ParsePortSet(ports)
	if err != nil {
		t.Fatal(err)
	}
	return self(func() (open int, whole bool) {
		const sockets = 64
		fresh := func() int {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
			if err != nil {
				t.Fatal(err)
			}
			return fd
		}
		to := &unix.SockaddrInet4{Addr: addr.As4()}
		var flying []int
		for range sockets {
			flying = append(flying, fresh())
		}
		defer func() {
			for _, fd := range flying {
				_ = unix.Close(fd)
			}
		}()
		for first := 0; first < set.Len(); first += sockets {
			batch := flying[:min(sockets, set.Len()-first)]
			for i, fd := range batch {
				to.Port = int(set.At(first + i))
				_ = unix.Connect(fd, to)
			}
			for i := 0; i < len(batch); {
				switch err := unix.Connect(batch[i], to); err {
				case unix.EALREADY:
					continue
				case nil, unix.EISCONN:
					open++
					_ = unix.Close(batch[i])
					batch[i] = fresh()
				}
				i++
			}
		}
		return open, true
	})
}

// nmap is nmap -sT with its defaults.
func nmap(t *testing.T, addr netip.Addr, ports string) cost {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), nmapPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nmap", "-sT", "-n", "-Pn", "-oG", "-", "-p"+ports, addr.String())
	begun := time.Now()
	out, err := cmd.Output()
	c := cost{wall: time.Since(begun), whole: err == nil, open: strings.Count(string(out), "/open/")}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		c.user, c.system = time.Duration(usage.Utime.Nano()), time.Duration(usage.Stime.Nano())
		c.rss = float64(usage.Maxrss) / 1024
	}
	return c
}

// nmapPatience is after how long a run of nmap is given up.
const nmapPatience = 5 * time.Minute

// exporter is the program itself, asked through /probe.
type exporter struct {
	url string
	pid int
}

// start builds and starts the exporter with one target.
func start(t *testing.T, addr netip.Addr, expect string) exporter {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "portscan_exporter")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", binary, "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	config := fmt.Sprintf(`
modules:
  all: {ports: 1-65535, timeout: 2m}
  ten: {ports: 1-10000, timeout: 2m}
  thousand: {ports: 1-1000}
  twenty: {ports: 1001-1020}
  one: {ports: 1001}
targets:
  - {name: host, hosts: [%q], modules: [all, ten, thousand, twenty, one], authorization: {owner: benchmark}, expect: {tcp: {allow: %q}}}
  - {name: silent, hosts: [%q], modules: [all], authorization: {owner: benchmark}}
`, addr, expect, silent)
	file := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	const listen = "127.0.0.1:10115"
	cmd := exec.Command(binary, "--config.file="+file, "--web.listen-address="+listen, "--log.level=warn")
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Signal(syscall.SIGTERM); _ = cmd.Wait() })
	e := exporter{url: "http://" + listen, pid: cmd.Process.Pid}
	for range 100 {
		if r, err := http.Get(e.url + "/-/healthy"); err == nil { //nolint:forbidigo // a test's own server
			_ = r.Body.Close()
			return e
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the exporter does not answer")
	return e
}

// probe scans the host with one module, and measures what that takes.
func (e exporter) probe(t *testing.T, module string) cost {
	t.Helper()
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", e.pid), []byte("5"), 0o600) // resets the peak of memory
	user, system := e.cpu(t)
	growth := kernelGrowth(t)
	c, err := e.ask("host", module)
	if err != nil {
		t.Fatal(err)
	}
	c.kernel, c.rss = growth(), e.memory(t, "VmHWM")
	u, s := e.cpu(t)
	c.user, c.system = u-user, s-system
	return c
}

// ask scans a target with one module.
func (e exporter) ask(target, module string) (cost, error) {
	begun := time.Now()
	r, err := http.Get(e.url + "/probe?target=" + target + "&module=" + module) //nolint:forbidigo // a test's own server
	if err != nil {
		return cost{}, err
	}
	body, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if err != nil {
		return cost{}, err
	}
	c := cost{wall: time.Since(begun), whole: strings.Contains(string(body), "\nprobe_success 1\n")}
	for line := range strings.Lines(string(body)) {
		if strings.HasPrefix(line, "portscan_ports{") && strings.Contains(line, `state="open"`) {
			c.open, _ = strconv.Atoi(strings.TrimSpace(line[strings.LastIndex(line, " "):]))
		}
	}
	return c, nil
}

// cpu is what the exporter has used so far, in ticks: what takes less has to be
// measured many times over.
func (e exporter) cpu(t *testing.T) (user, system time.Duration) {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", e.pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndex(string(stat), ")")+2:]))
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux
	u, _ := strconv.Atoi(fields[11])
	s, _ := strconv.Atoi(fields[12])
	return time.Duration(u) * tick, time.Duration(s) * tick
}

// memory is a field of the process's status, in MiB.
func (e exporter) memory(t *testing.T, name string) float64 {
	t.Helper()
	return field(t, fmt.Sprintf("/proc/%d/status", e.pid), name+":") / 1024
}

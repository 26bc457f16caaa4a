package bench

import (
	"context"
	"net"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is after how long another program is given up.
const patience = 5 * time.Minute

// program runs another scanner to its end. Those that are used here write an open
// port as grep likes it.
func program(t *testing.T, name string, args ...string) cost {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out strings.Builder
	cmd.Stdout = &out
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	peak := peakMemory(cmd.Process.Pid)
	err := cmd.Wait()
	c := cost{wall: time.Since(begun), whole: err == nil, open: strings.Count(out.String(), "/open/"), vague: vaguely(out.String()), rss: peak()}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		c.user, c.system = time.Duration(usage.Utime.Nano()), time.Duration(usage.Stime.Nano())
	}
	return c
}

// vaguely is how many ports nmap calls "open|filtered". Of a state that many ports
// are in it writes the number alone.
func vaguely(out string) int {
	n := 0
	if _, rest, ok := strings.Cut(out, "Ignored State: open|filtered ("); ok {
		number, _, _ := strings.Cut(rest, ")")
		n, _ = strconv.Atoi(number)
	}
	return n + strings.Count(out, "/open|filtered/")
}

// nmap is nmap with its defaults, and one way to scan.
func nmap(how string) func(*testing.T, bed) cost {
	return func(t *testing.T, b bed) cost {
		t.Helper()
		return program(t, "nmap", how, "-n", "-Pn", "-oG", "-", "-p"+b.course.ports, target.String())
	}
}

// masscan is masscan at the rate that it reaches here at the most. It makes its own
// frames, and asks no route and no neighbor: it has to be told all that. It hears the
// end of its scan only when a packet comes in (it waits for one without end), so
// that somebody has to keep knocking.
func masscan(t *testing.T, b bed) cost {
	t.Helper()
	stop := knock(t, netip.AddrPortFrom(target, 22))
	defer stop()
	return program(t, "masscan", target.String(), "-p"+b.course.ports, "--rate", "200000", "--wait", "1", "-e", wire(t),
		"--adapter-ip", "198.51.100.254", "--router-mac", strings.Fields(b.host.Exec(t, "ip", "-brief", "link", "show", "wire"))[2], "-oG", "-")
}

// wire is the scanner's end of the wire to the one host.
func wire(t *testing.T) string {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		if strings.HasPrefix(i.Name, "to") {
			return i.Name
		}
	}
	t.Fatal("there is no wire")
	return ""
}

// knock connects to an open port ten times a second, until it is stopped.
func knock(t *testing.T, at netip.AddrPort) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				if conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", at.String()); err == nil {
					_ = conn.Close()
				}
			}
		}
	}()
	return func() { cancel(); <-done }
}

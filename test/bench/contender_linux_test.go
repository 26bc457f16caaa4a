package bench

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"portscan_exporter/internal/engine"
	"portscan_exporter/internal/scan"
)

// cost is what one run of a contender took. The CPU time holds the target's
// kernel's, which answers in the sender's context.
type cost struct {
	wall, user, system time.Duration
	rss                float64 // MiB at the peak
	kernel             float64 // MiB that the kernel's own memory grew by, at the peak
	open, vague        int     // ports; vague are those that may be open or filtered
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
func dialed(t *testing.T, b bed) cost {
	t.Helper()
	return portable(t, engine.NewDial, defaults(t, b.course.ports))
}

// dialedUDP is the same with datagrams.
func dialedUDP(t *testing.T, b bed) cost {
	t.Helper()
	spec := defaults(t, b.course.ports)
	spec.Protocol = scan.UDP
	return portable(t, engine.NewDialUDP, spec)
}

func portable(t *testing.T, maker func(*engine.Budget) (*engine.Engine, error), spec scan.Spec) cost {
	t.Helper()
	budget, err := engine.NewBudget(engine.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	dial, err := maker(budget)
	if err != nil {
		t.Fatal(err)
	}
	defer dial.Close()
	return scanned(t, dial, spec, target)
}

// defaults is a spec with a module's defaults, and a long timeout.
func defaults(t *testing.T, ports string) scan.Spec {
	t.Helper()
	set, err := scan.ParsePortSet(ports)
	if err != nil {
		t.Fatal(err)
	}
	return scan.Spec{
		Protocol: scan.TCP, Method: scan.Connect, Ports: set, Timeout: time.Minute, PortTimeout: 950 * time.Millisecond,
		Retries: 2, MaxRetries: 10, MaxInFlight: 10000,
	}
}

// scanned measures a scan in this process.
func scanned(t *testing.T, by scan.Scanner, spec scan.Spec, addrs ...netip.Addr) cost {
	t.Helper()
	plan, err := scan.NewPlan(spec)
	if err != nil {
		t.Fatal(err)
	}
	var networks []netip.Prefix
	var addresses []scan.Address
	for _, a := range addrs {
		networks, addresses = append(networks, netip.PrefixFrom(a, a.BitLen())), append(addresses, scan.Address{IP: a})
	}
	scope, err := scan.NewScope(networks, nil)
	if err != nil {
		t.Fatal(err)
	}
	req, _, err := scan.NewRequest(plan, scope, addresses)
	if err != nil {
		t.Fatal(err)
	}
	vague := 0
	c := self(func() (open int, whole bool) {
		recorder, err := scan.NewRecorder(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := by.Scan(t.Context(), req, recorder.Record); err != nil {
			t.Fatal(err)
		}
		results, _, _ := recorder.Snapshot(scan.CauseDeadline)
		unknown := 0
		for i := range results {
			open += results[i].Count(scan.Open)
			vague += results[i].Count(scan.OpenFiltered)
			unknown += results[i].Count(scan.Unknown)
		}
		return open, unknown == 0
	})
	c.vague = vague
	return c
}

// bare is the floor: a loop over the kernel that keeps its sockets, on one
// thread, with no waits, retries or results worth the name. It is of use against
// a host that answers every attempt, and fast.
func bare(t *testing.T, b bed) cost {
	t.Helper()
	set, err := scan.ParsePortSet(b.course.ports)
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
		to := &unix.SockaddrInet4{Addr: target.As4()}
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

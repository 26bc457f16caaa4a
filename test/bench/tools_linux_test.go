// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"portscan_exporter/internal/engine"
	"portscan_exporter/internal/scan"
)

// cost is the cost and the result of one run. The CPU time includes the target's
// kernel, which answers in the sender's context.
type cost struct {
	wall, user, system time.Duration
	rss                float64 // peak, in MiB
	kernel             float64 // peak growth of the kernel's memory, in MiB
	open, openFiltered int     // ports
	complete           bool
}

func (c cost) cpu() time.Duration { return c.user + c.system }

// measureSelf measures a function in this process.
func measureSelf(f func() (open int, complete bool)) cost {
	var before, after unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &before)
	start := time.Now()
	open, complete := f()
	wall := time.Since(start)
	_ = unix.Getrusage(unix.RUSAGE_SELF, &after)
	return cost{
		wall: wall, user: time.Duration(after.Utime.Nano() - before.Utime.Nano()),
		system: time.Duration(after.Stime.Nano() - before.Stime.Nano()), open: open, complete: complete,
	}
}

// runDialer measures the portable engine, which uses net.Dialer and a goroutine per
// attempt.
func runDialer(t *testing.T, b testbed) cost {
	t.Helper()
	return runPortable(t, engine.NewDial, defaultSpec(t, b.scenario.ports))
}

// runUDPDialer measures the portable UDP engine.
func runUDPDialer(t *testing.T, b testbed) cost {
	t.Helper()
	spec := defaultSpec(t, b.scenario.ports)
	spec.Protocol = scan.UDP
	return runPortable(t, engine.NewDialUDP, spec)
}

func runPortable(t *testing.T, newEngine func(*engine.Budget) (*engine.Engine, error), spec scan.Spec) cost {
	t.Helper()
	budget, err := engine.NewBudget(engine.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	dial, err := newEngine(budget)
	if err != nil {
		t.Fatal(err)
	}
	defer dial.Close()
	return measureScan(t, dial, spec, target)
}

// defaultSpec returns a spec with a module's defaults and a long timeout.
func defaultSpec(t *testing.T, ports string) scan.Spec {
	t.Helper()
	set, err := scan.ParsePortSet(ports)
	if err != nil {
		t.Fatal(err)
	}
	return scan.Spec{
		Protocol: scan.TCP, Method: scan.Connect, Ports: set, Timeout: time.Minute, PortTimeout: 950 * time.Millisecond,
		Retries: 2, MaxRetries: 10, MaxInFlight: 10000, MaxOpenAttempts: 3, ControlPorts: 2,
	}
}

// measureScan measures a scan in this process.
func measureScan(t *testing.T, scanner scan.Scanner, spec scan.Spec, addrs ...netip.Addr) cost {
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
	openFiltered := 0
	c := measureSelf(func() (open int, complete bool) {
		recorder, err := scan.NewRecorder(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := scanner.Scan(t.Context(), req, recorder.Record); err != nil {
			t.Fatal(err)
		}
		results, _, _ := recorder.Snapshot(scan.CauseDeadline)
		unknown := 0
		for i := range results {
			open += results[i].Count(scan.Open)
			openFiltered += results[i].Count(scan.OpenFiltered)
			unknown += results[i].Count(scan.Unknown)
		}
		return open, unknown == 0
	})
	c.openFiltered = openFiltered
	return c
}

// runBareLoop measures the lower bound of connecting: a loop of system calls on one
// thread that reuses its sockets, without timeouts, retries or results. It requires a
// host that answers every attempt quickly.
func runBareLoop(t *testing.T, b testbed) cost {
	t.Helper()
	set, err := scan.ParsePortSet(b.scenario.ports)
	if err != nil {
		t.Fatal(err)
	}
	return measureSelf(func() (open int, complete bool) {
		const sockets = 64
		newSocket := func() int {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
			if err != nil {
				t.Fatal(err)
			}
			return fd
		}
		to := &unix.SockaddrInet4{Addr: target.As4()}
		var inFlight []int
		for range sockets {
			inFlight = append(inFlight, newSocket())
		}
		defer func() {
			for _, fd := range inFlight {
				_ = unix.Close(fd)
			}
		}()
		for first := 0; first < set.Len(); first += sockets {
			batch := inFlight[:min(sockets, set.Len()-first)]
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
					batch[i] = newSocket()
				}
				i++
			}
		}
		return open, true
	})
}

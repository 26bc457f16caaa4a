// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// TestScanCannotSend scans addresses to which this machine cannot send, for lack of a route, a
// permission or a usable source address: all ports must be unknown with that cause.
func TestScanCannotSend(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	testnet.AddAddress(t, own4)
	for _, route := range []string{"unreachable 198.51.100.2", "prohibit 198.51.100.3", "blackhole 198.51.100.4", "unreachable 2001:db8:1::2", "prohibit 2001:db8:1::3", "blackhole 2001:db8:1::4"} {
		ip(t, "route", "add", route)
	}
	noRoute, permission := []string{"unknown no_route"}, []string{"unknown permission"}
	either := []string{"unknown no_route", "unknown internal"}
	for name, tc := range map[string]struct {
		to, source string
		want       []string
	}{
		"no route":       {to: "198.51.100.1", want: noRoute},
		"no route, IPv6": {to: "2001:db8:1::1", want: noRoute},
		"unreachable":    {to: "198.51.100.2", want: noRoute}, "unreachable, IPv6": {to: "2001:db8:1::2", want: noRoute},
		"prohibit": {to: "198.51.100.3", want: permission}, "prohibit, IPv6": {to: "2001:db8:1::3", want: permission},
		"blackhole": {to: "198.51.100.4", want: noRoute}, "blackhole, IPv6": {to: "2001:db8:1::4", want: noRoute},
		"foreign source":           {to: own4.String(), source: "192.0.2.77", want: noRoute},
		"source of another family": {to: own4.String(), source: "2001:db8::1", want: either},
		"own source":               {to: own4.String(), source: own4.String(), want: []string{"closed rst"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var all sync.WaitGroup
			defer all.Wait()
			for engine, e := range engines(t, Limits{}) {
				spec := testSpec("1-50")
				if tc.source != "" {
					spec.Source = netip.MustParseAddr(tc.source)
				}
				all.Go(func() {
					got := census(scanAll(t.Context(), t, e, testRequest(t, spec, netip.MustParseAddr(tc.to))))
					n := 0
					for _, want := range tc.want {
						n += got[want]
					}
					if n != 50 {
						t.Errorf("%s: states = %v, want 50 %v", engine, got, tc.want)
					}
				})
			}
		})
	}
}

// ip runs ip(8). An argument may have several words.
func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "ip", strings.Fields(strings.Join(args, " "))...).CombinedOutput(); err != nil {
		t.Fatalf("ip %v: %v\n%s", args, err, out)
	}
}

// TestScanNoDescriptors scans while the process can open no descriptor: all ports must be
// unknown for lack of descriptors. In a second scan it can again after 300 ms, and all ports
// must be closed.
func TestScanNoDescriptors(t *testing.T) { //nolint:tparallel // its parts have the same addresses
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	testnet.AddAddress(t, own4)
	withEach(t, Limits{MaxInFlight: 500}, func(t *testing.T, e *Engine) {
		t.Helper()
		release := takeDescriptors(t)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		got := census(scanAll(ctx, t, e, testRequest(t, testSpec("1-300"), own4)))
		time.AfterFunc(300*time.Millisecond, release)
		if got["unknown descriptors"] != 300 {
			t.Errorf("states without descriptors = %v, want 300 unknown (descriptors)", got)
		}
		if got := census(scanAll(t.Context(), t, e, testRequest(t, testSpec("1-300"), own4))); got["closed rst"] != 300 {
			t.Errorf("states with descriptors after 300ms = %v, want 300 closed (rst)", got)
		}
	})
}

// fewDescriptors limits the process to 64 descriptors.
func fewDescriptors(t *testing.T) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	few := syscall.Rlimit{Cur: 64, Max: limit.Max}
	if err := syscall.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
}

// takeDescriptors opens all descriptors that the process may open, until release is called.
func takeDescriptors(t *testing.T) (release func()) {
	t.Helper()
	fewDescriptors(t)
	var taken []int
	for {
		fd, err := unix.Dup(1)
		if err != nil {
			break
		}
		taken = append(taken, fd)
	}
	return func() {
		for _, fd := range taken {
			_ = unix.Close(fd)
		}
	}
}

// TestScanDescriptorReserve scans with 64 descriptors, of which half are reserved: at any time
// the process must be able to open 16 others, and all states must be right.
func TestScanDescriptorReserve(t *testing.T) { //nolint:tparallel // its parts have the same addresses
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{target4}, Ports: map[string]testnet.Answer{"22,8000": testnet.Accept, "100-119": testnet.Drop}})[0]
	fewDescriptors(t)
	withEach(t, Limits{}, func(t *testing.T, e *Engine) {
		t.Helper()
		reserve := make(chan string)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { reserve <- watchReserve(ctx) }()
		score := testnet.CompareReports(host.State, scanAll(t.Context(), t, e, testRequest(t, defaultSpec("1-10000"), target4)))
		cancel()
		if lack := <-reserve; lack != "" {
			t.Error(lack)
		}
		if score.Wrong() > 0 || score.Unknown() > 0 {
			t.Errorf("\n%v", score)
		}
	})
}

// watchReserve opens and closes 16 descriptors again and again, until ctx ends. It returns a
// message if it could not.
func watchReserve(ctx context.Context) (lack string) {
	const others = 16
	for ctx.Err() == nil {
		var taken []int
		for range others {
			fd, err := unix.Dup(1)
			if err != nil {
				lack = "opening 16 other descriptors: " + err.Error()
				break
			}
			taken = append(taken, fd)
		}
		for _, fd := range taken {
			_ = unix.Close(fd)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return lack
}

// TestScanNoSourcePorts scans while all ephemeral ports are in use: all ports must be unknown
// for lack of source ports. In a second scan they are released after 300 ms, and all ports must
// be closed.
func TestScanNoSourcePorts(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	testnet.AddAddress(t, own4)
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("40000 40003"), 0o600); err != nil {
		t.Fatal(err)
	}
	withEach(t, Limits{}, func(t *testing.T, e *Engine) {
		t.Helper()
		var holders []net.Listener
		for port := uint16(40000); port <= 40003; port++ {
			l, err := net.Listen("tcp4", netip.AddrPortFrom(netip.IPv4Unspecified(), port).String())
			if err != nil {
				t.Fatal(err)
			}
			holders = append(holders, l)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if got := census(scanAll(ctx, t, e, testRequest(t, testSpec("1-100"), own4))); got["unknown source_ports"] != 100 {
			t.Errorf("states without source ports = %v, want 100 unknown (source_ports)", got)
		}
		time.AfterFunc(300*time.Millisecond, func() {
			for _, l := range holders {
				_ = l.Close()
			}
		})
		if got := census(scanAll(t.Context(), t, e, testRequest(t, testSpec("1-100"), own4))); got["closed rst"] != 100 {
			t.Errorf("states with source ports after 300ms = %v, want 100 closed (rst)", got)
		}
	})
}

// TestTruthDeadline scans all ports of a host that drops most packets in too little time: the
// expected ports must be open, no state may be wrong, and all other ports must be unknown for
// lack of time.
func TestTruthDeadline(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{target4}, Default: testnet.Drop, Ports: map[string]testnet.Answer{"22,8080": testnet.Accept, "500-999": testnet.Refuse}})[0]
	spec := defaultSpec("1-65535")
	spec.Expect = &scan.Expectation{Open: scan.NewPortSet(22, 8080)}
	withEach(t, Limits{}, func(t *testing.T, e *Engine) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		score := testnet.CompareReports(host.State, scanAll(ctx, t, e, testRequest(t, spec, target4)))
		if score.Wrong() > 0 || score.Right(scan.Open) != 2 || score.Unknown() != score.UnknownByCause(scan.CauseDeadline) {
			t.Errorf("\n%v", score)
		}
	})
}

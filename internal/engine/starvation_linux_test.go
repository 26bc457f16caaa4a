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

// TestNoWay has every reason for which this machine itself can't send: no port
// has a state then.
func TestNoWay(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	testnet.AddAddress(t, home)
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
		"not our source":          {to: home.String(), source: "192.0.2.77", want: noRoute},
		"source of another kind":  {to: home.String(), source: "2001:db8::1", want: either},
		"from an address of ours": {to: home.String(), source: home.String(), want: []string{"closed rst"}},
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
						t.Errorf("%s: %v; want all %v", engine, got, tc.want)
					}
				})
			}
		})
	}
}

// ip runs ip(8), its arguments given as a line.
func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "ip", strings.Fields(strings.Join(args, " "))...).CombinedOutput(); err != nil {
		t.Fatalf("ip %v: %v\n%s", args, err, out)
	}
}

// TestFewDescriptors takes the process's descriptors away, for good and for a
// while.
func TestFewDescriptors(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	testnet.AddAddress(t, home)
	withEach(t, Limits{MaxInFlight: 500}, func(t *testing.T, e *Engine) {
		t.Helper()
		give := takeDescriptors(t)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		got := census(scanAll(ctx, t, e, testRequest(t, testSpec("1-300"), home)))
		time.AfterFunc(300*time.Millisecond, give)
		if got["unknown descriptors"] != 300 {
			t.Errorf("without descriptors: %v", got)
		}
		if got := census(scanAll(t.Context(), t, e, testRequest(t, testSpec("1-300"), home))); got["closed rst"] != 300 {
			t.Errorf("after descriptors came back: %v", got)
		}
	})
}

// fewDescriptors lowers the process's own limit.
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

// takeDescriptors leaves the process no descriptor, until give is called.
func takeDescriptors(t *testing.T) (give func()) {
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

// TestDescriptorsInReserve scans with 64 descriptors, of which half are kept
// back: there are always some for others, and no port is wrong or missed.
func TestDescriptorsInReserve(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{four}, Ports: map[string]testnet.Answer{"22,8000": testnet.Accept, "100-119": testnet.Drop}})[0]
	fewDescriptors(t)
	withEach(t, Limits{}, func(t *testing.T, e *Engine) {
		t.Helper()
		enough := make(chan string)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { enough <- watchReserve(ctx) }()
		score := testnet.CompareReports(host.State, scanAll(t.Context(), t, e, testRequest(t, defaultSpec("1-10000"), four)))
		cancel()
		if lack := <-enough; lack != "" {
			t.Error(lack)
		}
		if score.Wrong() > 0 || score.Unknown() > 0 {
			t.Errorf("\n%v", score)
		}
	})
}

// watchReserve sees to it, until ctx ends, that there are descriptors for others.
func watchReserve(ctx context.Context) (lack string) {
	const others = 16
	for ctx.Err() == nil {
		var taken []int
		for range others {
			fd, err := unix.Dup(1)
			if err != nil {
				lack = "no descriptor is left for others: " + err.Error()
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

// TestFewSourcePorts has every local port taken, for good and for a while.
func TestFewSourcePorts(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	testnet.AddAddress(t, home)
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
		if got := census(scanAll(ctx, t, e, testRequest(t, testSpec("1-100"), home))); got["unknown source_ports"] != 100 {
			t.Errorf("without source ports: %v", got)
		}
		time.AfterFunc(300*time.Millisecond, func() {
			for _, l := range holders {
				_ = l.Close()
			}
		})
		if got := census(scanAll(t.Context(), t, e, testRequest(t, testSpec("1-100"), home))); got["closed rst"] != 100 {
			t.Errorf("after source ports came back: %v", got)
		}
	})
}

// TestDeadline cuts a scan short: what is known by then is right, the expected
// ports are among it, and the rest is unknown because of the deadline.
func TestDeadline(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{four}, Default: testnet.Drop, Ports: map[string]testnet.Answer{"22,8080": testnet.Accept, "500-999": testnet.Refuse}})[0]
	spec := defaultSpec("1-65535")
	spec.Expect = &scan.Expectation{Open: scan.NewPortSet(22, 8080)}
	withEach(t, Limits{}, func(t *testing.T, e *Engine) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		score := testnet.CompareReports(host.State, scanAll(ctx, t, e, testRequest(t, spec, four)))
		if score.Wrong() > 0 || score.Right(scan.Open) != 2 || score.Unknown() != score.UnknownByCause(scan.CauseDeadline) {
			t.Errorf("\n%v", score)
		}
	})
}

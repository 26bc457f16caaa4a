// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// RunningHost is a test host that [Start] has started.
type RunningHost struct {
	host    Host
	layout  layout
	process *process
}

// Start starts test hosts. Each has a network namespace of its own, connected to the
// scanner's namespace by a veth pair, the wire. For the scanner, all their addresses are
// neighbors, for which the kernel performs neighbor discovery. The scanner's addresses are
// 198.51.100.254 and 2001:db8:ffff::fe, which hosts must not use. Start requires
// [Isolated].
//
// The hosts stop at the end of the test or subtest. Until then, each address must belong to
// one host only. A single host with many addresses starts fast. The neighbor table is
// shared by the machine, and its limit is about 1000 entries.
//
// Hosts have no names outside of their test, so that tests can run concurrently.
func Start(t *testing.T, hosts ...Host) []*RunningHost {
	t.Helper()
	needIsolated(t)
	NeedProgram(t, "nsenter", "unshare", "ip", "nft")
	running := make([]*RunningHost, 0, len(hosts))
	used := make(map[netip.Addr]bool)
	for _, host := range hosts {
		host.Addrs = slices.Clone(host.Addrs)
		for i, addr := range host.Addrs {
			host.Addrs[i] = addr.Unmap()
			if used[host.Addrs[i]] {
				t.Fatalf("address %v is used twice", addr)
			}
			used[host.Addrs[i]] = true
		}
		host.check(t)
		running = append(running, &RunningHost{host: host, layout: host.assignAnswers(t)})
	}
	disableDAD(t)
	// Starting a process takes longest, so all processes start concurrently.
	for _, r := range running {
		r.process = startProcess(t, r.task())
	}
	for _, r := range running {
		r.connect(t)
	}
	for _, r := range running {
		r.awaitWire(t)
	}
	return running
}

// task returns the task of the host's process.
func (r *RunningHost) task() task {
	todo := task{
		NoICMPLimit: r.host.ICMPsPerSecond != 0,
		Listen:      make(map[Answer]string),
		ListenUDP:   make(map[UDPAnswer]string),
		Addrs:       r.host.Addrs,
	}
	for _, answer := range []Answer{Accept, AcceptReset, AcceptClose, BacklogFull} {
		if ports := r.layout.tcp[answer]; !ports.IsEmpty() {
			todo.Listen[answer] = ports.String()
		}
	}
	for _, answer := range listeningAnswers() {
		if ports := r.layout.udp[answer]; !ports.IsEmpty() {
			todo.ListenUDP[answer] = ports.String()
		}
	}
	return todo
}

// linkName returns the interface at the scanner's end of the wire.
func (r *RunningHost) linkName() string { return "to" + strconv.Itoa(r.process.pid()) }

// connect waits until the host is ready, installs its filters and connects its wire.
func (r *RunningHost) connect(t *testing.T) {
	t.Helper()
	listeners := r.process.awaitReady(t)
	if !r.host.Plain {
		r.Filter(t, r.host.rules(&r.layout, listeners))
	}
	var here, there strings.Builder
	fmt.Fprintf(&here, "link add %s type veth peer name %s netns %d\n", r.linkName(), wire, r.process.pid())
	fmt.Fprintf(&here, "link set %s up\n", r.linkName())
	fmt.Fprintf(&here, "address add %s dev %s\naddress add %s dev %s nodad\n", scannerPrefix4, r.linkName(), scannerPrefix6, r.linkName())
	fmt.Fprintf(&there, "link set %s up\n", wire)
	for _, addr := range r.host.Addrs {
		prefix := netip.PrefixFrom(addr, addr.BitLen())
		nodad := ""
		if addr.Is6() {
			nodad = " nodad"
		}
		fmt.Fprintf(&here, "route add %s dev %s src %s\n", prefix, r.linkName(), scannerFor(addr))
		fmt.Fprintf(&there, "address add %s dev %s%s\n", prefix, wire, nodad)
	}
	fmt.Fprintf(&there, "route add 0.0.0.0/0 dev %s\nroute add ::/0 dev %s\n", wire, wire)
	run(t, here.String(), "ip", "-batch", "-")
	// Another host of the same test may use the addresses later. The kernel removes routes
	// with a delay, so remove them now.
	t.Cleanup(func() { run(t, "", "ip", "link", "delete", r.linkName()) })
	r.exec(t, there.String(), "ip", "-batch", "-")
}

// awaitWire waits until both ends of the wire are up.
func (r *RunningHost) awaitWire(t *testing.T) {
	t.Helper()
	here, there := os.Getpid(), r.process.pid()
	waitUntil(t, fmt.Sprintf("the wire to %v", r.host.Addrs[0]), func() bool {
		return isUp(t, here, r.linkName()) && isUp(t, there, wire) &&
			hasLocalRoutes(t, here, scanner6()) && hasLocalRoutes(t, there, r.host.Addrs...)
	})
}

// isUp reports whether an interface in the namespace of the process is up. The kernel adds a
// link-local address at that time.
func isUp(t *testing.T, pid int, name string) bool {
	t.Helper()
	const (
		linkLocal = "20"
		tentative = 0x40
	)
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/if_inet6", pid))
	if os.IsNotExist(err) {
		Skip(t, "the kernel has no IPv6")
	}
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for line := range strings.Lines(string(table)) {
		// Address, index, length of the prefix, scope, flags, name.
		fields := strings.Fields(line)
		if len(fields) != 6 || fields[5] != name {
			continue
		}
		flags, err := strconv.ParseUint(fields[4], 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		if flags&tentative != 0 {
			return false
		}
		found = found || fields[3] == linkLocal
	}
	return found
}

// Filter adds packet filters to the host, for example during a scan. The rules are in the
// language of nft(8), with tables of their own. The interface to the scanner is "wire".
func (r *RunningHost) Filter(tb testing.TB, rules string) {
	tb.Helper()
	r.exec(tb, rules, "nft", "-f", "-")
}

// Exec runs a program in the host's namespace and returns its standard output. The test
// fails if the program fails.
func (r *RunningHost) Exec(tb testing.TB, name string, args ...string) string {
	tb.Helper()
	return r.exec(tb, "", name, args...)
}

func (r *RunningHost) exec(tb testing.TB, input, name string, args ...string) string {
	tb.Helper()
	command := r.nsenter(name, args...)
	return run(tb, input, command[0], command[1:]...)
}

// nsenter returns the command that runs a program in the host's namespace.
func (r *RunningHost) nsenter(name string, args ...string) []string {
	return slices.Concat([]string{"nsenter", "--target", strconv.Itoa(r.process.pid()), "--net", "--", name}, args)
}

// RouteTo routes the scanner's packets for an unused address to the host's wire.
func (r *RunningHost) RouteTo(tb testing.TB, addr netip.Addr) {
	tb.Helper()
	needDocumentation(tb, addr)
	prefix := netip.PrefixFrom(addr, addr.BitLen())
	run(tb, "", "ip", "route", "add", prefix.String(), "dev", r.linkName(), "src", scannerFor(addr).String())
}

// AddTentative adds an IPv6 address to the scanner's end of the host's wire. The address is
// tentative for one or two seconds, during duplicate address detection.
func (r *RunningHost) AddTentative(tb testing.TB, addr netip.Addr) {
	tb.Helper()
	needDocumentation(tb, addr)
	for name, value := range map[string]string{"accept_dad": "1", "dad_transmits": "1"} {
		setSysctl(tb, "ipv6/conf/"+r.linkName()+"/"+name, value)
	}
	run(tb, "", "ip", "address", "add", netip.PrefixFrom(addr, addr.BitLen()).String(), "dev", r.linkName())
}

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

// RunningHost is a host that [Start] has made.
type RunningHost struct {
	host    Host
	layout  layout
	process *process
}

// Start makes these hosts: each in a network namespace of its own, at the other
// end of a wire (a veth pair) that leads to the scanner's namespace and nowhere
// else. The scanner reaches all their addresses as neighbors, whose hardware
// addresses it really asks for, from addresses of its own that tests must not
// use: 198.51.100.254 and 2001:db8:ffff::fe. Only inside [Isolated].
//
// The hosts end with the test or subtest; until then no address may be given to
// two of them. One of them with all of a network's addresses is quick to make.
// The table of neighbors is the machine's, and holds a thousand in all.
//
// Nothing of a host has a name outside its own test, so tests may run side by
// side.
func Start(t *testing.T, hosts ...Host) []*RunningHost {
	t.Helper()
	needIsolated(t)
	NeedProgram(t, "nsenter", "unshare", "ip", "nft")
	running := make([]*RunningHost, 0, len(hosts))
	taken := make(map[netip.Addr]bool)
	for _, host := range hosts {
		host.Addrs = slices.Clone(host.Addrs)
		for i, addr := range host.Addrs {
			host.Addrs[i] = addr.Unmap()
			if taken[host.Addrs[i]] {
				t.Fatalf("%v is given twice", addr)
			}
			taken[host.Addrs[i]] = true
		}
		host.check(t)
		running = append(running, &RunningHost{host: host, layout: host.plan(t)})
	}
	settle(t)
	// The processes take longest to begin, so they do it together.
	for _, r := range running {
		r.process = launch(t, r.task())
	}
	for _, r := range running {
		r.plugIn(t)
	}
	for _, r := range running {
		r.awaitWire(t)
	}
	return running
}

// task is what the host's process has to do.
func (r *RunningHost) task() task {
	do := task{
		NoICMPLimit: r.host.ICMPsPerSecond != 0,
		Listen:      make(map[Answer]string),
		ListenUDP:   make(map[UDPAnswer]string),
		Addrs:       r.host.Addrs,
	}
	for _, answer := range []Answer{Accept, AcceptReset, AcceptClose, BacklogFull} {
		if ports := r.layout.tcp[answer]; !ports.IsEmpty() {
			do.Listen[answer] = ports.String()
		}
	}
	for _, answer := range heard() {
		if ports := r.layout.udp[answer]; !ports.IsEmpty() {
			do.ListenUDP[answer] = ports.String()
		}
	}
	return do
}

// link is the scanner's end of the wire.
func (r *RunningHost) link() string { return "to" + strconv.Itoa(r.process.pid()) }

// plugIn waits until the host is ready and connects it, its filters first.
func (r *RunningHost) plugIn(t *testing.T) {
	t.Helper()
	doors := r.process.await(t)
	if !r.host.Plain {
		r.Filter(t, r.host.rules(&r.layout, doors))
	}
	var here, there strings.Builder
	fmt.Fprintf(&here, "link add %s type veth peer name %s netns %d\n", r.link(), wire, r.process.pid())
	fmt.Fprintf(&here, "link set %s up\n", r.link())
	fmt.Fprintf(&here, "address add %s dev %s\naddress add %s dev %s nodad\n", outside4, r.link(), outside6, r.link())
	fmt.Fprintf(&there, "link set %s up\n", wire)
	for _, addr := range r.host.Addrs {
		prefix := netip.PrefixFrom(addr, addr.BitLen())
		nodad := ""
		if addr.Is6() {
			nodad = " nodad"
		}
		fmt.Fprintf(&here, "route add %s dev %s src %s\n", prefix, r.link(), oursFor(addr))
		fmt.Fprintf(&there, "address add %s dev %s%s\n", prefix, wire, nodad)
	}
	fmt.Fprintf(&there, "route add 0.0.0.0/0 dev %s\nroute add ::/0 dev %s\n", wire, wire)
	run(t, here.String(), "ip", "-batch", "-")
	// A later host of the same test may have the same addresses, so the routes have
	// to be gone when this one's time is over; the kernel alone takes its time.
	t.Cleanup(func() { run(t, "", "ip", "link", "delete", r.link()) })
	r.exec(t, there.String(), "ip", "-batch", "-")
}

// awaitWire waits until both ends of the wire carry packets.
func (r *RunningHost) awaitWire(t *testing.T) {
	t.Helper()
	here, there := os.Getpid(), r.process.pid()
	await(t, fmt.Sprintf("the wire to %v", r.host.Addrs[0]), func() bool {
		return usable(t, here, r.link()) && usable(t, there, wire) &&
			delivers(t, here, ours6()) && delivers(t, there, r.host.Addrs...)
	})
}

// usable tells whether an interface in the namespace of that process carries
// packets. The kernel gives it a link-local address as soon as it does, and not
// before.
func usable(t *testing.T, pid int, name string) bool {
	t.Helper()
	const (
		linkLocal = "20"
		tentative = 0x40
	)
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/if_inet6", pid))
	if os.IsNotExist(err) {
		Skip(t, "this kernel has no IPv6")
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

// Filter gives the host packet filters besides its answers, in mid-scan for
// example: rules are what nft(8) reads, with tables of their own, and the
// interface to the scanner is called "wire". A host that dies drops everything.
func (r *RunningHost) Filter(tb testing.TB, rules string) {
	tb.Helper()
	r.exec(tb, rules, "nft", "-f", "-")
}

// Exec runs a program in the host's namespace to its end and returns what it
// printed. The test fails if the program does.
func (r *RunningHost) Exec(tb testing.TB, name string, args ...string) string {
	tb.Helper()
	return r.exec(tb, "", name, args...)
}

func (r *RunningHost) exec(tb testing.TB, input, name string, args ...string) string {
	tb.Helper()
	enter := r.enter(name, args...)
	return run(tb, input, enter[0], enter[1:]...)
}

// enter returns the command that becomes the program in the host's namespace.
func (r *RunningHost) enter(name string, args ...string) []string {
	return slices.Concat([]string{"nsenter", "--target", strconv.Itoa(r.process.pid()), "--net", "--", name}, args)
}

// Beside leads the scanner's packets for another address to the host's wire,
// where nobody has it.
func (r *RunningHost) RouteTo(tb testing.TB, addr netip.Addr) {
	tb.Helper()
	needDocumentation(tb, addr)
	prefix := netip.PrefixFrom(addr, addr.BitLen())
	run(tb, "", "ip", "route", "add", prefix.String(), "dev", r.link(), "src", oursFor(addr).String())
}

// Tentative gives the scanner's end of the host's wire one more IPv6 address,
// which is not usable at once: for a second, or two, the kernel asks whether
// anybody else has it.
func (r *RunningHost) AddTentative(tb testing.TB, addr netip.Addr) {
	tb.Helper()
	needDocumentation(tb, addr)
	for name, value := range map[string]string{"accept_dad": "1", "dad_transmits": "1"} {
		set(tb, "ipv6/conf/"+r.link()+"/"+name, value)
	}
	run(tb, "", "ip", "address", "add", netip.PrefixFrom(addr, addr.BitLen()).String(), "dev", r.link())
}

// Package testnet gives tests hosts with a known truth: a network namespace of a
// test's own, addresses in it, hosts at the other end of a wire, and counters
// that say which packets really left. It is for tests alone; a linter keeps
// everything else from importing it.
//
// A test begins with [Isolated]. From there on it has a network to itself, with
// nothing in it but a loopback interface, and whatever it sends reaches nobody:
//
//	func TestNothingLeaves(t *testing.T) {
//		if !testnet.Isolated(t) {
//			return
//		}
//		outside := netip.MustParseAddr("203.0.113.1")
//		testnet.DefaultRoute(t)
//		counter := testnet.CountTo(t, outside)
//		...
//		if n := counter.Packets(t, outside); n != 0 {
//
// [Start] adds hosts that are real kernels, each in a namespace of its own, with
// an [Answer] declared for every TCP port and a [UDPAnswer] for every UDP port,
// losses and limits; [RunningHost.Counts] says what they have seen, and
// [RunningHost.Serve] starts real services there. [StartSimulation] adds addresses for which
// a program of ours answers, when it takes thousands of them, or answers that are
// late, out of order, doubled or forged. [Compare] measures a scan at the truth, and [MeasureWithoutDrops]
// sees to it that what is measured is not this machine's own failing:
//
//	hosts := testnet.Start(t, testnet.Host{
//		Addrs:   []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
//		Default: testnet.Drop,
//		Ports:   map[string]testnet.Answer{"22,443": testnet.Accept, "8000-8100": testnet.RejectPort},
//		LossIn:  0.05,
//	})
//	results := testnet.MeasureWithoutDrops(t, func() []scan.AddressResult { ... }, hosts...)
//	if score := testnet.Compare(testnet.Truth(hosts...), results); score.Wrong() > 0 {
//		t.Errorf("wrong ports:\n%v", score)
//	}
//
// Only addresses that are kept for documentation (192.0.2.0/24,
// 198.51.100.0/24, 203.0.113.0/24, 2001:db8::/32) are ever given to an
// interface, so that a mistake reaches nobody either.
//
// All of it needs Linux and the programs ip, nft and unshare, [Start] nsenter too
// and [StartSimulation] a /dev/net/tun that may be opened. Where something is missing a
// test is skipped, loudly; with PORTSCAN_TEST_NO_SKIP=1 it fails.
package testnet

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	// noSkip is the environment variable that turns skips into failures: on a
	// machine that is meant to have everything, a skipped test is a hole.
	noSkip = "PORTSCAN_TEST_NO_SKIP"

	// adminPath is where Debian keeps ip and nft, which the PATH of an ordinary
	// user leaves out.
	adminPath = "/usr/local/sbin:/usr/sbin:/sbin"
)

// Skip ends the test because something is missing on this machine; why says
// what. With PORTSCAN_TEST_NO_SKIP=1 the test fails instead.
func Skip(tb testing.TB, why string) {
	tb.Helper()
	if os.Getenv(noSkip) == "1" {
		tb.Fatalf("%s (and %s=1 allows no skip)", why, noSkip)
	}
	tb.Skipf("SKIPPED, NOT TESTED: %s", why)
}

// NeedProgram skips the test, as [Skip] does, unless all these programs are
// installed.
func NeedProgram(tb testing.TB, names ...string) {
	tb.Helper()
	var missing []string
	for _, name := range names {
		if _, err := find(name); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		Skip(tb, "not installed: "+strings.Join(missing, ", "))
	}
}

// find says where a program is, in the PATH or where administrators' programs
// are kept.
func find(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	for _, dir := range filepath.SplitList(adminPath) {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", err
}

// run runs a program to its end and returns what it printed; input, where not
// empty, is its standard input. The test fails if the program does.
func run(tb testing.TB, input, name string, args ...string) string {
	tb.Helper()
	path, err := find(name)
	if err != nil {
		tb.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	// Not the test's own context: that one has ended by the time cleanups run.
	cmd := exec.Command(path, args...)
	cmd.Stdin = strings.NewReader(input)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		tb.Fatal(fmt.Errorf("%s: %w\n%s%s", strings.Join(cmd.Args, " "), err, input, stderr.String()))
	}
	return stdout.String()
}

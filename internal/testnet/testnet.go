// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Package testnet provides test networks: network namespaces with hosts whose port states
// are known, and counters of the packets that were sent. Only tests may import it.
//
// A test calls [Isolated] first. It then runs in a separate network namespace that has only
// a loopback interface, so that its packets reach no other machine:
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
// [Start] adds test hosts. Each is a network namespace with the kernel's own network stack,
// an [Answer] for each TCP port, a [UDPAnswer] for each UDP port, packet loss and rate
// limits. [RunningHost.Counts] returns the packets that a host received and sent, and
// [RunningHost.Serve] starts a service on it. [StartSimulation] adds addresses that a
// simulator answers for, for tests that need thousands of addresses, or answers that are
// late, reordered, duplicated or forged. [Compare] compares a scan with the true states, and
// [MeasureWithoutDrops] repeats a measurement if this machine dropped packets:
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
// Interfaces have only addresses that are reserved for documentation (192.0.2.0/24,
// 198.51.100.0/24, 203.0.113.0/24, 2001:db8::/32).
//
// Requirements: Linux and the programs ip, nft and unshare. [Start] also requires nsenter,
// and [StartSimulation] access to /dev/net/tun. If a requirement is not met, the test is
// skipped with a message, or fails if PORTSCAN_TEST_NO_SKIP=1 is set.
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
	// noSkip is the environment variable that turns skips into failures, for machines
	// that must meet all requirements.
	noSkip = "PORTSCAN_TEST_NO_SKIP"

	// adminPath has the folders of ip and nft on Debian, which the PATH of an ordinary
	// user does not include.
	adminPath = "/usr/local/sbin:/usr/sbin:/sbin"
)

// Skip skips the test because this machine does not meet a requirement. With
// PORTSCAN_TEST_NO_SKIP=1 the test fails instead.
func Skip(tb testing.TB, reason string) {
	tb.Helper()
	if os.Getenv(noSkip) == "1" {
		tb.Fatalf("%s (skipping is disabled by %s=1)", reason, noSkip)
	}
	tb.Skipf("SKIPPED, NOT TESTED: %s", reason)
}

// NeedProgram skips the test, see [Skip], unless all the programs are installed.
func NeedProgram(tb testing.TB, names ...string) {
	tb.Helper()
	var missing []string
	for _, name := range names {
		if _, err := findProgram(name); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		Skip(tb, "not installed: "+strings.Join(missing, ", "))
	}
}

// findProgram returns the path of a program in PATH or in a folder of adminPath.
func findProgram(name string) (string, error) {
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

// run runs a program with the standard input and returns its standard output. The test
// fails if the program fails.
func run(tb testing.TB, input, name string, args ...string) string {
	tb.Helper()
	path, err := findProgram(name)
	if err != nil {
		tb.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	// The context of the test is canceled before cleanups run.
	cmd := exec.Command(path, args...)
	cmd.Stdin = strings.NewReader(input)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		tb.Fatal(fmt.Errorf("%s: %w\n%s%s", strings.Join(cmd.Args, " "), err, input, stderr.String()))
	}
	return stdout.String()
}

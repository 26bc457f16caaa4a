// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Drops has the packets that this machine has dropped, which are not the scanner's fault and
// invalidate a measurement. Create it with [WatchDrops].
type Drops struct {
	hosts []*RunningHost
	first map[string]uint64
}

// WatchDrops starts to count drops: in the kernel's packet queues of the machine, including
// those of other programs, at the interfaces of the scanner's namespace and the hosts, and
// by connection tracking. Drops by filters are not counted.
func WatchDrops(tb testing.TB, hosts ...*RunningHost) *Drops {
	tb.Helper()
	d := &Drops{hosts: hosts}
	d.first = d.read(tb)
	return d
}

// Increase returns the drops since [WatchDrops], or an empty string.
func (d *Drops) Increase(tb testing.TB) string {
	tb.Helper()
	var increases []string
	for name, now := range d.read(tb) {
		// New interfaces started at 0.
		if before := d.first[name]; now > before {
			increases = append(increases, fmt.Sprintf("%s: %d", name, now-before))
		}
	}
	slices.Sort(increases)
	return strings.Join(increases, ", ")
}

// MeasureWithoutDrops runs a measurement and repeats it if this machine dropped packets. The
// test fails after three runs. Check the returned value, not values in run.
func MeasureWithoutDrops[T any](t *testing.T, run func() T, hosts ...*RunningHost) T {
	t.Helper()
	const runs = 3
	var last T
	for i := range runs {
		drops := WatchDrops(t, hosts...)
		last = run()
		dropped := drops.Increase(t)
		if dropped == "" {
			return last
		}
		t.Logf("run %d of %d is invalid: this machine dropped %s", i+1, runs, dropped)
	}
	t.Fatalf("this machine dropped packets in each of %d runs", runs)
	return last
}

// read returns all drop counters by name.
func (d *Drops) read(tb testing.TB) map[string]uint64 {
	tb.Helper()
	counts := make(map[string]uint64)
	readSoftnet(tb, counts)
	readNamespace(tb, counts, "the scanner", os.Getpid())
	for _, r := range d.hosts {
		readNamespace(tb, counts, r.host.Addrs[0].String(), r.process.pid())
	}
	return counts
}

// readNamespace reads the counters of the network namespace of the process.
func readNamespace(tb testing.TB, counts map[string]uint64, owner string, pid int) {
	tb.Helper()
	readInterfaces(tb, counts, owner, readRows(tb, fmt.Sprintf("/proc/%d/net/dev", pid)))
	readConntrack(tb, counts, owner, readRows(tb, fmt.Sprintf("/proc/%d/net/stat/nf_conntrack", pid)))
}

// readSoftnet reads the packets that were dropped because the queue of a processor was full.
// They are in the second column of each processor's line, in hexadecimal.
func readSoftnet(tb testing.TB, counts map[string]uint64) {
	tb.Helper()
	for _, fields := range readRows(tb, "/proc/net/softnet_stat") {
		if len(fields) > 1 {
			counts["softnet"] += parseNumber(tb, fields[1], 16)
		}
	}
}

// readInterfaces reads the packets that each interface dropped in both directions.
func readInterfaces(tb testing.TB, counts map[string]uint64, owner string, rows [][]string) {
	tb.Helper()
	const received, sent = 4, 12 // columns of /proc/net/dev after the name
	for _, fields := range rows {
		if len(fields) > sent && strings.HasSuffix(fields[0], ":") {
			name := fmt.Sprintf("interface %s of %s", strings.TrimSuffix(fields[0], ":"), owner)
			counts[name+" received"] = parseNumber(tb, fields[received], 10)
			counts[name+" sent"] = parseNumber(tb, fields[sent], 10)
		}
	}
}

// readConntrack reads the drops of connection tracking: a header, and one line per processor
// with hexadecimal numbers.
func readConntrack(tb testing.TB, counts map[string]uint64, owner string, rows [][]string) {
	tb.Helper()
	for _, column := range []string{"insert_failed", "drop", "early_drop"} {
		for i, fields := range rows {
			at := slices.Index(rows[0], column)
			if i > 0 && at >= 0 && at < len(fields) {
				counts["conntrack "+column+" of "+owner] += parseNumber(tb, fields[at], 16)
			}
		}
	}
}

// readRows returns the fields of each line of a file, or none if the kernel does not have the
// file.
func readRows(tb testing.TB, file string) [][]string {
	tb.Helper()
	text, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		tb.Fatal(err)
	}
	var rows [][]string
	for line := range strings.Lines(string(text)) {
		// There can be no blank between the name of an interface and its first number.
		rows = append(rows, strings.Fields(strings.Replace(line, ":", ": ", 1)))
	}
	return rows
}

func parseNumber(tb testing.TB, text string, base int) uint64 {
	tb.Helper()
	n, err := strconv.ParseUint(text, base, 64)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

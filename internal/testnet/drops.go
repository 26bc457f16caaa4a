package testnet

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Drops watches what this machine itself drops, which no scanner can be blamed
// for: it makes a measurement void. Make one with [WatchDrops].
type Drops struct {
	hosts []*RunningHost
	first map[string]uint64
}

// WatchDrops begins to watch: the queues between the kernel's threads (of the whole
// machine, whatever else runs on it), the interfaces of the scanner's namespace
// and those of the hosts, and connection tracking there. What a filter drops
// does not count.
func WatchDrops(tb testing.TB, hosts ...*RunningHost) *Drops {
	tb.Helper()
	l := &Drops{hosts: hosts}
	l.first = l.read(tb)
	return l
}

// Grown says what has been dropped since [WatchDrops], and is empty where nothing was.
func (l *Drops) Increase(tb testing.TB) string {
	tb.Helper()
	var grown []string
	for what, now := range l.read(tb) {
		// An interface that is new has dropped all of it since.
		if before := l.first[what]; now > before {
			grown = append(grown, fmt.Sprintf("%s: %d", what, now-before))
		}
	}
	slices.Sort(grown)
	return strings.Join(grown, ", ")
}

// MeasureWithoutDrops runs a measurement during which this machine itself must not have
// dropped a packet: such a run is void, and is repeated, up to three runs in
// all. After that the test fails. Judge what is returned, not in run.
func MeasureWithoutDrops[T any](t *testing.T, run func() T, hosts ...*RunningHost) T {
	t.Helper()
	const runs = 3
	var last T
	for i := range runs {
		losses := WatchDrops(t, hosts...)
		last = run()
		grown := losses.Increase(t)
		if grown == "" {
			return last
		}
		t.Logf("run %d of %d is void: this machine dropped %s", i+1, runs, grown)
	}
	t.Fatalf("void: this machine dropped packets in each of %d runs", runs)
	return last
}

// read returns every count of drops by name.
func (l *Drops) read(tb testing.TB) map[string]uint64 {
	tb.Helper()
	counts := make(map[string]uint64)
	softnet(tb, counts)
	namespace(tb, counts, "this side", os.Getpid())
	for _, r := range l.hosts {
		namespace(tb, counts, r.host.Addrs[0].String(), r.process.pid())
	}
	return counts
}

// namespace reads the counts of one network namespace, that of the process.
func namespace(tb testing.TB, counts map[string]uint64, who string, pid int) {
	tb.Helper()
	interfaces(tb, counts, who, rows(tb, fmt.Sprintf("/proc/%d/net/dev", pid)))
	conntrack(tb, counts, who, rows(tb, fmt.Sprintf("/proc/%d/net/stat/nf_conntrack", pid)))
}

// softnet reads how many packets found the queue of a processor full: the second
// column of each processor's line, in hexadecimal.
func softnet(tb testing.TB, counts map[string]uint64) {
	tb.Helper()
	for _, fields := range rows(tb, "/proc/net/softnet_stat") {
		if len(fields) > 1 {
			counts["softnet"] += number(tb, fields[1], 16)
		}
	}
}

// interfaces reads how many packets each interface dropped, in both directions.
func interfaces(tb testing.TB, counts map[string]uint64, who string, rows [][]string) {
	tb.Helper()
	const received, sent = 4, 12 // columns of /proc/net/dev behind the name
	for _, fields := range rows {
		if len(fields) > sent && strings.HasSuffix(fields[0], ":") {
			name := fmt.Sprintf("interface %s of %s", strings.TrimSuffix(fields[0], ":"), who)
			counts[name+" received"] = number(tb, fields[received], 10)
			counts[name+" sent"] = number(tb, fields[sent], 10)
		}
	}
}

// conntrack reads what connection tracking dropped, in hexadecimal, a line a
// processor below one of names.
func conntrack(tb testing.TB, counts map[string]uint64, who string, rows [][]string) {
	tb.Helper()
	for _, column := range []string{"insert_failed", "drop", "early_drop"} {
		for i, fields := range rows {
			at := slices.Index(rows[0], column)
			if i > 0 && at >= 0 && at < len(fields) {
				counts["conntrack "+column+" of "+who] += number(tb, fields[at], 16)
			}
		}
	}
}

// rows returns the fields of each line of a file, and nothing where there is no
// such file: not every kernel has each of them.
func rows(tb testing.TB, file string) [][]string {
	tb.Helper()
	text, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		tb.Fatal(err)
	}
	var rows [][]string
	for line := range strings.Lines(string(text)) {
		// The name of an interface may stand close to its first count.
		rows = append(rows, strings.Fields(strings.Replace(line, ":", ": ", 1)))
	}
	return rows
}

func number(tb testing.TB, text string, base int) uint64 {
	tb.Helper()
	n, err := strconv.ParseUint(text, base, 64)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

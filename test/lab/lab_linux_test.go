// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package lab_test

import (
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"portscan_exporter/internal/engine"
	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// isolated returns true in the test's namespace like [testnet.Isolated]. Tests without root are
// skipped: in a user namespace, the kernel forbids some of what daemons and rules require.
func isolated(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() != 0 {
		testnet.Skip(t, "daemons and packet filters require root")
	}
	return testnet.Isolated(t)
}

// methods returns the methods of scanning TCP ports.
func methods() []scan.Method { return []scan.Method{scan.Connect, scan.SYN} }

// target is a host and the engine that scans it.
type target struct {
	*testnet.RunningHost

	addr   netip.Addr
	method scan.Method
	engine *engine.Engine
	state  func(netip.Addr, uint16) scan.State // the true states
	known  scan.Known
}

// scanResult has the results of one scan of a target.
type scanResult struct {
	ports map[uint16]scan.PortResult
	score testnet.Score
	took  time.Duration
}

// withMethods starts a host for each method and runs the test with both at the same time.
func withMethods(t *testing.T, host testnet.Host, test func(t *testing.T, target *target)) {
	t.Helper()
	hosts := make([]testnet.Host, 0, len(methods()))
	addr := netip.MustParseAddr("192.0.2.1")
	for range methods() {
		host.Addrs = []netip.Addr{addr}
		hosts = append(hosts, host)
		addr = addr.Next()
	}
	for i, running := range testnet.Start(t, hosts...) {
		method := methods()[i]
		t.Run(method.String(), func(t *testing.T) {
			t.Parallel()
			test(t, &target{RunningHost: running, addr: hosts[i].Addrs[0], method: method, engine: newEngine(t, method), state: running.State})
		})
	}
}

// newEngine returns the engine of a method.
func newEngine(t *testing.T, method scan.Method) *engine.Engine {
	t.Helper()
	budget, err := engine.NewBudget(engine.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	create := engine.NewConnect
	if method == scan.SYN {
		create = engine.NewSYN
	}
	e, err := create(budget)
	if err != nil {
		testnet.Skip(t, err.Error())
	}
	t.Cleanup(e.Close)
	return e
}

// defaultSpec returns a module with the defaults, except for a timeout that no case needs.
func defaultSpec(t *testing.T, ports, open string) scan.Spec {
	t.Helper()
	spec := scan.Spec{
		Protocol: scan.TCP, Method: scan.Connect, Ports: parsePorts(t, ports),
		Timeout: time.Minute, PortTimeout: 950 * time.Millisecond,
		Retries: 2, MaxRetries: 10, MaxInFlight: 10000, MaxOpenAttempts: 3, ControlPorts: 2,
	}
	if open != "" {
		spec.Expect = &scan.Expectation{Open: parsePorts(t, open)}
	}
	return spec
}

func parsePorts(t *testing.T, text string) scan.PortSet {
	t.Helper()
	ports, err := scan.ParsePortSet(text)
	if err != nil {
		t.Fatal(err)
	}
	return ports
}

// scan scans the target. It passes the results of the last call of remember, as the coordinator
// does with those of the last complete scan.
func (ta *target) scan(t *testing.T, spec scan.Spec) scanResult {
	t.Helper()
	spec.Method = ta.method
	plan, err := scan.NewPlan(spec)
	if err != nil {
		t.Fatal(err)
	}
	scope, err := scan.NewScope([]netip.Prefix{netip.PrefixFrom(ta.addr, ta.addr.BitLen())}, nil)
	if err != nil {
		t.Fatal(err)
	}
	request, refused, err := scan.NewRequest(plan.WithWatched(ta.known.Open), scope, []scan.Address{{IP: ta.addr}})
	if err != nil || len(refused) > 0 {
		t.Fatal(err, refused)
	}
	request = request.WithKnown(map[netip.Addr]scan.Known{ta.addr: ta.known})

	reports := make(map[netip.AddrPort]scan.PortResult)
	var mu sync.Mutex
	start := time.Now()
	err = ta.engine.Scan(t.Context(), request, func(report scan.PortResult) {
		mu.Lock()
		defer mu.Unlock()
		for r := range testnet.EachPort(report) {
			reports[netip.AddrPortFrom(r.Address, r.Port)] = r
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	result := scanResult{took: time.Since(start), score: testnet.CompareReports(ta.state, reports), ports: make(map[uint16]scan.PortResult, len(reports))}
	for at, r := range reports {
		result.ports[at.Port()] = r
	}
	if got, want := len(result.ports), plan.Ports().Len(); got != want {
		t.Errorf("scan reported %d ports, want %d", got, want)
	}
	return result
}

// remember keeps the results for the next scan if they are complete.
func (ta *target) remember(r scanResult) {
	if r.score.Unknown() > 0 {
		return
	}
	sets := make(map[scan.State][]uint16)
	for port, result := range r.ports {
		sets[result.State] = append(sets[result.State], port)
	}
	ta.known = scan.Known{
		Open:     scan.NewPortSet(sets[scan.Open]...),
		Closed:   scan.NewPortSet(sets[scan.Closed]...),
		Filtered: scan.NewPortSet(sets[scan.Filtered]...),
	}
}

// wantRight fails the test if a state is wrong, or unknown for another reason than that the
// address is unresponsive.
func (r scanResult) wantRight(t *testing.T) {
	t.Helper()
	if r.score.Wrong() > 0 || r.score.Unknown() != r.score.UnknownByCause(scan.CauseUnresponsive) {
		t.Errorf("after %v, want no wrong state, and only unresponsive ports unknown:\n%v", r.took, r.score)
	}
}

// wantComplete fails the test if a state is wrong or unknown.
func (r scanResult) wantComplete(t *testing.T) {
	t.Helper()
	if r.score.Wrong() > 0 || r.score.Unknown() > 0 {
		t.Errorf("after %v, want a complete scan without a wrong state:\n%v", r.took, r.score)
	}
}

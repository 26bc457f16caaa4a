// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package resolve_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"

	"portscan_exporter/internal/resolve"
	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// childTask is the environment variable with the task of [TestSystemChild], as JSON.
const childTask = "PORTSCAN_RESOLVE_TASK"

type (
	childRequest struct {
		Names    []string
		Resolver string
		Sockets  int
		Unknown  bool // the system has no resolv.conf that the resolver can read
	}

	childResult struct {
		Found []string // name=address, in order
		Full  string   // full name of the last address
		Error string
	}
)

// TestSystemChild resolves names with the system's settings for [system.resolve].
func TestSystemChild(t *testing.T) {
	text, ok := os.LookupEnv(childTask)
	if !ok {
		t.Skip("it runs in the processes of other tests")
	}
	var request childRequest
	if err := json.Unmarshal([]byte(text), &request); err != nil {
		t.Fatal(err)
	}
	tk := task(t, scan.AnyFamily, 256, "", request.Names...)
	if request.Resolver != "" {
		tk.Resolver = netip.MustParseAddrPort(request.Resolver)
	}
	options := resolve.System(request.Sockets)
	if request.Unknown {
		options.Settings = nil
	}
	others := goleak.IgnoreCurrent()
	found, failed := newResolver(t, options).Resolve(t.Context(), tk)
	goleak.VerifyNone(t, others)
	result := childResult{Error: errorText(failed[scan.FailedDNS])}
	for _, a := range found {
		result.Found, result.Full = append(result.Found, a.Hosts[0]+"="+a.IP.String()), a.FullName
	}
	slices.Sort(result.Found)
	line, err := json.Marshal(result)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(os.Stdout, "\n%s%s\n", childTask, line)
}

// system is the settings of a system in which processes run.
type system struct {
	resolvConf, hosts string
}

// command returns a command that runs with the settings.
func (s system) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	const script = `mount --bind "$0/resolv.conf" /etc/resolv.conf && mount --bind "$0/hosts" /etc/hosts &&
mount --bind "$0/nsswitch.conf" /etc/nsswitch.conf && exec "$@"`
	for file, text := range map[string]string{"resolv.conf": s.resolvConf, "hosts": s.hosts, "nsswitch.conf": "hosts: files dns\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return exec.CommandContext(t.Context(), "unshare", append([]string{"--mount", "sh", "-c", script, dir}, args...)...)
}

// resolve resolves names in a process.
func (s system) resolve(t *testing.T, r childRequest) childResult {
	t.Helper()
	r.Sockets = cmp.Or(r.Sockets, 512)
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	request, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	cmd := s.command(t, binary, "-test.run=^TestSystemChild$")
	cmd.Env = append(os.Environ(), childTask+"="+string(request))
	out, err := cmd.CombinedOutput()
	_, line, ok := strings.Cut(string(out), "\n"+childTask)
	if err != nil || !ok {
		t.Fatalf("resolving %v: %v\n%s", r.Names, err, out)
	}
	line, _, _ = strings.Cut(line, "\n")
	var result childResult
	if err := json.Unmarshal([]byte(line), &result); err != nil {
		t.Fatal(err)
	}
	return result
}

// getent returns the addresses of a name according to glibc.
func (s system) getent(t *testing.T, name string) []string {
	t.Helper()
	out, err := s.command(t, "getent", "-A", "ahosts", name).Output()
	exit, failed := errors.AsType[*exec.ExitError](err)
	const notFound = 2
	if err != nil && (!failed || exit.ExitCode() != notFound) {
		t.Fatalf("getent ahosts %s: %v", name, err)
	}
	var addrs []string
	for line := range strings.Lines(string(out)) {
		addrs = appendNew(addrs, name+"="+strings.Fields(line)[0])
	}
	slices.Sort(addrs)
	return addrs
}

func appendNew(list []string, text string) []string {
	if slices.Contains(list, text) {
		return list
	}
	return append(list, text)
}

// The servers of the tests. One is silent, and at one there is no server.
const (
	goodServer   = "198.51.100.53"
	silentServer = "198.51.100.54"
	noServer     = "198.51.100.55"
)

// manyAddrs returns 60 addresses of each family.
func manyAddrs() (addrs []string) {
	for i := range 60 {
		addrs = append(addrs, fmt.Sprintf("192.0.2.%d", i+1), fmt.Sprintf("2001:db8::%d", i+1))
	}
	return addrs
}

// testZone returns the records of goodServer.
func testZone() func(string) (record, bool) {
	both := []string{"192.0.2.7", "2001:db8::7"}
	dropped := func(types ...dnsmessage.Type) map[dnsmessage.Type]dnsmessage.RCode {
		codes := make(map[dnsmessage.Type]dnsmessage.RCode)
		for _, t := range types {
			codes[t] = noAnswer
		}
		return codes
	}
	aaaaFails := map[dnsmessage.Type]dnsmessage.RCode{dnsmessage.TypeAAAA: dnsmessage.RCodeServerFailure}
	records := map[string]record{
		"www.example.org.":           {addrs: both},
		"v4.example.org.":            {addrs: both[:1]},
		"v6.example.org.":            {addrs: both[1:]},
		"empty.example.org.":         {},
		"servfail.example.org.":      {rcode: dnsmessage.RCodeServerFailure},
		"refused.example.org.":       {rcode: dnsmessage.RCodeRefused},
		"slow.example.org.":          {addrs: both, delay: 400 * time.Millisecond},
		"silent.example.org.":        {rcode: noAnswer},
		"no-aaaa.example.org.":       {addrs: both, silent: dropped(dnsmessage.TypeAAAA)},
		"no-a.example.org.":          {addrs: both, silent: dropped(dnsmessage.TypeA)},
		"aaaa-fails.example.org.":    {addrs: both, silent: aaaaFails},
		"many.example.org.":          {addrs: manyAddrs()},
		"chain.example.org.":         {addrs: both, cname: chain(8)},
		"loop.example.org.":          {cname: []string{"loop2.example.org.", "loop.example.org."}},
		"dangling.example.org.":      {cname: []string{"nowhere.example.org."}, rcode: dnsmessage.RCodeNameError},
		"mapped.example.org.":        {addrs: []string{"192.0.2.7", "::ffff:192.0.2.8", "2001:db8::7"}},
		"only-mapped.example.org.":   {addrs: []string{"::ffff:192.0.2.8"}},
		"single.lab.":                {addrs: both},
		"only-a.first.lab.":          {addrs: both[:1]},
		"only-a.second.lab.":         {addrs: both[1:]},
		"web.prod.svc.lab.":          {addrs: both},
		"printer.local.":             {rcode: dnsmessage.RCodeNameError},
		"top.":                       {addrs: both},
		"www.example.org.svc.lab.":   {addrs: []string{"203.0.113.1"}},
		"empty.example.org.svc.lab.": {addrs: []string{"203.0.113.1"}},
	}
	return func(name string) (record, bool) {
		switch {
		case strings.HasSuffix(name, ".broken.lab."):
			return record{rcode: dnsmessage.RCodeServerFailure}, true
		case strings.HasSuffix(name, ".silent.lab."):
			return record{rcode: noAnswer}, true
		case strings.HasSuffix(name, ".wildcard.lab."):
			return record{addrs: []string{"203.0.113.99"}}, true
		case strings.HasPrefix(name, "silent"):
			return record{rcode: noAnswer}, true
		case strings.HasPrefix(name, "host"):
			return record{addrs: both[:1]}, true
		}
		r, ok := records[name]
		return r, ok
	}
}

func chain(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("chain%d.example.org.", i+1))
	}
	return names
}

// TestSystemLookups compares the addresses of names with those of getent.
func TestSystemLookups(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	testnet.NeedProgram(t, "getent", "unshare", "mount")
	for _, addr := range []string{goodServer + "/32", silentServer + "/32", noServer + "/32", "2001:db8:1::53/128"} {
		runIP(t, "address", "add", addr, "dev", "lo", "nodad")
	}
	startDNSServer(t, goodServer+":53", testZone())
	startDNSServer(t, goodServer+":5353", func(string) (record, bool) { return record{addrs: []string{"192.0.2.100"}}, true })
	startDNSServer(t, silentServer+":53", func(string) (record, bool) { return record{rcode: noAnswer}, true })
	const (
		plain = "nameserver " + goodServer + "\n"
		brief = plain + "options timeout:1 attempts:1\n" // so that getent does not take long
		at    = " at " + goodServer + ":53: "
		www7  = "192.0.2.7 2001:db8::7"
		none  = "-"
	)
	for _, tc := range []struct {
		name, conf, hosts string
		want              string // addresses in order
		full              string // full name, if a search domain led to the addresses
		err               string // "": none
		getent            string // "": the same addresses; "-": none
	}{
		{name: "www.example.org", want: www7},
		{name: "WWW.Example.Org.", want: www7},
		{name: "v4.example.org", want: "192.0.2.7"},
		{name: "v6.example.org", want: "2001:db8::7"},
		{name: "many.example.org", want: strings.Join(manyAddrs(), " ")},
		{name: "chain.example.org", want: www7},
		{name: "mapped.example.org", want: www7 + " 192.0.2.8", getent: www7 + " ::ffff:192.0.2.8"},
		{name: "only-mapped.example.org", want: "192.0.2.8", getent: "::ffff:192.0.2.8"},
		{name: "nowhere.example.org", err: "A and AAAA nowhere.example.org." + at + "no such name"},
		{name: "empty.example.org", err: "A and AAAA empty.example.org." + at + "no address"},
		{name: "loop.example.org", err: "A and AAAA loop.example.org." + at + "no address"},
		{name: "dangling.example.org", err: "A and AAAA dangling.example.org." + at + "no such name"},
		{name: "servfail.example.org", err: "A and AAAA servfail.example.org." + at + "server failure (SERVFAIL)"},
		{name: "refused.example.org", err: "A and AAAA refused.example.org." + at + "refused (REFUSED)"},
		{name: "slow.example.org", want: www7},
		{name: "aaaa-fails.example.org", want: "192.0.2.7", err: "AAAA aaaa-fails.example.org." + at + "server failure (SERVFAIL)"},
		{name: "no-aaaa.example.org", conf: brief, want: "192.0.2.7", err: "AAAA no-aaaa.example.org." + at + "no answer (timeout)"},
		{name: "no-a.example.org", conf: brief, want: "2001:db8::7", getent: none, err: "A no-a.example.org." + at + "no answer (timeout)"},
		{name: "silent.example.org", conf: brief, err: "A and AAAA silent.example.org." + at + "no answer (timeout)"},

		// /etc/hosts has precedence.
		{name: "www.example.org", hosts: "192.0.2.9 www.example.org", want: "192.0.2.9"},
		{name: "alone", conf: plain + "search lab\n", hosts: "192.0.2.9 alone.lab", full: "alone.lab.", want: "192.0.2.9", getent: none},
		{name: "alone", hosts: "192.0.2.9 alone\n2001:db8::9 alone", want: "192.0.2.9 2001:db8::9"},

		// Several servers.
		{name: "www.example.org", conf: "nameserver " + silentServer + "\n" + brief, want: www7},
		{name: "www.example.org", conf: "nameserver " + noServer + "\n" + brief, want: www7},
		{name: "nowhere.example.org", conf: "nameserver " + silentServer + "\n" + brief, err: "A and AAAA nowhere.example.org." + at + "no such name"},
		{name: "www.example.org", conf: "nameserver " + noServer + "\noptions timeout:1 attempts:1\n", err: "A and AAAA www.example.org. at " + noServer + ":53: connection refused"},
		{
			name: "servfail.example.org", conf: "nameserver " + silentServer + "\nnameserver " + noServer + "\n" + brief,
			err: "A and AAAA servfail.example.org. at " + silentServer + ":53: no answer (timeout), at " + noServer + ":53: connection refused, at " + goodServer + ":53: server failure (SERVFAIL)",
		},

		// Search domains.
		{name: "single", conf: plain + "search lab\n", full: "single.lab.", want: www7},
		{name: "single", conf: plain + "domain lab\n", full: "single.lab.", want: www7},
		{name: "single", conf: plain + "search other.lab lab\n", full: "single.lab.", want: www7},
		{name: "single", conf: plain + "search broken.lab lab\n", full: "single.lab.", want: www7},
		{name: "single", conf: plain + "search broken.lab lab\noptions ndots:5\n", full: "single.lab.", want: www7},
		{name: "single", conf: brief + "search silent.lab lab\n", full: "single.lab.", want: www7, getent: none},
		{name: "single", conf: plain + "search lab broken.lab\n", full: "single.lab.", want: www7},
		{name: "single", conf: plain + "search wildcard.lab lab\n", full: "single.wildcard.lab.", want: "203.0.113.99"},
		{name: "only-a", conf: plain + "search first.lab second.lab\n", full: "only-a.first.lab.", want: "192.0.2.7"},
		{name: "top", conf: plain + "search lab\n", want: www7},
		{name: "nothing", conf: plain + "search lab other.lab\n", err: "A and AAAA nothing.lab., nothing.other.lab., nothing." + at + "no such name"},
		{name: "nothing", conf: plain + "search broken.lab lab\n", err: "A and AAAA nothing.broken.lab." + at + "server failure (SERVFAIL)"},
		{name: "web.prod", conf: plain + "search prod.lab svc.lab\noptions ndots:5\n", full: "web.prod.svc.lab.", want: www7},
		{name: "web.prod", conf: plain + "search svc.lab broken.lab\noptions ndots:5\n", full: "web.prod.svc.lab.", want: www7},
		{name: "web.prod", conf: plain + "search broken.lab svc.lab\noptions ndots:5\n", full: "web.prod.svc.lab.", want: www7},
		{name: "web.prod.", conf: plain + "search svc.lab\noptions ndots:5\n", err: "A and AAAA web.prod." + at + "no such name"},
		{name: "printer.local", err: "A and AAAA printer.local." + at + "no such name; multicast DNS is not used: write an address, or a name in DNS"},

		// Other than getent: a name with a dot is looked up as it is first, and in search domains only if it has fewer dots than ndots.
		{name: "www.example.org", conf: plain + "search svc.lab\noptions ndots:5\n", want: www7, getent: "203.0.113.1"},
		{name: "servfail.example.org", conf: plain + "search wildcard.lab\noptions ndots:5\n", err: "A and AAAA servfail.example.org." + at + "server failure (SERVFAIL)", getent: "203.0.113.99"},
		{name: "silent.example.org", conf: brief + "search wildcard.lab\noptions ndots:5\n", err: "A and AAAA silent.example.org." + at + "no answer (timeout)", getent: "203.0.113.99"},
		{name: "empty.example.org", conf: plain + "search svc.lab\noptions ndots:5\n", full: "empty.example.org.svc.lab.", want: "203.0.113.1"},
		{name: "web.prod", conf: plain + "search svc.lab\n", err: "A and AAAA web.prod." + at + "no such name", getent: www7},
	} {
		if tc.conf == "" {
			tc.conf = plain
		}
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := system{resolvConf: tc.conf, hosts: tc.hosts + "\n"}
			got := s.resolve(t, childRequest{Names: []string{tc.name}})
			want := expectAddrs(tc.name, tc.want)
			if tc.err != "" {
				tc.err = "resolving " + tc.name + ": " + tc.err
			}
			if !slices.Equal(got.Found, want) || got.Full != tc.full || got.Error != tc.err {
				t.Errorf("%q: Resolve() = %v, full name %q, %q, want %v, %q, %q", tc.conf, got.Found, got.Full, got.Error, want, tc.full, tc.err)
			}
			if tc.getent != "" {
				want = expectAddrs(tc.name, strings.TrimPrefix(tc.getent, none))
			}
			if other := s.getent(t, tc.name); !slices.Equal(other, want) {
				t.Errorf("%q: getent ahosts = %v, want %v", tc.conf, other, want)
			}
		})
	}
	t.Run("many names", func(t *testing.T) {
		t.Parallel()
		var names []string
		for i := range 100 {
			names = append(names, fmt.Sprintf("%s%d.example.org", map[bool]string{true: "silent", false: "host"}[i < 30], i))
		}
		got := system{resolvConf: plain}.resolve(t, childRequest{Names: append(names, "192.0.2.1/32")})
		if len(got.Found) != 71 || !strings.Contains(got.Error, "and 20 other names") {
			t.Errorf("Resolve() = %d addresses, %q, want 71 and 30 failed names", len(got.Found), got.Error)
		}
	})
	t.Run("few sockets", func(t *testing.T) {
		t.Parallel()
		names := []string{"many.example.org"}
		for i := range 100 {
			names = append(names, fmt.Sprintf("host%d.example.org", i))
		}
		got := system{resolvConf: plain}.resolve(t, childRequest{Names: names, Sockets: 2})
		if len(got.Found) != 220 || got.Error != "" {
			t.Errorf("Resolve() = %d addresses, %q, want 220", len(got.Found), got.Error)
		}
	})
	t.Run("no sockets", func(t *testing.T) {
		t.Parallel()
		names := []string{"silent0.example.org", "silent1.example.org", "silent2.example.org"}
		got := system{resolvConf: plain}.resolve(t, childRequest{Names: names, Sockets: 2})
		if !strings.Contains(got.Error, at+"not asked: too many other questions have no answer") {
			t.Errorf("Resolve() failed with %q, want questions that were not asked", got.Error)
		}
	})
	t.Run("unknown settings", func(t *testing.T) {
		t.Parallel()
		s := system{resolvConf: "nameserver " + silentServer + "\n" + plain + "search other.lab lab\n", hosts: "192.0.2.9 local-name\n"}
		got := s.resolve(t, childRequest{Unknown: true, Names: []string{"www.example.org", "local-name", "single", "web.prod"}})
		want := slices.Concat([]string{"local-name=192.0.2.9"}, expectAddrs("single", www7), expectAddrs("www.example.org", www7))
		if err := "resolving web.prod: A and AAAA web.prod." + at + "no such name"; !slices.Equal(got.Found, want) || got.Error != err {
			t.Errorf("Resolve() = %v, %q, want %v, %q", got.Found, got.Error, want, err)
		}
	})
	t.Run("resolver", func(t *testing.T) {
		t.Parallel()
		s := system{resolvConf: plain + "search lab\n", hosts: "192.0.2.9 local-name\n"}
		got := s.resolve(t, childRequest{Resolver: goodServer + ":5353", Names: []string{"www.example.org", "local-name", "short"}})
		if want := []string{"local-name=192.0.2.9", "short=192.0.2.100", "www.example.org=192.0.2.100"}; !slices.Equal(got.Found, want) || got.Error != "" {
			t.Errorf("Resolve() = %v, %q, want %v", got.Found, got.Error, want)
		}
		got = s.resolve(t, childRequest{Resolver: noServer + ":5353", Names: []string{"www.example.org"}})
		if want := "resolving www.example.org: A and AAAA www.example.org. at " + noServer + ":5353: connection refused"; got.Error != want {
			t.Errorf("Resolve() failed with %q, want %q", got.Error, want)
		}
	})
}

func expectAddrs(name, addrs string) (all []string) {
	for a := range strings.FieldsSeq(addrs) {
		all = append(all, name+"="+a)
	}
	slices.Sort(all)
	return all
}

func runIP(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %v: %v\n%s", args, err, out)
	}
}

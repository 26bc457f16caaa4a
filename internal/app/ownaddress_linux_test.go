// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/common/promslog"

	"portscan_exporter/internal/terminal"
	"portscan_exporter/internal/testnet"
)

// neighborConfig is the environment variable with the configuration that TestOwnAddress scans with
// when it runs in the namespace of a neighbor.
const neighborConfig = "PORTSCAN_TEST_NEIGHBOR_CONFIG"

// TestOwnAddress has a rule for the network interface of this machine drop packets to port 22. A
// scan of the own address does not see it, and the configuration has a warning. A neighbor's does.
func TestOwnAddress(t *testing.T) {
	if file := os.Getenv(neighborConfig); file != "" {
		scanPort22(file, os.Stdout)
		return
	}
	if !testnet.Isolated(t) {
		return
	}
	const own = "198.51.100.254"
	neighbor := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}})[0]
	testnet.Filter(t, `table inet own { chain in { type filter hook input priority -10; iifname "to*" tcp dport 22 drop; }; }`)
	for _, port := range []string{"22", "23"} {
		l, err := net.Listen("tcp", net.JoinHostPort(own, port))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
	}
	file := writeConfig(t, `
modules: {few: {ports: "22,23"}}
targets:
- {name: own, hosts: [127.0.0.1, `+own+`], modules: [few], authorization: {owner: me}}
`)
	var here, stdout, stderr, log bytes.Buffer
	scanPort22(file, &here)
	there := neighbor.Exec(t, "env", neighborConfig+"="+file, os.Args[0], "-test.run=^TestOwnAddress$")
	for name, scan := range map[string]struct{ output, want string }{
		"this machine": {here.String(), "22 +tcp +OPEN"}, "the neighbor": {there, "22 +tcp +FILTERED"},
	} {
		if !regexp.MustCompile(own+" +"+scan.want).MatchString(scan.output) || !regexp.MustCompile(own+" +23 +tcp +OPEN").MatchString(scan.output) {
			t.Errorf("scan from %s = %s, want %s, and port 23 open", name, scan.output, scan.want)
		}
	}
	const warning = "targets[0].hosts[1]: " + own + " is an address of this machine"
	if code := checkConfig(file, &stdout, &stderr); code != ExitOK || strings.Count(stderr.String(), warning) != 1 {
		t.Errorf("checkConfig() = %d with %q, want %d and %q", code, stderr.String(), ExitOK, warning)
	}
	newTestExporter(t, file, slog.New(slog.NewTextHandler(&log, nil)))
	if got := log.String(); strings.Count(got, warning) != 1 || !strings.Contains(got, `level=WARN msg="Configuration warning"`) {
		t.Errorf("log = %q, want one warning %q", got, warning)
	}
}

// scanPort22 scans the target own and writes the table of its ports.
func scanPort22(file string, out io.Writer) {
	o := ScanOptions{ConfigFile: file, Target: "own", Output: string(terminal.Table), AllPorts: true}
	o.run(promslog.NewNopLogger(), terminal.NewScreen(out), out, out)
}

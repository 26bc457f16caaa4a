// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package lab_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"portscan_exporter/internal/testnet"
)

// bannedComment marks the rules of iptables that punish, see [target.banned].
const bannedComment = "banned"

// filter adds rules to the target's iptables, in the format of iptables-save(8) without the
// lines of the table.
func (ta *target) filter(t *testing.T, rules string) {
	t.Helper()
	testnet.NeedProgram(t, "iptables-restore")
	script := "iptables-restore --noflush <<'END'\n*filter\n" + rules + "\nCOMMIT\nEND\n"
	ta.Exec(t, "sh", "-c", script)
}

// banned returns the number of packets that matched rules with the comment "banned".
func (ta *target) banned(t *testing.T) int {
	t.Helper()
	rule := regexp.MustCompile(`(?m)^\[(\d+):\d+\] .*--comment "?` + bannedComment)
	sum := 0
	for _, match := range rule.FindAllStringSubmatch(ta.Exec(t, "iptables-save", "--counters"), -1) {
		n, err := strconv.Atoi(match[1])
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}

// countSYNs starts to count the SYN packets that the target receives at the ports, before all
// filters.
func (ta *target) countSYNs(t *testing.T, ports ...uint16) {
	t.Helper()
	var b strings.Builder
	b.WriteString("table inet lab {\n")
	for _, port := range ports {
		fmt.Fprintf(&b, "counter port_%d { }\n", port)
	}
	b.WriteString("chain syns { type filter hook prerouting priority -490 ;\n")
	for _, port := range ports {
		fmt.Fprintf(&b, "tcp dport %[1]d tcp flags & (syn | ack | rst) == syn counter name port_%[1]d\n", port)
	}
	b.WriteString("}\n}\n")
	ta.Filter(t, b.String())
}

// resetSYNs returns the number of SYN packets by port since the last call, see countSYNs.
func (ta *target) resetSYNs(t *testing.T) map[uint16]int {
	t.Helper()
	var listing struct {
		Nftables []struct {
			Counter *struct {
				Name    string `json:"name"`
				Packets int    `json:"packets"`
			} `json:"counter"`
		} `json:"nftables"`
	}
	if err := json.Unmarshal([]byte(ta.Exec(t, "nft", "--json", "reset", "counters", "table", "inet", "lab")), &listing); err != nil {
		t.Fatal(err)
	}
	syns := make(map[uint16]int)
	for _, entry := range listing.Nftables {
		if entry.Counter == nil {
			continue
		}
		port, err := strconv.ParseUint(strings.TrimPrefix(entry.Counter.Name, "port_"), 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		syns[uint16(port)] = entry.Counter.Packets
	}
	return syns
}

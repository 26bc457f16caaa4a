// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"net/netip"
	"time"

	"portscan_exporter/internal/testnet"
)

var target = netip.MustParseAddr("192.0.2.10")

// maxMemory is the limit for a scan of one address, in MiB.
const maxMemory = 48

// scenario is a host, the ports to scan, and the tools that scan them.
type scenario struct {
	name         string
	host         testnet.Host
	allow        string   // TCP ports that the target may have open
	module       string   // of the exporter, without the suffix of the mode
	ports        string   // the module's ports, for the other tools
	open         int      // ports that are open
	openFiltered int      // UDP ports that do not answer
	rows         []string // names of the tools, the exporter first
	once         []string // tools that take minutes and run once
	slow         []string // tools that the short comparison omits
	reportOnly   bool     // whether the short comparison omits the scenario
	goal         goal
}

// goal is a target for a mode of the exporter.
type goal struct {
	mode   string
	within time.Duration // wall clock
	tool   string        // at most half of this tool's wall clock, and less CPU time
}

func scenarios() []scenario {
	return append(tcpScenarios(), udpScenarios()...)
}

func tcpScenarios() []scenario {
	const five, three, syn = "22,80,443,8080,50000", "22,80,443", "exporter, syn"
	open := map[string]testnet.Answer{five: testnet.Accept}
	return []scenario{
		{
			name: "answers with a RST, 5 ports open, all 65,535 ports", host: testnet.Host{Ports: open, Plain: true}, allow: five,
			module: "all", ports: "1-65535", open: 5,
			rows: []string{"exporter", syn, "nmap -sT", "nmap -sS", "masscan", "net.Dialer", "bare loop"},
			slow: []string{"nmap -sT", "masscan", "net.Dialer", "bare loop"},
			goal: goal{mode: syn, tool: "nmap -sS"},
		},
		{
			name: "drops, 5 ports open (3 of them allowed), all 65,535 ports", host: testnet.Host{Default: testnet.Drop, Ports: open}, allow: three,
			module: "all", ports: "1-65535", open: 5, reportOnly: true,
			rows: []string{"exporter", syn, "nmap -sT", "nmap -sS", "masscan"}, once: []string{"nmap -sT", "nmap -sS"},
			goal: goal{mode: syn, within: 1500 * time.Millisecond},
		},
		{
			name: "rejects with ICMP, 5 ports open, all 65,535 ports", host: testnet.Host{Default: testnet.RejectPort, Ports: open}, allow: five,
			module: "all", ports: "1-65535", open: 5, reportOnly: true, rows: []string{"exporter", syn},
		},
		{
			name: "is dark, all 65,535 ports", host: testnet.Host{Default: testnet.Drop}, module: "all", ports: "1-65535", reportOnly: true,
			rows: []string{"exporter", syn}, goal: goal{mode: syn, within: 8 * time.Second},
		},
		{
			name: "loses 10% of the packets in each direction, 4 ports open, 10,000 ports", host: testnet.Host{LossIn: .1, LossOut: .1, Ports: open}, allow: "22,80",
			module: "ten", ports: "1-10000", open: 4, reportOnly: true,
			rows: []string{"exporter", syn, "nmap -sT", "nmap -sS", "masscan"}, once: []string{"nmap -sT", "nmap -sS"},
			goal: goal{mode: syn, within: 3 * time.Second},
		},
		{
			name: "answers with a RST, 1,000 ports", host: testnet.Host{Ports: open, Plain: true}, allow: five, module: "thousand", ports: "1-1000",
			open: 3, rows: []string{"exporter", syn, "nmap -sT", "nmap -sS", "masscan", "net.Dialer"},
		},
	}
}

func udpScenarios() []scenario {
	const udp = "exporter, udp"
	replies := map[string]testnet.UDPAnswer{"53,123,161": testnet.UDPReply}
	return []scenario{
		{
			name: "rejects every closed UDP port with ICMP, 3 ports open, 1,000 ports", host: testnet.Host{UDP: replies, ICMPsPerSecond: -1},
			module: "thousand", ports: "1-1000", open: 3,
			rows: []string{udp, "nmap -sU", "net.Dialer, udp"}, once: []string{"nmap -sU"}, slow: []string{"nmap -sU"},
		},
		{
			name: "drops UDP, 3 ports open, 1,000 ports", host: testnet.Host{UDP: replies, DefaultUDP: testnet.UDPDrop},
			module: "thousand", ports: "1-1000", open: 3, openFiltered: 997, reportOnly: true,
			rows: []string{udp, "nmap -sU", "net.Dialer, udp"}, once: []string{"nmap -sU"},
		},
		{
			name:   "rejects closed UDP ports with one ICMP error per second, as Linux does, 1 port open, 20 ports",
			host:   testnet.Host{UDP: map[string]testnet.UDPAnswer{"7": testnet.UDPReply}},
			module: "few", ports: "1-20", open: 1, reportOnly: true, rows: []string{udp, "nmap -sU"}, once: []string{udp, "nmap -sU"},
		},
	}
}

package bench

import (
	"net/netip"
	"time"

	"portscan_exporter/internal/testnet"
)

var target = netip.MustParseAddr("192.0.2.10")

// mostMemory is how many MiB the exporter may take in any scan of one address.
const mostMemory = 48

// course is one host, what is scanned of it, and who does that.
type course struct {
	name    string
	host    testnet.Host
	allow   string   // TCP ports that the target may have open
	module  string   // of the exporter, whose contenders add a word of their own
	ports   string   // the same ones, for the others
	open    int      // how many of them are
	vague   int      // and how many may be, as far as anybody can tell: with UDP
	rows    []string // the contenders by name, the exporter's own first
	once    []string // of them, those that take minutes
	unasked bool     // it is run for docs/benchmarks.md alone
	tooLong []string // contenders that are
	goal    goal
}

// goal is what a contender of the exporter's is to reach.
type goal struct {
	of     string
	within time.Duration // wall clock
	beside string        // another contender: half of its wall clock, and less CPU time
}

func courses() []course {
	return append(tcpCourses(), udpCourses()...)
}

func tcpCourses() []course {
	const five, three, syn = "22,80,443,8080,50000", "22,80,443", "exporter, syn"
	open := map[string]testnet.Answer{five: testnet.Accept}
	return []course{
		{
			name: "answers with a RST, 5 ports open, all 65,535 ports", host: testnet.Host{Ports: open, Plain: true}, allow: five,
			module: "all", ports: "1-65535", open: 5,
			rows:    []string{"exporter", syn, "nmap -sT", "nmap -sS", "masscan", "net.Dialer", "bare loop"},
			tooLong: []string{"nmap -sT", "masscan", "net.Dialer", "bare loop"},
			goal:    goal{of: syn, beside: "nmap -sS"},
		},
		{
			name: "drops, 5 ports open (3 of them allowed), all 65,535 ports", host: testnet.Host{Default: testnet.Drop, Ports: open}, allow: three,
			module: "all", ports: "1-65535", open: 5, unasked: true,
			rows: []string{"exporter", syn, "nmap -sT", "nmap -sS", "masscan"}, once: []string{"nmap -sT", "nmap -sS"},
			goal: goal{of: syn, within: 1500 * time.Millisecond},
		},
		{
			name: "rejects with ICMP, 5 ports open, all 65,535 ports", host: testnet.Host{Default: testnet.RejectPort, Ports: open}, allow: five,
			module: "all", ports: "1-65535", open: 5, unasked: true, rows: []string{"exporter", syn},
		},
		{
			name: "is dark, all 65,535 ports", host: testnet.Host{Default: testnet.Drop}, module: "all", ports: "1-65535", unasked: true,
			rows: []string{"exporter", syn}, goal: goal{of: syn, within: 8 * time.Second},
		},
		{
			name: "loses 10 % each way, 4 ports open, 10,000 ports", host: testnet.Host{LossIn: .1, LossOut: .1, Ports: open}, allow: "22,80",
			module: "ten", ports: "1-10000", open: 4, unasked: true,
			rows: []string{"exporter", syn, "nmap -sT", "nmap -sS", "masscan"}, once: []string{"nmap -sT", "nmap -sS"},
			goal: goal{of: syn, within: 3 * time.Second},
		},
		{
			name: "answers with a RST, 1,000 ports", host: testnet.Host{Ports: open, Plain: true}, allow: five, module: "thousand", ports: "1-1000",
			open: 3, rows: []string{"exporter", syn, "nmap -sT", "nmap -sS", "masscan", "net.Dialer"},
		},
	}
}

func udpCourses() []course {
	const udp = "exporter, udp"
	replies := map[string]testnet.UDPAnswer{"53,123,161": testnet.UDPReply}
	return []course{
		{
			name: "says of every closed UDP port that it is, 3 ports open, 1,000 ports", host: testnet.Host{UDP: replies, ICMPsPerSecond: -1},
			module: "thousand", ports: "1-1000", open: 3,
			rows: []string{udp, "nmap -sU", "net.Dialer, udp"}, once: []string{"nmap -sU"}, tooLong: []string{"nmap -sU"},
		},
		{
			name: "drops UDP, 3 ports open, 1,000 ports", host: testnet.Host{UDP: replies, DefaultUDP: testnet.UDPDrop},
			module: "thousand", ports: "1-1000", open: 3, vague: 997, unasked: true,
			rows: []string{udp, "nmap -sU", "net.Dialer, udp"}, once: []string{"nmap -sU"},
		},
		{
			name:   "says once a second that a UDP port is closed, as Linux does, 1 port open, 20 ports",
			host:   testnet.Host{UDP: map[string]testnet.UDPAnswer{"7": testnet.UDPReply}},
			module: "few", ports: "1-20", open: 1, unasked: true, rows: []string{udp, "nmap -sU"}, once: []string{udp, "nmap -sU"},
		},
	}
}

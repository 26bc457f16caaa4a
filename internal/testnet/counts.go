// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet

import (
	"encoding/json"
	"testing"
)

// Counts has numbers of packets at a host's interface, all addresses together. Received
// packets are counted before losses and filters, sent packets before limits and losses.
type Counts struct {
	SYNsIn int // SYN without ACK
	ACKsIn int // only ACK, with or without data
	DataIn int // with at least one byte of data
	RSTsIn int
	FINsIn int

	SYNACKsOut int
	RSTsOut    int
	ICMPsOut   int // errors

	UDPIn  int // datagrams
	UDPOut int

	LostIn  int // by Host.LossIn
	LostOut int // by Host.LossOut, or because Simulation.Queue was full
	Limited int // RSTs and ICMP errors that a rate limit dropped

	BrokenIn int // with a wrong checksum, counted only by a [Simulator]
}

// Counts returns the packets that the host has received and sent.
func (r *RunningHost) Counts(tb testing.TB) Counts {
	tb.Helper()
	n := parseCounters(tb, r.Exec(tb, "nft", "--json", "list", "counters", "table", "inet", table))
	return Counts{
		SYNsIn: n[synsIn], ACKsIn: n[acksIn], DataIn: n[dataIn], RSTsIn: n[rstsIn], FINsIn: n[finsIn],
		SYNACKsOut: n[synacksOut], RSTsOut: n[rstsOut], ICMPsOut: n[icmpsOut],
		UDPIn: n[udpIn], UDPOut: n[udpOut],
		LostIn: n[lostIn], LostOut: n[lostOut], Limited: n[limited],
	}
}

// parseCounters returns the packets by counter from the output of nft --json.
func parseCounters(tb testing.TB, listing string) map[string]int {
	tb.Helper()
	var entries struct {
		Nftables []struct {
			Counter *struct {
				Name    string `json:"name"`
				Packets int    `json:"packets"`
			} `json:"counter"`
		} `json:"nftables"`
	}
	if err := json.Unmarshal([]byte(listing), &entries); err != nil {
		tb.Fatalf("parsing the output of nft: %v\n%s", err, listing)
	}
	by := make(map[string]int)
	for _, entry := range entries.Nftables {
		if entry.Counter != nil {
			by[entry.Counter.Name] = entry.Counter.Packets
		}
	}
	return by
}

package testnet

import (
	"encoding/json"
	"testing"
)

// Counts are the packets at a host's interface, all its addresses together.
// What arrives is counted before anything of it is lost or filtered, what the
// host says before anything of it is held back by a limit or lost.
type Counts struct {
	SYNsIn int // attempts: SYN without ACK
	ACKsIn int // ACK alone, with or without data
	DataIn int // with at least a byte of data
	RSTsIn int
	FINsIn int

	SYNACKsOut int
	RSTsOut    int
	ICMPsOut   int // errors

	UDPIn  int // datagrams
	UDPOut int

	LostIn  int // by Host.LossIn
	LostOut int // by Host.LossOut, or for want of room in Simulation.Queue
	Limited int // RSTs and ICMP errors that a limit of the host held back

	BrokenIn int // with a wrong checksum: no host heeds them, and only a [Simulator] counts them
}

// Counts returns what the host has seen and said by now.
func (r *RunningHost) Counts(tb testing.TB) Counts {
	tb.Helper()
	n := packets(tb, r.Exec(tb, "nft", "--json", "list", "counters", "table", "inet", table))
	return Counts{
		SYNsIn: n[synsIn], ACKsIn: n[acksIn], DataIn: n[dataIn], RSTsIn: n[rstsIn], FINsIn: n[finsIn],
		SYNACKsOut: n[synacksOut], RSTsOut: n[rstsOut], ICMPsOut: n[icmpsOut],
		UDPIn: n[udpIn], UDPOut: n[udpOut],
		LostIn: n[lostIn], LostOut: n[lostOut], Limited: n[limited],
	}
}

// packets reads what nft --json says of counters, by their names.
func packets(tb testing.TB, listing string) map[string]int {
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
		tb.Fatalf("nft: %v\n%s", err, listing)
	}
	by := make(map[string]int)
	for _, entry := range entries.Nftables {
		if entry.Counter != nil {
			by[entry.Counter.Name] = entry.Counter.Packets
		}
	}
	return by
}

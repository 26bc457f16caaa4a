// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"portscan_exporter/internal/testnet"
)

// raw sends and receives TCP segments over IPv4 without connections of the kernel.
type raw struct {
	*net.IPConn
	src, dst [4]byte
}

// openRaw opens a raw socket for segments to the address.
func openRaw(t *testing.T, to netip.Addr) *raw {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "ip4:tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	r := &raw{IPConn: conn.(*net.IPConn), dst: to.As4()}
	copy(r.src[:], conn.LocalAddr().(*net.IPAddr).IP.To4())
	if err := r.SetReadBuffer(8 << 20); err != nil {
		t.Fatal(err)
	}
	return r
}

// syn sends a SYN with an error of its checksum.
func (r *raw) syn(t *testing.T, port, off uint16) {
	t.Helper()
	segment := make([]byte, 20)
	binary.BigEndian.PutUint16(segment, 61000) // source port
	binary.BigEndian.PutUint16(segment[2:], port)
	binary.BigEndian.PutUint32(segment[4:], 0xfffffff0) // sequence number
	segment[12], segment[13] = 5<<4, 2
	sum := uint32(6 + len(segment))
	for _, b := range [][]byte{r.src[:], r.dst[:], segment} {
		for i := 0; i < len(b); i += 2 {
			sum += uint32(b[i])<<8 | uint32(b[i+1])
		}
	}
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(segment[16:], ^uint16(sum)+off)
	if _, err := r.Write(segment); err != nil {
		t.Fatal(err)
	}
}

// flood sends n SYNs to port 80, in bursts that fit into queues.
func (r *raw) flood(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		r.syn(t, 80, 0)
		if i%200 == 199 {
			time.Sleep(time.Millisecond)
		}
	}
}

// answers counts received SYN+ACKs, and RSTs that acknowledge the SYN, until a timeout.
func (r *raw) answers(t *testing.T) (synacks, resets int) {
	t.Helper()
	buffer := make([]byte, 1500)
	for {
		r.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		n, _, err := r.ReadFromIP(buffer) // Read would include the IP header
		if os.IsTimeout(err) {
			return synacks, resets
		}
		if err != nil {
			t.Fatal(err)
		}
		if n < 20 || binary.BigEndian.Uint16(buffer[2:]) != 61000 || binary.BigEndian.Uint32(buffer[8:]) != 0xfffffff1 {
			continue
		}
		switch buffer[13] {
		case 0x12:
			synacks++
		case 0x14:
			resets++
		}
	}
}

func within(t *testing.T, what string, got, least, most int) {
	t.Helper()
	if got < least || got > most {
		t.Errorf("%s: got %d, want %d to %d", what, got, least, most)
	}
}

func TestHostLoss(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	const sent = 3000
	hosts := testnet.Start(t,
		testnet.Host{Addrs: []netip.Addr{addr("192.0.2.1")}},
		testnet.Host{Addrs: []netip.Addr{addr("192.0.2.2")}, LossIn: 0.2, LossOut: 0.5},
		testnet.Host{Addrs: []netip.Addr{addr("192.0.2.3")}, LossIn: 1},
	)
	// Plus or minus six standard deviations.
	for i, want := range []struct{ lostIn, lostOut, back [2]int }{
		{back: [2]int{sent, sent}},
		{lostIn: [2]int{468, 732}, lostOut: [2]int{1040, 1360}, back: [2]int{1040, 1360}},
		{lostIn: [2]int{sent, sent}},
	} {
		conn := openRaw(t, addr(fmt.Sprintf("192.0.2.%d", i+1)))
		conn.flood(t, sent)
		_, back := conn.answers(t)
		n := hosts[i].Counts(t)
		within(t, "SYNs", n.SYNsIn, sent, sent)
		within(t, "lost on the way there", n.LostIn, want.lostIn[0], want.lostIn[1])
		within(t, "lost on the way back", n.LostOut, want.lostOut[0], want.lostOut[1])
		within(t, "answered", back, want.back[0], want.back[1])
		if n.RSTsOut != sent-n.LostIn || back != n.RSTsOut-n.LostOut {
			t.Errorf("got %d answers, which do not match the counts %+v", back, n)
		}
	}
}

func TestHostLimits(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	const sent = 300
	to := func(last int) []netip.Addr { return []netip.Addr{addr(fmt.Sprintf("192.0.2.%d", last))} }
	hosts := testnet.Start(t,
		testnet.Host{Addrs: to(1), RSTsPerSecond: 100},
		testnet.Host{Addrs: to(2), Default: testnet.RejectReset, RSTsPerSecond: 100},
		testnet.Host{Addrs: to(3), Default: testnet.RejectPort, ICMPsPerSecond: 100},
		testnet.Host{Addrs: to(4), Default: testnet.RejectPort, ICMPsPerSecond: -1},
		testnet.Host{Addrs: to(5), Default: testnet.RejectPort},
	)
	for i, host := range hosts {
		conn := openRaw(t, to(i + 1)[0])
		started := time.Now()
		conn.flood(t, sent)
		time.Sleep(20 * time.Millisecond)
		n := host.Counts(t)
		took := time.Since(started)
		said := n.RSTsOut + n.ICMPsOut
		passed := said - n.Limited
		switch i {
		case 3:
			within(t, "without a limit", passed, sent, sent)
		case 4:
			within(t, "with the kernel's limit", passed, 1, 20)
		default:
			within(t, "said", said, sent, sent)
			within(t, "with a limit", passed, 5, 6+int(took.Seconds()*100))
		}
		if icmp := i >= 2; icmp && n.RSTsOut > 0 || !icmp && n.ICMPsOut > 0 {
			t.Errorf("host %d: Counts() = %+v", i, n)
		}
	}
}

// TestRunningHostFilter adds a filter to a running host.
func TestRunningHostFilter(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	addrs := both()
	host := testnet.Start(t, testnet.Host{Addrs: addrs[:1]})[0]
	if got := observe(t, addrs[0], 80); got != "refused" {
		t.Errorf("before the ban: got %s", got)
	}
	host.Filter(t, "table inet ban { chain in { type filter hook input priority 0 ; iifname wire drop ; }\n}\n")
	if got := observe(t, addrs[0], 80); got != "silent" {
		t.Errorf("after the ban: got %s", got)
	}
	if n := host.Counts(t).SYNsIn; n < 2 {
		t.Errorf("got %d SYNs, want those that the filter dropped, too", n)
	}
}

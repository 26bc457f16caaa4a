package coordinator

import (
	"net/netip"
	"testing"
	"time"

	"portscan_exporter/scan"
)

// TestMemoryIsBounded remembers more addresses than there is room for.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	m := newMemory()
	begun := time.Now()
	ip := netip.MustParseAddr("10.0.0.0")
	g := group{target: "t", module: "m", protocol: scan.TCP}
	for i := range mostAddresses + 20_000 {
		ip = ip.Next()
		m.put(g, ip, &remembered{last: begun.Add(time.Duration(i)), opened: scan.NewPortSet(22)})
	}
	if m.count > mostAddresses || m.count < mostAddresses*3/4 || m.count != len(m.seen[g]) {
		t.Errorf("%d addresses are remembered, and %d counted", len(m.seen[g]), m.count)
	}
	if m.seen[g][ip] == nil || m.seen[g][netip.MustParseAddr("10.0.0.1")] != nil || m.evicted == 0 {
		t.Errorf("the first is remembered rather than the last; %d were forgotten", m.evicted)
	}
	var many []uint16
	for p := uint16(1); p < 60_000; p += 2 {
		many = append(many, p)
	}
	scattered := scan.NewPortSet(many...)
	for range 500 {
		ip = ip.Next()
		begun = begun.Add(time.Hour)
		m.put(g, ip, &remembered{last: begun, states: map[scan.State]scan.PortSet{scan.Closed: scattered}})
	}
	if m.size > mostBytes || m.seen[g][ip] == nil {
		t.Errorf("%d bytes are remembered", m.size)
	}
}

// TestSightsAreBounded shows more than there is room for.
func TestSightsAreBounded(t *testing.T) {
	t.Parallel()
	s := newSights()
	g := group{target: "t", module: "m", protocol: scan.TCP}
	begun := time.Now()
	ip := netip.MustParseAddr("10.0.0.0")
	for i := range 2 * mostSights / 600 {
		ip = ip.Next()
		s.put(g, &AddressSight{Address: scan.Address{IP: ip}, Finished: begun.Add(time.Duration(i))})
	}
	if s.size > mostSights || s.of[g][ip] == nil || s.size != 600*len(s.of[g]) {
		t.Errorf("%d bytes of %d addresses", s.size, len(s.of[g]))
	}
}

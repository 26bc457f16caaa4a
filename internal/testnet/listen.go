package testnet

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

const (
	// maxListeners is how many ports get a listener each; more share one.
	maxListeners = 1000

	// queue is the length of the backlog of a listener that never accepts.
	queue = 1
)

// open makes the listeners of a host, in the host's process.
func (do *task) open(t *testing.T) map[Answer]door {
	t.Helper()
	raiseFiles(t)
	// What a thousand attempts at once must not meet is a backlog that is full by accident.
	set(t, "core/somaxconn", "65535")
	set(t, "ipv4/tcp_max_syn_backlog", "65535")
	if do.NoICMPLimit {
		// The limit to all peers together holds for the kinds in the mask too.
		set(t, "ipv4/icmp_ratemask", "0")
		set(t, "ipv6/icmp/ratemask", "")
	}
	do.openUDP(t)
	sets := make(map[Answer]scan.PortSet)
	total := 0
	for answer, text := range do.Listen {
		ports, err := scan.ParsePortSet(text)
		if err != nil {
			t.Fatal(err)
		}
		if answer == BacklogFull {
			fillAll(t, ports)
			continue
		}
		sets[answer] = ports
		total += ports.Len()
	}
	if total > maxListeners {
		return openDoors(t, sets)
	}
	for answer, ports := range sets {
		for port := range ports.All() {
			accept(listen(t, net.ListenConfig{}, fmt.Sprintf(":%d", port)), answer)
		}
	}
	return nil
}

// openDoors makes one listener for each answer, at an address where nobody finds
// it by chance, to which a filter hands all that comes to the answer's ports: see
// TPROXY in nft(8).
func openDoors(t *testing.T, sets map[Answer]scan.PortSet) map[Answer]door {
	t.Helper()
	doors := make(map[Answer]door)
	config := net.ListenConfig{Control: transparent}
	for answer := range sets {
		four := listen(t, config, "127.0.0.1:0")
		six := listen(t, config, "[::1]:0")
		accept(four, answer)
		accept(six, answer)
		doors[answer] = door{V4: portOf(t, four), V6: portOf(t, six)}
	}
	return doors
}

func portOf(t *testing.T, l net.Listener) uint16 {
	t.Helper()
	at, err := netip.ParseAddrPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return at.Port()
}

// listen listens. Without an address it does so for both families.
func listen(t *testing.T, config net.ListenConfig, at string) net.Listener {
	t.Helper()
	// Not the test's own context: it is the process that ends the listener.
	l, err := config.Listen(context.Background(), "tcp", at) //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// accept begins to accept connections, until the process ends.
func accept(l net.Listener, answer Answer) {
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				// Out of descriptors for a moment, or the client has gone again.
				time.Sleep(time.Millisecond)
				continue
			}
			greet(conn, answer)
		}
	}()
}

// greet does with a connection what the answer says.
func greet(conn net.Conn, answer Answer) {
	switch answer {
	case AcceptReset:
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	case AcceptClose:
		_ = conn.Close()
	default:
		go func() {
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		}()
	}
}

// fillAll makes listeners that accept nothing, and fills their backlogs.
func fillAll(t *testing.T, ports scan.PortSet) {
	t.Helper()
	var wait sync.WaitGroup
	for port := range ports.All() {
		l := listen(t, net.ListenConfig{}, fmt.Sprintf(":%d", port))
		if err := setBacklog(l, queue); err != nil {
			t.Fatal(err)
		}
		wait.Go(func() {
			if err := fill(l, fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// fill connects until the listener takes no more. The connections stay.
func fill(l net.Listener, at string) error {
	const most = 20
	for held := range most {
		// A backlog of n takes n+1 connections, which get all the time they may need;
		// an attempt more has to go unanswered.
		wait := 50 * time.Millisecond
		if held <= queue {
			wait = readyWithin
		}
		conn, err := net.DialTimeout("tcp", at, wait)
		switch {
		case err == nil:
			// A socket that nobody refers to would be closed.
			go func() {
				_, _ = io.Copy(io.Discard, conn)
				_ = l.Close()
			}()
		case held > queue:
			return nil
		default:
			return err
		}
	}
	return fmt.Errorf("the backlog of %s is not full after %d connections", at, most)
}

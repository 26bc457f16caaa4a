// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

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
	// maxListeners is the maximum number of ports with separate listeners.
	maxListeners = 1000

	// fullBacklog is the backlog of a listener that never accepts.
	fullBacklog = 1
)

// openListeners opens the listeners of a host in the host's process.
func (ta *task) openListeners(t *testing.T) map[Answer]sharedListener {
	t.Helper()
	raiseFileLimit(t)
	// Backlogs must not be full with 1000 concurrent attempts.
	setSysctl(t, "core/somaxconn", "65535")
	setSysctl(t, "ipv4/tcp_max_syn_backlog", "65535")
	if ta.NoICMPLimit {
		// The types in the mask are subject to the total limit, too.
		setSysctl(t, "ipv4/icmp_ratemask", "0")
		setSysctl(t, "ipv6/icmp/ratemask", "")
	}
	ta.openUDP(t)
	sets := make(map[Answer]scan.PortSet)
	total := 0
	for answer, text := range ta.Listen {
		ports, err := scan.ParsePortSet(text)
		if err != nil {
			t.Fatal(err)
		}
		if answer == BacklogFull {
			fillBacklogs(t, ports)
			continue
		}
		sets[answer] = ports
		total += ports.Len()
	}
	if total > maxListeners {
		return openShared(t, sets)
	}
	for answer, ports := range sets {
		for port := range ports.All() {
			acceptAll(listen(t, net.ListenConfig{}, fmt.Sprintf(":%d", port)), answer)
		}
	}
	return nil
}

// openShared opens one listener per answer on a loopback address. A filter redirects the
// answer's ports to it, see TPROXY in nft(8).
func openShared(t *testing.T, sets map[Answer]scan.PortSet) map[Answer]sharedListener {
	t.Helper()
	listeners := make(map[Answer]sharedListener)
	config := net.ListenConfig{Control: transparent}
	for answer := range sets {
		four := listen(t, config, "127.0.0.1:0")
		six := listen(t, config, "[::1]:0")
		acceptAll(four, answer)
		acceptAll(six, answer)
		listeners[answer] = sharedListener{V4: listenerPort(t, four), V6: listenerPort(t, six)}
	}
	return listeners
}

func listenerPort(t *testing.T, l net.Listener) uint16 {
	t.Helper()
	at, err := netip.ParseAddrPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return at.Port()
}

// listen opens a listener, for both families if at has no address.
func listen(t *testing.T, config net.ListenConfig, at string) net.Listener {
	t.Helper()
	// The listener stays open until the process ends, not only until the test does.
	l, err := config.Listen(context.Background(), "tcp", at) //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// acceptAll accepts connections until the process ends.
func acceptAll(l net.Listener, answer Answer) {
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				// No descriptor is free, or the client has disconnected.
				time.Sleep(time.Millisecond)
				continue
			}
			handleConn(conn, answer)
		}
	}()
}

// handleConn handles a connection according to the answer.
func handleConn(conn net.Conn, answer Answer) {
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

// fillBacklogs opens listeners that never accept and fills their backlogs.
func fillBacklogs(t *testing.T, ports scan.PortSet) {
	t.Helper()
	var wait sync.WaitGroup
	for port := range ports.All() {
		l := listen(t, net.ListenConfig{}, fmt.Sprintf(":%d", port))
		if err := setBacklog(l, fullBacklog); err != nil {
			t.Fatal(err)
		}
		wait.Go(func() {
			if err := fillBacklog(l, fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// fillBacklog connects until the listener's backlog is full. The connections stay open.
func fillBacklog(l net.Listener, at string) error {
	const limit = 20
	for held := range limit {
		// A backlog of n accepts n+1 connections, which have the full timeout. A further
		// attempt must not be answered.
		wait := 50 * time.Millisecond
		if held <= fullBacklog {
			wait = hostTimeout
		}
		conn, err := net.DialTimeout("tcp", at, wait)
		switch {
		case err == nil:
			// Keep references, because unreferenced sockets are closed.
			go func() {
				_, _ = io.Copy(io.Discard, conn)
				_ = l.Close()
			}()
		case held > fullBacklog:
			return nil
		default:
			return err
		}
	}
	return fmt.Errorf("backlog of %s is not full after %d connections", at, limit)
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"math"
	"net/netip"
	"os"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"portscan_exporter/internal/engine/pace"
)

// portSet is local ports of one of our addresses, one per variant (see
// [pace.Attempt.Variant]), so that the answers to two attempts at a port differ. A socket
// listens on each, but accepts no connection.
type portSet struct {
	source netip.Addr
	fds    []int
	ports  []uint16 // by variant
	seen   uint32   // number of dropped segments at the last look
}

func newPortSet(source netip.Addr) (*portSet, error) {
	p := &portSet{source: source}
	for range pace.Variants {
		fd, port, err := listenFiltered(source)
		if err != nil {
			p.close()
			return nil, err
		}
		p.fds, p.ports = append(p.fds, fd), append(p.ports, port)
	}
	return p, nil
}

func (p *portSet) close() { closeAll(p.fds) }

// local returns where attempts of the variant come from.
func (p *portSet) local(variant int) netip.AddrPort {
	return netip.AddrPortFrom(p.source, p.ports[variant%len(p.ports)])
}

// hasDropped reports whether the filters have dropped segments since the last call.
func (p *portSet) hasDropped() bool {
	var drops uint32
	for _, fd := range p.fds {
		drops += socketDrops(fd)
	}
	dropped := drops != p.seen
	p.seen = drops
	return dropped
}

// listenFiltered opens a socket that listens on a port of the address that the kernel picks.
func listenFiltered(source netip.Addr) (fd int, port uint16, err error) {
	if fd, err = openSharing(netip.AddrPortFrom(source, 0)); err != nil {
		return -1, 0, err
	}
	local, err := unix.Getsockname(fd)
	var filter []bpf.RawInstruction
	if err == nil {
		filter, err = synAnswers()
	}
	if err == nil {
		err = attachFilter(fd, filter)
	}
	if err == nil {
		err = os.NewSyscallError("listen", unix.Listen(fd, 0))
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, 0, err
	}
	return fd, addrPortOf(local).Port(), nil
}

// socketDrops returns the number of segments that the socket has dropped (sock_diag(7),
// SO_MEMINFO; since Linux 4.12).
func socketDrops(fd int) uint32 {
	const dropsAt = 8 // SK_MEMINFO_DROPS, the last
	var info [dropsAt + 1]uint32
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0) //nolint:gosec // the kernel writes them at once
	if errno != 0 {
		return 0
	}
	return info[dropsAt]
}

// countsDrops reports whether this kernel counts the segments that a filter drops, by a SYN
// to a port of the set.
func (s *connectSystem) countsDrops(p *portSet) bool {
	const tries, pause = 10, time.Millisecond // the SYN is delivered before connect() returns, as a rule
	if s.dropsCounted.Load() {
		return true
	}
	fd, err := openSocket(slotFamily(p.source), netip.Addr{})
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }()
	_ = unix.Connect(fd, sockaddr(p.local(0)))
	for range tries {
		if p.hasDropped() {
			s.dropsCounted.Store(true)
			return true
		}
		time.Sleep(pause)
	}
	return false
}

// portRegistry has the ports that are held at the moment, by all scans of an engine. The
// zero value is empty.
type portRegistry struct {
	mu   sync.RWMutex
	held map[netip.AddrPort]struct{}
}

func (r *portRegistry) add(p *portSet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held == nil {
		r.held = make(map[netip.AddrPort]struct{})
	}
	for variant := range p.ports {
		r.held[p.local(variant)] = struct{}{}
	}
}

func (r *portRegistry) remove(p *portSet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for variant := range p.ports {
		delete(r.held, p.local(variant))
	}
}

// has reports whether the port is held. Only an attempt at one of our own addresses can
// reach one, and would find it filtered.
func (r *portRegistry) has(at netip.AddrPort) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	_, ok := r.held[at]
	return ok
}

// synAnswers returns a filter that drops the segments that answer a SYN: those with SYN, and
// resets of sequence number 0, which ports without a connection send (RFC 9293 section
// 3.10.7.1). It drops a SYN, too, so that the listening socket accepts no connection.
func synAnswers() ([]bpf.RawInstruction, error) {
	const (
		sequenceAt, flagsAt = 4, 13 // in the TCP header, where the segment begins (section 3.1)
		flagSYN, flagRST    = 0x02, 0x04
	)
	return bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: flagsAt, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: flagSYN, SkipTrue: 3},
		bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: flagRST, SkipTrue: 3},
		bpf.LoadAbsolute{Off: sequenceAt, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.RetConstant{Val: math.MaxUint16},
	})
}

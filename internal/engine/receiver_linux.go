// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"portscan_exporter/internal/engine/packet"
)

const (
	// frameSize is the length of a ring's frames: the kernel's header, up to 80 bytes
	// of it, and [packet.SnapLen].
	frameSize = 256

	// blockSize is how much of a ring lies together in the kernel's memory.
	blockSize = 64 << 10

	// mostIdle bounds the receivers of a kind that are kept for the next scan.
	mostIdle = mostLanes
)

// ringSize is how many answers may wait to be read: lanes read every few
// milliseconds, but may have to wait for a processor.
type ringSize int

const (
	smallRing ringSize = 1024
	largeRing ringSize = 8192
)

// ringFor returns the size of a ring for so many attempts in all. Many scans are
// small, and many of them may be under way at once.
func ringFor(attempts int) ringSize {
	const few = 4096
	if attempts <= few {
		return smallRing
	}
	return largeRing
}

// kind is what a receiver was made for.
type kind struct {
	family uint8
	size   ringSize
}

// receiver is a packet socket with a ring that the kernel writes to (packet(7),
// PACKET_RX_RING with TPACKET_V2): an ordinary socket's buffer, which can't be made
// larger without another privilege, holds 256 answers. It is for one goroutine.
type receiver struct {
	kind kind
	fd   int
	ring []byte
	next int  // frame that is written next
	lost bool // the kernel says that some found no room
	full int  // frames read without one that was empty
}

// The fields of a struct tpacket2_hdr (linux/if_packet.h) that are read.
const (
	frameStatus = 0
	frameKept   = 8
	frameNet    = 14
)

func newReceiver(k kind) (*receiver, error) {
	fd, err := openRaw(unix.AF_PACKET, unix.SOCK_DGRAM, 0) // of no protocol: it hears nothing yet
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	r := &receiver{kind: k, fd: fd}
	if err := r.prepare(); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// prepare makes the ring before the socket hears anything.
func (r *receiver) prepare() error {
	frames := int(r.kind.size)
	if err := r.filter(packet.DropFilter()); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V2); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	err := unix.SetsockoptTpacketReq(r.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &unix.TpacketReq{
		Block_size: blockSize, Block_nr: uint32(frames * frameSize / blockSize), Frame_size: frameSize, Frame_nr: uint32(frames), //nolint:gosec // thousands
	})
	if err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if r.ring, err = unix.Mmap(r.fd, 0, frames*frameSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return os.NewSyscallError("mmap", err)
	}
	protocol := uint16(unix.ETH_P_IP)
	if r.kind.family == family6 {
		protocol = unix.ETH_P_IPV6
	}
	// Of every interface, loopback included; of one protocol, the socket hears what
	// comes in and not what goes out.
	return os.NewSyscallError("bind", unix.Bind(r.fd, &unix.SockaddrLinklayer{Protocol: protocol<<8 | protocol>>8}))
}

func (r *receiver) close() {
	if r.ring != nil {
		_ = unix.Munmap(r.ring)
	}
	_ = unix.Close(r.fd)
}

// filter says which packets to keep (socket(7), SO_ATTACH_FILTER).
func (r *receiver) filter(program []bpf.RawInstruction) error {
	raw := make([]unix.SockFilter, len(program))
	for i, p := range program {
		raw[i] = unix.SockFilter{Code: p.Op, Jt: p.Jt, Jf: p.Jf, K: p.K}
	}
	err := unix.SetsockoptSockFprog(r.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{
		Len: uint16(len(raw)), Filter: &raw[0], //nolint:gosec // a few dozen
	})
	return os.NewSyscallError("setsockopt", err)
}

// read hands over what has come, a part of a ring at the most, and tells whether
// there may be more. verify tells that nobody has looked at the checksum.
func (r *receiver) read(take func(data []byte, verify bool)) (more bool) {
	const most = 1024
	for range most {
		frame := r.ring[r.next*frameSize:][:frameSize:frameSize]
		owner := (*uint32)(unsafe.Pointer(&frame[frameStatus])) //nolint:gosec // aligned: frames are
		status := atomic.LoadUint32(owner)
		if status&unix.TP_STATUS_USER == 0 {
			if r.full < int(r.kind.size) {
				r.full = 0
			}
			return false
		}
		r.full++
		if status&unix.TP_STATUS_LOSING != 0 {
			r.lost = true
		}
		kept := *(*uint32)(unsafe.Pointer(&frame[frameKept])) //nolint:gosec // aligned
		from := *(*uint16)(unsafe.Pointer(&frame[frameNet]))  //nolint:gosec // aligned
		if end := int(from) + int(kept); end <= frameSize {
			take(frame[from:end], status&(unix.TP_STATUS_CSUMNOTREADY|unix.TP_STATUS_CSUM_VALID) == 0)
		}
		atomic.StoreUint32(owner, unix.TP_STATUS_KERNEL)
		r.next = (r.next + 1) % int(r.kind.size)
	}
	return true
}

// overflown tells whether answers found the ring full since the last call. The kernel
// says so with the next answer, and when it is asked, which is where a ring was full.
func (r *receiver) overflown() bool {
	if !r.lost && r.full < int(r.kind.size) {
		return false
	}
	r.lost, r.full = false, 0
	stats, err := unix.GetsockoptTpacketStats(r.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS) // sets them to 0
	return err != nil || stats.Drops > 0
}

// receivers are kept from scan to scan: to make one and to close it takes 30 ms,
// for which the kernel waits until no processor can be using it any more. It may be
// used concurrently.
type receivers struct {
	mu   sync.Mutex
	idle map[kind][]*receiver
}

// take returns a receiver of what comes to these ports.
func (p *receivers) take(k kind, ports []uint16) (*receiver, error) {
	program, err := packet.Filter4(ports)
	if k.family == family6 {
		program, err = packet.Filter6(ports)
	}
	if err != nil {
		return nil, fmt.Errorf("making a filter: %w", err)
	}
	r := p.pick(k)
	if r == nil {
		if r, err = newReceiver(k); err != nil {
			return nil, err
		}
	}
	if err := r.filter(program); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (p *receivers) pick(k kind) *receiver {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle[k]) - 1
	if last < 0 {
		return nil
	}
	r := p.idle[k][last]
	p.idle[k] = p.idle[k][:last]
	return r
}

// put takes a receiver back, which hears nothing from then on.
func (p *receivers) put(r *receiver) {
	if err := r.filter(packet.DropFilter()); err != nil {
		r.close()
		return
	}
	for r.read(func([]byte, bool) {}) {
	}
	r.overflown()
	if !p.keep(r) {
		r.close()
	}
}

func (p *receivers) keep(r *receiver) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := r.kind
	if p.idle == nil {
		p.idle = make(map[kind][]*receiver)
	}
	if len(p.idle[k]) >= mostIdle {
		return false
	}
	p.idle[k] = append(p.idle[k], r)
	return true
}

func (p *receivers) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, idle := range p.idle {
		for _, r := range idle {
			r.close()
		}
		delete(p.idle, k)
	}
}

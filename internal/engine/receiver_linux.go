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
	// frameSize is the size of a frame of a ring, in bytes: the kernel's header of up to
	// 80 bytes, and [packet.SnapLen].
	frameSize = 256

	// blockSize is the size of a contiguous block of a ring, in bytes.
	blockSize = 64 << 10

	// maxIdle is the maximum number of receivers of a kind that are kept for later scans.
	maxIdle = maxWorkers
)

// ringSize is the number of answers that a ring holds. Workers read every few milliseconds,
// but may have to wait for a processor.
type ringSize int

const (
	smallRing ringSize = 1024
	largeRing ringSize = 8192
)

// ringFor returns the size of a ring for a number of attempts. Many small scans can run at
// once.
func ringFor(attempts int) ringSize {
	const few = 4096
	if attempts <= few {
		return smallRing
	}
	return largeRing
}

// receiverKind has the properties of a receiver that cannot change.
type receiverKind struct {
	family uint8
	size   ringSize
}

// receiver is a packet socket with a ring to which the kernel writes (packet(7),
// PACKET_RX_RING with TPACKET_V2). The buffer of an ordinary socket holds 256 answers and
// needs another privilege to grow. It may be used by one goroutine.
type receiver struct {
	kind receiverKind
	fd   int
	ring []byte
	next int  // frame that is written next
	lost bool // the kernel reported dropped packets
	full int  // frames read in a row without an empty one
}

// Offsets of fields of a struct tpacket2_hdr (linux/if_packet.h).
const (
	frameStatus = 0
	frameKept   = 8
	frameNet    = 14
)

func newReceiver(k receiverKind) (*receiver, error) {
	fd, err := openRaw(unix.AF_PACKET, unix.SOCK_DGRAM, 0) // without a protocol, it receives no packets yet
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

// prepare creates the ring before the socket receives packets.
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
	// Of every interface including loopback. A socket for one protocol receives only
	// incoming packets.
	return os.NewSyscallError("bind", unix.Bind(r.fd, &unix.SockaddrLinklayer{Protocol: protocol<<8 | protocol>>8}))
}

func (r *receiver) close() {
	if r.ring != nil {
		_ = unix.Munmap(r.ring)
	}
	_ = unix.Close(r.fd)
}

func (r *receiver) filter(program []bpf.RawInstruction) error { return attachFilter(r.fd, program) }

// attachFilter sets the filter of packets (socket(7), SO_ATTACH_FILTER).
func attachFilter(fd int, program []bpf.RawInstruction) error {
	raw := make([]unix.SockFilter, len(program))
	for i, p := range program {
		raw[i] = unix.SockFilter{Code: p.Op, Jt: p.Jt, Jf: p.Jf, K: p.K}
	}
	err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{
		Len: uint16(len(raw)), Filter: &raw[0], //nolint:gosec // a few dozen
	})
	return os.NewSyscallError("setsockopt", err)
}

// read passes received packets to take, at most a part of the ring, and reports whether
// there can be more. verify is set if the kernel has not verified the checksum.
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

// overflowed reports whether answers were dropped since the last call because the ring was
// full. The kernel reports it with the next answer, or on request, which is made if the ring
// was seen full.
func (r *receiver) overflowed() bool {
	if !r.lost && r.full < int(r.kind.size) {
		return false
	}
	r.lost, r.full = false, 0
	stats, err := unix.GetsockoptTpacketStats(r.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS) // sets them to 0
	return err != nil || stats.Drops > 0
}

// receiverPool keeps receivers for later scans: creating and closing one takes 30 ms,
// because the kernel waits for an RCU grace period. It may be used concurrently.
type receiverPool struct {
	mu   sync.Mutex
	idle map[receiverKind][]*receiver
}

// take returns a receiver for these local ports.
func (p *receiverPool) take(k receiverKind, ports []uint16) (*receiver, error) {
	program, err := packet.Filter4(ports)
	if k.family == family6 {
		program, err = packet.Filter6(ports)
	}
	if err != nil {
		return nil, fmt.Errorf("making a filter: %w", err)
	}
	r := p.takeIdle(k)
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

func (p *receiverPool) takeIdle(k receiverKind) *receiver {
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

// put returns a receiver to the pool. It receives no packets from then on.
func (p *receiverPool) put(r *receiver) {
	if err := r.filter(packet.DropFilter()); err != nil {
		r.close()
		return
	}
	for r.read(func([]byte, bool) {}) {
	}
	r.overflowed()
	if !p.addIdle(r) {
		r.close()
	}
}

func (p *receiverPool) addIdle(r *receiver) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := r.kind
	if p.idle == nil {
		p.idle = make(map[receiverKind][]*receiver)
	}
	if len(p.idle[k]) >= maxIdle {
		return false
	}
	p.idle[k] = append(p.idle[k], r)
	return true
}

func (p *receiverPool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, idle := range p.idle {
		for _, r := range idle {
			r.close()
		}
		delete(p.idle, k)
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/binary"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// netlinkTimeout is how long an answer of the kernel is waited for.
const netlinkTimeout = time.Second

// askNetlink sends a request for one entry (rtnetlink(7)), and returns the body of the
// answer, which must be of the wanted type. The error is that of the kernel, such as EOPNOTSUPP
// if it does not support the request, and ENOENT if its answer has no such entry.
func askNetlink(request, wanted uint16, body []byte) ([]byte, error) {
	var answer []byte
	missing := unix.ENOENT
	err := dumpNetlink(request, 0, body, func(kind uint16, data []byte) (more bool) {
		switch {
		case kind == wanted:
			answer = data
		case kind == unix.NLMSG_ERROR && netlinkErrno(data) != 0:
			missing = netlinkErrno(data)
		}
		return false
	})
	if err == nil && answer == nil {
		err = missing
	}
	return answer, os.NewSyscallError("netlink", err)
}

// netlinkErrno returns the error number of a struct nlmsgerr (netlink(7)).
func netlinkErrno(data []byte) unix.Errno {
	if len(data) < 4 {
		return 0
	}
	return unix.Errno(-int32(binary.NativeEndian.Uint32(data))) //nolint:gosec // a negative number
}

// dumpNetlink sends a request and passes the messages of the answer to take, until take
// returns false.
func dumpNetlink(request, flags uint16, body []byte, take func(kind uint16, data []byte) (more bool)) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	limit := unix.NsecToTimeval(netlinkTimeout.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		return err
	}
	message := make([]byte, unix.SizeofNlMsghdr, unix.SizeofNlMsghdr+len(body))
	binary.NativeEndian.PutUint32(message, uint32(cap(message))) //nolint:gosec // some dozen bytes
	binary.NativeEndian.PutUint16(message[4:], request)
	binary.NativeEndian.PutUint16(message[6:], unix.NLM_F_REQUEST|flags)
	message = append(message, body...)
	if err := unix.Sendto(fd, message, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	size := unix.Getpagesize()
	if flags&unix.NLM_F_DUMP != 0 {
		size = 32 << 10 // the kernel's limit for a part of a dump
	}
	return receiveNetlink(fd, make([]byte, size), take)
}

// receiveNetlink passes the messages of an answer to take.
func receiveNetlink(fd int, buffer []byte, take func(kind uint16, data []byte) (more bool)) error {
	for {
		n, _, err := unix.Recvfrom(fd, buffer, 0)
		if err != nil {
			return err
		}
		messages, err := syscall.ParseNetlinkMessage(buffer[:n])
		if err != nil {
			return err
		}
		for _, m := range messages {
			if m.Header.Type == unix.NLMSG_DONE || !take(m.Header.Type, m.Data) {
				return nil
			}
		}
	}
}

// appendAttribute appends a struct rtattr with its value, padded to four bytes.
func appendAttribute(message []byte, kind uint16, value []byte) []byte {
	message = binary.NativeEndian.AppendUint16(message, uint16(unix.SizeofRtAttr+len(value))) //nolint:gosec // 20 at most
	message = append(binary.NativeEndian.AppendUint16(message, kind), value...)
	for len(message)%unix.RTA_ALIGNTO != 0 {
		message = append(message, 0)
	}
	return message
}

// attributes yields the attributes of a message of routes or neighbors, up to the first
// malformed one.
func attributes(data []byte) func(yield func(kind uint16, value []byte) bool) {
	return func(yield func(uint16, []byte) bool) {
		for len(data) >= unix.SizeofRtAttr {
			size := int(binary.NativeEndian.Uint16(data))
			if size < unix.SizeofRtAttr || size > len(data) {
				return
			}
			if !yield(binary.NativeEndian.Uint16(data[2:]), data[unix.SizeofRtAttr:size]) {
				return
			}
			data = data[min((size+unix.RTA_ALIGNTO-1)&^(unix.RTA_ALIGNTO-1), len(data)):]
		}
	}
}

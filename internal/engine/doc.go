// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Package engine implements [scan.Scanner] with TCP connections ([NewConnect], [NewDial]),
// half-open TCP scans ([NewSYN]) and UDP ([NewUDP], [NewDialUDP]).
//
// An attempt is one connection, SYN or set of datagrams for one port of one address. Its way
// through the package:
//
//	Engine.Scan        starts a scanRun, with a pace.Pacer for each address
//	    |
//	worker             one goroutine per processor core
//	    |
//	Pacer.Next  <----------------------------------------+
//	    |  attempt                                       |
//	share              waits for a place and the packet  |
//	    |              rate of the Budget                |
//	prober.send        connect(), SYN or datagrams       |
//	    |                                                |
//	 (network)                                           | retry
//	    |                                                |
//	prober.wait        completion: answer or error,      |
//	    |              read by classify.go               |
//	Pacer.Answered, TimedOut, Failed, AnsweredLate  -----+
//	    |  verdict
//	report             scan.PortResult
//
// The policies of pacing and retries are in package pace, the packets in package packet, and
// the datagrams of UDP services in package payload.
//
// [WithControl] wraps an engine and detects interceptors after its scan.
//
// Engines scan addresses that [scan.NewRequest] has checked. They share one [Budget], which
// keeps all scans together within the limits of this machine.
package engine

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Package coordinator implements the scheduling of scans. Probes for the same scan share it. The
// coordinator limits the number of concurrent scans, selects the engine of each, records results
// in a [store.Store], and returns partial results at a probe's deadline.
//
// A scan with a max_age is a sweep: it has its own timeout, and may outlive its probes. States:
//
//	first probe
//	     |
//	     v       last probe leaves, not permitted, shutdown
//	  queued --------------------------------------------------> dropped
//	     |
//	     | free slot
//	     v       last probe leaves, without max_age: canceled
//	  running ---------------------------------------------+
//	     |  \                                              |
//	     |   \ last probe leaves, with max_age             |
//	     |    \                                            |
//	     |     +--> detached: holds a detached slot -------+ engine returned
//	     |     |                                           v
//	     |     +--> no detached slot, or shutdown       recorded in the store
//	     |             |                                   ^
//	     |             v                                   |
//	     |          suspended: the next scan resumes it    |
//	     |                                                 |
//	     +-------------------------------------------------+
//	       engine returned, or timeout
//
// Detached sweeps have a quarter as many slots as scans, and one per target and module, so that
// abandoned requests do not block other targets.
//
// Guarantees: [Coordinator.Scan] returns when its context ends, even if the resolver or the
// engine hangs. The outcome of a scan, including a panic, is returned to all waiting
// probes. A probe never joins a scan that has ended or was canceled, apart from a sweep at its
// timeout, whose result is about to be recorded. A scan holds its slot until its engine has
// returned. After [Coordinator.Close], no goroutine is running.
//
// One lock guards the scans and the waiting probes. It is not held during calls to other
// packages, nor during work that grows with the number of addresses or ports. A scan takes it
// only at its start and end, never for a port. A scan's results so far (scanRun) have a
// separate lock. Of two locks, only that of the semaphore is taken while another one is held.
package coordinator

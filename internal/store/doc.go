// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Package store implements the results of scans: what is known of the ports of each target and
// module. Answers to probes, status pages, the log of port changes and the state file all read
// it, so that they agree.
//
// The store has an entry for each target and module:
//
//	entry            scan.Task, whose digest identifies the configuration
//	  fullScan       end, failures and addresses of the last scan of the complete target
//	  record         one for each address; immutable, replaced by each scan
//	    newest       result of the last scan
//	    previous     earlier result, for ports that the newest one does not know
//	    baseline     states in the last complete scan, with which the next one is compared
//	    history      ports once open, last changes, last response
//	  unfinished     results of suspended scans, which resume
//	  changeLog      last changes of port states, and new hosts
//
// An address is shown with its newest result. Ports that an incomplete scan did not reach have
// their earlier states as long as these are not older than max_age plus twice the timeout; then they are
// unknown. Without a max_age, they are unknown at once.
//
// The store has one limit of bytes. Entries are evicted address by address, in the order in which
// the entries were last used. A new configuration removes the results of scans that changed, and
// the history of ports and addresses that are gone.
//
// Locks: [Store].mu guards the entries' order and size, and is not held during any work that grows
// with the number of addresses. Each entry has a lock for its maps, and another one that
// serializes writers, so that readers never wait for comparisons.
package store

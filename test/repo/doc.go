// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Package repo provides tests of the repository: links in documents, words of documents,
// comments and messages, names of metrics, and documentation of messages.
package repo

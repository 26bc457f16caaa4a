// Package repo provides tests of the repository: links and wording of documents, names of
// metrics, and documentation of messages.
package repo

// Package repo holds tests of the repository: its documents, and the names that code,
// documents, dashboards and rules share.
package repo

// Package bench compares the exporter with other ways to scan, side by side in
// one run on the hosts of package lab. It holds tests alone: `go test ./bench`
// sees that the comparison works, and `make bench` runs it whole and writes
// docs/benchmarks.md.
package bench

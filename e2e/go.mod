module portscan_exporter/e2e

go 1.26.0

require (
	github.com/grafana/grafana-foundation-sdk/go v0.0.22
	golang.org/x/crypto v0.58.0
)

// Command portscan_exporter is a Prometheus exporter that scans TCP and UDP ports of
// hosts that its user owns.
package main

import (
	"os"

	"portscan_exporter/internal/app"
)

func main() { os.Exit(app.Run(os.Args[1:], os.Stdout, os.Stderr)) }

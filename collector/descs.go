// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package collector

import "github.com/prometheus/client_golang/prometheus"

// probeDescs are the descriptors of all metrics of a probe.
type probeDescs struct {
	all []*prometheus.Desc

	success, duration, lookup                        *prometheus.Desc
	portOpen, portFiltered, portResponse, portChange *prometheus.Desc
	ports, violating, omitted                        *prometheus.Desc
	responding, lastResponse, suspect                *prometheus.Desc
	addresses, refused, addressInfo                  *prometheus.Desc
	scanTime, scanDuration, scanTimeout, scanMaxAge  *prometheus.Desc
	scanProgress, attempts, retries, unknown, failed *prometheus.Desc
	targetInfo, expiry                               *prometheus.Desc
}

func newProbeDescs() *probeDescs {
	var all []*prometheus.Desc
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		all = append(all, prometheus.NewDesc(name, help, labels, nil))
		return all[len(all)-1]
	}
	const ip, port, protocol, expected, state, reason = "ip", "port", "protocol", "expected", "state", "reason"
	d := &probeDescs{
		success:  desc("probe_success", "Whether every port has a definite state on every address, no address was refused, no failure occurred, and the result is not older than max_age plus timeout."),
		duration: desc("probe_duration_seconds", "Time from the arrival of the request to this answer in seconds."),
		lookup:   desc("probe_dns_lookup_time_seconds", "Time taken to resolve the target's names in seconds."),

		portOpen:     desc("portscan_port_open", "Whether the port is open. Absent if that is unknown, or if a UDP port is silent.", ip, port, protocol, expected),
		portFiltered: desc("portscan_port_filtered", "Whether the port is silent or rejected by a filter. Absent if that is unknown.", ip, port, protocol, expected),
		portResponse: desc("portscan_port_response_seconds", "Time from the last attempt to its answer in seconds. Absent if the port did not answer.", ip, port, protocol),
		portChange:   desc("portscan_port_last_change_timestamp_seconds", "Unix timestamp of the port's last state change. Absent if no change was seen.", ip, port, protocol),

		ports:        desc("portscan_ports", "Number of ports of the plan by state.", ip, protocol, state),
		violating:    desc("portscan_ports_violating", "Number of ports that violate the target's expectations: open but expected closed, or not open but expected open.", ip, protocol, expected),
		omitted:      desc("portscan_ports_omitted", "Number of notable ports without series in this answer, because of max_ports or lack of time.", ip, protocol),
		responding:   desc("portscan_address_responding", "Whether the address itself answered during the scan. ICMP errors of routers do not count.", ip, protocol),
		lastResponse: desc("portscan_address_last_response_timestamp_seconds", "Unix timestamp of the last answer of the address itself. Absent if no answer was seen.", ip, protocol),
		suspect:      desc("portscan_address_suspect", "Whether a middlebox probably answers for the address, such as a SYN proxy, a catch-all listener or a tarpit.", ip, protocol),

		addresses:   desc("portscan_addresses", "Number of addresses that the target resolved to inside its networks."),
		refused:     desc("portscan_addresses_refused", "Number of addresses that the target resolved to outside its networks. They are not scanned."),
		addressInfo: desc("portscan_address_info", "Entry of the target's hosts that led to the address. Always 1.", ip, "host"),

		scanTime:     desc("portscan_scan_timestamp_seconds", "Unix timestamp of the end of the scan shown. With max_age it may be an earlier scan."),
		scanDuration: desc("portscan_scan_duration_seconds", "Time that the scan shown took in seconds. With max_age it may be an earlier scan."),
		scanTimeout:  desc("portscan_scan_timeout_seconds", "Timeout of the module in seconds."),
		scanMaxAge:   desc("portscan_scan_max_age_seconds", "Maximum age of the module's cached results in seconds (max_age)."),
		scanProgress: desc("portscan_scan_progress_ratio", "Progress of the scan running behind a cached result, from 0 to 1. 1 if none is running."),
		attempts:     desc("portscan_scan_attempts", "Number of attempts (packets or connections) of the scan.", protocol),
		retries:      desc("portscan_scan_retries", "Number of attempts that were not a port's first.", protocol),
		unknown:      desc("portscan_ports_unknown", "Number of ports in state unknown by reason, over all addresses.", reason),
		failed:       desc("portscan_scan_failed", "Whether the scan failed for this reason.", reason),

		targetInfo: desc("portscan_target_info", "Target name, owner and authorization reference. Always 1.", "target", "owner", "reference"),
		expiry:     desc("portscan_authorization_expiry_timestamp_seconds", "Unix timestamp of the authorization's expiry. Absent if it does not expire."),
	}
	d.all = all
	return d
}

// status returns the descriptors of the metrics that [NewProbeStatus] collects.
func (d *probeDescs) status() []*prometheus.Desc {
	return []*prometheus.Desc{d.scanProgress, d.retries, d.scanTimeout, d.scanTime, d.targetInfo, d.lookup, d.duration, d.success}
}

package collector

import "github.com/prometheus/client_golang/prometheus"

// descs are all metrics of a probe: every name, label and help text.
type descs struct {
	success, duration, lookup                        *prometheus.Desc
	portOpen, portFiltered, portResponse, portChange *prometheus.Desc
	ports, violating, omitted, responding, suspect   *prometheus.Desc
	addresses, refused, addressInfo                  *prometheus.Desc
	scanTime, scanDuration, scanTimeout, scanMaxAge  *prometheus.Desc
	scanProgress, attempts, retries, unknown, failed *prometheus.Desc
	targetInfo, expiry                               *prometheus.Desc
}

func newDescs() *descs {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	const ip, port, protocol, expected, state, reason = "ip", "port", "protocol", "expected", "state", "reason"
	return &descs{
		success:  desc("probe_success", "1 if every port of the plan has a definite state on every address and no address was refused, else 0."),
		duration: desc("probe_duration_seconds", "How long this answer took, from the arrival of the request."),
		lookup:   desc("probe_dns_lookup_time_seconds", "How long the target's names took to resolve."),

		portOpen:     desc("portscan_port_open", "1 if the port is open, 0 if it is not. Absent where that is unknown, and for UDP ports that stay silent.", ip, port, protocol, expected),
		portFiltered: desc("portscan_port_filtered", "1 if the port is silent or a filter refuses it, 0 if it answered. Absent where that is unknown.", ip, port, protocol, expected),
		portResponse: desc("portscan_port_response_seconds", "Time from the last attempt to the answer, for reported ports that gave one.", ip, port, protocol),
		portChange:   desc("portscan_port_last_change_timestamp_seconds", "When the scan ended that saw the port in another state than the complete one before, as Unix time. Absent where none has.", ip, port, protocol),

		ports:      desc("portscan_ports", "Ports of the plan by state. The five states add up to the plan.", ip, protocol, state),
		violating:  desc("portscan_ports_violating", "Ports that are not as the target's owner expects: open and expected closed, or known not to be open and expected open.", ip, protocol, expected),
		omitted:    desc("portscan_ports_omitted", "Ports worth reporting one by one for which the module's max_ports left no room.", ip, protocol),
		responding: desc("portscan_address_responding", "1 if the address answered anything in this scan, a RST or an ICMP error included, 0 if it is dark.", ip, protocol),
		suspect:    desc("portscan_address_suspect", "1 if so many ports answer open that something in between is likely to answer for the address.", ip, protocol),

		addresses:   desc("portscan_addresses", "Addresses that the target resolved to, within its networks."),
		refused:     desc("portscan_addresses_refused", "Addresses that the target resolved to outside its networks. They were not touched."),
		addressInfo: desc("portscan_address_info", "1 for every entry of the target's hosts that led to the address.", ip, "host"),

		scanTime:     desc("portscan_scan_timestamp_seconds", "When the scan that this answer shows ended, as Unix time. With max_age it may be an earlier one."),
		scanDuration: desc("portscan_scan_duration_seconds", "How long the scan that this answer shows took. With max_age it may be an earlier one."),
		scanTimeout:  desc("portscan_scan_timeout_seconds", "The module's timeout for one whole scan."),
		scanMaxAge:   desc("portscan_scan_max_age_seconds", "The module's max_age: how old a scan an answer may show."),
		scanProgress: desc("portscan_scan_progress_ratio", "How far a scan under way behind this answer is, from 0 to 1; 1 if there is none."),
		attempts:     desc("portscan_scan_attempts", "Packets or connects that the scan took.", protocol),
		retries:      desc("portscan_scan_retries", "Those of the attempts that were not a port's first.", protocol),
		unknown:      desc("portscan_ports_unknown", "Ports whose state is unknown, by cause, over all addresses.", reason),
		failed:       desc("portscan_scan_failed", "1 for what kept the scan from being whole, else 0.", reason),

		targetInfo: desc("portscan_target_info", "1, with the target's name, its owner, and the reference of the owner's leave to scan it.", "target", "owner", "reference"),
		expiry:     desc("portscan_authorization_expiry_timestamp_seconds", "When the authorization to scan the target ends, as Unix time. Absent where it does not."),
	}
}

// all returns every desc.
func (d *descs) all() []*prometheus.Desc {
	return []*prometheus.Desc{
		d.success, d.duration, d.lookup,
		d.portOpen, d.portFiltered, d.portResponse, d.portChange,
		d.ports, d.violating, d.omitted, d.responding, d.suspect,
		d.addresses, d.refused, d.addressInfo,
		d.scanTime, d.scanDuration, d.scanTimeout, d.scanMaxAge,
		d.scanProgress, d.attempts, d.retries, d.unknown, d.failed,
		d.targetInfo, d.expiry,
	}
}

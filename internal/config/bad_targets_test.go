// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

// badTargets returns fixtures with other errors in targets.
func badTargets() []badCase {
	return []badCase{
		{"authorization", []string{
			`authorization.yml:7: targets[0].authorization: owner is missing: write owner: "net team"`,
			`authorization.yml:11: targets[1].authorization.owner: must not be empty: write the owner of this target, such as owner: "net team"`,
			`authorization.yml:15: targets[2].authorization: must be a mapping: write authorization: {owner: "net team"}`,
			`authorization.yml:19: targets[3].authorization.owner: must not be a list: write owner: "net team"`,
			`authorization.yml:23: targets[4].authorization.expires: "30.06.2027" is not a date: write a date such as 2027-06-30, or a time such as 2027-06-30T18:00:00Z`,
			`authorization.yml:27: targets[5].authorization.expires: "2027-02-30" is not a date: write a date such as 2027-06-30, or a time such as 2027-06-30T18:00:00Z`,
			`authorization.yml:31: targets[6].authorization.expires: "2027-06-30 18:00:00" is not a date: write a date such as 2027-06-30, or a time such as 2027-06-30T18:00:00Z`,
			`authorization.yml:35: targets[7].authorization.expires: "0001-01-01T00:00:00Z" is before the year 2000: write the last day of the authorization, such as 2027-06-30`,
			`authorization.yml:39: targets[8].authorization: owner is missing: write owner: "net team"`,
			`authorization.yml:43: targets[9].authorization.expires: "" is not a date: write a date such as 2027-06-30, or a time such as 2027-06-30T18:00:00Z`,
		}},
		{"duplicate_name", []string{
			`duplicate_name.yml:12: targets[2].name: target name "web" is already used at duplicate_name.yml:4: write another name`,
		}},
		{"empty_lists", []string{
			`empty_lists.yml:5: targets[0].hosts: must not be empty: write hosts: [192.0.2.10]`,
			`empty_lists.yml:6: targets[0].modules: must not be empty: write modules: [tcp_default]`,
		}},
		{"empty_plan", []string{
			`empty_plan.yml:7: targets[0].modules[0]: module "none" has no ports to scan for this target: write ports in the module, or expect.tcp.open in the target, that exclude_ports does not cover`,
			`empty_plan.yml:7: targets[0].modules[1]: module "all_excluded" has no ports to scan for this target: write ports in the module, or expect.tcp.open in the target, that exclude_ports does not cover`,
			`empty_plan.yml:16: targets[2].modules[0]: module "none" has no ports to scan for this target: write ports in the module, or expect.tcp.open in the target, that exclude_ports does not cover`,
		}},
		{"expect", []string{
			`expect.yml:9: targets[0].expect.tcp: value is missing: write tcp: {} if no port may be open, or remove the key`,
			`expect.yml:10: targets[0].expect.udp.open: value is missing: write open: "22,443", or remove the key`,
			`expect.yml:10: targets[0].expect.udp.allow: port 70000 is out of range: write 1 to 65535`,
			`expect.yml:15: targets[1].expect: value is missing: write expect: {tcp: {open: "22,443"}}, or remove the key`,
			`expect.yml:20: targets[2].expect.tcp.open: YAML parses the text after the comma as a key: write open: "22,443", with quotes`,
			`expect.yml:25: targets[3].expect.tcp.open: YAML parses the text after the comma as a key: write open: "22,443,8000-8010", with quotes`,
			`expect.yml:25: targets[3].expect.tcp.allow: YAML parses the text after the comma as a key: write allow: "80,81", with quotes`,
			`expect.yml:30: targets[4].expect.tcp: must be a mapping: write tcp: {open: "22,443"}`,
			`expect.yml:35: targets[5].expect.tcp: must be a mapping: write tcp: {open: "22,443"}`,
			`expect.yml:40: targets[6].expect: must be a mapping: write expect: {tcp: {open: "22,443"}}`,
			`expect.yml:45: targets[7].expect.tcp.open: "ssh" is not a port or a range: write a number from 1 to 65535, or a range such as 8000-8100`,
			`expect.yml:45: targets[7].expect.tcp.443: YAML parses the port as a key: write the list of ports in quotes, such as "22,443"`,
			`expect.yml:50: targets[8].expect.tcp.443: YAML parses the port as a key: write the list of ports in quotes, such as "22,443"`,
		}},
		{"labels", []string{
			`labels.yml:9: targets[0].labels.1st: "1st" is not a valid label name: write only letters, digits and _, with no leading digit`,
			`labels.yml:10: targets[0].labels.a-b: "a-b" is not a valid label name: write only letters, digits and _, with no leading digit`,
			`labels.yml:11: targets[0].labels.__address__: label names that start with __ are reserved for Prometheus: write another name`,
			`labels.yml:12: targets[0].labels.empty: value is missing: write empty: "" for an empty value`,
			`labels.yml:13: targets[0].labels.listed: must not be a list: write a single value`,
			`labels.yml:14: targets[0].labels.mapped: must not be a mapping: write a single value`,
			`labels.yml:15: targets[0].labels.ip: label name is reserved for the metrics or Prometheus: write another name`,
			`labels.yml:16: targets[0].labels.port: label name is reserved for the metrics or Prometheus: write another name`,
			`labels.yml:17: targets[0].labels.protocol: label name is reserved for the metrics or Prometheus: write another name`,
			`labels.yml:18: targets[0].labels.expected: label name is reserved for the metrics or Prometheus: write another name`,
			`labels.yml:19: targets[0].labels.state: label name is reserved for the metrics or Prometheus: write another name`,
			`labels.yml:20: targets[0].labels.reason: label name is reserved for the metrics or Prometheus: write another name`,
			`labels.yml:21: targets[0].labels.host: label name is reserved for the metrics or Prometheus: write another name`,
			`labels.yml:22: targets[0].labels.target: label name is reserved for the metrics or Prometheus: write another name`,
			`labels.yml:23: targets[0].labels.owner: label name is reserved for the metrics or Prometheus: write another name`,
			`labels.yml:24: targets[0].labels.reference: label name is reserved for the metrics or Prometheus: write another name`,
			`labels.yml:25: targets[0].labels.module: label name is reserved for the metrics or Prometheus: write another name`,
			`labels.yml:26: targets[0].labels.instance: label name is reserved for the metrics or Prometheus: write another name`,
			`labels.yml:27: targets[0].labels.job: label name is reserved for the metrics or Prometheus: write another name`,
			`labels.yml:28: targets[0].labels.le: label name is reserved for the metrics or Prometheus: write another name`,
			`labels.yml:29: targets[0].labels.quantile: label name is reserved for the metrics or Prometheus: write another name`,
			`labels.yml:30: targets[0].labels.alertname: label name is reserved for the metrics or Prometheus: write another name`,
			`labels.yml:31: external_labels.job: label name is reserved for the metrics or Prometheus: write another name`,
			`labels.yml:31: external_labels."": "" is not a valid label name: write only letters, digits and _, with no leading digit`,
			`labels.yml:31: external_labels.tilde: value is missing: write tilde: "" for an empty value`,
		}},
		{"labels_list", []string{
			`labels_list.yml:8: targets[0].labels: must be a mapping: write labels: {env: prod}`,
		}},
		{"scalar_lists", []string{
			`scalar_lists.yml:5: targets[0].hosts: must be a list: write hosts: [www.example.org, 192.0.2.1]`,
			`scalar_lists.yml:6: targets[0].modules: must be a list: write modules: [tcp]`,
			`scalar_lists.yml:8: targets[0].networks: must be a list: write networks: [192.0.2.0/24]`,
			`scalar_lists.yml:9: targets[0].exclude_hosts: must be a list: write exclude_hosts: [192.0.2.9]`,
			`scalar_lists.yml:10: target_files: must be a list: write target_files: [targets.d/*.yml]`,
		}},
		{"target_modules", []string{
			`target_modules.yml:7: targets[0].modules[0]: module "tcp_dfault" is not configured: did you mean "tcp_default"?`,
			`target_modules.yml:7: targets[0].modules[1]: module "nothing_like_it" is not configured: write one of tcp_default, tcp_full`,
			`target_modules.yml:7: targets[0].modules[3]: duplicate module "tcp_full": write the module once`,
			`target_modules.yml:7: targets[0].modules[4]: module "" is not configured: write one of tcp_default, tcp_full`,
		}},
		{"target_required", []string{
			`target_required.yml:4: targets[0]: name is missing: write name: web`,
			`target_required.yml:4: targets[0]: hosts is missing: write hosts: [192.0.2.10]`,
			`target_required.yml:4: targets[0]: modules is missing: write modules: [tcp_default]`,
			`target_required.yml:4: targets[0]: authorization is missing: write authorization: {owner: "net team"}`,
			`target_required.yml:5: targets[1]: must be a mapping: write the keys of a target, such as name: web`,
			`target_required.yml:6: targets[2]: must be a mapping: write the keys of a target, such as name: web`,
		}},
		{"targets_mapping", []string{
			`targets_mapping.yml:3: targets: must be a list: write targets: [] or a list of entries that start with - name: web`,
		}},
	}
}

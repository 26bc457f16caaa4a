// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

// badFiles returns fixtures with errors in the structure of a file.
func badFiles() []badCase {
	return []badCase{
		{"blank_document", []string{
			`blank_document.yml: file is empty: write modules: {tcp_default: {ports: "1-1024"}}`,
		}},
		{"complex_key", []string{
			`complex_key.yml:1: key must be a scalar: write key: value`,
		}},
		{"control_character", []string{
			`control_character.yml:1: invalid YAML: control characters are not allowed (value: 0)`,
		}},
		{"duplicate_keys", []string{
			`duplicate_keys.yml:3: modules.tcp: duplicate key, first used on line 2: write the key once`,
			`duplicate_keys.yml:5: limits.rate: duplicate key, first used on line 5: write the key once`,
			`duplicate_keys.yml:6: targets: duplicate key, first used on line 4: write the key once`,
		}},
		{"empty", []string{
			`empty.yml: file is empty: write modules: {tcp_default: {ports: "1-1024"}}`,
		}},
		{"latin1", []string{
			`latin1.yml:3: invalid YAML: invalid leading UTF-8 octet (value: 252)`,
		}},
		{"merge_cycle", []string{
			`merge_cycle.yml:2: modules.a.<<: merges (<<) form a cycle or are nested more than 10 deep: write the keys out`,
		}},
		{"merge_flood", []string{
			`merge_flood.yml:4: modules.m4.<<[8]: more than 1000 merges (<<) in one file: write the keys out`,
		}},
		{"merge_scalar", []string{
			`merge_scalar.yml:2: modules.a.<<: only mappings can be merged: write <<: *name, with the anchor &name on a mapping`,
			`merge_scalar.yml:3: modules.b.<<[1]: only mappings can be merged: write <<: *name, with the anchor &name on a mapping`,
		}},
		{"merged_error", []string{
			`merged_error.yml:2: modules.base.timeout: "9" has no unit: write 9s for seconds`,
			`merged_error.yml:2: modules.slow.timeout: "9" has no unit: write 9s for seconds`,
		}},
		{"not_a_mapping", []string{
			`not_a_mapping.yml:1: must be a mapping: write modules: {tcp_default: {ports: "1-1024"}}`,
		}},
		{"null_keys", []string{
			`null_keys.yml:2: modules.tcp.timeout: value is missing: write timeout: 9s, or remove the key`,
			`null_keys.yml:3: targets: value is missing: write targets: [] or a list of entries that start with - name: web, or remove the key`,
			`null_keys.yml:4: target_files: value is missing: write target_files: [targets.d/*.yml], or remove the key`,
			`null_keys.yml:5: external_labels: value is missing: write external_labels: {vantage: dmz}, or remove the key`,
			`null_keys.yml:6: limits: value is missing: write limits: {max_scans: 64}, or remove the key`,
		}},
		{"null_target_keys", []string{
			`null_target_keys.yml:4: targets[0]: must be a mapping: write the keys of a target, such as name: web`,
			`null_target_keys.yml:5: targets[1].name: value is missing: write name: web`,
			`null_target_keys.yml:6: targets[1].hosts: value is missing: write hosts: [192.0.2.10]`,
			`null_target_keys.yml:7: targets[1].exclude_hosts: value is missing: write exclude_hosts: [192.0.2.9], or remove the key`,
			`null_target_keys.yml:8: targets[1].modules: value is missing: write modules: [tcp_default]`,
			`null_target_keys.yml:9: targets[1].authorization: value is missing: write authorization: {owner: "net team"}`,
			`null_target_keys.yml:10: targets[1].labels: value is missing: write labels: {env: prod}, or remove the key`,
			`null_target_keys.yml:12: targets[2].hosts[0]: value is missing: write a value, or remove the entry`,
			`null_target_keys.yml:13: targets[2].modules[0]: value is missing: write a value, or remove the entry`,
			`null_target_keys.yml:14: targets[2].authorization.owner: value is missing: write owner: "net team"`,
			`null_target_keys.yml:14: targets[2].authorization.expires: value is missing: write expires: 2027-06-30, or remove the key`,
		}},
		{"syntax", []string{
			`syntax.yml:2: invalid YAML: did not find expected ',' or '}' while parsing a flow mapping that starts on line 1`,
		}},
		{"syntax_address", []string{
			`syntax_address.yml:2: invalid YAML: did not find expected ',' or '}' while parsing a flow mapping; write IPv6 addresses in quotes, such as "2001:db8::"`,
		}},
		{"syntax_address_block", []string{
			`syntax_address_block.yml:3: invalid YAML: mapping values are not allowed in this context; write IPv6 addresses in quotes, such as "2001:db8::"`,
		}},
		{"syntax_second_document", []string{
			`syntax_second_document.yml:3: invalid YAML: mapping values are not allowed in this context`,
		}},
		{"syntax_tab", []string{
			`syntax_tab.yml:2: invalid YAML: found character that cannot start any token while scanning for the next token; write spaces, not tabs, for indentation`,
		}},
		{"tags", []string{
			`tags.yml:2: modules.tcp.ports: YAML tags are not supported: write the value without "!ports"`,
			`tags.yml:2: modules.tcp.retries: YAML tags are not supported: write the value without "!!int"`,
		}},
		{"target_files", []string{
			`files/bare.yml:3: [0].modules[0]: module "tpc" is not configured: did you mean "tcp"?`,
			`files/broken.yml:4: invalid YAML: did not find expected ',' or ']' while parsing a flow sequence that starts on line 3`,
			`files/duplicate.yml:6: targets[1].name: target name "web" is already used at target_files.yml:5: write another name`,
			`files/empty.yml: file is empty: write targets: [] or a list of entries that start with - name: web`,
			`files/keys.yml:1: targets is missing: write targets: [] or a list of entries that start with - name: web`,
			`files/keys.yml:1: modules: unknown key: write one of targets`,
			`files/keys.yml:2: target: unknown key: did you mean "targets"?`,
			`files/scalar.yml:1: must be a mapping: write targets: [] or a list of entries that start with - name: web`,
			`target_files.yml:3: target_files[7]: must not be a list: write a single value`,
			`target_files.yml:3: target_files[1]: "files/[" is not a valid pattern because a [ or \ is unterminated: write a pattern such as targets.d/*.yml`,
			`target_files.yml:3: target_files[5]: pattern matches the configuration file itself: write a pattern for a separate directory, such as targets.d/*.yml`,
			`target_files.yml:3: target_files[6]: must not be empty: write a file name or a pattern, such as targets.d/*.yml`,
			`target_files.yml:3: target_files[0]: cannot read files/missing.yml: no such file or directory`,
			`target_files.yml:3: target_files[8]: files is a directory: write the path of a regular file`,
		}},
		{"two_documents", []string{
			`two_documents.yml:8: file has a second YAML document: write one document, without this --- line`,
		}},
		{"unknown_alias", []string{
			`unknown_alias.yml:1: invalid YAML: unknown anchor 'base' referenced`,
		}},
		{"unknown_keys", []string{
			`unknown_keys.yml:1: module: unknown key: did you mean "modules"?`,
			`unknown_keys.yml:3: modules.tcp.port: unknown key: did you mean "ports"?`,
			`unknown_keys.yml:3: modules.tcp.Timeout: unknown key: did you mean "timeout"?`,
			`unknown_keys.yml:3: modules.tcp.colour: unknown key: write one of protocol, method, ports, exclude_ports, timeout, port_timeout, retries, max_retries, max_in_flight, rate, max_open_attempts, control_ports, report, max_ports, max_age, max_addresses, source_address, ip_protocol, resolver, scrape_interval`,
			`unknown_keys.yml:6: targets[0].host: unknown key: did you mean "hosts"?`,
			`unknown_keys.yml:9: targets[0].authorization.expire: unknown key: did you mean "expires"?`,
			`unknown_keys.yml:10: targets[0].expect.tcp.opens: unknown key: did you mean "open"?`,
			`unknown_keys.yml:10: targets[0].expect.icmp: unknown key: write one of tcp, udp`,
			`unknown_keys.yml:11: "odd\nkey": unknown key: write one of modules, targets, target_files, external_labels, limits`,
			`unknown_keys.yml:12: limits.max_scan: unknown key: did you mean "max_scans"?`,
		}},
	}
}

package config

// badFiles are mistakes in what a file consists of.
func badFiles() []badCase {
	return []badCase{
		{"blank_document", []string{
			`blank_document.yml: the file is empty: write modules: {tcp_default: {ports: "1-1024"}}`,
		}},
		{"complex_key", []string{
			`complex_key.yml:1: a key has to be one word: write key: value`,
		}},
		{"control_character", []string{
			`control_character.yml:1: this is not YAML: control characters are not allowed (value: 0)`,
		}},
		{"doubled_keys", []string{
			`doubled_keys.yml:3: modules.tcp: the key is already at line 2: write it once`,
			`doubled_keys.yml:5: limits.rate: the key is already at line 5: write it once`,
			`doubled_keys.yml:6: targets: the key is already at line 4: write it once`,
		}},
		{"empty", []string{
			`empty.yml: the file is empty: write modules: {tcp_default: {ports: "1-1024"}}`,
		}},
		{"latin1", []string{
			`latin1.yml:3: this is not YAML: invalid leading UTF-8 octet (value: 252)`,
		}},
		{"merge_circle", []string{
			`merge_circle.yml:2: modules.a.<<: merges (<<) go round in a circle, or more than 10 deep: write the keys out`,
		}},
		{"merge_flood", []string{
			`merge_flood.yml:4: modules.m4.<<[8]: more than 1000 merges (<<) in one file: write the keys out`,
		}},
		{"merge_scalar", []string{
			`merge_scalar.yml:2: modules.a.<<: only a mapping can be merged: write <<: *name, where &name stands at a mapping`,
			`merge_scalar.yml:3: modules.b.<<[1]: only a mapping can be merged: write <<: *name, where &name stands at a mapping`,
		}},
		{"merged_error", []string{
			`merged_error.yml:2: modules.base.timeout: "9" has no unit: write 9s for seconds`,
			`merged_error.yml:2: modules.slow.timeout: "9" has no unit: write 9s for seconds`,
		}},
		{"not_a_mapping", []string{
			`not_a_mapping.yml:1: a mapping is wanted here: write modules: {tcp_default: {ports: "1-1024"}}`,
		}},
		{"null_keys", []string{
			`null_keys.yml:2: modules.tcp.timeout: nothing stands after it: write timeout: 9s, or leave the key out`,
			`null_keys.yml:3: targets: nothing stands after it: write targets: [] or a list whose entries begin with - name: web, or leave the key out`,
			`null_keys.yml:4: target_files: nothing stands after it: write target_files: [targets.d/*.yml], or leave the key out`,
			`null_keys.yml:5: external_labels: nothing stands after it: write external_labels: {vantage: dmz}, or leave the key out`,
			`null_keys.yml:6: limits: nothing stands after it: write limits: {max_scans: 64}, or leave the key out`,
		}},
		{"null_target_keys", []string{
			`null_target_keys.yml:4: targets[0]: a mapping is wanted here: write the keys of a target, the first as in name: web`,
			`null_target_keys.yml:5: targets[1].name: nothing stands after it: write name: web`,
			`null_target_keys.yml:6: targets[1].hosts: nothing stands after it: write hosts: [192.0.2.10]`,
			`null_target_keys.yml:7: targets[1].exclude_hosts: nothing stands after it: write exclude_hosts: [192.0.2.9], or leave the key out`,
			`null_target_keys.yml:8: targets[1].modules: nothing stands after it: write modules: [tcp_default]`,
			`null_target_keys.yml:9: targets[1].authorization: nothing stands after it: write authorization: {owner: "net team"}`,
			`null_target_keys.yml:10: targets[1].labels: nothing stands after it: write labels: {env: prod}, or leave the key out`,
			`null_target_keys.yml:12: targets[2].hosts[0]: nothing stands here: write a value, or leave it out`,
			`null_target_keys.yml:13: targets[2].modules[0]: nothing stands here: write a value, or leave it out`,
			`null_target_keys.yml:14: targets[2].authorization.owner: nothing stands after it: write owner: "net team"`,
			`null_target_keys.yml:14: targets[2].authorization.expires: nothing stands after it: write expires: 2027-06-30, or leave the key out`,
		}},
		{"syntax", []string{
			`syntax.yml:2: this is not YAML: did not find expected ',' or '}' while parsing a flow mapping that begins at line 1`,
		}},
		{"syntax_address", []string{
			`syntax_address.yml:2: this is not YAML: did not find expected ',' or '}' while parsing a flow mapping; write IPv6 addresses in quotes, as in "2001:db8::"`,
		}},
		{"syntax_address_block", []string{
			`syntax_address_block.yml:3: this is not YAML: mapping values are not allowed in this context; write IPv6 addresses in quotes, as in "2001:db8::"`,
		}},
		{"syntax_second_document", []string{
			`syntax_second_document.yml:3: this is not YAML: mapping values are not allowed in this context`,
		}},
		{"syntax_tab", []string{
			`syntax_tab.yml:2: this is not YAML: found character that cannot start any token while scanning for the next token; indent with blanks, not with tabs`,
		}},
		{"tags", []string{
			`tags.yml:2: modules.tcp.ports: tags are not understood: leave "!ports" out`,
			`tags.yml:2: modules.tcp.retries: tags are not understood: leave "!!int" out`,
		}},
		{"target_files", []string{
			`files/bare.yml:3: [0].modules[0]: module "tpc" is not configured: did you mean "tcp"?`,
			`files/broken.yml:4: this is not YAML: did not find expected ',' or ']' while parsing a flow sequence that begins at line 3`,
			`files/doubled.yml:6: targets[1].name: "web" is the name of the target at target_files.yml:5 already: write another`,
			`files/empty.yml: the file is empty: write targets: [] or a list whose entries begin with - name: web`,
			`files/keys.yml:1: targets is missing: write targets: [] or a list whose entries begin with - name: web`,
			`files/keys.yml:1: modules: unknown key: write one of targets`,
			`files/keys.yml:2: target: unknown key: did you mean "targets"?`,
			`files/scalar.yml:1: a mapping is wanted here: write targets: [] or a list whose entries begin with - name: web`,
			`target_files.yml:3: target_files[7]: a list is not wanted here: write one value`,
			`target_files.yml:3: target_files[0]: the file can't be read: no such file or directory`,
			`target_files.yml:3: target_files[1]: "files/[" is not a pattern, because a [ or a \ in it has no end: write one as in targets.d/*.yml`,
			`target_files.yml:3: target_files[5]: this names the configuration file itself: keep target files in a folder of their own, as in targets.d/*.yml`,
			`target_files.yml:3: target_files[6]: an empty text names no file: write one, as in targets.d/*.yml`,
			`target_files.yml:3: target_files[8]: the file can't be read: is a directory`,
		}},
		{"two_documents", []string{
			`two_documents.yml:8: a second document begins here: a file holds one, so leave the line --- out`,
		}},
		{"unknown_alias", []string{
			`unknown_alias.yml:1: this is not YAML: unknown anchor 'base' referenced`,
		}},
		{"unknown_keys", []string{
			`unknown_keys.yml:1: module: unknown key: did you mean "modules"?`,
			`unknown_keys.yml:3: modules.tcp.port: unknown key: did you mean "ports"?`,
			`unknown_keys.yml:3: modules.tcp.Timeout: unknown key: did you mean "timeout"?`,
			`unknown_keys.yml:3: modules.tcp.colour: unknown key: write one of protocol, method, ports, exclude_ports, timeout, port_timeout, retries, max_retries, max_in_flight, rate, report, max_ports, max_age, max_addresses, source_address, scrape_interval`,
			`unknown_keys.yml:6: targets[0].host: unknown key: did you mean "hosts"?`,
			`unknown_keys.yml:9: targets[0].authorization.expire: unknown key: did you mean "expires"?`,
			`unknown_keys.yml:10: targets[0].expect.tcp.opens: unknown key: did you mean "open"?`,
			`unknown_keys.yml:10: targets[0].expect.icmp: unknown key: write one of tcp, udp`,
			`unknown_keys.yml:11: "odd\nkey": unknown key: write one of modules, targets, target_files, external_labels, limits`,
			`unknown_keys.yml:12: limits.max_scan: unknown key: did you mean "max_scans"?`,
		}},
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCheckHost(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yml")
	writeFile(t, file, "modules:\n  here: {ports: 22, source_address: 127.0.0.1}\n  gone:\n    source_address: 192.0.2.99\n")
	cfg, _, err := Load(file, testTime())
	if err != nil {
		t.Fatal(err)
	}
	check := func(got []error, want ...string) {
		t.Helper()
		texts := make([]string, 0, len(got))
		for _, err := range got {
			texts = append(texts, strings.TrimPrefix(err.Error(), file+":"))
		}
		if diff := cmp.Diff(want, texts); diff != "" {
			t.Errorf("errors (-want +got):\n%s", diff)
		}
	}
	const advice = ": write an address of this machine, or remove the key"
	gone := "4: modules.gone.source_address: no interface of this machine has the address 192.0.2.99" + advice
	check(CheckHost(cfg, nil), gone)
	check(cfg.missingSources([]net.Addr{&net.IPNet{IP: net.ParseIP("192.0.2.99"), Mask: net.CIDRMask(24, 32)}}),
		"2: modules.here.source_address: no interface of this machine has the address 127.0.0.1"+advice)
	methods, supported := mustLoad(t, "methods"), func() error { return nil }
	if missing := CheckHost(methods, supported); missing != nil {
		t.Errorf("CheckHost with syn supported = %v, want none", missing)
	}
	unsupported := func() error { return errors.New("it needs a capability: grant it") }
	const want = "testdata/good/methods.yml:2: modules.syn.method: cannot use method syn: it needs a capability: grant it; or write method: connect"
	if missing := CheckHost(methods, unsupported); len(missing) != 1 || missing[0].Error() != want {
		t.Errorf("CheckHost = %v, want %s", missing, want)
	}
	if missing := CheckHost(mustLoad(t, "minimal"), unsupported); missing != nil {
		t.Errorf("CheckHost without requirements = %v, want none", missing)
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/exporter-toolkit/web"
)

func TestHealthURL(t *testing.T) {
	t.Parallel()
	const address, health, external, prefix, url, socket = "address", "health", "external", "prefix", "url", "socket"
	for name, tc := range map[string]struct {
		flags map[string]string
		want  string // the URL, or the beginning of the error
	}{
		"no flags":             {nil, "http://127.0.0.1:10115/-/healthy"},
		"port":                 {map[string]string{address: ":9000"}, "http://127.0.0.1:9000/-/healthy"},
		"all of IPv4":          {map[string]string{address: "0.0.0.0:9000"}, "http://127.0.0.1:9000/-/healthy"},
		"all of IPv6":          {map[string]string{address: "[::]:9000"}, "http://[::1]:9000/-/healthy"},
		"all, mapped":          {map[string]string{address: "[::ffff:0.0.0.0]:9000"}, "http://127.0.0.1:9000/-/healthy"},
		"IPv4":                 {map[string]string{address: "192.0.2.1:9000"}, "http://192.0.2.1:9000/-/healthy"},
		"IPv6":                 {map[string]string{address: "[2001:db8::1]:9000"}, "http://[2001:db8::1]:9000/-/healthy"},
		"zone":                 {map[string]string{address: "[fe80::1%eth0]:9000"}, "http://[fe80::1%25eth0]:9000/-/healthy"},
		"name":                 {map[string]string{address: "localhost:http"}, "http://localhost:80/-/healthy"},
		"second address":       {map[string]string{address: "vsock://:1 :9001"}, "http://127.0.0.1:9001/-/healthy"},
		"vsock":                {map[string]string{address: "vsock://:1"}, "error: --web.listen-address: health checks need TCP: write --web.health-listen-address="},
		"random port":          {map[string]string{address: "127.0.0.1:0"}, "error: --web.listen-address=127.0.0.1:0: unknown port: write --url="},
		"unknown port":         {map[string]string{address: ":no-such-service"}, "error: --web.listen-address=:no-such-service: unknown port: write --url="},
		"no port":              {map[string]string{address: "127.0.0.1"}, "error: --web.listen-address=127.0.0.1: invalid address: write HOST:PORT"},
		"socket":               {map[string]string{socket: "yes"}, "error: --web.systemd-socket: unknown address: write --url="},
		"socket, health":       {map[string]string{socket: "yes", health: ":9001"}, "http://127.0.0.1:9001/-/healthy"},
		"health":               {map[string]string{address: ":9000", health: "[::]:9001", prefix: "/ports"}, "http://[::1]:9001/-/healthy"},
		"health, no port":      {map[string]string{health: "9001"}, "error: --web.health-listen-address=9001: invalid address: write HOST:PORT"},
		"prefix":               {map[string]string{prefix: "ports/"}, "http://127.0.0.1:10115/ports/-/healthy"},
		"external URL":         {map[string]string{external: "https://ports.example.org:8443/a/b/"}, "http://127.0.0.1:10115/a/b/-/healthy"},
		"prefix, external URL": {map[string]string{external: "https://ports.example.org/a", prefix: "/"}, "http://127.0.0.1:10115/-/healthy"},
		"invalid external URL": {map[string]string{external: "ports.example.org"}, "error: --web.external-url="},
		"URL":                  {map[string]string{url: "https://ports.example.org/x", address: ":9000", health: ":9001"}, "https://ports.example.org/x"},
		"invalid URL":          {map[string]string{url: "http://me:secret@[/"}, "error: --url: invalid URL: write"},
		"no scheme":            {map[string]string{url: "127.0.0.1:10115"}, "error: --url: invalid URL: write"},
	} {
		addresses := strings.Fields(tc.flags[address])
		if len(addresses) == 0 {
			addresses = []string{":10115"}
		}
		file, activated := "", tc.flags[socket] != ""
		o := HealthcheckOptions{URL: tc.flags[url], WebOptions: WebOptions{
			Web:         &web.FlagConfig{WebListenAddresses: &addresses, WebSystemdSocket: &activated, WebConfigFile: &file},
			ExternalURL: tc.flags[external], RoutePrefix: tc.flags[prefix], HealthListenAddress: tc.flags[health],
		}}
		u, err := o.healthURL(t.Context())
		got := fmt.Sprint(u) // u can be nil
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != tc.want && (err == nil || !strings.HasPrefix(got, tc.want)) || strings.Contains(got, "secret") {
			t.Errorf("%s: healthURL() = %s, want %s", name, got, tc.want)
		}
	}
}

func TestAddressesOverlap(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		a, b string
		want bool
	}{
		{":1", ":1", true},
		{"127.0.0.1:1", "127.0.0.1:1", true},
		{"127.0.0.1:1", "[::]:1", true},
		{"0.0.0.0:1", "[::1]:1", true},
		{"127.0.0.1:1", "127.0.0.2:1", false},
		{":1", ":2", false},
		{":0", ":0", false},
		{":1", "vsock://:1", false},
	} {
		if got := overlaps(tc.a, tc.b); got != tc.want {
			t.Errorf("overlaps(%q, %q) = %v, want %v", tc.a, tc.b, got, tc.want)
		}
		if got := overlaps(tc.b, tc.a); got != tc.want {
			t.Errorf("overlaps(%q, %q) = %v, want %v", tc.b, tc.a, got, tc.want)
		}
	}
}

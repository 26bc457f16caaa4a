// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package service

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portscan_exporter/internal/scan"
)

func TestCatalogPorts(t *testing.T) {
	t.Parallel()
	catalog := NewCatalog()
	for _, tc := range []struct {
		protocol scan.Protocol
		name     string
		want     string
	}{
		{scan.TCP, "ssh", "22"},
		{scan.TCP, "SSH", "22"},
		{scan.TCP, "ms-sql-s", "1433"},
		{scan.TCP, "http-alt", "591,8008,8080"}, // a name with several ports
		{scan.TCP, "x11", "6000-6063"},          // a name with a range
		{scan.TCP, "prometheus", "9090"},        // unregistered
		{scan.TCP, "mongodb", "27017-27018"},    // unregistered, and registered for another port
		{scan.TCP, "rdp", "3389"},               // a further name of a port
		{scan.TCP, "3com-tsmux", "106"},
		{scan.TCP, "optohost004", "22004-22005"},
		{scan.UDP, "syslog", "514"},
		{scan.TCP, "syslog", ""},
		{scan.UDP, "mongodb", ""},
		{scan.TCP, "", ""},
		{scan.TCP, "22", ""},
		{0, "ssh", ""},
	} {
		got, ok := catalog.Ports(tc.protocol, tc.name)
		if got.String() != tc.want || ok != (tc.want != "") {
			t.Errorf("Ports(%v, %q) = %q, %v, want %q", tc.protocol, tc.name, got, ok, tc.want)
		}
	}
}

// TestCatalogDisplayedNames checks that each name that is displayed for a port has that port.
func TestCatalogDisplayedNames(t *testing.T) {
	t.Parallel()
	catalog := NewCatalog()
	for key, name := range New().names {
		if set, _ := catalog.Ports(key.protocol, name); !set.Contains(key.port) {
			t.Errorf("Ports(%v, %q) = %q, want %d in it", key.protocol, name, set, key.port)
		}
	}
}

// TestCatalogRankedFrozen freezes the order of ports: a change of it changes which ports
// users scan, and belongs in the changelog.
func TestCatalogRankedFrozen(t *testing.T) {
	t.Parallel()
	catalog := NewCatalog()
	for _, tc := range []struct {
		protocol scan.Protocol
		first    []uint16
		count    int
		digest   string // SHA-256 of all ports in decimal, each with a line feed
	}{
		{scan.TCP, []uint16{22, 80, 443, 21, 23, 25, 53, 110, 111, 135}, 6007, "af568139cbb26263eff95111712b39d6c78fa06bb138d468253810f116814145"},
		{scan.UDP, []uint16{53, 67, 69, 123, 137, 161, 500, 514, 1194, 1900}, 5569, "7337d2c384337e97cea54d0d36099c355d36a2c739dd3390b24993808d94969f"},
	} {
		ranked := catalog.Ranked(tc.protocol)
		if diff := cmp.Diff(tc.first, ranked[:len(tc.first)]); diff != "" {
			t.Errorf("Ranked(%v) (-want +got):\n%s", tc.protocol, diff)
		}
		hash := sha256.New()
		for _, port := range ranked {
			fmt.Fprintln(hash, port)
		}
		if got := hex.EncodeToString(hash.Sum(nil)); len(ranked) != tc.count || got != tc.digest {
			t.Errorf("Ranked(%v) has %d ports with the digest %s, want %d ports with %s", tc.protocol, len(ranked), got, tc.count, tc.digest)
		}
		if set := scan.NewPortSet(ranked...); set.Len() != len(ranked) {
			t.Errorf("Ranked(%v) has %d different ports, want %d", tc.protocol, set.Len(), len(ranked))
		}
	}
	if got := catalog.Ranked(0); got != nil {
		t.Errorf("Ranked(0) = %v, want none", got)
	}
}

// TestTopTableLines checks every line for the form that the head of the table describes.
func TestTopTableLines(t *testing.T) {
	t.Parallel()
	line := regexp.MustCompile(`^(tcp|udp)( [1-9][0-9]{0,4})+$`)
	for text := range lines(topTable) {
		if !line.MatchString(text) {
			t.Errorf("malformed: %q", text)
		}
	}
}

func BenchmarkNewCatalog(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		NewCatalog()
	}
}

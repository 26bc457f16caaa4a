// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package service

import (
	"cmp"
	"encoding/csv"
	"errors"
	"flag"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// registryFile is service-names-port-numbers.csv as IANA publishes it.
var registryFile = flag.String("registry", "", "IANA's registry in CSV, to rewrite registry.txt")

func TestRegistryLines(t *testing.T) {
	t.Parallel()
	const registry = `Service Name,Port Number,Transport Protocol,Description
,0,tcp,Reserved
SSH,22,udp,"A description
of two lines, with a comma"
ssh,22,tcp,
whois++,63,tcp,alias
,4,tcp,Unassigned
nameless-port,,tcp,
x11,6000-6063,udp,
x11,6000-6063,tcp,
x11,6000,sctp,
80,80,tcp,
name-with-16-chr,7,tcp,
alt,80,tcp,
`
	got, err := registryLines(strings.NewReader(registry))
	want := []string{"22 tcp,udp ssh", "80 tcp alt", "6000-6063 tcp,udp x11"}
	if diff := gocmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("registryLines: error %v (-want +got):\n%s", err, diff)
	}
	for _, other := range []string{"", "not the registry\n"} {
		if got, err := registryLines(strings.NewReader(other)); err == nil {
			t.Errorf("registryLines(%q) = %q, want an error", other, got)
		}
	}
	if *registryFile != "" {
		updateRegistry(t, *registryFile)
	}
}

// updateRegistry rewrites registry.txt, except its comments.
func updateRegistry(t *testing.T, file string) {
	t.Helper()
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	services, err := registryLines(in)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for line := range strings.Lines(registryTable) {
		if strings.HasPrefix(line, "#") {
			all = append(all, strings.TrimSuffix(line, "\n"))
		}
	}
	text := strings.Join(append(all, services...), "\n") + "\n"
	if err := os.WriteFile("registry.txt", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Logf("registry.txt has %d services; update its date", len(services))
}

// registered is a port or a range, and the name of its service.
type registered struct {
	first, last int
	name        string
}

// registryLines returns the lines of registry.txt for the registry in CSV.
func registryLines(r io.Reader) ([]string, error) {
	records, err := csv.NewReader(r).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(records) == 0 || len(records[0]) < 3 || records[0][2] != "Transport Protocol" {
		return nil, errors.New("no header of IANA's registry")
	}
	validName := regexp.MustCompile(`^[a-z0-9](-?[a-z0-9])*$`)
	protocols := make(map[registered][]string)
	for _, record := range records[1:] {
		name, protocol := strings.ToLower(strings.TrimSpace(record[0])), record[2]
		first, last, err := parseBounds(record[1])
		key := registered{first, last, name}
		switch {
		case err != nil, first < 1, protocol != "tcp" && protocol != "udp", slices.Contains(protocols[key], protocol):
		case len(name) > 15, strings.Trim(name, "0123456789-") == "", !validName.MatchString(name):
		default:
			protocols[key] = append(protocols[key], protocol)
		}
	}
	var services []string
	for _, key := range slices.SortedFunc(maps.Keys(protocols), compareRegistered) {
		ports := strconv.Itoa(key.first)
		if key.last > key.first {
			ports += "-" + strconv.Itoa(key.last)
		}
		slices.Sort(protocols[key])
		services = append(services, ports+" "+strings.Join(protocols[key], ",")+" "+key.name)
	}
	return services, nil
}

func parseBounds(text string) (first, last int, err error) {
	lo, hi, isRange := strings.Cut(text, "-")
	if !isRange {
		hi = lo
	}
	if first, err = strconv.Atoi(lo); err != nil {
		return 0, 0, err
	}
	last, err = strconv.Atoi(hi)
	return first, last, err
}

func compareRegistered(a, b registered) int {
	return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.last, b.last), strings.Compare(a.name, b.name))
}

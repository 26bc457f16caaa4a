// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Digest returns a hash of the fields that [Task.Equal] compares. It is persisted: the same
// task has the same digest in every version and process.
func (t Task) Digest() string {
	spec := t.Plan.spec
	ports, exclude, expect := spec.Ports.String(), spec.Exclude.String(), "nothing"
	if e := spec.Expect; e != nil {
		expect = fmt.Sprintf("open %v, allow %v", e.Open, e.Allow)
	}
	spec.Ports, spec.Exclude, spec.Expect = PortSet{}, PortSet{}, nil // written separately below
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q %v %v %v\n", t.Target, t.Module, t.Hosts, t.Family, t.MaxAddresses, int64(t.MaxAge))
	fmt.Fprintf(h, "%v %v", t.Scope.allow, t.Scope.exclude)
	for _, o := range t.Scope.others {
		fmt.Fprintf(h, " %v %v", o.part, o.excluded)
	}
	fmt.Fprintln(h)
	// State files hold digests that were made when AllPorts was named KeepAll.
	fields := strings.Replace(fmt.Sprintf("%+v", spec), " AllPorts:", " KeepAll:", 1)
	fmt.Fprintf(h, "%s\n%v\n%v\n%v\n%v\n%v\n", fields, ports, exclude, expect, t.Plan.ports, t.Plan.watched)
	return hex.EncodeToString(h.Sum(nil))
}

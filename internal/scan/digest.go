// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
)

// Key identifies a scan: tasks with equal keys are the same scan. Keys are comparable.
type Key struct {
	Digest string     // of the scan of the complete target
	Addr   netip.Addr // the only address to scan; zero: the complete target
}

// Key returns the task's key. It ignores Asked, Owner, Reference and Expires.
func (t Task) Key() Key { return Key{Digest: t.WithDigest().digest, Addr: t.Addr} }

// WithDigest returns the task with its digest computed, so that [Task.Key] is cheap. A copy
// whose fields are modified afterwards needs [Task.ResetDigest].
func (t Task) WithDigest() Task {
	if t.digest == "" {
		t.digest = t.Digest()
	}
	return t
}

// ResetDigest returns the task with the digest of its present fields.
func (t Task) ResetDigest() Task {
	reset := t
	reset.digest = t.Digest()
	return reset
}

// Digest returns a hash of the fields that make two scans different. It is persisted: the same
// task has the same digest in every version and process. A field that is added later must not
// change the digests of tasks with its default.
func (t Task) Digest() string {
	spec, expect := t.Plan.spec, "nothing"
	if e := spec.Expect; e != nil {
		expect = fmt.Sprintf("open %v, allow %v", e.Open, e.Allow)
	}
	hosts := make([]string, 0, len(t.Hosts))
	for _, h := range t.Hosts {
		hosts = append(hosts, fmt.Sprintf("{%q %q}", h.Entry, h.Network))
	}
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %s %v %v %v\n", t.Target, t.Module, hosts, t.Family, t.MaxAddresses, int64(t.MaxAge))
	t.Scope.writeDigest(h, t.Target)
	if t.Resolver.IsValid() {
		fmt.Fprintf(h, "\nresolver %v", t.Resolver)
	}
	fmt.Fprintf(h, "\n%s\n%v\n%v\n%v\n%v\n%v\n", spec.digestFields(), spec.Ports, spec.Exclude, expect, t.Plan.ports, t.Plan.watched)
	return hex.EncodeToString(h.Sum(nil))
}

// writeDigest writes the networks of the scope of a target, and the exclusions of others in it.
func (s Scope) writeDigest(w io.Writer, target string) {
	fmt.Fprintf(w, "%v %v", s.allow.list, s.exclude.list)
	networks := s.allow.list[:s.plain:s.plain]
	for _, h := range s.ranges {
		fmt.Fprintf(w, " %v-%v", h.first, h.last)
		networks = append(networks, h.Network) // has all parts that are more specific
	}
	if s.embeds {
		networks = append(slices.Clone(networks), netip.PrefixFrom(netip.IPv4Unspecified(), 0))
	}
	s.others.writeDigest(w, networks, target)
}

// digestFields returns the fields of the spec in the form that state files of all versions have.
func (s *Spec) digestFields() string {
	var b strings.Builder
	fmt.Fprintf(&b, "{Protocol:%v Method:%v Ports: Exclude: Expect:<nil> Timeout:%v PortTimeout:%v Retries:%d MaxRetries:%d MaxInFlight:%d Rate:%d ",
		s.Protocol, s.Method, s.Timeout, s.PortTimeout, s.Retries, s.MaxRetries, s.MaxInFlight, s.Rate)
	if s.MaxOpenAttempts != 3 {
		fmt.Fprintf(&b, "MaxOpenAttempts:%d ", s.MaxOpenAttempts)
	}
	if s.ControlPorts != 2 {
		fmt.Fprintf(&b, "ControlPorts:%d ", s.ControlPorts)
	}
	fmt.Fprintf(&b, "Source:%v KeepAll:%v}", s.Source, s.AllPorts)
	return b.String()
}

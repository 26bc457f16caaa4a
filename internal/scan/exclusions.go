// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"sync"
)

// Exclusions are the exclusions of all targets. A scope without the addresses that another target
// excludes has them, see [Scope.WithExclusions]; scopes share them. Create exclusions with
// [NewExclusions]: nil has none. They may be used concurrently.
type Exclusions struct {
	all   []partExclusion
	parts prefixIndex // the parts of all

	excluded prefixIndex // the networks that parts and their exclusions have in common
	bits     []float64   // of the most specific part, by the index in excluded

	hashes sync.Map // of the exclusions inside a network
}

// partExclusion is a network of a target's scope and an exclusion of that target that overlaps it.
type partExclusion struct {
	target         string
	part, excluded netip.Prefix
}

// NewExclusions returns the exclusions of scopes, in the order of their targets.
func NewExclusions(scopes iter.Seq2[string, Scope]) *Exclusions {
	x := &Exclusions{}
	var parts []netip.Prefix
	most := make(map[netip.Prefix]float64)
	for target, s := range scopes {
		if len(s.exclude.list) == 0 {
			continue
		}
		for i, part := range s.allow.list {
			for _, j := range s.exclude.overlapping(part) {
				e := partExclusion{target: target, part: part, excluded: s.exclude.list[j]}
				x.all = append(x.all, e)
				parts = append(parts, part)
				most[e.common()] = max(most[e.common()], s.partBits(i))
			}
		}
	}
	excluded := slices.SortedFunc(maps.Keys(most), netip.Prefix.Compare)
	for _, p := range excluded {
		x.bits = append(x.bits, most[p])
	}
	x.parts, x.excluded = newPrefixIndex(parts), newPrefixIndex(excluded)
	return x
}

// common returns the addresses that are in the part and excluded.
func (e partExclusion) common() netip.Prefix {
	if e.part.Bits() > e.excluded.Bits() {
		return e.part
	}
	return e.excluded
}

// exclude reports whether the address is excluded in a part that is more specific than bits.
func (x *Exclusions) exclude(addr netip.Addr, bits float64) bool {
	if x == nil {
		return false
	}
	for i := range x.excluded.around(addr) {
		if x.bits[i] > bits {
			return true
		}
	}
	return false
}

// writeDigest writes the exclusions in parts of the networks, without those of the target itself.
// Many are written as a hash, which may include those of the target: all scopes with the network
// share it.
func (x *Exclusions) writeDigest(w io.Writer, networks []netip.Prefix, target string) {
	const limit = 100 // for a network
	if x == nil {
		return
	}
	var few []int
	for _, network := range networks {
		found := x.parts.inside(network)
		if len(found) > limit {
			_, _ = io.WriteString(w, x.hash(network, found))
			continue
		}
		for _, node := range found {
			few = append(few, node.at)
		}
	}
	slices.Sort(few)
	var text []byte
	for _, i := range slices.Compact(few) {
		if x.all[i].target != target {
			text = x.all[i].appendTo(text)
		}
	}
	_, _ = w.Write(text)
}

// hash returns a hash of the exclusions inside a network.
func (x *Exclusions) hash(network netip.Prefix, found []prefixNode) string {
	if known, ok := x.hashes.Load(network); ok {
		hash, _ := known.(string) // always
		return hash
	}
	h := sha256.New()
	var text []byte
	for _, node := range found {
		text = x.all[node.at].appendTo(text[:0])
		_, _ = h.Write(text)
	}
	hash := " " + hex.EncodeToString(h.Sum(nil))
	x.hashes.Store(network, hash)
	return hash
}

// appendTo appends the part and the excluded network in the form of digests.
func (e partExclusion) appendTo(b []byte) []byte {
	b = e.part.AppendTo(append(b, ' '))
	return e.excluded.AppendTo(append(b, ' '))
}

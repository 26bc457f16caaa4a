// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"
)

// prefixIndex is a list of networks in canonical form that is searched in logarithmic time. It
// is immutable; the zero value has no networks.
type prefixIndex struct {
	list  []netip.Prefix
	nodes []prefixNode // by address, then from the least to the most specific network
}

// prefixNode is a network of a prefixIndex.
type prefixNode struct {
	at    int // index in the list
	outer int // index of the node of the most specific network around this one, or -1
}

// newPrefixIndex returns an index of the list, which it keeps.
func newPrefixIndex(list []netip.Prefix) prefixIndex {
	x := prefixIndex{list: list, nodes: make([]prefixNode, len(list))}
	for i := range list {
		x.nodes[i].at = i
	}
	slices.SortFunc(x.nodes, func(a, b prefixNode) int { // the first of equal networks is the last node
		return cmp.Or(list[a.at].Compare(list[b.at]), cmp.Compare(b.at, a.at))
	})
	for i := range x.nodes {
		p, outer := x.prefix(i), i-1
		for outer >= 0 && (x.prefix(outer) == p || !x.prefix(outer).Contains(p.Addr())) {
			outer = x.nodes[outer].outer
		}
		x.nodes[i].outer = outer
	}
	return x
}

// prefix returns the network of a node.
func (x prefixIndex) prefix(node int) netip.Prefix { return x.list[x.nodes[node].at] }

// around yields the indexes of the networks that contain the address, from the most to the least
// specific one. Of equal networks it yields the first.
func (x prefixIndex) around(addr netip.Addr) iter.Seq[int] {
	return func(yield func(int) bool) {
		after := x.search(func(p netip.Prefix) bool { return p.Addr().Compare(addr) <= 0 })
		for i := after - 1; i >= 0; i = x.nodes[i].outer {
			if x.prefix(i).Contains(addr) && !yield(x.nodes[i].at) {
				return
			}
		}
	}
}

// contains reports whether a network contains the address.
func (x prefixIndex) contains(addr netip.Addr) bool {
	for range x.around(addr) {
		return true
	}
	return false
}

// inside returns the nodes of the networks that are parts of the network, without equal ones.
func (x prefixIndex) inside(network netip.Prefix) []prefixNode {
	first := x.search(func(p netip.Prefix) bool { return p.Compare(network) <= 0 })
	after := x.search(func(p netip.Prefix) bool { return p.Compare(network) <= 0 || network.Contains(p.Addr()) })
	return x.nodes[first:after]
}

// overlapping returns the indexes of the distinct networks that have addresses in common with the
// network, in ascending order.
func (x prefixIndex) overlapping(network netip.Prefix) (all []int) {
	for i := range x.around(network.Addr()) {
		if x.list[i].Bits() <= network.Bits() {
			all = append(all, i)
		}
	}
	nodes := x.inside(network)
	for i := range nodes {
		if i+1 == len(nodes) || x.list[nodes[i].at] != x.list[nodes[i+1].at] {
			all = append(all, nodes[i].at)
		}
	}
	slices.Sort(all)
	return all
}

// search returns the index of the first node whose network is not before a position in the order.
func (x prefixIndex) search(before func(netip.Prefix) bool) int {
	i, _ := slices.BinarySearchFunc(x.nodes, before, func(n prefixNode, before func(netip.Prefix) bool) int {
		if before(x.list[n.at]) {
			return -1
		}
		return 1
	})
	return i
}

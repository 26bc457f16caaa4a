// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"fmt"
	"slices"
	"strings"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/store"
)

// portClass is the class of a port on the map. A worse class is larger: the map
// shows the worst one of all addresses.
type portClass uint8

const (
	classNotScanned portClass = iota
	classClosed
	classFiltered
	classOpenFiltered
	classOpen // as expected, or without an expectation
	classUnknown
	classMissing    // closed or filtered, and must be open
	classUnexpected // open, and must not be
)

// portClasses returns all classes, the worst first.
func portClasses() []portClass {
	return []portClass{classUnexpected, classMissing, classUnknown, classOpen, classOpenFiltered, classFiltered, classClosed, classNotScanned}
}

// Key returns the name of the class in the style sheet.
func (c portClass) Key() string {
	return [...]string{
		classNotScanned: "none", classClosed: "closed", classFiltered: "filtered", classOpenFiltered: "openfiltered",
		classOpen: "open", classUnknown: "unknown", classMissing: "missing", classUnexpected: "unexpected",
	}[c]
}

// String returns the text of the class on pages.
func (c portClass) String() string {
	return [...]string{
		classNotScanned: "not scanned", classClosed: "closed", classFiltered: "filtered", classOpenFiltered: "open or filtered",
		classOpen: "open", classUnknown: "unknown", classMissing: "not open (missing)", classUnexpected: "open (unexpected)",
	}[c]
}

// Patterned reports whether the class is painted with a pattern, which does not
// depend on seeing colors.
func (c portClass) Patterned() bool {
	return c == classNotScanned || c == classFiltered || c == classOpenFiltered || c == classUnknown
}

// isMarked reports whether ports of the class have a mark, because a single dot
// is easily overlooked.
func (c portClass) isMarked() bool {
	return c == classOpen || c == classMissing || c == classUnexpected
}

// classifiedPorts has each of the 65,535 ports in one class.
type classifiedPorts map[portClass]scan.PortSet

// classifyPorts returns the classes of all ports on the addresses. If there are
// addresses without results, all ports of the plan are unknown at best.
func classifyPorts(v *store.TargetView, addresses []*store.AddressView, unscanned bool) classifiedPorts {
	raw := make(classifiedPorts)
	add := func(c portClass, ports scan.PortSet) { raw[c] = union(raw[c], ports) }
	if unscanned || len(addresses) == 0 {
		add(classUnknown, v.Plan.Ports())
	}
	for _, a := range addresses {
		add(classUnexpected, a.Unexpected)
		add(classMissing, a.Missing)
		add(classUnknown, a.States[scan.Unknown])
		add(classOpen, a.States[scan.Open])
		add(classOpenFiltered, a.States[scan.OpenFiltered])
		add(classFiltered, a.States[scan.Filtered])
		add(classClosed, a.States[scan.Closed])
	}
	classes := make(classifiedPorts)
	var worse scan.PortSet
	for _, c := range portClasses() {
		classes[c] = raw[c].Minus(worse)
		worse = union(worse, raw[c])
	}
	classes[classNotScanned] = allPorts().Minus(worse)
	return classes
}

// union returns the union of two sets, and avoids copying if one is empty.
func union(a, b scan.PortSet) scan.PortSet {
	switch {
	case b.IsEmpty():
		return a
	case a.IsEmpty():
		return b
	default:
		return a.Union(b)
	}
}

// noPortsText returns why the table of ports is empty.
func (c classifiedPorts) noPortsText() string {
	var except []string
	if n := c[classUnknown].Len(); n > 0 {
		except = append(except, formatNumber(n)+" unknown")
	}
	if n := c[classOpenFiltered].Len(); n > 0 {
		except = append(except, formatNumber(n)+" open or filtered")
	}
	if len(except) == 0 {
		return "None: no port must be open, and none is or was open."
	}
	return "None known to be open: " + strings.Join(except, ", ") + "."
}

func allPorts() scan.PortSet {
	all, err := scan.ParsePortSet("1-65535")
	if err != nil {
		panic(err) // unreachable: the text is valid
	}
	return all
}

// The map is a square: a port is at x = port mod side, y = port div side.
const (
	side     = 256
	maxMarks = 300 // the worst first
)

// mapLayer is the ports of a class as an SVG path. Later layers cover earlier ones.
type mapLayer struct {
	Class portClass
	Path  string
}

// portMark is a symbol at a port.
type portMark struct {
	Class portClass
	X, Y  int
	Title string
}

// layers returns the layers, the worst class last. A layer may include ports that
// a later one covers, because that needs fewer pieces.
func (c classifiedPorts) layers() (all []mapLayer) {
	var cells [side * side]portClass
	for class, ports := range c {
		for port := range ports.All() {
			cells[port] = class
		}
	}
	for class := classClosed; class <= classUnexpected; class++ {
		if c[class].IsEmpty() {
			continue
		}
		var path strings.Builder
		for lo := 0; lo < len(cells); lo++ {
			if cells[lo] != class {
				continue
			}
			hi := lo
			for next := lo + 1; next < len(cells) && cells[next] >= class; next++ {
				if cells[next] == class {
					hi = next
				}
			}
			appendBoxes(&path, lo, hi)
			lo = hi
		}
		all = append(all, mapLayer{Class: class, Path: path.String()})
	}
	return all
}

// appendBoxes appends the ports from lo to hi: the end of a row, complete rows,
// the beginning of a row.
func appendBoxes(path *strings.Builder, lo, hi int) {
	box := func(x, y, w, h int) { fmt.Fprintf(path, "M%d %dh%dv%dh-%dz", x, y, w, h, w) }
	top, bottom, left, right := lo/side, hi/side, lo%side, hi%side
	if top == bottom {
		box(left, top, right-left+1, 1)
		return
	}
	if left > 0 {
		box(left, top, side-left, 1)
		top++
	}
	if right == side-1 {
		bottom++
	}
	if bottom > top {
		box(0, top, side, bottom-top)
	}
	if right < side-1 {
		box(0, bottom, right+1, 1)
	}
}

// marks returns the marks, the worst last, where no other mark covers them.
func (c classifiedPorts) marks() (all []portMark) {
	for _, class := range portClasses() {
		if !class.isMarked() {
			continue
		}
		for port := range c[class].All() {
			if len(all) == maxMarks {
				break
			}
			all = append(all, portMark{Class: class, X: int(port % side), Y: int(port / side), Title: fmt.Sprintf("%d: %v", port, class)})
		}
	}
	slices.Reverse(all)
	return all
}

// legendRow is a row of the table beside the map.
type legendRow struct {
	Class portClass
	Count string
	Some  bool
	Ports foldedText
}

func (c classifiedPorts) legend() (rows []legendRow) {
	for _, class := range portClasses() {
		ports := c[class]
		rows = append(rows, legendRow{Class: class, Count: formatNumber(ports.Len()), Some: !ports.IsEmpty(), Ports: foldPorts(ports)})
	}
	return rows
}

// portMap is the map of all ports with its legend.
type portMap struct {
	Protocol string
	Layers   []mapLayer
	Marks    []portMark
	Legend   []legendRow
	Ticks    []mapTick
}

// mapTick is the label of a row of the map.
type mapTick struct{ Y, Port int }

func newPortMap(protocol scan.Protocol, c classifiedPorts) *portMap {
	m := &portMap{Protocol: formatProtocol(protocol), Layers: c.layers(), Marks: c.marks(), Legend: c.legend()}
	for y := 0; y < side; y += side / 8 {
		m.Ticks = append(m.Ticks, mapTick{Y: y, Port: y * side})
	}
	return m
}

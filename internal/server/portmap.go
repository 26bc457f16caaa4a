package server

import (
	"fmt"
	"strings"

	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
)

// portClass is how the picture of all ports shows one of them. What is worse comes later:
// of several addresses the worst is shown.
type portClass uint8

const (
	classNotScanned portClass = iota
	classClosed
	classFiltered
	classOpenFiltered
	classOpen // and expected to be, allowed, or nothing is said of it
	classUnknown
	classMissing    // known not to be open, and should be
	classUnexpected // open, and should not be
)

// portClasses lists them, the worst first.
func portClasses() []portClass {
	return []portClass{classUnexpected, classMissing, classUnknown, classOpen, classOpenFiltered, classFiltered, classClosed, classNotScanned}
}

// Key returns the class's name in the style sheet.
func (c portClass) Key() string {
	return [...]string{
		classNotScanned: "none", classClosed: "closed", classFiltered: "filtered", classOpenFiltered: "openfiltered",
		classOpen: "open", classUnknown: "unknown", classMissing: "missing", classUnexpected: "unexpected",
	}[c]
}

// String returns the class's words.
func (c portClass) String() string {
	return [...]string{
		classNotScanned: "not scanned", classClosed: "closed", classFiltered: "filtered", classOpenFiltered: "open or filtered",
		classOpen: "open", classUnknown: "unknown", classMissing: "not open (missing)", classUnexpected: "open (unexpected)",
	}[c]
}

// Patterned tells whether the class is painted with a pattern, so that nobody has to tell
// colours apart.
func (c portClass) Patterned() bool {
	return c == classNotScanned || c == classFiltered || c == classOpenFiltered || c == classUnknown
}

// marked tells whether each port of the class has a mark of its own, since a dot is
// easily overlooked.
func (c portClass) marked() bool { return c == classOpen || c == classMissing || c == classUnexpected }

// classified is each of the 65,535 ports in one class.
type classified map[portClass]scan.PortSet

// classify sorts all ports by what was seen of the addresses. gone are further ones, of
// which nothing is known: no port of the plan is then.
func classify(s *coordinator.Sight, addresses []*coordinator.AddressSight, gone bool) classified {
	raw := make(classified)
	add := func(c portClass, ports scan.PortSet) { raw[c] = union(raw[c], ports) }
	if gone || len(addresses) == 0 {
		add(classUnknown, s.Plan.Ports())
	}
	for _, a := range addresses {
		add(classUnexpected, a.Unexpected)
		add(classMissing, a.Missing)
		if a.Forgotten {
			add(classUnknown, s.Plan.Ports())
			continue
		}
		add(classUnknown, a.States[scan.Unknown])
		add(classOpen, a.States[scan.Open])
		add(classOpenFiltered, a.States[scan.OpenFiltered])
		add(classFiltered, a.States[scan.Filtered])
		add(classClosed, a.States[scan.Closed])
	}
	by := make(classified)
	var worse scan.PortSet
	for _, c := range portClasses() {
		by[c] = raw[c].Minus(worse)
		worse = union(worse, raw[c])
	}
	by[classNotScanned] = everyPort().Minus(worse)
	return by
}

// none says why there is no port that somebody needs to know of.
func (c classified) none() string {
	var but []string
	if n := c[classUnknown].Len(); n > 0 {
		but = append(but, thousands(n)+" unknown")
	}
	if n := c[classOpenFiltered].Len(); n > 0 {
		but = append(but, thousands(n)+" open or filtered")
	}
	if len(but) == 0 {
		return "None: no port must be open, and none is or was open."
	}
	return "None known to be open: " + strings.Join(but, ", ") + "."
}

func everyPort() scan.PortSet {
	all, err := scan.ParsePortSet("1-65535")
	if err != nil {
		panic(err) // it is right
	}
	return all
}

// The picture is a square: a port is at x = port mod side, y = port div side.
const (
	side      = 256
	mostMarks = 300 // ports with a mark; the worst first
)

// layer is all ports of a class, painted over those before it.
type layer struct {
	Class portClass
	Path  string
}

// mark is drawn around a port that should not be overlooked.
type mark struct {
	Class portClass
	X, Y  int
	Title string
}

// layers paints the classes, the worst last. What a later one covers may be painted by
// an earlier one as well, which makes fewer and larger pieces.
func (c classified) layers() (all []layer) {
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
			paint(&path, lo, hi)
			lo = hi
		}
		all = append(all, layer{Class: class, Path: path.String()})
	}
	return all
}

// paint appends the ports from lo to hi: part of a row, whole rows, part of a row.
func paint(path *strings.Builder, lo, hi int) {
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

// marks returns the marks, the worst last, so that nothing is drawn over them.
func (c classified) marks() (all []mark) {
	for _, class := range portClasses() {
		if !class.marked() {
			continue
		}
		for port := range c[class].All() {
			if len(all) == mostMarks {
				break
			}
			all = append(all, mark{Class: class, X: int(port % side), Y: int(port / side), Title: fmt.Sprintf("%d: %v", port, class)})
		}
	}
	for i, j := 0, len(all)-1; i < j; i, j = i+1, j-1 {
		all[i], all[j] = all[j], all[i]
	}
	return all
}

// classFacts is a class as text.
type classFacts struct {
	Class portClass
	Count string
	Some  bool
	Ports string // all of them
	Short string // where they are many: the first of them
}

func (c classified) facts() (all []classFacts) {
	const long = 120 // characters
	for _, class := range portClasses() {
		ports := c[class]
		f := classFacts{Class: class, Count: thousands(ports.Len()), Some: !ports.IsEmpty(), Ports: ports.String()}
		if len(f.Ports) > long {
			f.Short = f.Ports[:strings.LastIndexByte(f.Ports[:long], ',')+1]
			if f.Short == "" {
				f.Short = f.Ports[:long]
			}
		}
		f.Ports = strings.ReplaceAll(f.Ports, ",", ", ")
		f.Short = strings.ReplaceAll(f.Short, ",", ", ")
		all = append(all, f)
	}
	return all
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package main

import "fmt"

// columns is the width of Grafana's grid.
const columns = 24

// section is a row header and the panels below it.
type section struct {
	title string
	lines []panelLine
}

// panelLine is a line of panels with the same height and width.
type panelLine struct {
	height int
	panels []*panel
}

func newPanelLine(height int, panels ...*panel) panelLine {
	return panelLine{height: height, panels: panels}
}

// layOutSections sets the ID and position of each panel. The number of panels in a line
// must divide the width of the grid.
func layOutSections(sections []section) ([]*panel, error) {
	var placed []*panel
	y := 0
	add := func(p *panel, pos gridPos) {
		p.ID, p.GridPos = len(placed)+1, pos
		placed = append(placed, p)
	}
	for _, s := range sections {
		add(newRowHeader(s.title), gridPos{H: 1, W: columns, X: 0, Y: y})
		y++
		for _, l := range s.lines {
			n := len(l.panels)
			if n == 0 || columns%n != 0 {
				return nil, fmt.Errorf("%s: %d panels do not fill a line of %d columns", s.title, n, columns)
			}
			width := columns / n
			for i, p := range l.panels {
				add(p, gridPos{H: l.height, W: width, X: i * width, Y: y})
			}
			y += l.height
		}
	}
	return placed, nil
}

func newRowHeader(title string) *panel {
	return &panel{Type: "row", Title: title, Collapsed: new(bool), Panels: &[]*panel{}}
}

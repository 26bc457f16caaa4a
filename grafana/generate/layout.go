package main

import "fmt"

// columns is the width of Grafana's grid.
const columns = 24

// section is a heading and the lines of panels below it.
type section struct {
	title string
	lines []line
}

// line is panels side by side. They are of one height, and of one width that
// fills the line.
type line struct {
	height int
	panels []*panel
}

func lineOf(height int, panels ...*panel) line { return line{height: height, panels: panels} }

// place gives every panel its number and its place, from the top down. A line
// whose panels would not fill the grid is an error.
func place(sections []section) ([]*panel, error) {
	var placed []*panel
	y := 0
	add := func(p *panel, pos gridPos) {
		p.ID, p.GridPos = len(placed)+1, pos
		placed = append(placed, p)
	}
	for _, s := range sections {
		add(heading(s.title), gridPos{H: 1, W: columns, X: 0, Y: y})
		y++
		for _, l := range s.lines {
			n := len(l.panels)
			if n == 0 || columns%n != 0 {
				return nil, fmt.Errorf("%s: %d panels side by side leave a ragged line", s.title, n)
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

func heading(title string) *panel {
	return &panel{Type: "row", Title: title, Collapsed: new(bool), Panels: &[]*panel{}}
}

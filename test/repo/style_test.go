// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package repo

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"portscan_exporter/internal/scan"
)

// avoidedWords returns the patterns that the project's text avoids, each with the wording
// to use. They match complete words in upper and lower case; a space matches a line break.
func avoidedWords() map[string]string {
	return map[string]string{
		`(no|some|any|every)body|someone|anyone|no one|who(m)?ever|whatever`: "the name of the person or thing",
		`\w+ alone`:                             `"only" before the noun`,
		`whole`:                                 `"complete", "entire" or "integer"`,
		`anew|begun|learnt`:                     `"again", "started" or "learned"`,
		`reckon\w*`:                             `"estimate" or "assume"`,
		`leave to \w+`:                          `"permission to"`,
		`(tells?|says?|told|said) whether`:      `"reports whether"`,
		`tells?|says?|told|said`:                `"reports", "returns" or "logs"`,
		`knows|hears?|believes?`:                `"stores", "receives" or "assumes"`,
		`keeps? in mind`:                        `"store"`,
		`houses?|doors?|arrows?|rooms?`:         "the technical term",
		`shelf|shelves|sieges?|sights?`:         "the technical term",
		`ground floor`:                          `"lowest layer"`,
		`at the most|so many|hardly`:            `"at most", a number or "rarely"`,
		`(is|are) to be|might|shall`:            `"must", "should", "can" or "will"`,
		`(neighb|behavi|col|fav|hon|lab)our\w*`: `the American spelling, with "-or"`,
		`(cancel|label|relabel|model|travel|signal)l(ed|ing)`: `the American spelling, with one "l"`,
		`licences?|defences?|catalogues?|centres?|metres?`:    `"license", "defense", "catalog", "center" or "meter"`,
		`grey`: `"gray"`,
		`(organ|recogn|initial|optim|normal|serial|summar|minim|maxim)is(e|es|ed|ing|ation)`: `the American spelling, with "-ize"`,
	}
}

// freeRelative matches a sentence, other than a question, whose subject is a relative
// clause without a noun.
const freeRelative = `(^|[.!?|]\s+)(What|Who)\b[^.?!]*([.!]|$)`

func TestStyleWords(t *testing.T) {
	t.Parallel()
	rules := styleRules()
	if got := rules.check(passage{line: 7, text: "Nobody\nbegins anew. What is new"}); len(got) != 3 {
		t.Errorf("check() = %q, want 3 violations", got)
	}
	files := 0
	for _, file := range filesWith(t, ".go", ".html", ".md", ".sh", ".yaml", ".yml") {
		files++
		for _, p := range passages(t, file) {
			for _, violation := range rules.check(p) {
				t.Errorf("%s:%s", file, violation)
			}
		}
	}
	if files < 200 {
		t.Errorf("checked %d files, want at least 200", files)
	}
}

// styleRule is a pattern, and the wording to use in its place.
type styleRule struct {
	avoid *regexp.Regexp
	use   string
}

type ruleSet []styleRule

func styleRules() (rules ruleSet) {
	for words, use := range avoidedWords() {
		words = strings.ReplaceAll(words, " ", `\s+`)
		rules = append(rules, styleRule{regexp.MustCompile(`(?i)\b(` + words + `)\b`), use})
	}
	return append(rules, styleRule{regexp.MustCompile(freeRelative), "a noun as the subject"})
}

// check returns the violations in a passage, each with its line.
func (rules ruleSet) check(p passage) (violations []string) {
	for _, rule := range rules {
		for _, at := range rule.avoid.FindAllStringIndex(p.text, -1) {
			line := p.line + strings.Count(p.text[:at[0]], "\n")
			found := scan.Truncate(p.text[at[0]:at[1]], 60)
			violations = append(violations, fmt.Sprintf("%d: %q: use %s", line, found, rule.use))
		}
	}
	return violations
}

// passage is a paragraph, a comment or a string, with the line on which it starts.
type passage struct {
	line int
	text string
}

// passages returns the prose in a file.
func passages(t *testing.T, file string) []passage {
	t.Helper()
	switch filepath.Ext(file) {
	case ".go":
		return goPassages(t, file)
	case ".md":
		return paragraphs(blankCode(read(t, file)), regexp.MustCompile(`^ *([#|*-]|\d+\.)`), "")
	default:
		return paragraphs(read(t, file), regexp.MustCompile(`^ *[^# ]`), "# ")
	}
}

// blankCode removes blocks and spans of code from a Markdown document, but no line.
func blankCode(text string) string {
	lines := func(code string) string { return strings.Repeat("\n", strings.Count(code, "\n")) }
	text = regexp.MustCompile("(?ms)^ *```.*?^ *```$").ReplaceAllStringFunc(text, lines)
	return regexp.MustCompile("`[^`]*`").ReplaceAllStringFunc(text, lines)
}

// paragraphs splits a text at empty lines and before the lines that match start. It
// removes the marker and blanks at the beginning of each line.
func paragraphs(text string, start *regexp.Regexp, marker string) (all []passage) {
	separate := true
	for i, line := range strings.Split(text, "\n") {
		starts := start.MatchString(line)
		line = strings.TrimLeft(line, " "+marker)
		if separate || starts {
			all = append(all, passage{line: i + 1})
		}
		all[len(all)-1].text += line + "\n"
		separate = line == "" || (marker != "" && starts)
	}
	return all
}

// goPassages returns the comments of a Go file and, outside tests, its strings of more
// than one word.
func goPassages(t *testing.T, file string) (all []passage) {
	t.Helper()
	positions := token.NewFileSet()
	tree, err := parser.ParseFile(positions, file, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	line := func(n ast.Node) int { return positions.Position(n.Pos()).Line }
	for _, group := range tree.Comments {
		p := passage{line: line(group)}
		for _, c := range group.List {
			p.text += strings.Trim(c.Text, "/* ") + "\n"
		}
		all = append(all, p)
	}
	if strings.HasSuffix(file, "_test.go") {
		return all
	}
	for n := range ast.Preorder(tree) {
		if text, ok := n.(*ast.BasicLit); ok && text.Kind == token.STRING && strings.Contains(text.Value, " ") {
			all = append(all, passage{line: line(text), text: strings.ReplaceAll(strings.Trim(text.Value, "\"`"), `\n`, " ")})
		}
	}
	return all
}

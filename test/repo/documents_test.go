package repo

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"portscan_exporter/internal/server"
)

// TestLinks follows every relative link in every document, and in the rules.
func TestLinks(t *testing.T) {
	t.Parallel()
	files := documents(t)
	links := 0
	for _, file := range files {
		text := prose(read(t, file))
		for _, m := range regexp.MustCompile(`\]\(([^()\s]+)\)`).FindAllStringSubmatch(text, -1) {
			links += follow(t, file, filepath.Dir(file), m[1])
		}
	}
	for _, file := range []string{"prometheus/alerts.yml", "prometheus/vantage.yml"} {
		for _, m := range regexp.MustCompile(`runbook: (\S+)`).FindAllStringSubmatch(read(t, file), -1) {
			links += follow(t, file, ".", m[1])
		}
	}
	if len(files) < 10 || links < 50 {
		t.Errorf("there are %d documents with %d links: that can't be all", len(files), links)
	}
}

// documents are all Markdown files of the project.
func documents(t *testing.T) (files []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && path != "." && (strings.HasPrefix(e.Name(), ".") || e.Name() == "dist"):
			return filepath.SkipDir
		case filepath.Ext(path) == ".md":
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// prose is a document without its blocks of code.
func prose(text string) string {
	return regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(text, "")
}

// follow looks for what a link leads to, and returns 1; 0 where it leads elsewhere.
func follow(t *testing.T, file, dir, link string) int {
	t.Helper()
	u, err := url.Parse(link)
	if err != nil {
		t.Errorf("%s: link %q: %v", file, link, err)
		return 1
	}
	if u.Scheme != "" {
		return 0
	}
	path := file
	if u.Path != "" {
		path = filepath.Join(dir, u.Path)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("%s: link %q leads nowhere: %v", file, link, err)
		return 1
	}
	if u.Fragment != "" && !slices.Contains(anchors(read(t, path)), u.Fragment) {
		t.Errorf("%s: link %q: %s has no such heading", file, link, path)
	}
	return 1
}

// anchors are what a document's headings are linked by.
func anchors(text string) (all []string) {
	unwanted := regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
	seen := make(map[string]int)
	for _, m := range regexp.MustCompile(`(?m)^#{1,6} +(.+?)\s*$`).FindAllStringSubmatch(prose(text), -1) {
		name := strings.ReplaceAll(unwanted.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")
		if n := seen[name]; n > 0 {
			all = append(all, name+"-"+strconv.Itoa(n))
		} else {
			all = append(all, name)
		}
		seen[name]++
	}
	return all
}

// TestMessages looks for everything that the exporter says to people in docs/troubleshooting.md.
func TestMessages(t *testing.T) {
	t.Parallel()
	const document = "docs/troubleshooting.md"
	lines := strings.Split(read(t, document), "\n")
	messages := messagesInCode(t)
	if len(messages) < 40 {
		t.Fatalf("the code says %d things: that can't be all", len(messages))
	}
	for message, at := range messages {
		first, _, _ := strings.Cut(message, "\n")
		pieces := regexp.MustCompile(`%(?:\[\d\])?[a-z]`).Split(first, -1)
		for i := range pieces {
			pieces[i] = regexp.QuoteMeta(pieces[i])
		}
		pattern := regexp.MustCompile("`[^`]*" + strings.Join(pieces, "[^`]+"))
		if !slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, "|") && pattern.MatchString(line) }) {
			t.Errorf("%s: no table of %s has %q", at, document, message)
		}
	}
}

// messagesInCode are the texts of log lines above debug, of refusals and errors over
// HTTP, and of what the scan command says below its table; each with where it is.
func messagesInCode(t *testing.T) map[string]string {
	t.Helper()
	messages := make(map[string]string)
	for _, m := range server.Messages() {
		messages[m.Format] = "internal/server/messages.go"
	}
	for _, dir := range []string{"app", "audit", "coordinator", "server", "terminal"} {
		files, err := filepath.Glob(filepath.Join("internal", dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no Go in %s: %v", dir, err)
		}
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				maps.Copy(messages, messagesIn(t, file))
			}
		}
	}
	return messages
}

func messagesIn(t *testing.T, file string) map[string]string {
	t.Helper()
	positions := token.NewFileSet()
	tree, err := parser.ParseFile(positions, file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	messages := make(map[string]string)
	ast.Inspect(tree, func(n ast.Node) bool {
		var call *ast.CallExpr
		switch n := n.(type) {
		case *ast.CallExpr:
			if !saysToPeople(filepath.Base(file), n) {
				return true
			}
			call = n
		case *ast.ValueSpec: // an error that is answered as it is
			if !strings.HasPrefix(n.Names[0].Name, "Err") || len(n.Values) != 1 {
				return true
			}
			call, _ = n.Values[0].(*ast.CallExpr)
		}
		if call == nil {
			return true
		}
		for _, arg := range call.Args {
			if text := literals(arg); text != "" {
				messages[text] = positions.Position(call.Pos()).String()
				break // the others are keys of attributes, or values
			}
		}
		return true
	})
	return messages
}

// saysToPeople tells whether a call's first text is for people.
func saysToPeople(file string, call *ast.CallExpr) bool {
	var on, name string
	switch f := call.Fun.(type) {
	case *ast.Ident:
		name = f.Name
	case *ast.SelectorExpr:
		name = f.Sel.Name
		switch x := f.X.(type) {
		case *ast.Ident:
			on = x.Name
		case *ast.SelectorExpr:
			on = x.Sel.Name
		}
	}
	switch name {
	case "Info", "Warn":
		return strings.EqualFold(on, "logger")
	case "Error":
		return strings.EqualFold(on, "logger") || on == "http"
	case "Sprintf":
		return file == "notes.go"
	}
	return false
}

// literals are the texts in an expression, with %v for what stands between them.
func literals(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return text
		}
	case *ast.BinaryExpr:
		left, right := literals(e.X), literals(e.Y)
		switch {
		case left != "" && right != "":
			return left + right
		case left != "":
			return left + "%v"
		case right != "":
			return "%v" + right
		}
	}
	return ""
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package repo

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"portscan_exporter/internal/server"
	"portscan_exporter/internal/terminal"
)

// TestMessagesDocumented requires a table row in docs/troubleshooting.md for each log
// message above level debug, each answer to a failed request and each note of scan.
func TestMessagesDocumented(t *testing.T) {
	t.Parallel()
	const document = "docs/troubleshooting.md"
	messages := logMessages(t)
	if got, want := len(messages), 20; got < want {
		t.Fatalf("logMessages() has %d messages, want at least %d", got, want)
	}
	for _, m := range server.Messages() {
		messages[m.Format] = "internal/server"
	}
	for _, format := range terminal.NoteFormats() {
		messages[format] = "internal/terminal"
	}
	if got, want := len(messages), 40; got < want {
		t.Fatalf("found %d messages, want at least %d", got, want)
	}
	lines := strings.Split(read(t, document), "\n")
	for message, at := range messages {
		row := messagePattern(message)
		if !slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, "|") && row.MatchString(line) }) {
			t.Errorf("%s: message %q is not in a table of %s", at, message, document)
		}
	}
}

// TestLogMessageForm requires an event without details, which belong to attributes.
func TestLogMessageForm(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^[A-Z][^.:;]{3,59}$`)
	for message, at := range logMessages(t) {
		if !form.MatchString(message) {
			t.Errorf("%s: message %q does not match %v", at, message, form)
		}
	}
}

// messagePattern matches the first line of a message as a document quotes it, with a
// word in place of each verb.
func messagePattern(format string) *regexp.Regexp {
	first, _, _ := strings.Cut(format, "\n")
	parts := regexp.MustCompile(`%(?:\[\d\])?[a-z]`).Split(first, -1)
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile("`[^`]*" + strings.Join(parts, "[^`]+"))
}

// logMessages returns the messages of all calls of [log/slog.Logger]'s methods Info, Warn
// and Error outside tests, with their positions.
func logMessages(t *testing.T) map[string]string {
	t.Helper()
	messages := make(map[string]string)
	ours, exports := listPackages(t)
	for _, p := range ours {
		maps.Copy(messages, packageLogMessages(t, p, exports))
	}
	return messages
}

func packageLogMessages(t *testing.T, p goPackage, exports map[string]string) map[string]string {
	t.Helper()
	positions := token.NewFileSet()
	var files []*ast.File
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(positions, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	open := func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) }
	info := types.Info{Uses: make(map[*ast.Ident]types.Object), Types: make(map[ast.Expr]types.TypeAndValue)}
	if _, err := (&types.Config{Importer: importer.ForCompiler(positions, "gc", open)}).Check(p.ImportPath, positions, files, &info); err != nil {
		t.Fatal(err)
	}
	messages := make(map[string]string)
	for _, file := range files {
		for n := range ast.Preorder(file) {
			call, ok := n.(*ast.CallExpr)
			if !ok || !isLogCall(&info, call) {
				continue
			}
			at := positions.Position(call.Pos()).String()
			text := info.Types[call.Args[0]].Value
			if text == nil {
				t.Errorf("%s: log message is not a constant", at)
				continue
			}
			messages[constant.StringVal(text)] = at
		}
	}
	return messages
}

func isLogCall(info *types.Info, call *ast.CallExpr) bool {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	method, ok := info.Uses[f.Sel].(*types.Func)
	return ok && slices.Contains([]string{"Info", "Warn", "Error"}, method.Name()) &&
		strings.HasPrefix(method.FullName(), "(*log/slog.Logger).")
}

// goPackage is a package as go list describes it.
type goPackage struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
	Module                  *struct{ Main bool }
}

// listPackages returns the packages of this module, and the files with the export data
// of these and of all packages that they import.
func listPackages(t *testing.T) (ours []goPackage, exports map[string]string) {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles,Module", "./...")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("listing packages: %v", err)
	}
	exports = make(map[string]string)
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return ours, exports
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
		if p.Module != nil && p.Module.Main {
			ours = append(ours, p)
		}
	}
}

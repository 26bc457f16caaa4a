// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

// TestMessagesHaveAllFormats requires a message for the format of each call of
// newRequestError.
func TestMessagesHaveAllFormats(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	constants := make(map[string]string)
	var calls []*ast.CallExpr
	for _, file := range files {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				addStrings(constants, n)
			case *ast.CallExpr:
				if name, ok := n.Fun.(*ast.Ident); ok && name.Name == "newRequestError" {
					calls = append(calls, n)
				}
			}
			return true
		})
	}
	if got, want := len(calls), 15; got < want {
		t.Fatalf("found %d calls of newRequestError, want at least %d", got, want)
	}
	for _, call := range calls {
		name, ok := call.Args[0].(*ast.Ident)
		if !ok || !slices.ContainsFunc(Messages(), func(m Message) bool { return m.Format == constants[name.Name] }) {
			t.Errorf("newRequestError(%v): got a format without a message, want a constant of messages.go", call.Args[0])
		}
	}
}

// addStrings adds the values of string literals by the names that they define.
func addStrings(values map[string]string, spec *ast.ValueSpec) {
	for i, v := range spec.Values {
		if literal, ok := v.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			values[spec.Names[i].Name], _ = strconv.Unquote(literal.Value)
		}
	}
}

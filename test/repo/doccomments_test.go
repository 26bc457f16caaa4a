// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package repo

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"testing"
)

// TestDocCommentForm requires that packages implement, define or provide a noun, and that
// boolean functions report whether a condition holds.
func TestDocCommentForm(t *testing.T) {
	t.Parallel()
	packageForm := regexp.MustCompile(`^(Package \w+ (implements|defines|provides) |Command )`)
	boolForm := regexp.MustCompile(`\breports\s+whether\b|\breturns\s+(true|false)\b|\bimplements\b`)
	for _, file := range filesWith(t, ".go") {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if doc := tree.Doc.Text(); doc != "" && !packageForm.MatchString(doc) {
			t.Errorf("%s: package comment %.60q does not match %v", file, doc, packageForm)
		}
		for _, declaration := range tree.Decls {
			f, ok := declaration.(*ast.FuncDecl)
			if ok && f.Doc != nil && returnsBool(f) && !boolForm.MatchString(f.Doc.Text()) {
				t.Errorf("%s: comment of %s does not match %v", file, f.Name.Name, boolForm)
			}
		}
	}
}

func returnsBool(f *ast.FuncDecl) bool {
	if f.Type.Results == nil || len(f.Type.Results.List) != 1 {
		return false
	}
	result, ok := f.Type.Results.List[0].Type.(*ast.Ident)
	return ok && result.Name == "bool"
}

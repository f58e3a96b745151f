package oauth_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// describers are the functions whose argument of that index becomes an
// error_description, by package and name. A helper that hands its own parameter
// on stands here too, so that its callers are checked in its place.
var describers = map[string]int{
	"oauth.Errorf":        1,
	"oauth.Refuse":        1,
	"oauth.metadataError": 0,
	"token.invalidGrant":  0,
}

// arguments are the expressions that may be put into a description: numbers and
// names of ours, never a value that came with the request. A new one is added
// here after somebody has made sure of that.
var arguments = map[string]bool{
	"name": true, "pinned": true, "want": true, "e.Limit": true,
	"maxValues": true, "maxText": true, "maxRedirectURIs": true, "maxState": true, "maxNonce": true, "maxHint": true,
	"minSecret": true, "maxSecret": true, "MaxScope": true, "math.MaxInt32": true, `strings.Join(known, ", ")`: true,
	"maxClaimsText": true, "maxClaimNames": true, "maxLogoutState": true, `strings.Join(oauth.ResponseTypes, ", ")`: true,
	`strings.Join(ResponseTypes, ", ")`: true, `strings.Join(SigningAlgorithms, ", ")`: true,
	"way.name": true, `strings.Join(way.algorithms, ", ")`: true, `strings.Join(ContentEncryptions, ", ")`: true,
}

// verbs are the ones a description may hold; %q would bring double quotes.
var verbs = regexp.MustCompile(`%[sd]`)

// RFC 6749 Section 5.2: error_description holds printable ASCII without the
// double quote and the backslash. Every description in the tree is read from the
// source, those on rare paths included.
func TestDescriptions(t *testing.T) {
	t.Parallel()
	walk := readTree(t, "..")
	count := 0
	for _, d := range walk.descriptions {
		text, ok := walk.text(d.pkg, d.expr)
		if !ok {
			t.Errorf("%s: the description is not a constant; add the helper to describers", d.at)
			continue
		}
		count++
		if problem := checkDescription(text); problem != "" {
			t.Errorf("%s: %q %s", d.at, text, problem)
		}
		if want := len(verbs.FindAllString(text, -1)); len(d.arguments) != want {
			t.Errorf("%s: %d arguments for %d verbs of %q", d.at, len(d.arguments), want, text)
		}
		for _, a := range d.arguments {
			if !arguments[a] {
				t.Errorf("%s: %s goes into a description; if it can hold nothing of the request, add it to arguments", d.at, a)
			}
		}
	}
	if count < 80 {
		t.Errorf("found %d descriptions only: the walk misses some", count)
	}
}

// checkDescription says what is wrong with a description; "" when nothing is.
func checkDescription(text string) string {
	bare := verbs.ReplaceAllString(text, "x")
	switch {
	case bare == "":
		return "is empty"
	case strings.Contains(bare, "%"):
		return "holds a verb other than %s and %d"
	case strings.HasSuffix(bare, "."), strings.TrimSpace(bare) != bare:
		return "ends like a sentence or in a space"
	case bare[0] >= 'A' && bare[0] <= 'Z':
		return "begins with a capital"
	}
	for i := range len(bare) {
		if c := bare[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return fmt.Sprintf("holds %q, which RFC 6749 Section 5.2 excludes", c)
		}
	}
	return ""
}

func TestCheckDescription(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"scope is missing": true, "at most %d values of %s": true,
		"": false, "Scope is missing": false, "scope is missing.": false, "scope %q is missing": false, " scope": false,
		`scope "a" is missing`: false, `a\b`: false, "über": false, "a\nb": false, "a\x7f": false,
	} {
		if got := checkDescription(text) == ""; got != want {
			t.Errorf("checkDescription(%q): accepted %t, want %t", text, got, want)
		}
	}
}

// A description is one place in the source that makes one.
type description struct {
	at, pkg   string
	expr      ast.Expr
	arguments []string
}

// A tree is what was read from the source: descriptions, and the constants they
// are made of by package and name.
type tree struct {
	descriptions []description
	constants    map[string]ast.Expr
}

func readTree(t *testing.T, root string) *tree {
	t.Helper()
	read := &tree{constants: map[string]ast.Expr{}}
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "cli/") {
			return err // commands talk to the operator, not to a client
		}
		set := token.NewFileSet()
		text, err := os.ReadFile(path.Join(root, name))
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(set, name, text, 0)
		if err != nil {
			return err
		}
		read.file(set, file, text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return read
}

func (r *tree) file(set *token.FileSet, file *ast.File, text []byte) {
	pkg := file.Name.Name
	source := func(n ast.Node) string {
		return string(text[set.Position(n.Pos()).Offset:set.Position(n.End()).Offset])
	}
	var inside string // the function that is being read
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			inside = pkg + "." + n.Name.Name
		case *ast.ValueSpec:
			for i, name := range n.Names {
				if i < len(n.Values) {
					r.constants[pkg+"."+name.Name] = n.Values[i]
				}
			}
		case *ast.CallExpr:
			index, ok := describers[called(pkg, n.Fun)]
			_, helper := describers[inside]
			if !ok || len(n.Args) <= index || helper {
				break
			}
			d := description{at: set.Position(n.Pos()).String(), pkg: pkg, expr: n.Args[index]}
			if strings.HasSuffix(called(pkg, n.Fun), "rrorf") || called(pkg, n.Fun) == "oauth.metadataError" {
				for _, a := range n.Args[index+1:] {
					d.arguments = append(d.arguments, source(a))
				}
			}
			r.descriptions = append(r.descriptions, d)
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); !ok || key.Name != "Description" {
				break
			} else if _, helper := describers[inside]; helper || source(n.Value) == "e.Description" {
				break
			}
			d := description{at: set.Position(n.Pos()).String(), pkg: pkg, expr: n.Value}
			if call, ok := n.Value.(*ast.CallExpr); ok && called(pkg, call.Fun) == "fmt.Sprintf" {
				d.expr = call.Args[0]
				for _, a := range call.Args[1:] {
					d.arguments = append(d.arguments, source(a))
				}
			}
			r.descriptions = append(r.descriptions, d)
		}
		return true
	})
}

// called names a function as package.name.
func called(pkg string, fun ast.Expr) string {
	switch f := fun.(type) {
	case *ast.Ident:
		return pkg + "." + f.Name
	case *ast.SelectorExpr:
		if x, ok := f.X.(*ast.Ident); ok {
			return x.Name + "." + f.Sel.Name
		}
	}
	return ""
}

// text is the value of a constant text.
func (r *tree) text(pkg string, expr ast.Expr) (string, bool) {
	switch e := expr.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		return s, err == nil
	case *ast.Ident:
		value, ok := r.constants[pkg+"."+e.Name]
		if !ok {
			return "", false
		}
		return r.text(pkg, value)
	case *ast.BinaryExpr:
		left, okLeft := r.text(pkg, e.X)
		right, okRight := r.text(pkg, e.Y)
		return left + right, okLeft && okRight && e.Op == token.ADD
	}
	return "", false
}

package config_test

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/hufu-auth/hufu/internal/config"
)

var update = flag.Bool("update", false, "rewrite docs/configuration.md")

const (
	referencePath = "../../docs/configuration.md"
	referenceHead = `# Configuration

Hufu runs without any configuration. What you want otherwise goes into a YAML
file (` + "`--config FILE`, or the variable `HUFU_CONFIG`" + `), into environment variables,
or both. A variable beats the file, a flag of the command line beats the
variable.

- The variable of a key is its name in capitals after ` + "`HUFU_`: `log_level` is\n  `HUFU_LOG_LEVEL`" + `. Text is taken as it is; everything else is read as YAML
  would read it, so a list is ` + "`[a, b]`" + `.
- A duration has a unit: ` + "`30s`, `10m`, `12h`, `90d`, `1d12h`" + `.
- A key without a value keeps its default.
- A key or a ` + "`HUFU_`" + ` variable that does not exist is refused, so that a typing
  error cannot pass unnoticed. ` + "`hufu config check`" + ` reports every mistake at once.
- A secret can come from a file: the key with ` + "`_file`" + ` behind its name.

This page is made from the comments in ` + "`internal/config/config.go`" + `.
`
)

// TestReferenceIsFresh compares docs/configuration.md with the comments it is made
// from. After a change: go test ./internal/config -run Reference -update
func TestReferenceIsFresh(t *testing.T) {
	want := reference(t)
	if *update {
		if err := os.WriteFile(referencePath, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(referencePath)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/configuration.md is stale: go test ./internal/config -run Reference -update")
	}
}

// reference makes the page from the fields of Config.
func reference(t *testing.T) []byte {
	t.Helper()
	comments := fieldComments(t)
	defaults := strings.Split(strings.TrimSpace(config.Default().String()), "\n")
	var page bytes.Buffer
	page.WriteString(referenceHead)
	for i, field := range reflect.VisibleFields(reflect.TypeFor[config.Config]()) {
		key := field.Tag.Get("yaml")
		if key == "" {
			continue
		}
		comment := comments[field.Name]
		if comment == "" {
			t.Errorf("the field %s has no comment", field.Name)
		}
		fmt.Fprintf(&page, "\n## %s\n\nDefault: `%s` · variable: `HUFU_%s`\n\n%s",
			key, strings.TrimPrefix(defaults[i], key+": "), strings.ToUpper(key), comment)
	}
	return page.Bytes()
}

// fieldComments reads the comments of the fields of Config from its source.
func fieldComments(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	comments := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != "Config" {
			return true
		}
		for _, field := range spec.Type.(*ast.StructType).Fields.List {
			for _, name := range field.Names {
				comments[name.Name] = field.Doc.Text()
			}
		}
		return false
	})
	return comments
}

// TestSecretsHaveFiles holds the rule that every secret key K has a key K_file.
func TestSecretsHaveFiles(t *testing.T) {
	fields := reflect.VisibleFields(reflect.TypeFor[config.Config]())
	for i, field := range fields {
		if field.Type != reflect.TypeFor[config.Secret]() {
			continue
		}
		if want := field.Tag.Get("yaml") + "_file"; fields[i+1].Tag.Get("yaml") != want {
			t.Errorf("%s is not followed by %s", field.Name, want)
		}
	}
}

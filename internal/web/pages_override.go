package web

import (
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// A templateSet is the text of every template by its file name, an operator's in the
// place of ours.
type templateSet struct {
	text map[string]string
	own  map[string]bool // which of them are the operator's
}

// maxTemplate bounds a file of the operator's, in bytes.
const maxTemplate = 256 << 10

// readTemplates reads our templates and those of a directory, "" for none.
func readTemplates(directory string) (templateSet, error) {
	set := templateSet{map[string]string{}, map[string]bool{}}
	names, err := fs.Glob(pageFiles, "pages/*.html")
	if err != nil {
		return set, err
	}
	for _, name := range names {
		text, err := pageFiles.ReadFile(name)
		if err != nil {
			return set, err
		}
		set.text[strings.TrimPrefix(name, "pages/")] = string(text)
	}
	if directory == "" {
		return set, nil
	}
	entries, err := os.ReadDir(directory)
	if err != nil {
		return set, err
	}
	for _, entry := range entries {
		name := entry.Name()
		if filepath.Ext(name) != ".html" {
			continue
		}
		if _, ok := set.text[name]; !ok {
			return set, fmt.Errorf("%s is the name of no template of ours; there are %s", name, strings.Join(sortedNames(set.text), ", "))
		}
		text, err := os.ReadFile(filepath.Join(directory, name))
		if err != nil {
			return set, err
		}
		if len(text) > maxTemplate {
			return set, fmt.Errorf("%s is larger than %d KiB", name, maxTemplate>>10)
		}
		set.text[name], set.own[name] = string(text), true
	}
	return set, nil
}

func sortedNames(text map[string]string) []string {
	var names []string
	for name := range text {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// layout makes what belongs to every page of one language.
func (s templateSet) layout(functions template.FuncMap) (*template.Template, error) {
	layout := template.New("layout.html").Funcs(functions)
	for _, name := range []string{"layout.html", "parts.html"} {
		if err := s.add(layout, name); err != nil {
			return nil, err
		}
	}
	return layout, nil
}

// page makes one page in a layout, which stays as it is.
func (s templateSet) page(layout *template.Template, name string) (*template.Template, error) {
	if _, ok := s.text[name]; !ok {
		return nil, errors.New("no such template")
	}
	page, err := layout.Clone()
	if err != nil {
		return nil, err
	}
	if err := s.add(page, name); err != nil {
		return nil, err
	}
	if page.Lookup("main") == nil {
		return nil, fmt.Errorf("%s defines no template \"main\"", name)
	}
	return page, nil
}

// add parses one file into a set of templates, under its name.
func (s templateSet) add(to *template.Template, name string) error {
	if to.Name() != name {
		to = to.New(name)
	}
	_, err := to.Parse(s.text[name])
	return err
}

// literalKey finds a text that a template names.
var literalKey = regexp.MustCompile(`\b(?:t|before|after|plural) "([^"]*)"`)

// check looks for mistakes of an operator's templates that would show only when a page is
// asked for: texts that the catalogue does not have, fields that the page does not have,
// markup that cannot be escaped. Each page is made twice, with nothing in its fields and
// with something in all of them.
func (s templateSet) check(c catalogue, functions template.FuncMap) error {
	if len(s.own) == 0 {
		return nil
	}
	for _, name := range sortedNames(s.text) {
		if err := s.checkKeys(name, c); err != nil {
			return err
		}
	}
	trial := template.FuncMap{}
	for name, function := range functions {
		trial[name] = function
	}
	// A key that is put together of what a page holds is none while that is made up.
	anything := func(key string, _ ...any) string { return key }
	trial["t"], trial["before"], trial["after"], trial["plural"] = anything, anything, anything, anything
	layout, err := s.layout(trial)
	if err != nil {
		return err
	}
	for _, page := range pageKinds {
		made, err := s.page(layout, page.template())
		if err != nil {
			return err
		}
		for _, full := range []bool{false, true} {
			view := layoutView{Title: "x", Page: page.view()}
			if full {
				view.Home, view.Script, view.Accent, view.Choices = "x", "password.js", "x", make([]languageChoice, 2)
				view.Page = filled(page.view())
			}
			if err := made.ExecuteTemplate(io.Discard, "layout.html", view); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkKeys wants every text that an operator's template names.
func (s templateSet) checkKeys(name string, c catalogue) error {
	if !s.own[name] {
		return nil
	}
	for i, line := range strings.Split(s.text[name], "\n") {
		for _, m := range literalKey.FindAllStringSubmatch(line, -1) {
			if _, ok := c[m[1]]; !ok {
				return fmt.Errorf("%s:%d: no text %q", name, i+1, m[1])
			}
		}
	}
	return nil
}

// filled is a copy of a value with something in all of its exported fields.
func filled(v any) any {
	if v == nil {
		return nil
	}
	from := reflect.ValueOf(v)
	to := reflect.New(from.Type()).Elem()
	to.Set(from)
	fill(to, 0)
	return to.Interface()
}

func fill(v reflect.Value, depth int) {
	if !v.CanSet() || depth > 6 {
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), depth+1)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth+1)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), depth+1)
		}
	}
}

// A TemplateError is a mistake in an operator's templates. Its text names the file, and the
// line where there is one.
type TemplateError struct{ cause error }

func (e *TemplateError) Error() string {
	text := strings.TrimPrefix(strings.TrimPrefix(e.cause.Error(), "html/"), "template:")
	return strings.TrimSpace(text)
}

// Unwrap returns what happened.
func (e *TemplateError) Unwrap() error { return e.cause }

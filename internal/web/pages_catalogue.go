package web

import (
	"bufio"
	"bytes"
	"embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed catalogue/*.txt
var catalogueFiles embed.FS

// A catalogue holds the texts of one language by key.
type catalogue map[string]string

// loadCatalogue reads catalogue/LANGUAGE.txt: one "key = text" per line,
// comments behind a # at the beginning of a line.
func loadCatalogue(language string) (catalogue, error) {
	name := "catalogue/" + language + ".txt"
	file, err := catalogueFiles.ReadFile(name)
	if err != nil {
		return nil, err
	}
	c := catalogue{}
	lines := bufio.NewScanner(bytes.NewReader(file))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, text, ok := strings.Cut(line, " = ")
		if _, twice := c[key]; !ok || twice || text == "" {
			return nil, fmt.Errorf("%s:%d: want one \"key = text\" per key", name, n)
		}
		c[key] = text
	}
	return c, lines.Err()
}

// text returns the text of key with its placeholders filled from values, which
// are a name and a value in turn. {product} is always known. The result is
// plain text; the template escapes it where it stands.
func (c catalogue) text(key string, values ...any) (string, error) {
	text, ok := c[key]
	if !ok {
		return "", fmt.Errorf("no text %q", key)
	}
	if len(values) == 0 && !strings.Contains(text, "{") { // as most are
		return text, nil
	}
	fill := []string{"{product}", c["product"]}
	for i := 0; i+1 < len(values); i += 2 {
		name := "{" + fmt.Sprint(values[i]) + "}"
		if !strings.Contains(text, name) {
			return "", fmt.Errorf("text %q has no place for %s", key, name)
		}
		fill = append(fill, name, fmt.Sprint(values[i+1]))
	}
	// One pass, so that a value which looks like a placeholder stays as it is.
	var filled strings.Builder
	for {
		before, rest, ok := strings.Cut(text, "{")
		filled.WriteString(before)
		if !ok {
			return filled.String(), nil
		}
		name, behind, _ := strings.Cut(rest, "}")
		i := slices.Index(fill, "{"+name+"}")
		if i < 0 || i%2 == 1 {
			return "", fmt.Errorf("text %q: nothing given for {%s}", key, name)
		}
		filled.WriteString(fill[i+1])
		text = behind
	}
}

// before returns the text up to one placeholder, for a template that puts an
// element in its place.
func (c catalogue) before(key, name string) (string, error) {
	text, _, err := c.cut(key, name)
	return text, err
}

// after returns the text behind that placeholder.
func (c catalogue) after(key, name string) (string, error) {
	_, text, err := c.cut(key, name)
	return text, err
}

// cut fills the two halves of a text around its placeholder name.
func (c catalogue) cut(key, name string) (before, after string, err error) {
	before, after, ok := strings.Cut(c[key], "{"+name+"}")
	if !ok {
		return "", "", fmt.Errorf("text %q has no place for {%s}", key, name)
	}
	halves := catalogue{"before": before, "after": after, "product": c["product"]}
	if before, err = halves.text("before"); err != nil {
		return "", "", err
	}
	after, err = halves.text("after")
	return before, after, err
}

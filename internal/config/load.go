package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

const (
	// EnvironmentPrefix begins every variable that Hufu obeys: the key some_key is
	// overridden by HUFU_SOME_KEY.
	EnvironmentPrefix = "HUFU_"
	// PathVariable names the configuration file when --config does not. It is not a
	// key; the command line reads it.
	PathVariable = "HUFU_CONFIG"

	maxFile = 256 << 10
)

// A Flag is a value that the command line puts over the file and the
// environment. Its text is read as that of an environment variable.
type Flag struct {
	Name string // as typed: --listen
	Key  string // which it overrides: listen
	Text string
}

// Load reads the configuration: defaults, then the YAML file at path (none if
// path is empty), then the HUFU_ variables of environ, then flags. It reports all
// mistakes at once; Mistakes takes them apart.
func Load(path string, environ []string, flags ...Flag) (*Config, error) {
	c := Default()
	var mistakes []error
	if path != "" {
		text, err := readSmall(path, maxFile)
		if err != nil {
			mistakes = append(mistakes, &Mistake{Name: "configuration file", Reason: err.Error()})
		}
		mistakes = append(mistakes, c.readYAML(filepath.Base(path), text)...)
	}
	mistakes = append(mistakes, c.readEnvironment(environ)...)
	for _, f := range flags {
		mistakes = append(mistakes, c.override(f.Key, f.Name, f.Text)...)
	}
	if err := errors.Join(append(mistakes, c.Finish())...); err != nil {
		return nil, err
	}
	return c, nil
}

// readYAML takes the values of a file. It reads node by node instead of decoding
// into the struct, so that the second mistake is found as well as the first and
// no message quotes the file.
func (c *Config) readYAML(name string, text []byte) []error {
	body, err := parseYAML(text)
	if err != nil {
		err.Place = strings.TrimSpace(name + " " + err.Place)
		return []error{err}
	}
	if body == nil {
		return nil
	}
	top, ok := body.(*ast.MappingNode)
	if !ok {
		return []error{&Mistake{Name: name, Reason: "want a list of keys, as in `listen: localhost:8080`"}}
	}
	var mistakes []error
	for _, entry := range top.Values {
		place := fmt.Sprintf("%s line %d", name, line(entry.Key))
		key := keyName(entry)
		target, ok := c.field(key)
		if !ok {
			mistakes = append(mistakes, unknownKey(key, place, keys()))
			continue
		}
		d := decoder{file: name}
		c.origins[key] = origin{name: key, place: place}
		d.decode(key, entry.Value, target)
		mistakes = append(mistakes, d.mistakes...)
	}
	return mistakes
}

// readEnvironment takes the values of the HUFU_ variables. One that is unknown is
// a mistake, for it is a key that somebody believes to be in force.
func (c *Config) readEnvironment(environ []string) []error {
	var mistakes []error
	for _, entry := range environ {
		name, text, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, EnvironmentPrefix) || name == PathVariable {
			continue
		}
		key := strings.ToLower(strings.TrimPrefix(name, EnvironmentPrefix))
		if _, ok := c.field(key); !ok || name != variable(key) {
			var known []string
			for _, k := range keys() {
				known = append(known, variable(k))
			}
			mistakes = append(mistakes, unknownKey(name, "", known))
			continue
		}
		mistakes = append(mistakes, c.override(key, name, text)...)
	}
	return mistakes
}

// siblings are keys that say the same thing in two ways. One that is set beats the
// other where that was set with less right: in the file, or by a variable.
var siblings = map[string]string{
	"database": "database_file", "database_file": "database",
	"master_key": "master_key_file", "master_key_file": "master_key",
	"registration_token": "registration_token_file", "registration_token_file": "registration_token",
	"mail_password": "mail_password_file", "mail_password_file": "mail_password",
}

// override sets one key from text: a plain text field takes it as it is, every
// other reads it as YAML.
func (c *Config) override(key, name, text string) []error {
	target, ok := c.field(key)
	if !ok {
		return []error{unknownKey(name, "", keys())}
	}
	if other, ok := siblings[key]; ok && text != "" && outranks(name, c.origins[other].name) {
		field, _ := c.field(other)
		field.SetZero()
		delete(c.origins, other)
	}
	c.origins[key] = origin{name: name}
	if !utf8.ValidString(text) {
		return []error{&Mistake{Name: name, Reason: "is not valid UTF-8"}}
	}
	if target.Kind() == reflect.String {
		target.SetString(text)
		return nil
	}
	body, err := parseYAML([]byte(text))
	if err != nil {
		err.Name, err.Place = name, ""
		return []error{err}
	}
	d := decoder{}
	d.decode(name, body, target)
	return d.mistakes
}

// outranks reports whether a value that was named so beats one that was named
// otherwise: a flag beats a variable, and a variable beats the file.
func outranks(name, other string) bool {
	rank := func(name string) int {
		switch {
		case name == "":
			return -1 // a default, which Finish fills in
		case strings.HasPrefix(name, "-"):
			return 2
		case strings.HasPrefix(name, EnvironmentPrefix):
			return 1
		}
		return 0
	}
	return rank(name) > rank(other)
}

// parseYAML returns the root of the one document in text, or nil if there is
// nothing in it. Its message is the parser's, without the parser's extract of the
// file.
func parseYAML(text []byte) (ast.Node, *Mistake) {
	if !utf8.Valid(text) {
		return nil, &Mistake{Reason: "is not valid UTF-8"}
	}
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		m := &Mistake{Reason: "is not valid YAML"}
		if detail, ok := errors.AsType[yaml.Error](err); ok {
			m.Reason += ": " + detail.GetMessage()
			if token := detail.GetToken(); token != nil && token.Position != nil {
				m.Place = fmt.Sprintf("line %d", token.Position.Line)
			}
		}
		return nil, m
	}
	var root ast.Node
	for _, document := range file.Docs {
		switch body := document.Body.(type) {
		case nil, *ast.CommentGroupNode:
		default:
			if root != nil {
				return nil, &Mistake{Reason: "want one YAML document", Place: fmt.Sprintf("line %d", line(body))}
			}
			root = body
		}
	}
	return root, nil
}

// field returns the field of a key, to be set.
func (c *Config) field(key string) (reflect.Value, bool) {
	if c.origins == nil {
		c.origins = map[string]origin{}
	}
	return fieldByKey(reflect.ValueOf(c).Elem(), key)
}

// variable is the name of the environment variable that overrides key.
func variable(key string) string { return EnvironmentPrefix + strings.ToUpper(key) }

// keys lists every key, in the order of the reference page.
func keys() []string { return keysOf(reflect.TypeFor[Config]()) }

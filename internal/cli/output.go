package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
)

// A failure is what --json prints about a command that failed.
type failure struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

// fail prints an error and returns the exit code that goes with it.
func (a *app) fail(err error) int {
	if errors.Is(err, errReported) {
		return exitFailed
	}
	code, word := exitFailed, "failed"
	if isUsage(err) {
		code, word = exitUsage, "usage"
	}
	lines := messages(err)
	if a.json {
		if refusal, ok := errors.AsType[*oauth.Error](err); ok {
			word, lines = string(refusal.Code), []string{refusal.Description}
		}
		encoder := json.NewEncoder(a.stderr)
		encoder.SetEscapeHTML(false)
		_ = encoder.Encode(failure{Error: word, Description: strings.Join(lines, "; ")}) // there is nowhere left to tell
		return code
	}
	for _, line := range lines {
		fmt.Fprintln(a.stderr, "hufu: "+line)
	}
	return code
}

// isUsage reports whether the command line is to blame: it could not be read, or
// one of its values is not a possible one.
func isUsage(err error) bool {
	if _, ok := errors.AsType[usageError](err); ok {
		return true
	}
	mistakes := config.Mistakes(err)
	for _, m := range mistakes {
		if !strings.HasPrefix(m.Name, "--") {
			return false
		}
	}
	return len(mistakes) > 0
}

// messages are the lines that tell an operator what is wrong: one, or one for
// each mistake of a configuration.
func messages(err error) []string {
	var lines []string
	for _, m := range config.Mistakes(err) {
		lines = append(lines, m.Error())
	}
	if len(lines) > 0 {
		return lines
	}
	if refusal, ok := errors.AsType[*oauth.Error](err); ok {
		return []string{refusal.Description}
	}
	if errors.Is(err, store.ErrLocked) {
		return []string{"a server is running on this database"}
	}
	return []string{strings.ReplaceAll(err.Error(), "\n", "; ")}
}

// note says something about a result; it is not part of it.
func (a *app) note(format string, args ...any) {
	fmt.Fprintf(a.stderr, "hufu: "+format+"\n", args...)
}

// toJSON is v as indented JSON without a line end, every line after the first
// behind prefix.
func toJSON(v any, prefix string) (string, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent(prefix, "  ")
	if err := encoder.Encode(v); err != nil {
		return "", fmt.Errorf("print result: %w", err)
	}
	return strings.TrimSuffix(text.String(), "\n"), nil
}

// show prints one result: its members, by the same names with --json or without.
func (a *app) show(v any) error {
	if a.json {
		text, err := toJSON(v, "")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(a.stdout, text)
		return err
	}
	rows, err := members(v)
	if err != nil {
		return err
	}
	t := newTable(a.stdout)
	for _, row := range rows {
		t.row(row...)
	}
	return t.flush()
}

// members turns a result into rows of name and value, in the order of its JSON.
// A list has a row for each of its values.
func members(v any) ([][]string, error) {
	text, err := toJSON(v, "")
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	if _, err := decoder.Token(); err != nil { // the opening brace
		return nil, fmt.Errorf("print result: %w", err)
	}
	var rows [][]string
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, fmt.Errorf("print result: %w", err)
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, fmt.Errorf("print result: %w", err)
		}
		label := fmt.Sprint(name)
		for _, line := range readable(label, value) {
			rows = append(rows, []string{label, line})
			label = ""
		}
	}
	return rows, nil
}

// readable is a JSON value as a person would write it.
func readable(name string, value json.RawMessage) []string {
	var text string
	var list []json.RawMessage
	var seconds int64
	switch {
	case json.Unmarshal(value, &text) == nil:
		return []string{visible(text)}
	case strings.HasSuffix(name, "_at") && json.Unmarshal(value, &seconds) == nil:
		if seconds == 0 {
			return []string{"never"}
		}
		return []string{day(time.Unix(seconds, 0))}
	case json.Unmarshal(value, &list) == nil:
		var lines []string
		for _, v := range list {
			lines = append(lines, readable(name, v)...)
		}
		return lines
	case value[0] == '{':
		return []string{flat(value)}
	}
	return []string{string(value)}
}

// flat is a JSON object on one line.
func flat(object json.RawMessage) string {
	rows, err := members(object)
	if err != nil {
		return string(object)
	}
	var parts []string
	for _, row := range rows {
		parts = append(parts, strings.TrimSpace(strings.Join(row, " ")))
	}
	return strings.Join(parts, ", ")
}

// visible keeps foreign text on one line, and out of the terminal's control.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return '\uFFFD'
		}
		return r
	}, text)
}

// day is a time in a table; "" for none.
func day(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// stamp is a time in JSON; nil, which leaves it out, for none.
func stamp(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Second)
	return &t
}

// A table aligns columns.
type table struct {
	out  io.Writer
	text *bytes.Buffer
	w    *tabwriter.Writer
}

func newTable(out io.Writer) table {
	text := &bytes.Buffer{}
	return table{out, text, tabwriter.NewWriter(text, 0, 4, 2, ' ', 0)}
}

func (t table) row(cells ...string) {
	for _, cell := range cells {
		fmt.Fprint(t.w, visible(cell), "\t")
	}
	fmt.Fprintln(t.w)
}

// flush prints the rows, without spaces at their ends.
func (t table) flush() error {
	err := t.w.Flush()
	for row := range strings.Lines(t.text.String()) {
		if _, failed := fmt.Fprintln(t.out, strings.TrimRight(row, " \n")); failed != nil {
			err = errors.Join(err, failed)
		}
	}
	t.text.Reset()
	if err != nil {
		return fmt.Errorf("print result: %w", err)
	}
	return nil
}

// A listing prints a result of many rows page by page, so that its size does
// not matter: a table, or one JSON array.
type listing struct {
	app   *app
	table table
	count int
}

func (a *app) list(columns ...string) *listing {
	l := &listing{app: a, table: newTable(a.stdout)}
	if !a.json {
		l.table.row(columns...)
	}
	return l
}

// add appends one row: v for JSON, cells for the table.
func (l *listing) add(v any, cells ...string) error {
	if !l.app.json {
		l.table.row(cells...)
		return nil
	}
	text, err := toJSON(v, "  ")
	if err != nil {
		return err
	}
	lead := ",\n  "
	if l.count == 0 {
		lead = "[\n  "
	}
	l.count++
	_, err = fmt.Fprint(l.app.stdout, lead, text)
	return err
}

// page ends a page.
func (l *listing) page() error {
	if l.app.json {
		return nil
	}
	return l.table.flush()
}

func (l *listing) end() error {
	switch {
	case !l.app.json:
		return l.table.flush()
	case l.count == 0:
		_, err := fmt.Fprintln(l.app.stdout, "[]")
		return err
	}
	_, err := fmt.Fprint(l.app.stdout, "\n]\n")
	return err
}

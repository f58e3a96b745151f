package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A codeSpan is a piece of code in one colour.
type codeSpan struct {
	Class string // k, s or c of the stylesheet; "" for plain text
	Text  string
}

// A playgroundWalkView is what playground_walk.html reads.
type playgroundWalkView struct {
	PlaygroundWalkPage
	Steps []playgroundStepView
	Trail []playgroundTrailView
}

type playgroundStepView struct {
	PlaygroundStep
	SourceURL  string
	Tone       string // of the note
	Parameters []playgroundParameterView
	Request    []codeSpan
	Answer     *playgroundAnswerView
	Tokens     []playgroundTokenView
	Choices    bool // several forms, to be chosen from
}

type playgroundAnswerView struct {
	Status string // as "200 OK"
	Tone   string
	Head   []codeSpan
	Body   []codeSpan
}

type playgroundTokenView struct {
	Name           string
	Raw            []codeSpan
	Header, Claims []playgroundClaimView // none for a token that says nothing
}

type playgroundClaimView struct {
	Name, Value string
	Date        string // what a time means
	Key         string // catalogue key of its meaning; "" when there is none
}

type playgroundParameterView struct {
	Name, Value, Key, Tone string
}

type playgroundTrailView struct {
	Key, Outcome, Tone string
}

func (p PlaygroundWalkPage) view() any {
	v := playgroundWalkView{PlaygroundWalkPage: p}
	for _, s := range p.Steps {
		v.Steps = append(v.Steps, s.view())
	}
	for _, t := range p.Trail {
		v.Trail = append(v.Trail, t.view())
	}
	return v
}

func (s PlaygroundStep) view() playgroundStepView {
	v := playgroundStepView{PlaygroundStep: s, Tone: s.Note.tone(), Choices: len(s.Forms) > 1}
	if s.Source.RFC != "" {
		v.SourceURL = "https://www.rfc-editor.org/rfc/rfc" + s.Source.RFC + "#section-" + s.Source.Section
	}
	for _, p := range s.Parameters {
		v.Parameters = append(v.Parameters, p.view())
	}
	if s.Call != nil {
		v.Request = s.Call.spans()
	}
	if s.Answer != nil {
		v.Answer = s.Answer.view()
	}
	for _, t := range s.Tokens {
		v.Tokens = append(v.Tokens, t.view())
	}
	return v
}

func (p PlaygroundParameter) view() playgroundParameterView {
	v := playgroundParameterView{Name: plainName(p.Name), Value: plainName(p.Value)}
	key := p.Name
	if p.Check != CheckNone {
		key += "." + string(p.Check)
		v.Tone = map[PlaygroundCheck]string{CheckGood: "ok", CheckFixed: "warn", CheckBad: "bad"}[p.Check]
	}
	if slices.Contains(playgroundParameters, key) {
		v.Key = "playground.parameter." + key
	}
	return v
}

func (t PlaygroundTrail) view() playgroundTrailView {
	v := playgroundTrailView{Key: "playground.step." + string(t.Name) + ".short", Outcome: t.Outcome, Tone: "bad"}
	switch t.Outcome {
	case "200", "active":
		v.Tone = "ok"
	case "inactive":
		v.Tone = "warn"
	}
	return v
}

// spans is the request line by line, as it goes over the wire but with a break
// before each parameter.
func (c PlaygroundCall) spans() []codeSpan {
	u, err := url.Parse(c.URL)
	if err != nil {
		return []codeSpan{{"", c.URL}}
	}
	spans := []codeSpan{{"k", c.Method}, {"", " " + u.EscapedPath()}}
	if c.Method == http.MethodGet {
		spans = append(spans, parameterSpans(c.Params, "\n  ?", "\n  &")...)
	}
	spans = append(spans, codeSpan{"c", " HTTP/1.1"})
	for _, h := range append([]Field{{"Host", u.Host}}, c.Headers...) {
		spans = append(spans, codeSpan{"c", "\n" + h.Name + ": " + h.Value})
	}
	if c.Method != http.MethodGet {
		spans = append(spans, parameterSpans(c.Params, "\n\n", "\n&")...)
	}
	return spans
}

func parameterSpans(params []Field, first, other string) []codeSpan {
	var spans []codeSpan
	for i, p := range params {
		before := other
		if i == 0 {
			before = first
		}
		spans = append(spans, codeSpan{"", before + plainText(p.Name) + "="}, codeSpan{"s", plainText(p.Value)})
	}
	return spans
}

func (a PlaygroundAnswer) view() *playgroundAnswerView {
	v := &playgroundAnswerView{Status: fmt.Sprintf("%d %s", a.Status, http.StatusText(a.Status)), Tone: "bad", Body: jsonSpans(a.Body)}
	if a.Status < http.StatusBadRequest {
		v.Tone = "ok"
	}
	for i, h := range a.Headers {
		text := h.Name + ": " + h.Value
		if i > 0 {
			text = "\n" + text
		}
		v.Head = append(v.Head, codeSpan{"c", plainText(text)})
	}
	return v
}

// jsonToken finds the strings of a JSON text; those that end in a colon are names.
var jsonToken = regexp.MustCompile(`"(?:[^"\\]|\\.)*"(:)?`)

// jsonSpans indents and colours a JSON text, and leaves any other as it is.
func jsonSpans(text string) []codeSpan {
	var indented bytes.Buffer
	if err := json.Indent(&indented, []byte(text), "", "  "); err != nil {
		return []codeSpan{{"", plainText(text)}}
	}
	text = plainText(indented.String())
	var spans []codeSpan
	at := 0
	for _, found := range jsonToken.FindAllStringSubmatchIndex(text, -1) {
		class := "s"
		if found[2] >= 0 {
			class = "k"
		}
		spans = append(spans, codeSpan{"", text[at:found[0]]}, codeSpan{class, text[found[0]:found[1]]})
		at = found[1]
	}
	return append(spans, codeSpan{"", text[at:]})
}

func (t PlaygroundToken) view() playgroundTokenView {
	v := playgroundTokenView{Name: t.Name, Raw: []codeSpan{{"", plainText(t.Raw)}}}
	if t.Claims == "" {
		return v
	}
	parts := strings.SplitN(plainText(t.Raw), ".", 3)
	if len(parts) == 3 {
		v.Raw = []codeSpan{{"k", parts[0]}, {"", "."}, {"s", parts[1]}, {"", "."}, {"c", parts[2]}}
	}
	v.Header, v.Claims = claimsOf(t.Header), claimsOf(t.Claims)
	return v
}

// claimsOf reads the members of a JSON object in the order in which they stand.
func claimsOf(object string) []playgroundClaimView {
	decoder := json.NewDecoder(strings.NewReader(object))
	if open, err := decoder.Token(); err != nil || open != json.Delim('{') {
		return nil
	}
	var claims []playgroundClaimView
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			break
		}
		var value json.RawMessage
		if decoder.Decode(&value) != nil {
			break
		}
		claims = append(claims, claimOf(fmt.Sprint(name), value))
	}
	return claims
}

func claimOf(name string, value json.RawMessage) playgroundClaimView {
	v := playgroundClaimView{Name: plainName(name), Value: plainName(string(value))}
	var text string
	var seconds int64
	switch {
	case json.Unmarshal(value, &text) == nil:
		v.Value = plainName(text)
	case slices.Contains([]string{"exp", "iat", "auth_time", "nbf"}, name) && json.Unmarshal(value, &seconds) == nil:
		v.Date = time.Unix(seconds, 0).UTC().Format("2006-01-02 15:04:05 UTC")
	}
	if slices.Contains(playgroundClaims, name) {
		v.Key = "playground.claim." + name
	}
	return v
}

// plainText drops what could hide or turn the text around it, and keeps its
// lines.
func plainText(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && (r == utf8.RuneError || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co)) {
			return -1
		}
		return r
	}, text)
}

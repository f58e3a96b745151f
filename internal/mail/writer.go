package mail

import (
	"bufio"
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"slices"
	"strings"
	text "text/template"
	"unicode"
)

//go:embed catalogue/*.txt letters/*
var files embed.FS

// A Writer puts messages into words.
type Writer struct {
	// Site is what the server is called; "" means Hufu's own name.
	Site string
	// Issuer is the address of the server, which every link begins with.
	Issuer string
	// Forgotten is where somebody gets a new password who has lost theirs, or from whom
	// it was taken.
	Forgotten string
	// Fill and Letters are the colours of a button and of what stands on it, as CSS writes
	// them with six digits.
	Fill, Letters string
	// DefaultLanguage is "en" or "zh", for a reader of whom nothing is known.
	DefaultLanguage string

	words map[string]catalogue // by language
	html  *template.Template
	text  *text.Template
}

// tags are the languages that there are texts in, as BCP 47 writes them.
var tags = map[string]string{"en": "en", "zh": "zh-Hans"}

// NewWriter reads all texts, so that a mistake in one stops the start and not a message.
func NewWriter(w Writer) (*Writer, error) {
	w.words = map[string]catalogue{}
	for language := range tags {
		c, err := loadCatalogue(language)
		if err != nil {
			return nil, err
		}
		if w.Site != "" {
			c["product"] = w.Site
		}
		w.words[language] = c
	}
	if w.words[w.DefaultLanguage] == nil {
		return nil, fmt.Errorf("mail: no catalogue for default language %q", w.DefaultLanguage)
	}
	var err error
	if w.html, err = template.ParseFS(files, "letters/letter.html"); err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	if w.text, err = text.ParseFS(files, "letters/letter.txt"); err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	return &w, nil
}

// A view is what the templates read: sentences, ready to be escaped.
type view struct {
	Lang, Product, Subject, Hello, Text, After, Foot string
	Button, Link                                     string // "" for a letter without
	Facts                                            []fact
	Issuer                                           string
	Fill, Letters                                    string
}

// A fact is a line of a notice.
type fact struct{ Name, Value string }

// Write puts a message into words.
func (w *Writer) Write(m *Message) (*Letter, error) {
	language := m.Language
	if w.words[language] == nil {
		language = w.DefaultLanguage
	}
	v, err := w.view(w.words[language], language, m)
	if err != nil {
		return nil, err
	}
	var page, plain bytes.Buffer
	if err := w.html.Execute(&page, v); err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	if err := w.text.Execute(&plain, v); err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	return &Letter{ID: m.ID, To: m.To, Language: v.Lang, Subject: v.Subject, Text: plain.String(), HTML: page.String()}, nil
}

func (w *Writer) view(c catalogue, language string, m *Message) (v view, err error) {
	if !slices.Contains(links, m.Kind) && !slices.Contains(notices, m.Kind) {
		return v, fmt.Errorf("mail: nothing is written about %q", m.Kind)
	}
	values := map[string]string{"product": c["product"], "user": plain(m.Username), "address": plain(m.To)}
	say := func(key string) string {
		said, sayErr := c.say(key, values)
		if err == nil {
			err = sayErr
		}
		return said
	}
	v = view{Lang: tags[language], Product: c["product"], Issuer: w.Issuer, Fill: w.Fill, Letters: w.Letters, Hello: say("hello"), Foot: say("foot")}
	kind := string(m.Kind)
	v.Subject, v.Text, v.After = say(kind+".subject"), say(kind+".text"), say(kind+".after")
	switch {
	case slices.Contains(links, m.Kind):
		v.Button, v.Link = say(kind+".button"), m.Link
	case m.Kind != EmailChanged: // a new password would be sent to the new address
		v.Button, v.Link = say("notice.button"), w.Forgotten
	}
	if slices.Contains(notices, m.Kind) {
		v.Facts = w.facts(m, say, values)
	}
	return v, err
}

// facts are when and from where something was done, as far as that is known.
func (w *Writer) facts(m *Message, say func(key string) string, values map[string]string) []fact {
	var all []fact
	if !m.At.IsZero() {
		all = append(all, fact{say("fact.time"), m.At.UTC().Format(say("fact.time.format"))})
	}
	if m.Browser != "" {
		key := "fact.browser.on"
		if m.System == "" {
			key = "fact.browser.only"
		}
		values["browser"], values["system"] = plain(m.Browser), plain(m.System)
		all = append(all, fact{say("fact.browser"), say(key)})
	}
	if m.Address != "" {
		all = append(all, fact{say("fact.address"), plain(m.Address)})
	}
	return all
}

// plain drops what could make a foreign name break a line, hide, or turn the text around
// it: control and format characters.
func plain(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == unicode.ReplacementChar || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co):
			return -1
		}
		return r
	}, name)
	return strings.Join(strings.Fields(name), " ")
}

// A catalogue holds the texts of one language by key.
type catalogue map[string]string

// loadCatalogue reads catalogue/LANGUAGE.txt: one "key = text" per line, comments behind
// a # at the beginning of a line.
func loadCatalogue(language string) (catalogue, error) {
	name := "catalogue/" + language + ".txt"
	file, err := files.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	c := catalogue{}
	lines := bufio.NewScanner(bytes.NewReader(file))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, said, ok := strings.Cut(line, " = ")
		if _, twice := c[key]; !ok || twice || said == "" {
			return nil, fmt.Errorf("mail: %s:%d: want one \"key = text\" per key", name, n)
		}
		c[key] = said
	}
	return c, lines.Err()
}

// say is the text of a key with its {places} filled, in one pass, so that a value which
// looks like a place stays as it is.
func (c catalogue) say(key string, values map[string]string) (string, error) {
	said, ok := c[key]
	if !ok {
		return "", fmt.Errorf("mail: no text %q", key)
	}
	var pairs []string
	for name, value := range values {
		pairs = append(pairs, "{"+name+"}", value)
	}
	return strings.NewReplacer(pairs...).Replace(said), nil
}

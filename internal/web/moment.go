package web

import (
	"fmt"
	"html/template"
	"time"
)

// moment is a time in words that are true wherever the reader is: how long ago it was,
// and the date once that is long. Pages know no time zone.
func (c catalogue) moment(at, now time.Time) (template.HTML, error) {
	text, err := c.ago(at, now)
	if err != nil {
		return "", err
	}
	// Nothing in it comes from outside, but it costs nothing to be sure.
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s">%s</time>`, at.UTC().Format(time.RFC3339),
		at.UTC().Format("2006-01-02 15:04 UTC"), template.HTMLEscapeString(text))), nil
}

func (c catalogue) ago(at, now time.Time) (string, error) {
	past := now.Sub(at)
	switch {
	case past < time.Minute:
		return c.text("moment.now")
	case past < time.Hour:
		return c.plural("moment.minute", int(past/time.Minute))
	case past < 24*time.Hour:
		return c.plural("moment.hour", int(past/time.Hour))
	case past < 30*24*time.Hour:
		return c.plural("moment.day", int(past/(24*time.Hour)))
	}
	return c.date(at)
}

// plural chooses between a text for one and, under the same key with an s, one for more.
func (c catalogue) plural(key string, n int) (string, error) {
	if n != 1 {
		key += "s"
	}
	return c.text(key, "n", n)
}

// date is a day as the language writes it.
func (c catalogue) date(at time.Time) (string, error) {
	at = at.UTC()
	month, err := c.text(fmt.Sprint("month.", int(at.Month())))
	if err != nil {
		return "", err
	}
	return c.text("moment.date", "day", at.Day(), "month", month, "year", at.Year())
}

package store

import (
	"context"
	"strings"
	"sync"
)

// A watch is Options.Watch; nil when nobody watches.
type watch func(ctx context.Context, statement string) (ended func(err error))

// over puts a watch over what runs statements.
func (w watch) over(r runner) runner {
	if w == nil {
		return r
	}
	return watched{r, w}
}

type watched struct {
	runner
	watch watch
}

func (w watched) query(ctx context.Context, text string, args []any) (answer, error) {
	ended := w.watch(ctx, nameOf(text))
	found, err := w.runner.query(ctx, text, args)
	if err != nil {
		ended(err)
		return nil, err
	}
	return watchedAnswer{found, ended}, nil
}

func (w watched) exec(ctx context.Context, text string, args []any) (int64, error) {
	ended := w.watch(ctx, nameOf(text))
	changed, err := w.runner.exec(ctx, text, args)
	ended(err)
	return changed, err
}

// A watchedAnswer ends with its last row, not with its first.
type watchedAnswer struct {
	answer
	ended func(err error)
}

func (a watchedAnswer) close(all bool) error {
	err := a.answer.close(all)
	a.ended(err)
	return err
}

// names are those of the statements seen so far; their texts are constants, so
// there are only so many.
var names sync.Map

// nameOf is the verb and the table of a statement, as in "update oauth_grant".
func nameOf(text string) string {
	if known, ok := names.Load(text); ok {
		return known.(string)
	}
	words := strings.Fields(outermost(strings.ToLower(text)))
	if len(words) == 0 {
		return ""
	}
	name := words[0]
	before := map[string]string{"select": "from", "delete": "from", "insert": "into", "update": "update"}[name]
	for i, w := range words {
		if w == before && i+1 < len(words) {
			name += " " + words[i+1]
			break
		}
	}
	names.Store(text, name)
	return name
}

// outermost is a text without what stands in parentheses.
func outermost(text string) string {
	depth := 0
	return strings.Map(func(r rune) rune {
		switch r {
		case '(':
			depth++
		case ')':
			depth--
			return ' '
		}
		if depth > 0 {
			return ' '
		}
		return r
	}, text)
}

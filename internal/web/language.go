package web

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/text/language"
)

// A pageLanguage is one that has a catalogue.
type pageLanguage struct {
	code string // in the address, the cookie and the catalogue's file name
	tag  string // BCP 47, for lang, hreflang and Content-Language
	name string // in its own words
}

// languages are those that pages exist in; the first is the product's default.
var languages = []pageLanguage{
	{"en", "en", "English"},
	{"zh", "zh-Hans", "中文"},
}

// languageMatcher knows that a reader of zh-TW or yue is served by zh-Hans.
var languageMatcher = language.NewMatcher([]language.Tag{language.English, language.SimplifiedChinese})

const (
	languageParameter = "lang"
	languageCookie    = "lang" // hufu_lang, on https __Host-hufu_lang
	languageYear      = 365 * 24 * time.Hour
	// Longer lists come from nobody who wants to read a page.
	languageListMax = 512
	languageTagsMax = 16
)

// Language chooses the language of a page: what the person chose on a page
// (the lang parameter, then the cookie that remembers it), then uiLocales as
// OpenID Connect Core Section 3.1.2.1 has them, then the browser's
// Accept-Language, then the default of the site.
func (p *Pages) Language(r *http.Request, uiLocales string) string {
	if l := languageByCode(r.URL.Query().Get(languageParameter)); l != nil {
		return l.code
	}
	if l := languageByCode(p.cookies().Get(r, languageCookie)); l != nil {
		return l.code
	}
	if l := matchLanguage(parseUILocales(uiLocales)); l != nil {
		return l.code
	}
	if l := matchLanguage(parseAcceptLanguage(r.Header.Get("Accept-Language"))); l != nil {
		return l.code
	}
	return p.site.DefaultLanguage
}

func languageByCode(code string) *pageLanguage {
	for i := range languages {
		if languages[i].code == code {
			return &languages[i]
		}
	}
	return nil
}

// matchLanguage returns the first language a reader of tags understands.
func matchLanguage(tags []language.Tag) *pageLanguage {
	if len(tags) == 0 {
		return nil
	}
	_, i, confidence := languageMatcher.Match(tags...)
	if confidence == language.No {
		return nil
	}
	return &languages[i]
}

// parseUILocales reads a space-separated list and passes over what it does
// not understand: a client may send anything.
func parseUILocales(list string) []language.Tag {
	var tags []language.Tag
	for _, field := range strings.Fields(list[:min(len(list), languageListMax)]) {
		if len(tags) == languageTagsMax {
			break
		}
		if tag, err := language.Parse(field); err == nil {
			tags = append(tags, tag)
		}
	}
	return tags
}

func parseAcceptLanguage(header string) []language.Tag {
	if len(header) > languageListMax {
		header = header[:languageListMax]
		header = header[:max(0, strings.LastIndexByte(header, ','))]
	}
	tags, _, err := language.ParseAcceptLanguage(header)
	if err != nil {
		return nil
	}
	return tags[:min(len(tags), languageTagsMax)]
}

// rememberLanguage keeps a language that the person chose with this very
// request. Only a GET counts: a form posted from elsewhere must not leave
// anything in the browser.
func (p *Pages) rememberLanguage(w http.ResponseWriter, r *http.Request) {
	l := languageByCode(r.URL.Query().Get(languageParameter))
	if l != nil && r.Method == http.MethodGet {
		p.cookies().Set(w, languageCookie, l.code, languageYear)
	}
}

func (p *Pages) cookies() Cookies { return Cookies{Secure: p.site.Secure, Base: p.site.Base} }

// A languageChoice is one link of the language switch.
type languageChoice struct {
	Tag, Name, Address string
	Current            bool
}

// languageChoices are the links of the switch on the page at self; none when
// the page cannot be fetched again.
func languageChoices(current, self string) []languageChoice {
	if self == "" {
		return nil
	}
	var choices []languageChoice
	for _, l := range languages {
		choices = append(choices, languageChoice{l.tag, l.name, withLanguage(self, l.code), l.code == current})
	}
	return choices
}

// selfAddress is the path and query under which the page can be fetched
// again: what its handler says, else the request itself when it is a GET.
// The host is never part of it, and a path that a browser would read as a
// host gives none.
func selfAddress(r *http.Request, self string) string {
	if self == "" {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			return ""
		}
		self = r.RequestURI
		if self == "" {
			self = r.URL.RequestURI()
		}
	}
	u, err := url.ParseRequestURI(self)
	if err != nil || !isLocalPath(u.EscapedPath()) {
		return ""
	}
	if u.RawQuery == "" {
		return u.EscapedPath()
	}
	return u.EscapedPath() + "?" + u.RawQuery
}

// isLocalPath reports whether a browser resolves path on the same host.
func isLocalPath(path string) bool {
	return strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "//") && !strings.ContainsAny(path, "\\\t\r\n")
}

// withLanguage sets the lang parameter of address and leaves every other byte
// of its query alone.
func withLanguage(address, code string) string {
	path, query, _ := strings.Cut(address, "?")
	kept := make([]string, 0, 8)
	for pair := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); err == nil && plain == languageParameter || pair == "" {
			continue
		}
		kept = append(kept, pair)
	}
	return path + "?" + strings.Join(append(kept, languageParameter+"="+code), "&")
}

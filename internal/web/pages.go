package web

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:embed pages/*.html
var pageFiles embed.FS

// A Site is what every page of one server shares.
type Site struct {
	// Name is the product's name on pages; "" means Hufu.
	Name string
	// Base is the path of the issuer, "" or like "/auth": the prefix of every
	// address that a page makes up itself.
	Base string
	// DefaultLanguage is "en" or "zh", for a reader who names neither; "" means "en".
	DefaultLanguage string
	// Secure says that the issuer is https, so that cookies are marked for it.
	Secure bool
	// Logo is a picture to show instead of our mark (see CheckLogo); nil means the mark.
	Logo []byte
	// AccentColor is the colour of what can be pressed, as #RRGGBB; "" means ours. It is
	// made darker and lighter until it can be read.
	AccentColor string
	// PolicyURI and TermsURI are https addresses of the operator's own pages; "" for none.
	PolicyURI, TermsURI string
	// Templates is a directory of templates that take the place of ours by their names; ""
	// means none.
	Templates string
}

// Pages renders every HTML page of the server and serves what they load. It
// holds no state of a request and may be used by many goroutines.
type Pages struct {
	site       Site
	catalogues map[string]catalogue                          // by language
	templates  map[string]func() (*template.Template, error) // by language + "/" + file name
	assets     assetSet
}

// A Page is one of the page structs of this package.
type Page interface {
	template() string // the file below pages/
	frame() pageFrame // what the page wants of the layout and of the headers
	view() any        // what the template reads, with foreign values already judged
}

// pageKinds has one of every kind of page, to try the templates of an operator with.
var pageKinds = []Page{
	LoginPage{}, SelectAccountPage{}, ConsentPage{}, FormPostPage{Action: "https://client.example/"}, ErrorPage{}, LogoutPage{}, LoggedOutPage{}, HomePage{}, PlaygroundPage{}, PlaygroundWalkPage{},
	ForgottenPage{}, NewPasswordPage{}, FirstAdminPage{}, ConfirmEmailPage{}, ResultPage{Result: ResultMailSent},
	OverviewPage{}, ProfilePage{}, EmailPage{}, SecurityPage{}, PasswordPage{}, SessionsPage{}, AppsPage{}, ActivityPage{}, DataPage{}, DeletePage{}, LeftPage{},
	SecondFactorPage{}, SetUpFactorPage{}, RecoveryCodesPage{}, TwoStepPage{},
	PasskeysPage{},
}

// A pageFrame is what a page tells about itself to the layout and the headers.
type pageFrame struct {
	title      string   // catalogue key
	self       string   // path and query under which the page can be fetched again
	uiLocales  string   // as the authorization request gave them, hostile or not
	script     string   // the one asset it runs; "" means that it runs none
	connects   bool     // the script asks the server for something
	image      string   // https origins of the foreign pictures it shows
	retryAfter int      // seconds; 0 sends no header
	wide       bool     // for pages with code and tables
	frames     []string // origins of the pages in frames
	refresh    string   // address that the page leads on to by itself
	isolated   bool     // no page of others shares its process or holds a handle to it
	flow       bool     // part of an authorization or logout flow, see policy
	accent     string   // colour of the client that the page is about, "" for the site's
}

// NewPages reads the catalogues and tries the templates of an operator, so that a mistake
// in one of them stops the start and not a request.
func NewPages(site Site) (*Pages, error) {
	if site.DefaultLanguage == "" {
		site.DefaultLanguage = languages[0].code
	}
	if languageByCode(site.DefaultLanguage) == nil {
		return nil, fmt.Errorf("pages: no catalogue for default language %q", site.DefaultLanguage)
	}
	if site.Base != "" && !isLocalPath(site.Base) || strings.HasSuffix(site.Base, "/") {
		return nil, fmt.Errorf("pages: base path %q must begin with a slash and not end with one", site.Base)
	}
	assets, err := loadAssets(site.Base)
	if err == nil {
		err = assets.addLogo(site.Base, site.Logo)
	}
	if err != nil {
		return nil, err
	}
	p := &Pages{site: site, assets: assets, catalogues: map[string]catalogue{}, templates: map[string]func() (*template.Template, error){}}
	set, err := readTemplates(site.Templates)
	for _, l := range languages {
		if err == nil {
			err = p.load(l.code, set)
		}
	}
	if err != nil && site.Templates != "" {
		return nil, &TemplateError{err}
	}
	if err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	return p, nil
}

// load parses the catalogue of one language and what every page has. A page is parsed when
// it is shown first, since most are seldom shown; that ours can be is for tests to see, and
// an operator's are all tried here.
func (p *Pages) load(language string, set templateSet) error {
	c, err := loadCatalogue(language)
	if err != nil {
		return err
	}
	if p.site.Name != "" {
		c["product"] = p.site.Name
	}
	p.catalogues[language] = c
	layout, err := set.layout(p.functions(c))
	if err != nil {
		return err
	}
	for name := range set.text {
		p.templates[language+"/"+name] = sync.OnceValues(func() (*template.Template, error) { return set.page(layout, name) })
	}
	return set.check(c, p.functions(c))
}

// functions are what templates can call.
func (p *Pages) functions(c catalogue) template.FuncMap {
	policy, _ := httpsAddress(p.site.PolicyURI)
	terms, _ := httpsAddress(p.site.TermsURI)
	return template.FuncMap{
		"t":       c.text,
		"before":  c.before,
		"after":   c.after,
		"asset":   p.assets.path,
		"home":    func() string { return p.site.Base + "/" },
		"logo":    func() string { return p.assets.byName[p.assets.logo] },
		"branded": func() bool { return p.site.Name != "" || p.site.Logo != nil },
		"policy":  func() string { return policy },
		"terms":   func() string { return terms },
		"at":      func(path string) string { return p.site.Base + path },
		"moment":  c.moment,
		"plural":  c.plural,
		"name":    breakable,
	}
}

// A layoutView is what layout.html reads.
type layoutView struct {
	Lang    string // BCP 47, of the whole page
	Name    string // of the template, without .html
	Title   string
	Home    string // address of the server's own page, "" to name it without a link
	Script  string // name of an asset, or ""
	Accent  string // address of a stylesheet that changes the colours, or ""
	Wide    bool
	Choices []languageChoice
	Page    any
}

// Render answers r with page in the reader's language. Nothing is written
// when it returns an error, so that the caller can still answer otherwise.
func (p *Pages) Render(w http.ResponseWriter, r *http.Request, status int, page Page) error {
	f := page.frame()
	language := p.Language(r, f.uiLocales)
	body, err := p.compose(r, language, page, f)
	if err != nil {
		return fmt.Errorf("page %s: %w", page.template(), err)
	}
	p.rememberLanguage(w, r)
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", languageByCode(language).tag)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", f.policy())
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	if f.isolated {
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
	}
	h.Add("Vary", "Accept-Language, Cookie")
	if f.refresh != "" {
		h.Set("Refresh", strconv.Itoa(int(leaveAfter/time.Second))+"; url="+f.refresh)
	}
	if f.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(f.retryAfter))
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the reader may have gone; nobody is left to tell
	}
	return nil
}

// compose executes the page's template into memory.
func (p *Pages) compose(r *http.Request, language string, page Page, f pageFrame) ([]byte, error) {
	made := p.templates[language+"/"+page.template()]
	if made == nil {
		return nil, errors.New("no such template")
	}
	t, err := made()
	if err != nil {
		return nil, err
	}
	title, err := p.catalogues[language].text(f.title)
	if err != nil {
		return nil, err
	}
	home := p.site.Base + "/"
	if f.flow { // a stray click must not leave it
		home = ""
	}
	accent := p.accentPath(f.accent)
	if accent == "" {
		accent = p.accentPath(p.site.AccentColor)
	}
	var body bytes.Buffer
	err = t.ExecuteTemplate(&body, "layout.html", layoutView{
		Lang:    languageByCode(language).tag,
		Name:    strings.TrimSuffix(page.template(), ".html"),
		Title:   title,
		Home:    home,
		Script:  f.script,
		Accent:  accent,
		Wide:    f.wide,
		Choices: languageChoices(language, selfAddress(r, f.self)),
		Page:    page.view(),
	})
	return body.Bytes(), err
}

// policy is the Content-Security-Policy of a page.
//
// Pages of a flow carry no form-action: browsers hold the redirect that
// follows a POST against it, and so would block the way back to the client.
func (f pageFrame) policy() string {
	image, script := "'self'", "'none'"
	if f.image != "" {
		image += " " + f.image
	}
	if f.script != "" {
		script = "'self'"
	}
	policy := "default-src 'none'; style-src 'self'; img-src " + image + "; script-src " + script +
		"; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
	if f.connects {
		policy += "; connect-src 'self'"
	}
	if len(f.frames) > 0 {
		policy += "; frame-src " + strings.Join(f.frames, " ")
	}
	if !f.flow {
		policy += "; form-action 'self'"
	}
	return policy
}

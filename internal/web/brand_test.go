package web_test

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/web"
)

// Contrast is that of WCAG 2.2: the values are those that its own examples and common
// checkers give.
func TestContrast(t *testing.T) {
	for name, tt := range map[string]struct {
		a, b [3]uint8
		want float64
	}{
		"black on white": {[3]uint8{}, [3]uint8{255, 255, 255}, 21},
		"the same":       {[3]uint8{10, 20, 30}, [3]uint8{10, 20, 30}, 1},
		"777 on white":   {[3]uint8{0x77, 0x77, 0x77}, [3]uint8{255, 255, 255}, 4.48},
		"767676":         {[3]uint8{0x76, 0x76, 0x76}, [3]uint8{255, 255, 255}, 4.54},
		"red on white":   {[3]uint8{255, 0, 0}, [3]uint8{255, 255, 255}, 4.00},
	} {
		if got := web.Contrast(tt.a, tt.b); math.Abs(got-tt.want) > 0.01 {
			t.Errorf("%s: %.3f, want %.2f", name, got, tt.want)
		}
	}
}

// Whatever colour an operator chooses, its variants can be read: WCAG 2.2 Section 1.4.3.
func TestAccentContrast(t *testing.T) {
	for r := 0; r < 256; r += 15 {
		for g := 0; g < 256; g += 15 {
			for b := 0; b < 256; b += 15 {
				for what, contrast := range web.AccentVariants([3]uint8{uint8(r), uint8(g), uint8(b)}) {
					if contrast < 4.5 {
						t.Errorf("#%02x%02x%02x, %s: contrast %.2f", r, g, b, what, contrast)
					}
				}
			}
		}
	}
}

// The surfaces that accents are made for are those of the stylesheet.
func TestAccentSurfaces(t *testing.T) {
	css, err := os.ReadFile("assets/hufu.css")
	if err != nil {
		t.Fatal(err)
	}
	var light, dark []string
	for _, name := range []string{"surface", "ground", "sunken", "muted"} {
		m := regexp.MustCompile(`--` + name + `: light-dark\((#[0-9a-f]+), (#[0-9a-f]+)\)`).FindSubmatch(css)
		if m == nil {
			t.Fatalf("no --%s", name)
		}
		light, dark = append(light, long(string(m[1]))), append(dark, long(string(m[2])))
	}
	dark[0], dark[1] = dark[1], dark[0] // the ground is the darkest
	gotLight, gotDark := web.Surfaces()
	if diff := cmp.Diff([][]string{light, dark}, [][]string{gotLight, gotDark}); diff != "" {
		t.Errorf("surfaces (-css +go):\n%s", diff)
	}
}

func long(color string) string {
	if len(color) == 4 {
		return "#" + strings.Repeat(color[1:2], 2) + strings.Repeat(color[2:3], 2) + strings.Repeat(color[3:], 2)
	}
	return color
}

var accentLink = regexp.MustCompile(`href="([^"]*/accent-([0-9a-f]{6})\.css)"`)

// A page has the colour of the client that it is about, else that of the site, in a
// stylesheet that any server has; what is no colour changes nothing.
func TestPageAccent(t *testing.T) {
	blue, red := web.Client{Name: "A", AccentColor: "#0057B7"}, web.Client{Name: "A", AccentColor: "red;}"}
	for name, tt := range map[string]struct {
		site string
		page web.Page
		want string
	}{
		"ours":                      {"", web.HomePage{}, ""},
		"the site's":                {"#FFD700", web.HomePage{}, "ffd700"},
		"the client's":              {"#ffd700", web.LoginPage{Client: &blue}, "0057b7"},
		"on consent":                {"", web.ConsentPage{Client: blue}, "0057b7"},
		"of accounts":               {"", web.SelectAccountPage{Client: blue}, "0057b7"},
		"without client":            {"#ffd700", web.LoginPage{}, "ffd700"},
		"no colour":                 {"", web.LoginPage{Client: &red}, ""},
		"no colour, and the site's": {"#ffd700", web.LoginPage{Client: &red}, "ffd700"},
	} {
		m := accentLink.FindStringSubmatch(render(t, newPages(t, web.Site{Base: "/auth", AccentColor: tt.site}), get("/p"), tt.page).Body.String())
		if m == nil && tt.want == "" {
			continue
		}
		if m == nil || m[2] != tt.want {
			t.Errorf("%s: %q, want %s", name, m, tt.want)
			continue
		}
		w := httptest.NewRecorder()
		newPages(t, web.Site{Base: "/auth"}).Assets().ServeHTTP(w, get(m[1])) // another server
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/css; charset=utf-8" || !strings.HasPrefix(w.Body.String(), ":root{--jade:light-dark(#") ||
			!strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d, %v, %s", name, w.Code, w.Header(), w.Body)
		}
	}
	pages := newPages(t, web.Site{AccentColor: "#0057b7"})
	right := accentLink.FindStringSubmatch(render(t, pages, get("/p"), web.HomePage{}).Body.String())[1]
	for _, wrong := range []string{
		strings.Replace(right, "0057b7", "0057b8", 1), strings.Replace(right, "0057b7", "0057B7", 1), strings.Replace(right, "0057b7", "0057b", 1),
		"/assets/000000000000/accent-0057b7.css", strings.TrimSuffix(right, ".css"), strings.Replace(right, "accent-", "", 1), right + "/", "/x" + right,
	} {
		w := httptest.NewRecorder()
		pages.Assets().ServeHTTP(w, get(wrong))
		if w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", wrong, w.Code)
		}
	}
}

// pictures are logos of every kind.
func pictures(t *testing.T) map[string][]byte {
	t.Helper()
	var asPNG, asJPEG bytes.Buffer
	if err := errors.Join(png.Encode(&asPNG, image.NewGray(image.Rect(0, 0, 8, 8))), jpeg.Encode(&asJPEG, image.NewGray(image.Rect(0, 0, 8, 8)), nil)); err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"image/svg+xml": []byte(`<?xml version="1.0"?><!-- ours --><svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0"/></svg>`),
		"image/png":     asPNG.Bytes(), "image/jpeg": asJPEG.Bytes(), "image/webp": []byte("RIFF\x24\x00\x00\x00WEBPVP8 \x18\x00\x00\x00"),
	}
}

// The operator's picture stands where our mark would, and can do nothing when it is opened
// by itself (XS-01).
func TestPageLogo(t *testing.T) {
	source := regexp.MustCompile(`<img class="mark" src="([^"]+)" alt=""`)
	for contentType, picture := range pictures(t) {
		pages := newPages(t, web.Site{Base: "/auth", Logo: picture})
		for name, page := range samples() {
			body := render(t, pages, get("/p"), page).Body.String()
			if strings.Contains(body, `<svg class="mark"`) || source.FindString(body) == "" || !strings.Contains(body, `<link rel="icon" href="`+source.FindStringSubmatch(body)[1]+`">`) {
				t.Errorf("%s: the logo is not everywhere on %s", contentType, name)
			}
		}
		w := httptest.NewRecorder()
		pages.Assets().ServeHTTP(w, get(source.FindStringSubmatch(render(t, pages, get("/p"), web.HomePage{}).Body.String())[1]))
		if h := w.Header(); w.Code != http.StatusOK || !bytes.Equal(w.Body.Bytes(), picture) || h.Get("Content-Type") != contentType ||
			h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Security-Policy") != "default-src 'none'; style-src 'unsafe-inline'; sandbox" {
			t.Errorf("%s: %d, %v", contentType, w.Code, h)
		}
	}
	for name, picture := range map[string][]byte{
		"nothing": {}, "text": []byte("logo"), "html": []byte("<html><svg/></html>"), "gif": []byte("GIF89a"), "broken XML": []byte("<svg><path></svg>"),
		"too large": append([]byte("\x89PNG\x0D\x0A\x1A\x0A"), make([]byte, web.MaxLogo)...),
	} {
		if web.CheckLogo(picture) == nil {
			t.Errorf("%s passes for a logo", name)
		}
		if _, err := web.NewPages(web.Site{Logo: picture}); err == nil {
			t.Errorf("%s is taken for a logo", name)
		}
	}
}

// The operator's own pages are linked from every page of ours, and only over https.
func TestPageSiteLinks(t *testing.T) {
	pages := newPages(t, web.Site{PolicyURI: "https://a.example/privacy", TermsURI: "https://a.example/terms"})
	for name, page := range samples() {
		body := render(t, pages, get("/p"), page).Body.String()
		for _, want := range []string{`<a id="site-policy" href="https://a.example/privacy" target="_blank" rel="noopener noreferrer">`, `<a id="site-tos" href="https://a.example/terms"`} {
			if !strings.Contains(body, want) {
				t.Errorf("%s: no %s", name, want)
			}
		}
	}
	for _, site := range []web.Site{{}, {PolicyURI: "javascript:alert(1)", TermsURI: "http://a.example/"}} {
		if body := render(t, newPages(t, site), get("/p"), web.HomePage{}).Body.String(); strings.Contains(body, "site-") {
			t.Errorf("%+v: there are links", site)
		}
	}
}

// templates is a directory with these files in it.
func templates(t *testing.T, files map[string]string) string {
	t.Helper()
	directory := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return directory
}

// An operator's template takes the place of ours, on every page that it belongs to and in
// every language; what it makes of foreign values is still escaped (XS-01).
func TestTemplates(t *testing.T) {
	directory := templates(t, map[string]string{
		"home.html":   "{{define \"main\"}}\n<main class=\"home\"><h1>{{t \"home.title\"}}, {{.Username}}</h1>{{template \"icon-check\"}}</main>\n{{end}}",
		"parts.html":  ourTemplate(t, "parts.html") + `{{define "slogan"}}<p>Slogan</p>{{end}}`,
		"logout.html": strings.Replace(ourTemplate(t, "logout.html"), "</main>", `{{template "slogan"}}</main>`, 1),
		"notes.txt":   "{{ not a template",
	})
	pages := newPages(t, web.Site{Templates: directory})
	for language, title := range map[string]string{"en": "Welcome", "zh": "欢迎"} {
		body := render(t, pages, get("/p?lang="+language), web.HomePage{Username: hostile}).Body.String()
		if !strings.Contains(body, "<h1>"+title+", &#34;&gt;&lt;script&gt;") || strings.Contains(body, "home.lead") || !strings.Contains(body, `<header class="top">`) {
			t.Errorf("%s:\n%s", language, body)
		}
		if body := render(t, pages, get("/p?lang="+language), web.LogoutPage{}).Body.String(); !strings.Contains(body, "<p>Slogan</p></main>") {
			t.Errorf("%s:\n%s", language, body)
		}
	}
	same := map[string]string{}
	files, err := filepath.Glob("pages/*.html")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		same[filepath.Base(file)] = ourTemplate(t, filepath.Base(file))
	}
	ours, copies := newPages(t, web.Site{}), newPages(t, web.Site{Templates: templates(t, same)})
	for name, page := range allSamples() {
		if diff := cmp.Diff(render(t, ours, get("/p"), page).Body.String(), render(t, copies, get("/p"), page).Body.String()); diff != "" {
			t.Errorf("%s from a copy of our templates:\n%s", name, diff)
		}
	}
}

func ourTemplate(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("pages", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A mistake in a template stops the start, and is told with its file and its line.
func TestTemplatesRefused(t *testing.T) {
	main := func(text string) string { return "{{define \"main\"}}\n<main><h1>x</h1>\n" + text + "\n</main>{{end}}" }
	for name, tt := range map[string]struct{ file, text, want string }{
		"not closed":         {"home.html", main(`{{if .Username}}`), "home.html:4: unexpected EOF"},
		"no such function":   {"home.html", main(`{{nothing}}`), `home.html:3: function "nothing" not defined`},
		"no such field":      {"home.html", main(`{{.Nobody}}`), "home.html:3:2: executing \"main\" at <.Nobody>: can't evaluate field Nobody"},
		"in a branch":        {"login.html", main(`{{if .Client}}{{with .ErrorKey}}{{$.Nobody}}{{end}}{{end}}`), "login.html:3:"},
		"in a list":          {"consent.html", main(`{{range .Scopes}}{{if .Optional}}{{.Nobody}}{{end}}{{end}}`), "consent.html:3:"},
		"with nothing there": {"login.html", main(`{{if not .Client}}{{.Nobody}}{{end}}`), "login.html:3:"},
		"no such text":       {"home.html", main(`{{t "home.tilte"}}`), `home.html:3: no text "home.tilte"`},
		"no such plural":     {"home.html", main(`{{plural "home.things" 2}}`), `home.html:3: no text "home.things"`},
		"no such part":       {"home.html", main(`{{template "icon-nothing"}}`), `home.html:3:11: no such template "icon-nothing"`},
		"no such asset":      {"home.html", main(`{{asset "x.css"}}`), `home.html:3:2: executing "main" at <asset "x.css">: error calling asset: no asset "x.css"`},
		"not to be escaped":  {"home.html", main(`<a href={{if .Username}}"x{{end}}>`), "home.html:3"},
		"no main":            {"home.html", "<main></main>", `home.html defines no template "main"`},
		"broken layout":      {"layout.html", "<html>{{.Nothing}}</html>", "layout.html:1:8:"},
		"broken parts":       {"parts.html", "{{define", "parts.html:1:"},
		"unknown name":       {"hoem.html", "x", "hoem.html is the name of no template of ours; there are account.html, "},
		"too large":          {"home.html", main(strings.Repeat("x", 300_000)), "home.html is larger than 256 KiB"},
	} {
		_, err := web.NewPages(web.Site{Templates: templates(t, map[string]string{tt.file: tt.text})})
		if wrong, ok := errors.AsType[*web.TemplateError](err); !ok || !strings.Contains(wrong.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
	}
	if _, err := web.NewPages(web.Site{Templates: filepath.Join(t.TempDir(), "nothing")}); err == nil {
		t.Error("a directory that does not exist was read")
	}
}

// Every kind of page is tried with an operator's templates before a server starts.
func TestPageKindsAreComplete(t *testing.T) {
	tried := map[string]bool{}
	for _, page := range web.PageKinds {
		tried[fmt.Sprintf("%T", page)] = true
	}
	for name, page := range allSamples() {
		if kind := fmt.Sprintf("%T", page); !tried[kind] {
			t.Errorf("%s: %s is missing from pageKinds in pages.go", name, kind)
		}
	}
}

package web_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hufu-auth/hufu/internal/web"
)

func TestPageLanguage(t *testing.T) {
	pages := newPages(t, web.Site{})
	for name, tt := range map[string]struct{ query, cookie, uiLocales, accept, want string }{
		"nothing said":                    {want: "en"},
		"browser":                         {accept: "zh-CN,zh;q=0.9,en;q=0.8", want: "zh"},
		"browser prefers English":         {accept: "en-GB,en;q=0.9,zh;q=0.1", want: "en"},
		"browser in traditional":          {accept: "zh-TW", want: "zh"},
		"browser knows neither":           {accept: "fr-FR,de;q=0.5", want: "en"},
		"browser with Chinese second":     {accept: "fr, zh;q=0.1", want: "zh"},
		"browser refuses Chinese":         {accept: "zh;q=0", want: "en"},
		"browser broken":                  {accept: ";;;,,=q", want: "en"},
		"browser endless":                 {accept: strings.Repeat("zh,", 10000), want: "zh"},
		"browser one endless tag":         {accept: strings.Repeat("zh-", 10000), want: "en"},
		"ui_locales over browser":         {uiLocales: "zh-Hans en", accept: "en", want: "zh"},
		"ui_locales in order":             {uiLocales: "fr-CA en zh", accept: "zh", want: "en"},
		"ui_locales unknown":              {uiLocales: "fr xx", accept: "zh", want: "zh"},
		"ui_locales hostile":              {uiLocales: "../../etc/passwd \x00 <script> zh", accept: "en", want: "zh"},
		"ui_locales endless":              {uiLocales: strings.Repeat("x-y ", 100000) + "zh", want: "en"},
		"cookie over ui_locales":          {cookie: "en", uiLocales: "zh", accept: "zh", want: "en"},
		"cookie unknown":                  {cookie: "xx", uiLocales: "zh", want: "zh"},
		"query over cookie":               {query: "zh", cookie: "en", uiLocales: "en", accept: "en", want: "zh"},
		"query unknown":                   {query: "<b>", cookie: "zh", want: "zh"},
		"query is a code, not a language": {query: "zh-Hans", want: "en"},
	} {
		t.Run(name, func(t *testing.T) {
			r := get("/p")
			r.URL.RawQuery = "lang=" + tt.query
			r.Header.Set("Accept-Language", tt.accept)
			if tt.cookie != "" {
				r.AddCookie(&http.Cookie{Name: "hufu_lang", Value: tt.cookie})
			}
			if got := pages.Language(r, tt.uiLocales); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// SE-02: the one cookie that pages set by themselves.
func TestPage_SE_02_LanguageCookie(t *testing.T) {
	for name, tt := range map[string]struct {
		site         web.Site
		method, path string
		want         string
	}{
		"chosen":       {web.Site{}, "GET", "/p?lang=zh", "hufu_lang=zh; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax"},
		"below a path": {web.Site{Base: "/auth"}, "GET", "/auth/p?lang=en", "hufu_lang=en; Path=/auth; Max-Age=31536000; HttpOnly; SameSite=Lax"},
		"on https":     {web.Site{Base: "/auth", Secure: true}, "GET", "/auth/p?lang=en", "__Host-hufu_lang=en; Path=/; Max-Age=31536000; HttpOnly; Secure; SameSite=Lax"},
		"not chosen":   {web.Site{}, "GET", "/p", ""},
		"unknown":      {web.Site{}, "GET", "/p?lang=fr", ""},
		"posted":       {web.Site{}, "POST", "/p?lang=zh", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := render(t, newPages(t, tt.site), httptest.NewRequest(tt.method, tt.path, nil), web.HomePage{})
			if got := w.Header().Get("Set-Cookie"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestPageLanguageSwitch(t *testing.T) {
	pages := newPages(t, web.Site{})
	link := regexp.MustCompile(`<a lang="([^"]*)" hreflang="([^"]*)" href="([^"]*)"( aria-current="true")?>([^<]*)</a>`)
	for name, tt := range map[string]struct {
		request *http.Request
		self    string
		want    []string
	}{
		"this address":      {get("/p?a=%2F&b=%E4"), "", []string{"/p?a=%2F&amp;b=%E4&amp;lang=en", "/p?a=%2F&amp;b=%E4&amp;lang=zh"}},
		"replaced":          {get("/p?lang=zh&a=1&l%61ng=x&lang=en"), "", []string{"/p?a=1&amp;lang=en", "/p?a=1&amp;lang=zh"}},
		"self":              {get("/x"), "/login?request=abc", []string{"/login?request=abc&amp;lang=en", "/login?request=abc&amp;lang=zh"}},
		"self after a POST": {httptest.NewRequest("POST", "/x", nil), "/login", []string{"/login?lang=en", "/login?lang=zh"}},
		"POST":              {httptest.NewRequest("POST", "/x", nil), "", nil},
		"path is a host":    {get("http://id.example//evil.example/p"), "", nil},
		"path with a slash": {get("/x"), `/\evil.example`, []string{"/%5Cevil.example?lang=en", "/%5Cevil.example?lang=zh"}},
		"self elsewhere":    {get("/x"), "//evil.example/p", nil},
		"self is a script":  {get("/x"), "javascript:alert(1)", nil},
		"self with a host":  {get("/x"), "https://evil.example/p", []string{"/p?lang=en", "/p?lang=zh"}},
	} {
		t.Run(name, func(t *testing.T) {
			body := render(t, pages, tt.request, web.LoginPage{Self: tt.self}).Body.String()
			var got []string
			for i, m := range link.FindAllStringSubmatch(body, -1) {
				got = append(got, m[3])
				tag, name := []string{"en", "zh-Hans"}[i], []string{"English", "中文"}[i]
				if m[1] != tag || m[2] != tag || m[5] != name {
					t.Errorf("link %d is %q", i, m[0])
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Whatever clients and browsers send, the choice is one of the two.
func FuzzPageLanguage(f *testing.F) {
	pages := newPages(f, web.Site{})
	f.Add("zh-Hans en", "en;q=0.5, zh", "lang=zh")
	f.Add("x-\xff", "*;q=", "lang=%zz")
	f.Fuzz(func(t *testing.T, uiLocales, accept, query string) {
		r := get("/p")
		r.URL.RawQuery = query
		r.Header["Accept-Language"] = []string{accept}
		if got := pages.Language(r, uiLocales); got != "en" && got != "zh" {
			t.Errorf("Language = %q", got)
		}
	})
}

package web_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/hufu-auth/hufu/internal/web"
)

// assetsOf returns the addresses of the assets that a page loads.
func assetsOf(body string) map[string]bool {
	found := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?:href|src)="([^"]*/assets/[^"]*)"`).FindAllStringSubmatch(body, -1) {
		found[m[1]] = true
	}
	return found
}

func TestPageAssets(t *testing.T) {
	pages := newPages(t, web.Site{Base: "/auth"})
	body := render(t, pages, get("/auth/login"), web.LoginPage{}).Body.String()
	types := map[string]string{"hufu.css": "text/css; charset=utf-8", "password.js": "text/javascript; charset=utf-8", "mark.svg": "image/svg+xml"}
	for address := range assetsOf(body) {
		name := address[strings.LastIndexByte(address, '/')+1:]
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			w := httptest.NewRecorder()
			pages.Assets().ServeHTTP(w, httptest.NewRequest(method, address, nil))
			h := w.Header()
			if w.Code != http.StatusOK || h.Get("Content-Type") != types[name] || h.Get("X-Content-Type-Options") != "nosniff" ||
				h.Get("Cache-Control") != "public, max-age=31536000, immutable" || (w.Body.Len() > 0) != (method == http.MethodGet) {
				t.Errorf("%s %s: %d, %v, %d bytes", method, address, w.Code, h, w.Body.Len())
			}
		}
		delete(types, name)
	}
	if len(types) > 0 {
		t.Errorf("the page does not load %v", types)
	}
}

func TestPageAssetsElse(t *testing.T) {
	pages := newPages(t, web.Site{Base: "/auth"})
	var css string
	for address := range assetsOf(render(t, pages, get("/auth/p"), web.HomePage{}).Body.String()) {
		if strings.HasSuffix(address, ".css") {
			css = address
		}
	}
	for address, want := range map[string]int{
		css:                                  http.StatusOK,
		strings.TrimPrefix(css, "/auth"):     http.StatusNotFound,
		"/auth/assets/000000000000/hufu.css": http.StatusNotFound,
		"/auth/assets/hufu.css":              http.StatusNotFound,
		"/auth/assets/":                      http.StatusNotFound,
		css + "/..":                          http.StatusNotFound,
		"/auth/assets/../pages/login.html":   http.StatusNotFound,
		css + "?x=1":                         http.StatusOK,
		strings.Replace(css, "hufu", "x", 1): http.StatusNotFound,
	} {
		w := httptest.NewRecorder()
		pages.Assets().ServeHTTP(w, get(address))
		if w.Code != want || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d, want %d", address, w.Code, want)
		}
		if want == http.StatusNotFound && strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: a refusal is kept for ever", address)
		}
	}
	w := httptest.NewRecorder()
	pages.Assets().ServeHTTP(w, httptest.NewRequest(http.MethodPost, css, nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
}

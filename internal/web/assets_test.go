package web_test

import (
	"bytes"
	"compress/gzip"
	"io"
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

// What is packed for those who can read that is the same for all others.
func TestPageAssetsPacked(t *testing.T) {
	pages := newPages(t, web.Site{})
	for address := range assetsOf(render(t, pages, get("/login"), web.LoginPage{}).Body.String()) {
		plain := httptest.NewRecorder()
		pages.Assets().ServeHTTP(plain, get(address))
		for accepted, packed := range map[string]bool{"gzip": true, "br;q=1.0, GZIP;q=0.5": true, "deflate, gzip ; q=1": true, "gzip;q=0": false, "gzip;q=0.000": false, "br": false, "": false, "x-gzip": false} {
			r := get(address)
			r.Header.Set("Accept-Encoding", accepted)
			w := httptest.NewRecorder()
			pages.Assets().ServeHTTP(w, r)
			body := w.Body.Bytes()
			if got := w.Header().Get("Content-Encoding") == "gzip"; got != packed || w.Header().Get("Vary") != "Accept-Encoding" {
				t.Errorf("%s: packed %t for %q", address, got, accepted)
			}
			if packed {
				z, err := gzip.NewReader(w.Body)
				if err != nil {
					t.Fatal(err)
				}
				if body, err = io.ReadAll(z); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(body, plain.Body.Bytes()) {
				t.Errorf("%s: another text for %q", address, accepted)
			}
		}
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

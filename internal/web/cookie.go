package web

import (
	"net/http"
	"time"
)

// Cookies makes and reads the cookies of one server. On https they are Secure
// and carry the __Host- prefix, which ties them to this host; on plain http
// loopback neither, because browsers drop such cookies there.
type Cookies struct {
	Secure bool
	Base   string // path of the issuer
}

func (c Cookies) name(name string) string {
	if c.Secure {
		return "__Host-hufu_" + name
	}
	return "hufu_" + name
}

// path is / on https, as __Host- wants it.
func (c Cookies) path() string {
	if c.Secure || c.Base == "" {
		return "/"
	}
	return c.Base
}

// Set gives the browser a cookie; age 0 keeps it until the browser closes.
func (c Cookies) Set(w http.ResponseWriter, name, value string, age time.Duration) {
	http.SetCookie(w, &http.Cookie{Name: c.name(name), Value: value, Path: c.path(), MaxAge: int(age / time.Second),
		Secure: c.Secure, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// SetShared gives the browser a cookie that scripts of our pages read, in frames of others
// too: it holds nothing that opens anything. Without https browsers keep such a cookie
// from frames of other sites. A value of "" takes it away.
func (c Cookies) SetShared(w http.ResponseWriter, name, value string, age time.Duration) {
	cookie := &http.Cookie{Name: c.name(name), Value: value, Path: c.path(), MaxAge: int(age / time.Second), Secure: c.Secure, SameSite: http.SameSiteLaxMode}
	if c.Secure {
		cookie.SameSite = http.SameSiteNoneMode
	}
	if value == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(w, cookie)
}

// Clear takes a cookie away.
func (c Cookies) Clear(w http.ResponseWriter, name string) {
	http.SetCookie(w, &http.Cookie{Name: c.name(name), Path: c.path(), MaxAge: -1,
		Secure: c.Secure, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// Get reads a cookie; "" when the browser sent none.
func (c Cookies) Get(r *http.Request, name string) string {
	cookie, err := r.Cookie(c.name(name))
	if err != nil {
		return ""
	}
	return cookie.Value
}

package spec_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/hufu-auth/hufu/internal/mailtest"
	"github.com/hufu-auth/hufu/internal/oauthtest"
	"github.com/hufu-auth/hufu/internal/store"
)

// A form of the server's own counts only from its own page in the browser that
// loaded it: not from another site, not without the page's token, not with the
// token of another browser. SameSite is not relied on: the cookies are there
// (CS-01).
func TestCSRF_ForeignFormsChangeNothing(t *testing.T) {
	t.Parallel()
	inbox := mailtest.Start(t, mailtest.Options{})
	app := oauthtest.Start(t, mailing(inbox)).App(t)
	s := app.Server
	other := signedIn(t, app)
	other.Open(t, authorizationURL(app, "/authorize", "prompt", "consent"))
	_, otherFields := other.Form(t, "consent-form")

	s.User(t, "erin")
	phone := withApp(t, s, "erin")

	type page struct {
		form    string
		answer  url.Values // what would change something
		open    func(t *testing.T) *oauthtest.Browser
		changed func(t *testing.T, b *oauthtest.Browser, answer *oauthtest.Answer) bool
	}
	pages := map[string]page{
		"sign-in": {"login-form", url.Values{"username": {"alice"}, "password": {oauthtest.Password}}, func(t *testing.T) *oauthtest.Browser { return stranger(t, s) },
			func(_ *testing.T, _ *oauthtest.Browser, answer *oauthtest.Answer) bool {
				return strings.Contains(strings.Join(answer.Header.Values("Set-Cookie"), " "), "session")
			}},
		"consent": {"consent-form", url.Values{"decision": {"approve"}}, func(t *testing.T) *oauthtest.Browser {
			b := signedIn(t, app)
			b.Open(t, authorizationURL(app, "/authorize", "prompt", "consent"))
			return b
		}, func(_ *testing.T, _ *oauthtest.Browser, answer *oauthtest.Answer) bool {
			return responseCode(answer) != ""
		}},
		"refusal": {"consent-form", url.Values{"decision": {"deny"}}, func(t *testing.T) *oauthtest.Browser {
			b := signedIn(t, app)
			b.Open(t, authorizationURL(app, "/authorize", "prompt", "consent"))
			return b
		}, func(_ *testing.T, _ *oauthtest.Browser, answer *oauthtest.Answer) bool {
			return answer.Header.Get("Location") != ""
		}},
		"second factor": {"second-factor-form", url.Values{"code": {phone.Codes[0]}}, func(t *testing.T) *oauthtest.Browser { return halfway(t, s, "erin", "/login") },
			func(_ *testing.T, _ *oauthtest.Browser, answer *oauthtest.Answer) bool {
				return strings.Contains(strings.Join(answer.Header.Values("Set-Cookie"), " "), "session")
			}},
		"removal of a second factor": {"remove-form", url.Values{"action": {"remove"}}, func(t *testing.T) *oauthtest.Browser {
			s.User(t, "frank")
			b := home(t, s, "frank")
			b.SetUpApp(t)
			b.Open(t, "/account/second-factor")
			return b
		}, func(t *testing.T, _ *oauthtest.Browser, _ *oauthtest.Answer) bool {
			return !theUser(t, s, "frank").SecondFactor
		}},
		"forgotten password": {"forgot-form", url.Values{"username": {"dora"}}, func(t *testing.T) *oauthtest.Browser {
			withAddress(t, s, "dora", "dora@example.com", true)
			b := s.Browser(t)
			b.Open(t, s.URL+"/login/forgot")
			return b
		}, func(t *testing.T, _ *oauthtest.Browser, _ *oauthtest.Answer) bool {
			events, err := s.Store.UserEvents(t.Context(), theUser(t, s, "dora").ID, "", 1)
			return err != nil || events[0].Kind == store.EventResetRequested
		}},
		"new password": {"password-form", url.Values{"password": {anotherPassword}}, func(t *testing.T) *oauthtest.Browser {
			link, err := s.Links.Reset(t.Context(), s.User(t, "bob"), theOperator)
			if err != nil {
				t.Fatal(err)
			}
			b := s.Browser(t)
			b.Open(t, link.URL)
			return b
		}, func(t *testing.T, _ *oauthtest.Browser, _ *oauthtest.Answer) bool {
			return theUser(t, s, "bob").Epoch > 1
		}},
		"address": {"email-form", nil, func(t *testing.T) *oauthtest.Browser {
			if err := s.Links.ChangeEmail(t.Context(), s.User(t, "carol").ID, 0, "carol@example.com", "en", theOperator); err != nil {
				t.Fatal(err)
			}
			mails := inbox.Wait(t, 1)
			for !slices.Equal(mails[len(mails)-1].To, []string{"carol@example.com"}) {
				mails = inbox.Wait(t, len(mails)+1)
			}
			b := s.Browser(t)
			b.Open(t, mails[len(mails)-1].Read(t).Link())
			return b
		}, func(t *testing.T, _ *oauthtest.Browser, _ *oauthtest.Answer) bool {
			return theUser(t, s, "carol").Email != ""
		}},
		"set-up": {"first-admin-form", url.Values{"username": {"root"}, "email": {"root@example.com"}, "password": {anotherPassword}}, func(t *testing.T) *oauthtest.Browser {
			b := s.Browser(t)
			b.Open(t, setUpLink(t, s))
			return b
		}, func(t *testing.T, _ *oauthtest.Browser, _ *oauthtest.Answer) bool {
			_, err := s.Store.UserByName(t.Context(), "root")
			return err == nil
		}},
		"sign-out": {"logout-form", url.Values{"decision": {"yes"}}, func(t *testing.T) *oauthtest.Browser {
			b := signedIn(t, app)
			b.Open(t, s.URL+"/end-session")
			return b
		}, func(t *testing.T, b *oauthtest.Browser, _ *oauthtest.Answer) bool {
			return signedInAs(t, s, sessionCookie(t, b)) != "alice"
		}},
	}
	for name, p := range pages {
		b := p.open(t)
		for attack, spoil := range map[string]func(r *http.Request, form url.Values){
			"from another site": func(r *http.Request, _ url.Values) {
				r.Header.Set("Origin", "https://evil.example")
				r.Header.Set("Sec-Fetch-Site", "cross-site")
			},
			"from a sibling": func(r *http.Request, _ url.Values) {
				r.Header.Set("Origin", "https://evil.example")
				r.Header.Set("Sec-Fetch-Site", "same-site")
			},
			"from another site, old browser": func(r *http.Request, _ url.Values) {
				r.Header.Set("Origin", "https://evil.example")
				r.Header.Del("Sec-Fetch-Site")
			},
			"from another port": func(r *http.Request, _ url.Values) {
				r.Header.Set("Origin", "http://127.0.0.1:1")
				r.Header.Del("Sec-Fetch-Site")
			},
			"from a longer name": func(r *http.Request, _ url.Values) {
				r.Header.Set("Origin", s.Origin+".evil.example")
				r.Header.Del("Sec-Fetch-Site")
			},
			"from a sandbox": func(r *http.Request, _ url.Values) {
				r.Header.Set("Origin", "null")
				r.Header.Set("Sec-Fetch-Site", "cross-site")
			},
			"without a token":              func(_ *http.Request, form url.Values) { form.Del("form_token") },
			"with an empty token":          func(_ *http.Request, form url.Values) { form.Set("form_token", "") },
			"with a made-up token":         func(_ *http.Request, form url.Values) { form.Set("form_token", strings.Repeat("A", 43)) },
			"with another browser's token": func(_ *http.Request, form url.Values) { form.Set("form_token", otherFields.Get("form_token")) },
			"without the browser's cookie": func(r *http.Request, _ url.Values) {
				cookies := r.Cookies()
				r.Header.Del("Cookie")
				for _, c := range cookies {
					if c.Name != "hufu_browser" {
						r.AddCookie(c)
					}
				}
			},
			"without a token, old browser": func(r *http.Request, form url.Values) {
				r.Header.Del("Origin")
				r.Header.Del("Sec-Fetch-Site")
				form.Del("form_token")
			},
			"without a token, origin hidden": func(r *http.Request, form url.Values) {
				r.Header.Set("Origin", "null")
				r.Header.Del("Sec-Fetch-Site")
				form.Set("form_token", otherFields.Get("form_token"))
			},
		} {
			action, form := b.Form(t, p.form)
			for name, values := range p.answer {
				form[name] = values
			}
			r := s.Request(t, http.MethodPost, s.Origin+action, "x=y")
			r.Header.Set("Origin", s.Origin)
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			for _, c := range b.Cookies(t) {
				r.AddCookie(c)
			}
			spoil(r, form)
			spoiled := s.Request(t, http.MethodPost, s.Origin+action, form.Encode())
			spoiled.Header = r.Header
			answer := s.Do(t, spoiled)
			wantErrorPage(t, answer, http.StatusForbidden, "invalid_request")
			if p.changed(t, b, answer) {
				t.Errorf("%s %s: something changed", name, attack)
			}
		}
		// The page itself still works, also in a browser that tells nothing of origins.
		r := formRequest(t, b, s, p.form, p.answer)
		r.Header.Del("Origin")
		r.Header.Del("Sec-Fetch-Site")
		answer := s.Do(t, r)
		if answer.StatusCode != http.StatusSeeOther || !p.changed(t, b, answer) {
			t.Errorf("%s: the right form answered %d", name, answer.StatusCode)
		}
	}
}

// A foreign POST to the addresses that clients may send users to by POST goes on by GET
// and does nothing itself (CS-01, conformance 18).
func TestCSRF_ForeignPostToProtocolAddresses(t *testing.T) {
	t.Parallel()
	app := oauthtest.Start(t).App(t)
	s := app.Server
	b := signedIn(t, app)
	before := len(grantsOf(t, s))
	for path, form := range map[string]url.Values{
		"/authorize": authorizationQuery(app), "/open/authorize/index": authorizationQuery(app), "/open/implicit": authorizationQuery(app, "response_type", "token"),
		"/end-session": {"client_id": {app.ClientID}},
	} {
		r := s.Request(t, http.MethodPost, path, form.Encode())
		r.Header.Set("Origin", "https://app.example")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		for _, c := range b.Cookies(t) { // a browser would not send them
			r.AddCookie(c)
		}
		answer := s.Do(t, r)
		location := answer.Header.Get("Location")
		if answer.StatusCode != http.StatusSeeOther || !strings.HasPrefix(location, "/authorize/resume?request=") && !strings.HasPrefix(location, "/end-session?request=") || len(answer.Header.Values("Set-Cookie")) > 0 {
			t.Errorf("%s: %d to %q, cookies %q", path, answer.StatusCode, location, answer.Header.Values("Set-Cookie"))
		}
	}
	if after := len(grantsOf(t, s)); after != before {
		t.Errorf("%d grants were made", after-before)
	}
	if signedInAs(t, s, sessionCookie(t, b)) != "alice" {
		t.Error("signed out")
	}
}

// RFC 9110 Section 9.2.1: what a form would do is not done by GET or HEAD (CS-02).
func TestCSRF_NothingChangesByGet(t *testing.T) {
	t.Parallel()
	app := oauthtest.Start(t).App(t)
	s := app.Server
	b := signedIn(t, app)
	b.Open(t, authorizationURL(app, "/authorize", "prompt", "consent"))
	_, fields := b.Form(t, "consent-form")
	fields.Set("decision", "approve")
	cookie := sessionCookie(t, b)
	before := len(grantsOf(t, s))
	for _, path := range []string{
		"/consent?" + fields.Encode(),
		"/login?" + url.Values{"username": {"alice"}, "password": {oauthtest.Password}, "form_token": fields["form_token"], "action": {"login"}}.Encode(),
		"/login?" + url.Values{"request": fields["request"], "form_token": fields["form_token"], "action": {"cancel"}}.Encode(),
		"/end-session?" + url.Values{"decision": {"yes"}, "form_token": fields["form_token"]}.Encode(),
		"/logout/done",
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			r := s.Request(t, method, path, "")
			for _, c := range b.Cookies(t) {
				r.AddCookie(c)
			}
			answer := s.Do(t, r)
			if answer.StatusCode != http.StatusOK || answer.Header.Get("Location") != "" {
				t.Errorf("%s %.20s: %d to %q", method, path, answer.StatusCode, answer.Header.Get("Location"))
			}
			for _, c := range answer.Cookies() {
				if c.Name == "hufu_session" {
					t.Errorf("%s %.20s set a session", method, path)
				}
			}
		}
	}
	// HEAD makes no code either: an answer nobody reads would leave a grant behind.
	for _, path := range []string{"/authorize", "/open/authorize/index", "/authorize/resume"} {
		r := s.Request(t, http.MethodHead, path+"?"+authorizationQuery(app).Encode(), "")
		for _, c := range b.Cookies(t) {
			r.AddCookie(c)
		}
		if answer := s.Do(t, r); responseCode(answer) != "" {
			t.Errorf("HEAD %s: %d to %q", path, answer.StatusCode, answer.Header.Get("Location"))
		}
	}
	if after := len(grantsOf(t, s)); after != before {
		t.Errorf("%d grants were made", after-before)
	}
	if signedInAs(t, s, cookie) != "alice" {
		t.Error("signed out")
	}
}

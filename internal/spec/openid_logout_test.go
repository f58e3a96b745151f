package spec_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// signedIn walks through a code flow and returns the ID token of the session that the
// browser has now.
func (p *relyingParty) signedIn(t *testing.T) string { t.Helper(); return idTokenOf(t, p) }

// isSignedIn asks without a page whether the browser has a session.
func (p *relyingParty) isSignedIn(t *testing.T) bool {
	t.Helper()
	answer, _ := answerOf(t, p.Browser.Walk(t, p.address("prompt", "none"), ""))
	if answer.Has("code") == (answer.Get("error") == "login_required") {
		t.Errorf("prompt=none: %v", answer)
	}
	return answer.Has("code")
}

func logout(pairs ...string) string {
	query := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		query.Set(pairs[i], pairs[i+1])
	}
	return "/end-session?" + query.Encode()
}

const bye = "https://app.example/bye"

// OpenID Connect RP-Initiated Logout Sections 2 and 3: with an ID token of this very
// session, however old, the user is signed out unasked and ends at the registered
// address with the untouched state and nothing else, by GET and by a POST from another
// site (LO-01, CS-02, conformance 69, 72).
func TestRPInitiatedLogout_2_WithHint(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	p := newRelyingParty(t, s)
	state := "state with % and 虎 " + strings.Repeat("s", 100)
	for name, tt := range map[string]struct {
		pairs []string
		want  string
	}{
		"state":            {[]string{"post_logout_redirect_uri", bye, "state", state}, bye + "?state=" + strings.ReplaceAll(url.QueryEscape(state), "+", "%20")},
		"no state":         {[]string{"post_logout_redirect_uri", bye}, bye},
		"own query":        {[]string{"post_logout_redirect_uri", bye + "?from=hufu", "state", "s"}, bye + "?from=hufu&state=s"},
		"client named too": {[]string{"post_logout_redirect_uri", bye, "client_id", p.ClientID}, bye},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			p.Browser = s.Browser(t)
			pairs := append(tt.pairs, "id_token_hint", p.signedIn(t))
			if method == http.MethodGet {
				p.Browser.Open(t, logout(pairs...))
			} else {
				_, query, _ := strings.Cut(logout(pairs...), "?")
				r := s.Request(t, http.MethodPost, "/end-session", query)
				r.Header.Set("Origin", "https://app.example")
				r.Header.Set("Sec-Fetch-Site", "cross-site")
				answer := s.Do(t, r) // without the cookies, as SameSite has it
				if answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Set-Cookie") != "" {
					t.Fatalf("%s, POST: %d %v", name, answer.StatusCode, answer.Header)
				}
				p.Browser.Open(t, s.Origin+answer.Header.Get("Location"))
			}
			if got := p.Browser.Location(t); got == nil || got.String() != tt.want {
				t.Errorf("%s, %s: ended at %v, want %s\n%s", name, method, got, tt.want, p.Browser.Page.Body)
			}
			if p.isSignedIn(t) {
				t.Errorf("%s, %s: still signed in", name, method)
			}
		}
	}
}

// Section 2: everybody else is asked, and may stay. A hint of another session, an
// address without a hint, and no parameter at all lead to the question; whoever agrees
// is signed out, and led on only where a hint says whose address it is (LO-01,
// conformance 70, 71).
func TestRPInitiatedLogout_2_Asked(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	p := newRelyingParty(t, s)
	other := p.signedIn(t) // of a session in another browser
	for name, tt := range map[string]struct {
		pairs []string
		want  string // of who agrees; "" is our own page
	}{
		"nothing":             {nil, ""},
		"state alone":         {[]string{"state", "s"}, ""},
		"address, no hint":    {[]string{"post_logout_redirect_uri", bye, "client_id", p.ClientID}, ""},
		"hint of elsewhere":   {[]string{"post_logout_redirect_uri", bye, "state", "s", "id_token_hint", other}, bye + "?state=s"},
		"hint, not where to":  {[]string{"id_token_hint", other}, ""},
		"foreign address too": {[]string{"post_logout_redirect_uri", "https://evil.example/"}, ""},
	} {
		for _, decision := range []string{"no", "yes"} {
			p.Browser = s.Browser(t)
			p.signedIn(t)
			p.Browser.Open(t, logout(tt.pairs...))
			if !p.Browser.On("logout-form") {
				t.Fatalf("%s: nobody was asked: %d %v", name, p.Browser.Page.StatusCode, p.Browser.Page.Header)
			}
			if !p.isSignedInElsewhere(t, p.Browser.Page) {
				continue
			}
			p.Browser.Open(t, logout(tt.pairs...))
			p.Browser.Submit(t, "logout-form", url.Values{"decision": {decision}})
			switch got := p.Browser.Location(t); {
			case decision == "yes" && tt.want != "" && (got == nil || got.String() != tt.want):
				t.Errorf("%s: ended at %v, want %s", name, got, tt.want)
			case decision == "yes" && tt.want == "" && !p.Browser.On("logged-out"):
				t.Errorf("%s: ended on %s", name, p.Browser.Page.Request.URL)
			case strings.Contains(string(p.Browser.Page.Body), `"https://evil.example`):
				t.Errorf("%s: the page names a foreign address", name)
			}
			if p.isSignedIn(t) != (decision == "no") {
				t.Errorf("%s, %s: signed in %t", name, decision, decision != "no")
			}
		}
	}
}

// isSignedInElsewhere makes sure that to be asked changed nothing, in a way that leaves
// the question open.
func (p *relyingParty) isSignedInElsewhere(t *testing.T, question *oauthtest.Answer) bool {
	t.Helper()
	if !p.isSignedIn(t) {
		t.Error("the question itself ended the session")
		return false
	}
	p.Browser.Page = question
	return true
}

// Sections 2, 3 and 4: a hint that does not verify is refused and never ignored, and an
// address that is not registered exactly leads nowhere, not even by a link; nothing
// ends by a request that is refused (LO-01, LO-13, JW-01, conformance 70).
func TestRPInitiatedLogout_4_Refused(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	p := newRelyingParty(t, s)
	stranger := newRelyingParty(t, s)
	hint := p.signedIn(t)
	_, rest, _ := strings.Cut(hint, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	for name, pairs := range map[string][]string{
		"query added":       {"id_token_hint", hint, "post_logout_redirect_uri", bye + "?x=1"},
		"other path":        {"id_token_hint", hint, "post_logout_redirect_uri", bye + "/"},
		"other host":        {"id_token_hint", hint, "post_logout_redirect_uri", "https://evil.example/bye"},
		"script":            {"id_token_hint", hint, "post_logout_redirect_uri", "javascript:alert(1)"},
		"a callback":        {"id_token_hint", hint, "post_logout_redirect_uri", oauthtest.Callback},
		"other client":      {"id_token_hint", hint, "post_logout_redirect_uri", bye, "client_id", stranger.ClientID},
		"garbage":           {"id_token_hint", "garbage", "post_logout_redirect_uri", bye},
		"none":              {"id_token_hint", base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + payload + ".", "post_logout_redirect_uri", bye},
		"signature changed": {"id_token_hint", hint[:len(hint)-len(signature)] + strings.Repeat("A", len(signature)), "post_logout_redirect_uri", bye},
		"an access token":   {"id_token_hint", p.accessToken(t), "post_logout_redirect_uri", bye},
		"long state":        {"id_token_hint", hint, "post_logout_redirect_uri", bye, "state", strings.Repeat("s", 2049)},
		"lines in state":    {"id_token_hint", hint, "post_logout_redirect_uri", bye, "state", "a\r\nb"},
	} {
		answer := p.Browser.Open(t, logout(pairs...))
		if answer.StatusCode != http.StatusBadRequest || !p.Browser.On("error-page") || answer.Header.Get("Location") != "" {
			t.Errorf("%s: %d %v", name, answer.StatusCode, answer.Header)
		}
		if strings.Contains(string(answer.Body), `"https://evil.example`) || strings.Contains(string(answer.Body), `"javascript:`) {
			t.Errorf("%s: the page links to the address", name)
		}
		if !p.isSignedIn(t) {
			t.Errorf("%s: signed out by a request that was refused", name)
			p.signedIn(t)
		}
	}
	// A sealed authorization request is none to sign out, whoever sends it.
	s2 := s.Get(t, p.address("response_type", "code"))
	location, err := url.Parse(s2.Header.Get("Location"))
	ok(t, err)
	if answer := s.Get(t, "/end-session?request="+url.QueryEscape(location.Query().Get("request"))); answer.StatusCode != http.StatusBadRequest {
		t.Errorf("a sealed authorization request: %d", answer.StatusCode)
	}
}

// A hint is ours as long as a session may last, whatever became of its key meanwhile:
// rotated, and no longer published. A key that was removed in an emergency takes its
// hints along (KY-01, KY-02, conformance 34, 69).
func TestRPInitiatedLogout_2_HintOfAnOldKey(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	p := newRelyingParty(t, s)
	hint := p.signedIn(t)
	kid, _ := headerOf(t, hint)["kid"].(string)
	if _, err := s.Ring.Rotate(t.Context(), "sign:RS256", theOperator); err != nil {
		t.Fatal(err)
	}
	s.Clock.Advance(3 * time.Hour)
	if strings.Contains(string(s.Get(t, "/jwks").Body), kid) {
		t.Error("the old key is still published")
	}
	for range 3 { // what has expired is deleted in passing
		if _, err := s.Store.DeleteExpired(t.Context(), s.Clock.Now()); err != nil {
			t.Fatal(err)
		}
	}
	answer, _ := answerOf(t, p.Browser.Walk(t, p.address("prompt", "none", "id_token_hint", hint), ""))
	if !answer.Has("code") {
		t.Errorf("prompt=none with the old hint: %v", answer)
	}
	p.Browser.Open(t, logout("id_token_hint", hint, "post_logout_redirect_uri", bye))
	if got := p.Browser.Location(t); got == nil || got.String() != bye {
		t.Errorf("signed out with the old hint: %d, to %v", p.Browser.Page.StatusCode, got)
	}
	if err := s.Ring.Remove(t.Context(), kid, theOperator); err != nil {
		t.Fatal(err)
	}
	if answer := p.Browser.Open(t, logout("id_token_hint", hint, "post_logout_redirect_uri", bye)); answer.StatusCode != http.StatusBadRequest {
		t.Errorf("a hint of a key that was removed: %d", answer.StatusCode)
	}
}

// OpenID Connect Core Section 3.1.2.1, id_token_hint: it finds out whether its user is
// signed in, expired or not, and signs nobody in (AZ-12, conformance 34).
func TestOpenIDCore_3_1_2_1_IDTokenHint(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	p := newRelyingParty(t, s)
	s.User(t, "bob")
	alices := p.signedIn(t)
	silent := func(hint string) url.Values {
		t.Helper()
		answer, _ := answerOf(t, p.Browser.Walk(t, p.address("prompt", "none", "id_token_hint", hint), ""))
		return answer
	}
	first := silent(alices)
	_, told := p.verify(t, p.tokens(t, first.Get("code")).Text("id_token"))
	if told["sub"] != p.user.ID {
		t.Errorf("told %v", told)
	}
	for _, nobody := range []string{"garbage", p.accessToken(t)} {
		if answer := silent(nobody); answer.Get("error") != "login_required" {
			t.Errorf("a hint that is none: %v", answer)
		}
	}
	// A request that contradicts itself asks nobody for a password, and a hint that is
	// none does not stand in the way where a page may be shown.
	if answer, _ := answerOf(t, p.Browser.Walk(t, p.address("id_token_hint", alices, "claims", `{"id_token":{"sub":{"value":"another"}}}`), "")); answer.Get("error") != "login_required" {
		t.Errorf("alice's hint and another sub: %v", answer)
	}
	if answer, _ := answerOf(t, p.Browser.Walk(t, p.address("id_token_hint", "garbage"), "")); !answer.Has("code") {
		t.Errorf("a hint that is none: %v", answer)
	}
	// Bob signs in: alice's hint no longer fits, and without prompt=none it asks for her.
	p.Browser = s.Browser(t)
	p.Browser.Walk(t, p.address(), "bob")
	if answer := silent(alices); answer.Get("error") != "login_required" || answer.Has("code") {
		t.Errorf("alice's hint in bob's browser: %v", answer)
	}
	p.Browser.Open(t, p.address("id_token_hint", alices))
	if !p.Browser.On("login-form") {
		t.Fatalf("alice is not asked to sign in: %d", p.Browser.Page.StatusCode)
	}
	p.Browser.SignIn(t, "bob")
	if answer, _ := answerOf(t, p.Browser.Location(t)); answer.Get("error") != "login_required" {
		t.Errorf("bob answered for alice: %v", answer)
	}
	p.Browser.Open(t, p.address("id_token_hint", alices))
	p.Browser.SignIn(t, "alice")
	answer, _ := answerOf(t, p.Browser.Location(t))
	if _, told := p.verify(t, p.tokens(t, answer.Get("code")).Text("id_token")); told["sub"] != p.user.ID {
		t.Errorf("told %v", told)
	}
}

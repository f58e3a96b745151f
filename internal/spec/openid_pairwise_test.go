package spec_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
)

// pairwise registers a client for subjects of its own.
func pairwise(m *oauth.ClientMetadata) { m.SubjectType = oauth.SubjectPairwise }

// onHost moves a client to another host.
func onHost(host string) func(*oauth.ClientMetadata) {
	return func(m *oauth.ClientMetadata) {
		m.RedirectURIs = []string{"https://" + host + "/callback"}
		m.PostLogoutRedirectURIs = []string{"https://" + host + "/bye"}
	}
}

// inAnotherBrowser is the same client with somebody else before it.
func (p *relyingParty) inAnotherBrowser(t *testing.T) *relyingParty {
	t.Helper()
	app := *p.App
	app.Browser = p.Server.Browser(t)
	return &relyingParty{&app, p.user, p.provider}
}

// subjectOf walks through a code flow and returns the subject, after it has made sure that
// every place tells the same.
func (p *relyingParty) subjectOf(t *testing.T) string {
	t.Helper()
	p.Scopes = []string{"openid", "profile", "offline_access"}
	front, _ := p.ask(t, "response_type", "code id_token token", "nonce", "n")
	_, claims := p.verify(t, front.Get("id_token"))
	subject, _ := claims["sub"].(string)
	tokens := p.tokens(t, front.Get("code"))
	refreshed := p.Refresh(t, oauthtest.AllAddresses[0], tokens.Text("refresh_token"))
	for what, raw := range map[string]string{"the token endpoint": tokens.Text("id_token"), "a refresh": refreshed.Text("id_token")} {
		if _, claims := p.verify(t, raw); claims["sub"] != subject {
			t.Errorf("ID token from %s: %v, at first %s", what, claims["sub"], subject)
		}
	}
	told := map[string]*oauthtest.Answer{
		"UserInfo":                       p.userInfo(t, tokens.Text("access_token")),
		"UserInfo for the front channel": p.userInfo(t, front.Get("access_token")),
		"introspection":                  p.Introspect(t, tokens.Text("access_token")),
		"introspection of a refresh":     p.Introspect(t, refreshed.Text("refresh_token")),
	}
	for what, answer := range told {
		if answer.StatusCode != http.StatusOK || answer.Text("sub") != subject {
			t.Errorf("%s: %d %s, want sub %s", what, answer.StatusCode, answer.Body, subject)
		}
		if strings.HasPrefix(what, "introspection") && (answer.Text("username") == "") != (subject != p.user.ID) {
			t.Errorf("%s tells the name: %s", what, answer.Body)
		}
	}
	if parts := strings.Split(tokens.Text("access_token"), "."); len(parts) == 3 {
		if got := decodeSegment(t, parts[1]); got["sub"] != subject {
			t.Errorf("access token: %v", got)
		}
	}
	return subject
}

// decodeSegment reads one part of a JWT.
func decodeSegment(t *testing.T, part string) (claims map[string]any) {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(part)
	ok(t, err)
	ok(t, json.Unmarshal(text, &claims))
	return claims
}

// OpenID Connect Core Sections 8 and 8.1: clients of one sector know a user by one name and
// those of another by another; the same name stands in every token and answer, signed or
// sealed, and is nobody's id (conformance 61, 67).
func TestOpenIDCore_8_1_Pairwise(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	public := newRelyingParty(t, s)
	first := newRelyingParty(t, s, pairwise)
	same := newRelyingParty(t, s, pairwise, onHost("app.example"), oauthtest.Opaque)
	port := newRelyingParty(t, s, pairwise, onHost("APP.example:8443"))
	other := newRelyingParty(t, s, pairwise, onHost("other.example"))
	sub := first.subjectOf(t)
	if id, err := uuid.Parse(sub); err != nil || id.Version() != 8 || sub == first.user.ID {
		t.Errorf("subject %s of user %s", sub, first.user.ID)
	}
	if got := public.subjectOf(t); got != public.user.ID {
		t.Errorf("a public client: %s", got)
	}
	if got := same.subjectOf(t); got != sub {
		t.Errorf("another client of the sector: %s, want %s", got, sub)
	}
	if got := port.subjectOf(t); got != sub {
		t.Errorf("another client of the host: %s, want %s", got, sub)
	}
	if got := other.subjectOf(t); got == sub || got == other.user.ID {
		t.Errorf("another sector: %s", got)
	}
	s.User(t, "bob")
	b := first.inAnotherBrowser(t)
	answer, _ := answerOf(t, b.Browser.Walk(t, b.address("response_type", "id_token", "nonce", "n", "scope", "openid"), "bob"))
	if _, claims := b.verify(t, answer.Get("id_token")); claims["sub"] == sub {
		t.Error("two users have one subject")
	}
	signed := newRelyingParty(t, s, pairwise, func(m *oauth.ClientMetadata) { m.UserInfoAlg = "RS256" })
	front, _ := signed.ask(t, "response_type", "id_token token", "nonce", "n", "scope", "openid")
	if got := decodeSegment(t, strings.Split(string(signed.userInfo(t, front.Get("access_token")).Body), ".")[1]); got["sub"] != sub {
		t.Errorf("signed UserInfo: %v", got)
	}
	var m struct {
		Types []string `json:"subject_types_supported"`
	}
	ok(t, json.Unmarshal(s.Get(t, "/.well-known/openid-configuration").Body, &m))
	if diff := cmp.Diff([]string{"public", "pairwise"}, m.Types); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
}

// OpenID Connect Core Section 8.1: the subjects stay when the master key changes and when
// other keys are rotated, for clients know their users by them.
func TestOpenIDCore_8_1_SubjectsStay(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	p := newRelyingParty(t, s, pairwise)
	sub := p.subjectOf(t)
	for _, purpose := range []string{"sign:ES256", "sign:RS256", "access_token", "refresh_token"} {
		_, err := s.Ring.Rotate(t.Context(), purpose, theOperator)
		ok(t, err)
	}
	if _, err := s.Ring.Rotate(t.Context(), "pairwise", theOperator); err == nil {
		t.Error("the key of subjects was rotated")
	}
	for _, k := range s.Ring.List() {
		if k.Purpose == "pairwise" {
			if err := s.Ring.Remove(t.Context(), k.ID, theOperator); err == nil {
				t.Error("the key of subjects was removed")
			}
		}
	}
	s.Clock.Advance(time.Hour)
	if got := p.subjectOf(t); got != sub {
		t.Errorf("%s, was %s", got, sub)
	}
}

// OpenID Connect Core Sections 3.1.2.1 and 5.5.1: a client of pairwise subjects names users
// by those, in a hint and in the claims parameter; the name that others have for the user
// is nobody's here, so that two clients cannot find out together who is who.
func TestOpenIDCore_8_Hints(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	p := newRelyingParty(t, s, pairwise)
	same, other, public := newRelyingParty(t, s, pairwise), newRelyingParty(t, s, pairwise, onHost("other.example")), newRelyingParty(t, s)
	idToken := func(of *relyingParty) string {
		of.Browser = p.Browser
		answer, _ := of.ask(t, "response_type", "id_token", "nonce", "n", "scope", "openid")
		return answer.Get("id_token")
	}
	own := idToken(p)
	_, claims := p.verify(t, own)
	sub := claims["sub"].(string)
	naming := func(sub string) string { return `{"id_token":{"sub":{"value":"` + sub + `"}}}` }
	for name, tt := range map[string]struct {
		parameter, value string
		taken            bool
	}{
		"own hint":                     {"id_token_hint", own, true},
		"hint of the sector":           {"id_token_hint", idToken(same), true},
		"hint of another sector":       {"id_token_hint", idToken(other), false},
		"hint of a public client":      {"id_token_hint", idToken(public), false},
		"the user's own subject":       {"claims", naming(sub), true},
		"the user's id":                {"claims", naming(p.user.ID), false},
		"somebody else":                {"claims", naming(uuid.NewString()), false},
		"subject and hint of the user": {"id_token_hint", own, true},
	} {
		pairs := []string{"prompt", "none", "scope", "openid", tt.parameter, tt.value}
		if name == "subject and hint of the user" {
			pairs = append(pairs, "claims", naming(sub))
		}
		answer, _ := answerOf(t, p.Browser.Walk(t, p.address(pairs...), ""))
		if answer.Has("code") != tt.taken || !tt.taken && answer.Get("error") != "login_required" {
			t.Errorf("%s: %v", name, answer)
		}
	}
	answer, _ := answerOf(t, public.Browser.Walk(t, public.address("prompt", "none", "scope", "openid", "claims", naming(sub)), ""))
	if answer.Get("error") != "login_required" {
		t.Errorf("a pairwise subject, by a public client: %v", answer)
	}
}

// OpenID Connect RP-Initiated Logout Section 2: a hint with a pairwise subject signs its
// session out unasked, and that of nobody else (LO-01).
func TestRPInitiatedLogout_2_PairwiseHint(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	p := newRelyingParty(t, s, pairwise)
	hint := p.signedIn(t)
	elsewhere := p.inAnotherBrowser(t)
	elsewhere.signedIn(t)
	elsewhere.Browser.Open(t, logout("id_token_hint", hint, "post_logout_redirect_uri", bye))
	if !elsewhere.Browser.On("logout-form") {
		t.Errorf("another session was not asked about: %d %s", elsewhere.Browser.Page.StatusCode, elsewhere.Browser.Page.Header.Get("Location"))
	}
	p.Browser.Open(t, logout("id_token_hint", hint, "post_logout_redirect_uri", bye, "state", "s"))
	if got := p.Browser.Page.Header.Get("Location"); got != bye+"?state=s" {
		t.Errorf("led to %q, page %d", got, p.Browser.Page.StatusCode)
	}
	if p.isSignedIn(t) {
		t.Error("still signed in")
	}
	ok(t, s.Store.DeleteClient(t.Context(), p.ClientID, s.Clock.Now(), theOperator))
	elsewhere.Browser.Open(t, logout("id_token_hint", hint))
	if !elsewhere.Browser.On("logout-form") {
		t.Errorf("a hint of a client that has gone: %d", elsewhere.Browser.Page.StatusCode)
	}
}

// OpenID Connect Back-Channel Logout Section 2.4: a logout token names the user as the ID
// tokens of its client do (conformance 73).
func TestOpenIDBackchannel_2_4_Pairwise(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	s := oauthtest.Start(t, r.reaches)
	p := newRelyingParty(t, s, pairwise, backchannel(r.URL+"/told"))
	_, signedIn := p.verify(t, p.signedIn(t))
	p.Browser.Open(t, "/end-session")
	p.Browser.Submit(t, "logout-form", url.Values{"decision": {"yes"}})
	_, told := p.verify(t, r.wait(t, "/told", 1)[0].form.Get("logout_token"))
	if told["sub"] != signedIn["sub"] || told["sub"] == p.user.ID {
		t.Errorf("sub %v, in the ID token %v", told["sub"], signedIn["sub"])
	}
}

// A session has another name in each sector, or clients would find by it whom their subjects
// keep apart; hints and logout tokens know it.
func TestOpenIDCore_8_1_SessionIDs(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	s := oauthtest.Start(t, r.reaches)
	first := newRelyingParty(t, s, pairwise, backchannel(r.URL+"/first"))
	sids := map[string]string{}
	for name, p := range map[string]*relyingParty{
		"first": first, "same": newRelyingParty(t, s, pairwise), "other": newRelyingParty(t, s, pairwise, onHost("other.example")), "public": newRelyingParty(t, s),
	} {
		p.Browser = first.Browser
		_, claims := p.verify(t, p.signedIn(t))
		sids[name], _ = claims["sid"].(string)
	}
	if sids["first"] == "" || sids["first"] != sids["same"] || sids["first"] == sids["other"] || sids["first"] == sids["public"] || sids["other"] == sids["public"] {
		t.Errorf("one session is called %v", sids)
	}
	first.Browser.Open(t, logout("id_token_hint", first.signedIn(t)))
	if _, told := first.verify(t, r.wait(t, "/first", 1)[0].form.Get("logout_token")); told["sid"] != sids["first"] {
		t.Errorf("the logout token is of session %v, want %s", told["sid"], sids["first"])
	}
}

// A sectorHost publishes the document at a sector_identifier_uri.
type sectorHost struct {
	*httptest.Server
	document atomic.Value // of string
	kind     atomic.Value // of string, its media type
	fetched  atomic.Int64
	server   func(*config.Config) // lets a server fetch from it
	ca       string
}

func newSectorHost(t *testing.T) *sectorHost {
	t.Helper()
	h := &sectorHost{}
	h.kind.Store("application/json")
	h.document.Store(`["https://a.example/callback","https://b.example/callback"]`)
	h.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.fetched.Add(1)
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/sector.json", http.StatusFound)
			return
		}
		w.Header().Set("Content-Type", h.kind.Load().(string))
		_, _ = w.Write([]byte(h.document.Load().(string)))
	}))
	t.Cleanup(h.Close)
	h.ca = authorityOf(t, h.Server)
	h.server = func(c *config.Config) {
		openRegistration(c)
		reaching(h.ca)(c)
	}
	return h
}

// body is a registration for a sector with redirect URIs on some hosts.
func (h *sectorHost) body(path string, hosts ...string) string {
	uris := `"https://` + strings.Join(hosts, `/callback","https://`) + `/callback"`
	return `{"subject_type":"pairwise","sector_identifier_uri":"` + h.URL + path + `","redirect_uris":[` + uris + `]}`
}

// OpenID Connect Registration Section 5: the document at sector_identifier_uri must list
// every redirect URI, or the client is refused; one error stands for everything that may
// be wrong with it (SS-01, SS-03, conformance 3, 66, 67).
func TestOpenIDRegistration_5_SectorIdentifier(t *testing.T) {
	t.Parallel()
	h := newSectorHost(t)
	s := oauthtest.Start(t, h.server)
	one := newRegistered(t, s, h.body("/sector.json", "a.example"))
	both := newRegistered(t, s, h.body("/sector.json", "a.example", "b.example"))
	subject := func(c *registered) string {
		app := registeredApp(t, s, c.Answer)
		parts := strings.Split(app.SignInAndExchange(t).Extra("id_token").(string), ".")
		return decodeSegment(t, parts[1])["sub"].(string)
	}
	if subject(one) != subject(both) {
		t.Error("clients of one sector know the user by two names")
	}
	if one.Text("sector_identifier_uri") != h.URL+"/sector.json" || one.Text("subject_type") != "pairwise" || one.JSON("sector_identifier") != nil {
		t.Errorf("registered: %s", one.Body)
	}
	var said []string
	refused := func(what, body string) {
		t.Helper()
		answer := sendJSON(t, s, http.MethodPost, "/register", "", body)
		wantRegistrationError(t, what, answer, http.StatusBadRequest, oauth.InvalidClientMetadata)
		said = append(said, answer.Text("error_description"))
	}
	refused("one that is not listed", h.body("/sector.json", "a.example", "c.example"))
	refused("public, not listed", strings.Replace(h.body("/sector.json", "c.example"), "pairwise", "public", 1))
	refused("moved", h.body("/moved", "a.example"))
	for _, document := range []string{``, `{}`, `"https://a.example/callback"`, `[1]`, `["https://a.example/callback/"]`, `["HTTPS://a.example/callback"]`, `["https://a.example/callback"`, `[["https://a.example/callback"]]`} {
		h.document.Store(document)
		refused(document, h.body("/sector.json", "a.example"))
	}
	h.document.Store(`["https://a.example/callback"]`)
	h.kind.Store("text/html")
	refused("another type", h.body("/sector.json", "a.example"))
	h.kind.Store("application/json")
	refused("nobody there", strings.Replace(h.body("/sector.json", "a.example"), h.URL, "https://127.0.0.1:1", 1))
	for _, text := range said {
		if text != said[0] {
			t.Errorf("refused for %q and for %q", said[0], text)
		}
	}
	for _, uri := range []string{strings.Replace(h.URL, "https", "http", 1), "sector.json", "https://u:p@a.example/"} {
		answer := sendJSON(t, s, http.MethodPost, "/register", "", strings.Replace(h.body("", "a.example"), h.URL, uri, 1))
		wantRegistrationError(t, uri, answer, http.StatusBadRequest, oauth.InvalidClientMetadata)
	}
	closed := oauthtest.Start(t, func(c *config.Config) { openRegistration(c); c.OutboundCAFile = h.ca })
	before := h.fetched.Load()
	wantRegistrationError(t, "loopback by default", sendJSON(t, closed, http.MethodPost, "/register", "", h.body("/sector.json", "a.example")), http.StatusBadRequest, oauth.InvalidClientMetadata)
	if h.fetched.Load() != before {
		t.Error("a loopback address was fetched from")
	}
}

// OpenID Connect Core Section 8.1: without a sector_identifier_uri the one host of all
// redirect URIs names the sector, and it must be somebody's.
func TestOpenIDCore_8_1_SectorOfRedirectURIs(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t, openRegistration)
	for uris, taken := range map[string]bool{
		`"https://a.example/x","https://a.example:8443/y"`: true, `"https://a.example/x","https://A.example./y"`: true,
		`"https://a.example/x","https://b.example/x"`: false, `"https://a.example/x","https://www.a.example/x"`: false,
		`"com.example.app:/cb"`: false, `"https://a.example/x","com.example.app:/cb"`: false, `"com.example.app:/cb","https://a.example/x"`: false,
		`"http://127.0.0.1/cb"`: false, `"http://localhost/cb"`: false, `"http://[::1]/cb"`: false,
	} {
		body := `{"subject_type":"pairwise","redirect_uris":[` + uris + `]}`
		answer := sendJSON(t, s, http.MethodPost, "/register", "", body)
		if taken && answer.StatusCode != http.StatusCreated {
			t.Errorf("%s: %d %s", uris, answer.StatusCode, answer.Body)
		}
		if !taken {
			wantRegistrationError(t, uris, answer, http.StatusBadRequest, oauth.InvalidClientMetadata)
		}
	}
	wantRegistrationError(t, "another type", sendJSON(t, s, http.MethodPost, "/register", "", `{"subject_type":"private","redirect_uris":["https://a.example/x"]}`), http.StatusBadRequest, oauth.InvalidClientMetadata)
}

// OpenID Connect Core Section 8.1: a client cannot take the subjects of a sector along to
// an address that is not of the sector, nor be moved there by mistake; what stays as it is,
// is not fetched again.
func TestOpenIDCore_8_1_SectorIsFixed(t *testing.T) {
	t.Parallel()
	h := newSectorHost(t)
	s := oauthtest.Start(t, h.server)
	c := newRegistered(t, s, `{"subject_type":"pairwise","redirect_uris":["https://app.example/callback"]}`)
	for what, members := range map[string]string{
		"another host":         `"redirect_uris":["https://evil.example/callback"]`,
		"another sector":       `"redirect_uris":["https://a.example/callback"],"sector_identifier_uri":"` + h.URL + `/sector.json"`,
		"one more host":        `"redirect_uris":["https://app.example/callback","https://evil.example/callback"]`,
		"by the way of public": `"redirect_uris":["https://app.example/callback"],"subject_type":"public"`,
		"its own members":      `"redirect_uris":["https://evil.example/callback"],"sector_identifier":"app.example"`,
	} {
		if !strings.Contains(members, "subject_type") {
			members += `,"subject_type":"pairwise"`
		}
		answer := c.manage(t, http.MethodPut, `{"client_id":"`+c.id+`",`+members+`}`)
		wantRegistrationError(t, what, answer, http.StatusBadRequest, oauth.InvalidClientMetadata)
	}
	if answer := c.manage(t, http.MethodPut, c.replacement(`,"subject_type":"pairwise","client_name":"App"`)); answer.StatusCode != http.StatusOK {
		t.Errorf("the same host: %d %s", answer.StatusCode, answer.Body)
	}
	_, err := s.Clients.Update(t.Context(), c.id, func(m *oauth.ClientMetadata) error {
		m.RedirectURIs = []string{"https://evil.example/callback"}
		return nil
	}, theOperator)
	if oauth.CodeOf(err) != oauth.InvalidClientMetadata {
		t.Errorf("by the operator: %v", err)
	}
	sector := newRegistered(t, s, h.body("/sector.json", "a.example"))
	before := h.fetched.Load()
	_, err = s.Clients.Update(t.Context(), sector.id, func(m *oauth.ClientMetadata) error { m.ClientName = "App"; return nil }, theOperator)
	ok(t, err)
	if h.fetched.Load() != before {
		t.Error("fetched again for a new name")
	}
	answer := sector.manage(t, http.MethodPut, strings.Replace(h.body("/sector.json", "a.example", "b.example"), "{", `{"client_id":"`+sector.id+`",`, 1))
	if answer.StatusCode != http.StatusOK || h.fetched.Load() != before+1 {
		t.Errorf("one more address of the sector: %d %s, after %d fetches", answer.StatusCode, answer.Body, h.fetched.Load()-before)
	}
	wantRegistrationError(t, "not of the sector", sector.manage(t, http.MethodPut, strings.Replace(h.body("/sector.json", "c.example"), "{", `{"client_id":"`+sector.id+`",`, 1)), http.StatusBadRequest, oauth.InvalidClientMetadata)
}

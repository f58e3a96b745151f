package web_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/hufu-auth/hufu/internal/web"
)

// playgroundWalkPage is a page of a walk with everything that can stand on one, of
// which every text is value.
func playgroundWalkPage(value string) web.PlaygroundWalkPage {
	people := []web.PlaygroundPerson{{Username: value, Password: value}}
	fields := []web.Field{{Name: value, Value: value}}
	call := &web.PlaygroundCall{Method: "POST", URL: "https://id.example/token", Headers: fields, Params: fields, Command: value}
	answer := &web.PlaygroundAnswer{Status: 400, Headers: fields, Body: value}
	return web.PlaygroundWalkPage{
		Walk: web.WalkCode, Tabs: []web.PlaygroundTab{{Walk: web.WalkPKCE, URL: value}}, HomeURL: value, ClientID: value, Public: true, Legacy: true,
		Trail: []web.PlaygroundTrail{{Name: web.StepExchange, Outcome: value}},
		Steps: []web.PlaygroundStep{
			{Name: web.StepAuthorize, Done: true},
			{Name: web.StepCallback, Source: web.PlaygroundSource{RFC: "6749", Section: "4.1.2"}, Note: web.NoteForeignState,
				Parameters: []web.PlaygroundParameter{{Name: value, Value: value}, {Name: "state", Value: value, Check: web.CheckBad}},
				Call:       &web.PlaygroundCall{Method: "GET", URL: value, Params: fields}, Link: value, Restart: value, People: people},
			{Name: web.StepExchange, Note: web.NoteTokens, Call: call, Answer: answer, Tokens: []web.PlaygroundToken{
				{Name: "access_token", Raw: value, Header: `{"alg":` + fmt.Sprintf("%q", value) + `}`, Claims: `{"exp":1,"x":{"y":[1]},"sub":"a"}`},
				{Name: "refresh_token", Raw: value},
			}},
			{Name: web.StepPassword, Call: call, Forms: []web.PlaygroundForm{{
				Name: web.StepPassword, URL: "/playground/run/password", FormToken: value, Hidden: []web.Field{{Name: "walk", Value: value}},
				Inputs: []web.Field{{Name: "username", Value: value}, {Name: "scope", Value: value}, {Name: "answer", Value: value}},
				Faults: []web.PlaygroundFault{web.FaultSecret, web.FaultPassword, web.FaultScope, web.FaultVerifier},
			}}},
			{Name: web.StepNext, Forms: []web.PlaygroundForm{{Name: web.StepIntrospect, URL: "/a"}, {Name: web.StepRefresh, URL: "/b"}}},
			{Name: web.StepReplay, Ahead: true},
		},
	}
}

// playgroundSamples are the pages of the playground with all their texts.
func playgroundSamples() map[string]web.Page {
	pages := map[string]web.Page{
		"overview": web.PlaygroundPage{
			Cards: []web.PlaygroundCard{
				{Walk: web.WalkCode, URL: "/playground/a", GrantType: "authorization_code", Addresses: []web.PlaygroundAddress{{Method: "GET", Path: "/open/authorize/index"}}},
				{Walk: web.WalkImplicit, URL: "/playground/b", GrantType: "implicit", Legacy: true},
			},
			People: []web.PlaygroundPerson{{Username: "alice", Password: "secret"}}, Clients: []web.PlaygroundClient{{ID: "a", Secret: "s"}, {ID: "b"}},
		},
		"everything": playgroundWalkPage("value"),
	}
	for _, name := range []web.PlaygroundStepName{web.StepFragment, web.StepExchange, web.StepVerify, web.StepPassword, web.StepFirst, web.StepClient,
		web.StepRefresh, web.StepPrevious, web.StepIntrospect, web.StepReplay, web.StepRevokeAccess, web.StepRevokeRefresh} {
		pages["step "+string(name)] = web.PlaygroundWalkPage{Walk: web.WalkRefresh, Steps: []web.PlaygroundStep{{Name: name, Forms: []web.PlaygroundForm{{Name: name}}}},
			Trail: []web.PlaygroundTrail{{Name: name, Outcome: "active"}, {Name: name, Outcome: "inactive"}}}
	}
	for _, note := range []web.PlaygroundNote{web.NoteTokens, web.NoteDecoded, web.NoteRefreshed, web.NoteGrace, web.NoteActive, web.NoteInactive, web.NoteRevoked, web.NoteDenied,
		web.NoteNoToken, web.NoteLate, web.NoteReplayed, web.NoteInvalidClient, web.NoteInvalidGrant, web.NoteInvalidScope, web.NoteLimited, web.NoteRefused} {
		pages["note "+string(note)] = web.PlaygroundWalkPage{Walk: web.WalkClient, Steps: []web.PlaygroundStep{{Name: web.StepClient, Note: note}}}
	}
	for _, walk := range []web.PlaygroundWalk{web.WalkPKCE, web.WalkImplicit, web.WalkPassword} {
		pages["walk "+string(walk)] = web.PlaygroundWalkPage{Walk: walk, Steps: []web.PlaygroundStep{{Name: web.StepPKCE}, {Name: web.StepImplicit}}}
	}
	return pages
}

var playgroundCode = regexp.MustCompile(`(?s)<pre.*?</pre>|<code.*?</code>|<textarea.*?</textarea>|<span class="badge[^"]*">.*?</span>`)

func TestPlaygroundRendersInBothLanguages(t *testing.T) {
	pages := newPages(t, web.Site{})
	sentence := regexp.MustCompile(`[A-Za-z]{2,} [a-z]{2,} [a-z]{2,}`)
	for name, page := range playgroundSamples() {
		for language, tag := range map[string]string{"en": "en", "zh": "zh-Hans"} {
			t.Run(name+"/"+language, func(t *testing.T) {
				body := render(t, pages, get("/p?lang="+language), page).Body.String()
				if !strings.Contains(body, `<html lang="`+tag+`">`) {
					t.Errorf("the page does not say that it is in %s", tag)
				}
				if found := inlineCode.FindString(body); found != "" {
					t.Errorf("inline code: %q", found)
				}
				if strings.Contains(body, "ZgotmplZ") || strings.Contains(body, "<no value>") {
					t.Error("a value did not get through the template")
				}
				seen := map[string]bool{}
				for _, id := range idAttribute.FindAllStringSubmatch(body, -1) {
					if seen[id[1]] {
						t.Errorf("id %q stands twice", id[1])
					}
					seen[id[1]] = true
				}
				text := languageLinks.ReplaceAllString(body, "")
				if han := strings.ContainsFunc(text, func(r rune) bool { return unicode.Is(unicode.Han, r) }); han != (language == "zh") {
					t.Errorf("Chinese on the page: %v", han)
				}
				_, text, _ = strings.Cut(playgroundCode.ReplaceAllString(text, "|"), "<body")
				if found := sentence.FindString(tagOrEntity.ReplaceAllString(text, "|")); language == "zh" && found != "" {
					t.Errorf("an English sentence: %q", found)
				}
			})
		}
	}
}

// XS-01: what comes in an answer, in a token or in an address is text.
func TestPlayground_XS_01_ForeignValues(t *testing.T) {
	pages := newPages(t, web.Site{})
	value := hostile + "\u202e\x00"
	for name, page := range map[string]web.Page{
		"walk": playgroundWalkPage(value),
		"overview": web.PlaygroundPage{
			Cards:  []web.PlaygroundCard{{Walk: web.WalkCode, URL: value, GrantType: value, Addresses: []web.PlaygroundAddress{{Method: value, Path: value}}}},
			People: []web.PlaygroundPerson{{Username: hostile, Password: hostile}}, Clients: []web.PlaygroundClient{{ID: hostile, Secret: hostile}},
		},
	} {
		w := render(t, pages, get("/p"), page)
		for _, bad := range []string{"<script>", "<img src=x", `href="javascript`} {
			if strings.Contains(w.Body.String(), bad) {
				t.Errorf("%s: %q got through", name, bad)
			}
		}
		if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "script-src 'self'; ") || !strings.Contains(csp, "form-action 'self'") {
			t.Errorf("%s: policy %q", name, csp)
		}
	}
	answer := web.PlaygroundWalkPage{Walk: web.WalkCode, Steps: []web.PlaygroundStep{{Name: web.StepCallback,
		Parameters: []web.PlaygroundParameter{{Name: "error", Value: value}},
		Call:       &web.PlaygroundCall{Method: "GET", URL: "https://id.example/cb", Params: []web.Field{{Name: value, Value: value}}},
		Answer:     &web.PlaygroundAnswer{Status: 200, Body: `{"a":"` + "\u202e" + `"}`},
		Tokens:     []web.PlaygroundToken{{Name: "access_token", Raw: value, Claims: `{"` + "\u202e" + `":"` + "\u202e" + `"}`}},
	}}}
	if body := render(t, pages, get("/p"), answer).Body.String(); strings.ContainsAny(body, "\u202e\x00") {
		t.Error("a character that turns the text around got through")
	}
}

func TestPlaygroundElements(t *testing.T) {
	pages := newPages(t, web.Site{})
	body := render(t, pages, get("/p"), web.PlaygroundWalkPage{Walk: web.WalkClient, Steps: []web.PlaygroundStep{{
		Name: web.StepClient, Source: web.PlaygroundSource{RFC: "6749", Section: "4.4.2"}, Note: web.NoteTokens,
		Call: &web.PlaygroundCall{Method: "POST", URL: "https://id.example:8443/auth/token", Headers: []web.Field{{Name: "Accept", Value: "application/json"}},
			Params: []web.Field{{Name: "grant_type", Value: "client_credentials"}, {Name: "scope", Value: "a%20b"}}, Command: "curl 'x'"},
		Answer: &web.PlaygroundAnswer{Status: 200, Headers: []web.Field{{Name: "Cache-Control", Value: "no-store"}}, Body: `{"expires_in":600,"scope":"a b"}`},
		Tokens: []web.PlaygroundToken{{Name: "access_token", Raw: "h.p.s", Header: `{"alg":"ES256"}`, Claims: `{"sub":"alice","exp":1700000000,"amr":["pwd"],"other":1}`}},
		Forms:  []web.PlaygroundForm{{Name: web.StepClient, URL: "/run", FormToken: "T", Hidden: []web.Field{{Name: "walk", Value: "client"}}, Inputs: []web.Field{{Name: "scope", Value: "a"}}, Faults: []web.PlaygroundFault{web.FaultSecret}}},
	}}}).Body.String()
	for _, want := range []string{
		`href="https://www.rfc-editor.org/rfc/rfc6749#section-4.4.2"`, `>RFC 6749, Section 4.4.2<`,
		`<span class="k">POST</span> /auth/token<span class="c"> HTTP/1.1</span>`, "\nHost: id.example:8443", "\nAccept: application/json",
		"\n\ngrant_type=<span class=\"s\">client_credentials</span>\n&amp;scope=<span class=\"s\">a%20b</span>",
		`<pre class="code wrap" id="command-client">curl &#39;x&#39;</pre>`, `<span class="badge ok" id="status-client">200 OK</span>`,
		`<span class="k">&#34;expires_in&#34;:</span> 600,`, `<span class="s">&#34;a b&#34;</span>`,
		`<span class="k">h</span>.<span class="s">p</span>.<span class="c">s</span>`,
		`<code>alice</code>`, `2023-11-14 22:13:20 UTC`, `<code>[&#34;pwd&#34;]</code>`, `<dt><code>other</code></dt>`,
		`<form id="run-client" method="post" action="/run#step-client">`, `<input type="hidden" name="form_token" value="T">`, `<input type="hidden" name="walk" value="client">`,
		`<label for="scope">Scope</label><input id="scope" name="scope"`, `name="fault" value="secret">Wrong secret</button>`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
	if t.Failed() {
		t.Log(body)
	}
}

// A page of the playground with all it loads stays small enough for a bad line.
func TestPlaygroundWeight(t *testing.T) {
	pages := newPages(t, web.Site{})
	body := render(t, pages, get("/p?lang=zh"), playgroundWalkPage(strings.Repeat("x", 700))).Body.String()
	weight := len(body)
	for address := range assetsOf(body) {
		w := httptest.NewRecorder()
		pages.Assets().ServeHTTP(w, httptest.NewRequest(http.MethodGet, address, nil))
		weight += w.Body.Len()
	}
	if weight > 64<<10 {
		t.Errorf("%d bytes", weight)
	}
}

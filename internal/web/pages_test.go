package web_test

import (
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/hufu-auth/hufu/internal/web"
)

const hostile = `"><script>alert('x')</script>{client}<img src=x onerror=y>`

func newPages(t testing.TB, site web.Site) *web.Pages {
	t.Helper()
	pages, err := web.NewPages(site)
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

// render returns the answer to r, or fails.
func render(t testing.TB, pages *web.Pages, r *http.Request, page web.Page) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	if err := pages.Render(w, r, http.StatusOK, page); err != nil {
		t.Fatalf("render: %v", err)
	}
	return w
}

func get(target string) *http.Request { return httptest.NewRequest(http.MethodGet, target, nil) }

var acme = web.Client{
	Name: "Acme", Host: "acme.example", LogoURI: "https://cdn.acme.example/logo.png",
	PolicyURI: "https://acme.example/privacy", TermsURI: "https://acme.example/terms", HomeURI: "https://acme.example/",
}

// samples are all pages with all their branches.
func samples() map[string]web.Page {
	pages := map[string]web.Page{
		"login":                        web.LoginPage{Client: &acme, Action: "/login", Request: "sealed", FormToken: "token", UILocales: "xx"},
		"login, passkeys":              web.LoginPage{Client: &acme, Action: "/login", Request: "sealed", FormToken: "token", PasskeyURL: "/login/passkey"},
		"login, passkeys, once more":   web.LoginPage{Action: "/login", Return: "/account/password", Confirm: true, FormToken: "token", PasskeyURL: "/login/passkey", Error: web.LoginPasskey},
		"login, nobody asked":          web.LoginPage{Action: "/login", FormToken: "token"},
		"login, once more":             web.LoginPage{Action: "/login", Return: "/account/password", Confirm: true, Username: "alice", FormToken: "token"},
		"login, client without a name": web.LoginPage{Client: &web.Client{}, Action: "/login", Request: "sealed", FormToken: "token"},
		"logout":                       web.LogoutPage{Username: "alice", Action: "/end-session", FormToken: "token", Request: "sealed"},
		"logout, nobody there":         web.LogoutPage{Action: "/end-session", FormToken: "token"},
		"logged out":                   web.LoggedOutPage{},
		"logged out, continue":         web.LoggedOutPage{ContinueURL: "https://acme.example/bye"},
		"logged out, frames":           web.LoggedOutPage{ContinueURL: "https://acme.example/bye", Leave: true, Frames: []string{"https://acme.example/out?sid=1", "https://other.example/out", "javascript:alert(1)"}},
		"select account":               web.SelectAccountPage{Client: acme, Accounts: []web.Account{{Username: "alice", SignedIn: true}, {Username: "ann"}, {Username: "-"}}, Action: "/select-account", Request: "sealed", FormToken: "token"},
		"form post":                    web.FormPostPage{Action: "https://acme.example/cb", Fields: []web.Field{{Name: "code", Value: "c"}, {Name: "submit", Value: "s"}}},
		"home":                         web.HomePage{Issuer: "https://id.example", SignInURL: "/login", MetadataURL: "/.well-known/openid-configuration", PlaygroundURL: "/playground"},
		"home, signed in":              web.HomePage{Issuer: "https://id.example", Username: "alice", AccountURL: "/account", SignOutURL: "/end-session"},
		"consent": web.ConsentPage{
			Client: acme, Username: "alice", Action: "/consent", Request: "sealed", FormToken: "token", RedirectHost: "acme.example", Remember: true, SwitchURL: "/select-account",
			Scopes: []web.ScopeView{
				{Name: "openid"}, {Name: "profile"}, {Name: "email", Optional: true}, {Name: "address"}, {Name: "phone"},
				{Name: "offline_access", Optional: true}, {Name: "notes", Text: "Read notes", Optional: true}, {Name: "calendar:read"}, {Name: "openid"},
			},
		},
		"consent, no scope": web.ConsentPage{Client: acme, Username: "alice", Action: "/consent", Request: "sealed", FormToken: "token"},
	}
	pages["login, forgotten"] = web.LoginPage{Action: "/login", FormToken: "token", ForgotURL: "/login/forgot"}
	pages["login, signed in"] = web.LoginPage{Action: "/login", FormToken: "token", SignedIn: "alice", AccountURL: "/account"}
	pages["forgot"] = web.ForgottenPage{Action: "/login/forgot", FormToken: "token", BackURL: "/login"}
	pages["forgot, came with a request"] = web.ForgottenPage{Action: "/login/forgot", Request: "sealed", Username: "alice", FormToken: "token", BackURL: "/login?request=sealed"}
	pages["forgot, came from an account"] = web.ForgottenPage{Action: "/login/forgot", Return: "/account/password", FormToken: "token", BackURL: "/login?return=%2Faccount%2Fpassword"}
	pages["forgot, empty"] = web.ForgottenPage{Action: "/login/forgot", FormToken: "token", BackURL: "/login", Error: web.ForgottenIncomplete}
	pages["forgot, too many"] = web.ForgottenPage{Action: "/login/forgot", FormToken: "token", BackURL: "/login", Error: web.ForgottenThrottled}
	pages["forgot, wait"] = web.ForgottenPage{Action: "/login/forgot", FormToken: "token", BackURL: "/login", Error: web.ForgottenThrottled, RetryAfter: 100}
	for _, problem := range []web.PasswordProblem{"", web.PasswordShort, web.PasswordLong, web.PasswordOwn, web.PasswordRepeated, web.PasswordSequence, web.PasswordCommon, web.PasswordBreached} {
		pages["new password, "+string(problem)] = web.NewPasswordPage{Action: "/login/password", Ticket: "t", FormToken: "token", Username: "alice", Problem: problem}
	}
	pages["new password, busy"] = web.NewPasswordPage{Action: "/login/password", Ticket: "t", FormToken: "token", Username: "alice", Busy: true, RetryAfter: 2}
	pages["invitation"] = web.NewPasswordPage{Invitation: true, Action: "/login/password", Ticket: "t", FormToken: "token", Username: "alice"}
	pages["confirm email"] = web.ConfirmEmailPage{Action: "/login/email", Ticket: "t", FormToken: "token", Username: "alice", Email: "alice@example.com"}
	pages["first administrator"] = web.FirstAdminPage{Action: "/login/first-administrator", Ticket: "t", FormToken: "token"}
	for _, problem := range []web.NameProblem{web.NameMissing, web.NameOdd, web.NameTaken} {
		pages["first administrator, "+string(problem)] = web.FirstAdminPage{Action: "/login/first-administrator", Ticket: "t", FormToken: "token", Username: "alice", Email: "x", NameProblem: problem, EmailWrong: true, Problem: web.PasswordShort}
	}
	pages["first administrator, busy"] = web.FirstAdminPage{Action: "/login/first-administrator", Ticket: "t", FormToken: "token", Username: "alice", Email: "a@example.com", Busy: true}
	for _, result := range []web.Result{web.ResultMailSent, web.ResultPasswordSet, web.ResultAccountReady, web.ResultEmailConfirmed, web.ResultSetUp, web.ResultLinkDead} {
		pages["result, "+string(result)] = web.ResultPage{Result: result, NextURL: "/login"}
	}
	pages["result, mailed"] = web.ResultPage{Result: web.ResultSetUp, NextURL: "/login", Mailed: true}
	pages["result, another link"] = web.ResultPage{Result: web.ResultLinkDead, Again: true, NextURL: "/login/forgot"}
	maps.Copy(pages, accountSamples())
	for _, e := range []web.LoginError{web.LoginFailed, web.LoginIncomplete, web.LoginThrottled, web.LoginBusy, web.LoginStale, web.LoginPasskey} {
		for _, username := range []string{"", "alice"} {
			pages[fmt.Sprintf("login, %s, %q", e, username)] = web.LoginPage{Client: &acme, Action: "/login", Request: "sealed", FormToken: "token", Username: username, Error: e}
		}
	}
	for _, seconds := range []int{1, 30, 600, 7200} {
		pages[fmt.Sprintf("login, wait %d s", seconds)] = web.LoginPage{Client: &acme, Action: "/login", Request: "sealed", FormToken: "token", Error: web.LoginThrottled, RetryAfter: seconds}
	}
	step := web.SignInStep{Client: &acme, Action: "/login/second-factor", Request: "sealed", SignIn: "half", FormToken: "token", Username: "alice", AgainURL: "/login"}
	alone := web.SignInStep{Action: "/login/second-factor", Return: "/account", FormToken: "token", Username: "alice", AgainURL: "/login"}
	offer := web.AppOffer{Enrolment: "offer", Key: "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", URI: "otpauth://totp/Hufu:alice?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Hufu"}
	for _, e := range []web.SecondFactorError{"", web.SecondFactorFailed, web.SecondFactorUsed, web.SecondFactorIncomplete, web.SecondFactorThrottled, web.SecondFactorBusy, web.SecondFactorPasskey} {
		pages["second factor, "+string(e)] = web.SecondFactorPage{SignInStep: step, OtherURL: "/o", Remember: 30, Error: e, RetryAfter: 30}
		pages["second factor, recovery, "+string(e)] = web.SecondFactorPage{SignInStep: alone, OtherURL: "/o", Recovery: true, Error: e}
		pages["set up, "+string(e)] = web.SetUpFactorPage{SignInStep: step, AppOffer: offer, Error: e}
	}
	step.PasskeyURL = "/login/second-factor/passkey"
	pages["second factor, passkeys"] = web.SecondFactorPage{SignInStep: step, OtherURL: "/o"}
	pages["passkey step"] = web.SetUpFactorPage{SignInStep: step}
	pages["passkey step, refused"] = web.SetUpFactorPage{SignInStep: step, Error: web.SecondFactorPasskey}
	pages["set up, alone"] = web.SetUpFactorPage{SignInStep: alone, AppOffer: offer}
	pages["recovery codes"] = web.RecoveryCodesPage{Codes: []string{"01234-ABCDE", "56789-FGHJK"}, NextURL: "/account"}
	for _, reason := range allReasons {
		pages["error, "+string(reason)] = web.ErrorPage{Code: "invalid_request", Reason: reason, RequestID: "R1"}
	}
	pages["error, restart"] = web.ErrorPage{Reason: web.ReasonExpired, RestartURL: "/authorize?client_id=a"}
	pages["error, wait"] = web.ErrorPage{Reason: web.ReasonBusy, RetryAfter: 1}
	pages["error, no reason"] = web.ErrorPage{}
	return pages
}

// allSamples are those and the playground's.
func allSamples() map[string]web.Page {
	all := samples()
	for name, page := range playgroundSamples() {
		all["playground, "+name] = page
	}
	return all
}

// Whoever adds a page, or a template, adds a sample of it, so that every test here looks
// at it.
func TestPageSamplesAreComplete(t *testing.T) {
	pages, structs, templates := newPages(t, web.Site{}), map[string]bool{}, map[string]bool{}
	for _, page := range allSamples() {
		structs[strings.TrimPrefix(fmt.Sprintf("%T", page), "web.")] = true
		templates[dataPage.FindStringSubmatch(render(t, pages, get("/p"), page).Body.String())[1]] = true
	}
	files, err := filepath.Glob("pages/*.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if name := strings.TrimSuffix(filepath.Base(file), ".html"); strings.Contains(string(text), `{{define "main"}}`) && !templates[name] {
			t.Errorf("no sample of %s", file)
		}
	}
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range sources {
		text, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		for _, method := range templateMethod.FindAllStringSubmatch(string(text), -1) {
			if !structs[method[1]] {
				t.Errorf("%s: no sample of %s", source, method[1])
			}
		}
	}
	if len(structs) < 9 || len(templates) < 9 {
		t.Errorf("%d structs and %d templates were found", len(structs), len(templates))
	}
}

var (
	dataPage       = regexp.MustCompile(`<body data-page="([a-z_]+)"`)
	templateMethod = regexp.MustCompile(`(?m)^func \((?:\w+ )?\*?(\w+)\) template\(\) string`)
)

// BenchmarkPages renders every page; its goal is less than a millisecond of CPU for each.
func BenchmarkPages(b *testing.B) {
	pages := newPages(b, web.Site{})
	size, longest := map[string]int{}, map[string]web.Page{}
	for _, page := range allSamples() {
		body := render(b, pages, get("/p"), page).Body.String()
		if kind := dataPage.FindStringSubmatch(body)[1]; len(body) > size[kind] {
			size[kind], longest[kind] = len(body), page
		}
	}
	for kind, page := range longest {
		b.Run(kind, func(b *testing.B) {
			b.ReportAllocs()
			r := get("/p")
			before := cpu(b)
			for b.Loop() {
				render(b, pages, r, page)
			}
			each := (cpu(b) - before) / time.Duration(b.N)
			b.ReportMetric(float64(each.Microseconds()), "µs-CPU/op")
			if each > time.Millisecond {
				b.Errorf("%s of CPU for a page", each)
			}
		})
	}
}

// cpu is the time that this process has spent so far.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

var allReasons = []web.Reason{
	web.ReasonUnknownClient, web.ReasonDisabledClient, web.ReasonRedirectURIMissing, web.ReasonRedirectURIMismatch,
	web.ReasonMalformedRequest, web.ReasonTooLarge, web.ReasonExpired, web.ReasonUsed, web.ReasonOtherBrowser,
	web.ReasonCrossSite, web.ReasonTooManyRequests, web.ReasonBusy, web.ReasonServerError, web.ReasonNotFound,
	web.ReasonMethodNotAllowed, web.ReasonUnsupportedMediaType,
}

var (
	idAttribute   = regexp.MustCompile(` id="([^"]*)"`)
	languageLinks = regexp.MustCompile(`(?s)<nav class="languages".*?</nav>`)
	tagOrEntity   = regexp.MustCompile(`<[^>]*>|&#?\w+;`)
	inlineCode    = regexp.MustCompile(`(?i)<style|<script>|<script [^>]*>[^<]| style=| on\w+=|javascript:`)
	submitButton  = regexp.MustCompile(`<button ([^>]*)>`)
	labelledField = regexp.MustCompile(`<input ([^>]*)>`)
)

func TestPageRendersInBothLanguages(t *testing.T) {
	pages := newPages(t, web.Site{})
	for name, page := range samples() {
		for language, tag := range map[string]string{"en": "en", "zh": "zh-Hans"} {
			t.Run(name+"/"+language, func(t *testing.T) {
				w := render(t, pages, get("/p?lang="+language), page)
				body := w.Body.String()
				if !strings.Contains(body, `<html lang="`+tag+`">`) || w.Header().Get("Content-Language") != tag {
					t.Errorf("the page does not say that it is in %s", tag)
				}
				seen := map[string]bool{}
				for _, id := range idAttribute.FindAllStringSubmatch(body, -1) {
					if seen[id[1]] {
						t.Errorf("id %q stands twice", id[1])
					}
					seen[id[1]] = true
				}
				if found := inlineCode.FindString(body); found != "" {
					t.Errorf("inline code: %q", found)
				}
				if strings.Contains(body, "ZgotmplZ") || strings.Contains(body, "<no value>") {
					t.Error("a value did not get through the template")
				}
				text := languageLinks.ReplaceAllString(body, "")
				if han := strings.ContainsFunc(text, func(r rune) bool { return unicode.Is(unicode.Han, r) }); han != (language == "zh") {
					t.Errorf("Chinese on the page: %v", han)
				}
			})
		}
	}
}

// The names of conformance.md part J, which outside judges look for (conformance J).
func TestPageElementNames(t *testing.T) {
	pages, all := newPages(t, web.Site{}), samples()
	for name, wants := range map[string][]string{
		"login, forgotten":             {`<a id="login-forgot" href="/login/forgot">`},
		"login, signed in":             {`id="login-signed-in"`, `<bdi>alice</bdi>`, `<a id="login-account" href="/account">`, `<form id="login-form"`},
		"forgot, came from an account": {`<input type="hidden" name="return" value="/account/password">`},
		"recovery codes":               {`<ul id="recovery-codes"`, `<a id="save-codes" class="button small" href="data:text/plain;charset=utf-8,01234-ABCDE%0A56789-FGHJK%0A" download="recovery-codes.txt">`, `<button id="copy-codes" class="button small" type="button" hidden>`, "/codes.js"},
		"passkey step":                 {`id="passkey-lost"`},
		"result, mailed":               {`id="set-up-mailed"`},
		"forgot": {
			`<form id="forgot-form" method="post" action="/login/forgot">`, `<input id="username" name="username" `, `<button id="forgot-submit" class="button primary">`,
			`<a id="forgot-back" class="button quiet" href="/login">`, `autocomplete="username"`,
		},
		"new password, short": {
			`<form id="password-form" method="post" action="/login/password">`, `<input type="hidden" name="ticket" value="t">`, `<input id="password" name="password" `,
			`autocomplete="new-password"`, `aria-describedby="password-problem"`, `id="password-problem"`, `id="password-error" role="alert"`, `value="alice" autocomplete="username" readonly`,
		},
		"invitation":    {`<form id="password-form"`, `aria-describedby="password-hint"`, "10 characters or more"},
		"confirm email": {`<form id="email-form" method="post" action="/login/email">`, `<button id="email-submit"`, "alice@example.com", ">alice<"},
		"first administrator, taken": {
			`<form id="first-admin-form" method="post" action="/login/first-administrator">`, `<input id="username" name="username" `, `<input id="email" name="email" `, `<input id="password" name="password" `,
			`<button id="first-admin-submit"`, `id="username-problem"`, `id="email-problem"`, `id="password-problem"`,
		},
		"result, mail-sent":    {`<main id="mail-sent"`, `<a id="result-next" class="button" href="/login">`},
		"result, password-set": {`<main id="password-set"`, `<a id="result-next" class="button primary" href="/login">`},
		"result, link-dead":    {`<main id="link-dead"`},
		"result, another link": {`<a id="result-next" class="button primary" href="/login/forgot">`},
		"login": {
			`<form id="login-form" method="post" action="/login">`, `<input type="hidden" name="request" value="sealed">`,
			`<input type="hidden" name="form_token" value="token">`, `<input id="username" name="username" `,
			`<input id="password" name="password" `, `<button id="login-submit" class="button primary" name="action" value="login">`,
			`<button id="login-cancel" class="button quiet" name="action" value="cancel"`, `<bdi id="client-name">Acme</bdi>`,
			`<img id="client-logo" src="https://cdn.acme.example/logo.png"`, `<a id="client-policy" href="https://acme.example/privacy"`,
			`<a id="client-tos" href="https://acme.example/terms"`, `autocomplete="username"`, `autocomplete="current-password"`,
		},
		`login, failed, "alice"`: {`id="login-error" role="alert"`, `aria-describedby="login-error"`, `aria-invalid="true"`, `value="alice"`},
		"consent": {
			`<form id="consent-form" method="post" action="/consent">`, `<button id="consent-approve" class="button primary" name="decision" value="approve">`,
			`<button id="consent-deny" class="button" name="decision" value="deny">`, `<ul id="consent-scopes"`,
			`<input id="scope-email" type="checkbox" name="scope" value="email" checked>`, `<input id="scope-notes" type="checkbox" name="scope" value="notes" checked>`,
			`<input id="consent-remember" type="checkbox" name="remember" value="1" checked>`, `<bdi id="client-name">Acme</bdi>`,
			`href="/select-account"`, "<code>calendar:read</code>", "Read notes", ">alice</bdi>", ">acme.example</bdi>",
		},
		"error, redirect_uri_mismatch": {`<main id="error-page"`, `<code id="error-code">invalid_request</code>`, `<div id="error-description"`, `<code id="request-id">R1</code>`},
		"error, not_found":             {`<a id="error-home" class="button" href="/">`},
		"error, restart":               {`<a id="error-restart" class="button primary" href="/authorize?client_id=a">`},
		"logout": {
			`<form id="logout-form" method="post" action="/end-session">`, `<button id="logout-confirm" class="button primary" name="decision" value="yes">`,
			`<button id="logout-cancel" class="button" name="decision" value="no">`,
		},
		"logged out":           {`<main id="logged-out"`, `<a id="logout-continue" class="button" href="/">`},
		"logged out, continue": {`<a id="logout-continue" class="button" href="https://acme.example/bye">`},
		"logged out, frames":   {`<iframe class="frontchannel-logout" src="https://acme.example/out?sid=1"`, `<iframe class="frontchannel-logout" src="https://other.example/out"`, `href="https://acme.example/bye"`},
		"form post": {
			`<form id="form-post" method="post" action="https://acme.example/cb">`, `<input type="hidden" name="code" value="c">`,
			`<button id="form-post-submit" class="button primary">`, "/form_post.js",
		},
	} {
		body := render(t, pages, get("/p"), all[name]).Body.String()
		for _, want := range wants {
			if !strings.Contains(body, want) {
				t.Errorf("%s: no %s in\n%s", name, want, body)
			}
		}
	}
}

func TestPageElementsLeftOut(t *testing.T) {
	pages, all := newPages(t, web.Site{}), samples()
	for name, unwanted := range map[string][]string{
		"login":               {"login-forgot", "login-error", "aria-invalid", "aria-describedby"},
		"login, nobody asked": {"login-cancel", `name="request"`, "client-"},
		"consent":             {`id="scope-openid"`, `id="scope-calendar:read"`},
		"consent, no scope":   {"consent-scopes", "consent-remember"},
	} {
		body := render(t, pages, get("/p"), all[name]).Body.String()
		for _, no := range unwanted {
			if strings.Contains(body, no) {
				t.Errorf("%s: there must be no %s", name, no)
			}
		}
	}
}

// What Enter presses is the affirmative button of the first form (conformance J).
func TestPageFirstFormAndButton(t *testing.T) {
	pages := newPages(t, web.Site{})
	for name, page := range samples() {
		body := render(t, pages, get("/p"), page).Body.String()
		_, form, found := strings.Cut(body, "<form ")
		kind, _, _ := strings.Cut(name, ",")
		want, ok := map[string][2]string{
			"forgot": {"forgot-form", `id="forgot-submit"`}, "new password": {"password-form", `id="password-submit"`}, "invitation": {"password-form", `id="password-submit"`},
			"confirm email": {"email-form", `id="email-submit"`}, "first administrator": {"first-admin-form", `id="first-admin-submit"`},
			"login": {"login-form", `id="login-submit"`}, "consent": {"consent-form", `id="consent-approve"`},
			"logout": {"logout-form", `id="logout-confirm"`}, "select account": {"select-account-form", `class="account"`}, "form post": {"form-post", `id="form-post-submit"`},
			"second factor": {"second-factor-form", `id="second-factor-submit"`}, "set up": {"set-up-form", `id="set-up-submit"`},
			"passkey step": {"set-up-form", `id="set-up-cancel"`}, // a form with nothing to type into
		}[kind]
		if !ok {
			if found && kind != "account" {
				t.Errorf("%s holds a form", name)
			}
			continue
		}
		if !strings.HasPrefix(form, `id="`+want[0]+`"`) {
			t.Errorf("%s: the first form is not %s", name, want[0])
		}
		for _, button := range submitButton.FindAllStringSubmatch(form, -1) {
			if strings.Contains(button[1], `type="button"`) {
				continue
			}
			if !strings.HasPrefix(button[1], want[1]) {
				t.Errorf("%s: the first submit button is %s", name, button[1])
			}
			break
		}
	}
}

func TestPageFieldsAreLabelled(t *testing.T) {
	pages := newPages(t, web.Site{})
	for name, page := range samples() {
		body := render(t, pages, get("/p"), page).Body.String()
		for _, field := range labelledField.FindAllStringSubmatch(body, -1) {
			id := idAttribute.FindStringSubmatch(" " + field[1])
			if strings.Contains(field[1], `type="hidden"`) || strings.HasSuffix(field[1], " hidden") {
				continue
			}
			if id == nil || !strings.Contains(body, `<label for="`+id[1]+`"`) && !strings.Contains(body, `<label class="check"><input id="`+id[1]+`"`) {
				t.Errorf("%s: no label for %s", name, field[1])
			}
		}
	}
}

// XS-01: what others call themselves is text, and only https addresses become
// links or pictures.
func TestPage_XS_01_ForeignValues(t *testing.T) {
	pages := newPages(t, web.Site{})
	client := web.Client{Name: hostile + "\u202e\x00", Host: hostile, LogoURI: hostile, PolicyURI: hostile, TermsURI: hostile, HomeURI: hostile}
	for name, page := range map[string]web.Page{
		"login": web.LoginPage{Client: &client, Action: "/login", Request: hostile, FormToken: hostile, Username: hostile, Error: web.LoginFailed, Self: hostile, UILocales: hostile},
		"consent": web.ConsentPage{Client: client, Username: hostile, Action: "/consent", Request: hostile, FormToken: hostile, RedirectHost: hostile, SwitchURL: hostile,
			Scopes: []web.ScopeView{{Name: hostile, Text: hostile, Optional: true}, {Name: hostile + "2", Text: hostile}, {Name: hostile + "3"}}},
		"select":              web.SelectAccountPage{Client: client, Accounts: []web.Account{{Username: hostile, SignedIn: true}, {Username: hostile + "2"}}, Action: "/select-account", Request: hostile, FormToken: hostile, Self: hostile},
		"forgot":              web.ForgottenPage{Action: "/login/forgot", Request: hostile, FormToken: hostile, Username: hostile, BackURL: "/login?request=" + hostile, Self: hostile, UILocales: hostile},
		"new password":        web.NewPasswordPage{Action: "/login/password", Ticket: hostile, FormToken: hostile, Username: hostile, Self: hostile},
		"first administrator": web.FirstAdminPage{Action: "/login/first-administrator", Ticket: hostile, FormToken: hostile, Username: hostile, Email: hostile, Self: hostile},
		"email":               web.ConfirmEmailPage{Action: "/login/email", Ticket: hostile, FormToken: hostile, Username: hostile, Email: hostile, Self: hostile},
		"result":              web.ResultPage{Result: web.ResultMailSent, NextURL: "/login?request=" + hostile, Self: hostile, UILocales: hostile},
		"error":               web.ErrorPage{Code: hostile, Reason: web.Reason(hostile), RequestID: hostile, RestartURL: hostile, Self: hostile},
		"logout":              web.LogoutPage{Username: hostile, Action: "/end-session", FormToken: hostile},
		"logged out":          web.LoggedOutPage{ContinueURL: hostile},
		"form post":           web.FormPostPage{Action: `https://acme.example/"><script>alert(1)</script>`, Fields: []web.Field{{Name: hostile, Value: hostile}}},
		"home":                web.HomePage{Issuer: hostile, Username: hostile, SignOutURL: hostile, MetadataURL: hostile, PlaygroundURL: hostile},
		"second factor": web.SecondFactorPage{SignInStep: web.SignInStep{Client: &client, Action: "/login/second-factor", Request: hostile, Return: hostile, SignIn: hostile, FormToken: hostile,
			Username: hostile, AgainURL: hostile, Self: hostile, UILocales: hostile}, OtherURL: hostile, Error: web.SecondFactorFailed},
		"set up": web.SetUpFactorPage{SignInStep: web.SignInStep{Request: hostile, SignIn: hostile, Username: hostile, AgainURL: hostile, Self: hostile},
			AppOffer: web.AppOffer{Enrolment: hostile, Key: hostile, URI: hostile}},
	} {
		w := render(t, pages, get("/p"), page)
		for _, bad := range []string{"<script>", "<img src=x", "\u202e", "\x00"} {
			if strings.Contains(w.Body.String(), bad) {
				t.Errorf("%s: %q got through", name, bad)
			}
		}
		if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "img-src 'self';") {
			t.Errorf("%s: policy %q", name, csp)
		}
	}
	body := render(t, pages, get("/p"), web.LoginPage{Client: &client, Request: "r"}).Body.String()
	if want := html.EscapeString(`"><script>alert('x')</script>`); !strings.Contains(body, want) {
		t.Errorf("the name is not shown as it is: no %s", want)
	}
}

func TestPage_XS_01_OnlyHTTPSAddresses(t *testing.T) {
	pages := newPages(t, web.Site{})
	for uri, origin := range map[string]string{
		"https://a.example/x.png":        "https://a.example",
		"https://A.example:8443/x.png":   "https://a.example:8443",
		"https://[::1]/x.png":            "https://[::1]",
		"http://a.example/x.png":         "",
		"http://127.0.0.1/x.png":         "",
		"//a.example/x.png":              "",
		"/x.png":                         "",
		"javascript:alert(1)":            "",
		"data:image/svg+xml,x":           "",
		"https:a.example":                "",
		"https://":                       "",
		"https://u:p@a.example/x":        "",
		"https://a.example;script-src/x": "",
		"https://a.example,x/":           "",
		"https://a.example'unsafe'/":     "",
		"https://*/":                     "",
		"https://bücher.example/":        "",
		"https://a.example /":            "",
		"https://a.example\n/":           "",
	} {
		w := render(t, pages, get("/p"), web.LoginPage{Client: &web.Client{Name: "A", LogoURI: uri, PolicyURI: uri, TermsURI: uri}})
		wantPolicy := "img-src 'self';"
		if origin != "" {
			wantPolicy = "img-src 'self' " + origin + ";"
		}
		if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, wantPolicy) {
			t.Errorf("%q: policy %q, want %q in it", uri, csp, wantPolicy)
		}
		for _, id := range []string{"client-logo", "client-policy", "client-tos"} {
			if shown := strings.Contains(w.Body.String(), `id="`+id+`"`); shown != (origin != "") {
				t.Errorf("%q: %s shown: %v", uri, id, shown)
			}
		}
	}
}

func TestPageClientName(t *testing.T) {
	pages := newPages(t, web.Site{})
	for want, client := range map[string]web.Client{
		"Acme":         {Name: " Acme\n"},
		"acme.example": {Name: "\u200b \u202e", Host: "acme.example"},
		"this app":     {},
		"云笔记":          {Name: "云笔记"},
	} {
		body := render(t, pages, get("/p"), web.LoginPage{Client: &client}).Body.String()
		if !strings.Contains(body, `<bdi id="client-name">`+want+`</bdi>`) {
			t.Errorf("%+v: not called %q", client, want)
		}
	}
}

// HD-01, HD-02, HD-03 and HD-12: the headers of each kind of page.
func TestPage_HD_02_Policy(t *testing.T) {
	pages, all := newPages(t, web.Site{}), samples()
	const scripts, none, closed = "script-src 'self'; ", "script-src 'none'; ", "base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
	for name, want := range map[string]string{
		"login":               "img-src 'self' https://cdn.acme.example; " + scripts + closed,
		"login, nobody asked": "img-src 'self'; " + scripts + closed,
		"consent":             "img-src 'self' https://cdn.acme.example; " + none + closed,
		"logout":              "img-src 'self'; " + none + closed,
		"logged out":          "img-src 'self'; " + none + closed,
		"form post":           "img-src 'self'; " + scripts + closed,
		"error, expired":      "img-src 'self'; " + none + closed,
		"error, not_found":    "img-src 'self'; " + none + closed + "; form-action 'self'",
		"home":                "img-src 'self'; " + none + closed + "; form-action 'self'",
	} {
		h := render(t, pages, get("/p"), all[name]).Header()
		got := map[string]string{}
		for _, header := range []string{"Content-Type", "Cache-Control", "Content-Security-Policy", "X-Frame-Options", "X-Content-Type-Options", "Referrer-Policy"} {
			got[header] = h.Get(header)
		}
		if diff := cmp.Diff(map[string]string{
			"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store", "X-Frame-Options": "DENY",
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Content-Security-Policy": "default-src 'none'; style-src 'self'; " + want,
		}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// AZ-11: the form leads to the registered address, byte for byte, or nowhere.
func TestPage_AZ_11_FormPostAction(t *testing.T) {
	pages := newPages(t, web.Site{})
	for _, action := range []string{"https://a.example/cb?x=1&y='(2)'%20%2f", "http://[::1]:8080/cb", "http://127.0.0.1/cb"} {
		body := render(t, pages, get("/p"), web.FormPostPage{Action: action}).Body.String()
		_, attribute, _ := strings.Cut(body, `action="`)
		attribute, _, _ = strings.Cut(attribute, `"`)
		if got := html.UnescapeString(attribute); got != action {
			t.Errorf("posts to %q, want %q", got, action)
		}
	}
	for _, action := range []string{"", "/cb", "javascript:alert(1)", "data:text/html,x", "com.example.app:/cb"} {
		w := httptest.NewRecorder()
		if err := pages.Render(w, get("/p"), http.StatusOK, web.FormPostPage{Action: action}); err == nil || w.Body.Len() > 0 || len(w.Header()) > 0 {
			t.Errorf("a form to %q was rendered, or half of it: %v", action, err)
		}
	}
}

func TestPageDisabledClientReadsLikeUnknown(t *testing.T) {
	pages := newPages(t, web.Site{})
	unknown := render(t, pages, get("/p"), web.ErrorPage{Reason: web.ReasonUnknownClient}).Body.String()
	disabled := render(t, pages, get("/p"), web.ErrorPage{Reason: web.ReasonDisabledClient}).Body.String()
	if diff := cmp.Diff(unknown, disabled); diff != "" {
		t.Errorf("the pages differ:\n%s", diff)
	}
}

func TestPageHeadAndStatus(t *testing.T) {
	pages := newPages(t, web.Site{})
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodHead, "/p", nil)
	if err := pages.Render(w, r, http.StatusServiceUnavailable, web.ErrorPage{Reason: web.ReasonBusy, RetryAfter: 7}); err != nil {
		t.Fatal(err)
	}
	if w.Code != http.StatusServiceUnavailable || w.Body.Len() != 0 || w.Header().Get("Content-Length") == "0" || w.Header().Get("Retry-After") != "7" {
		t.Errorf("HEAD: %d with %d bytes, %v", w.Code, w.Body.Len(), w.Header())
	}
}

func TestPageSite(t *testing.T) {
	pages := newPages(t, web.Site{Name: "Acme ID", Base: "/auth", DefaultLanguage: "zh"})
	body := render(t, pages, get("/auth/p"), web.HomePage{}).Body.String()
	for _, want := range []string{`<html lang="zh-Hans">`, `· Acme ID</title>`, `href="/auth/"`, `href="/auth/assets/`, `href="/auth/p?lang=en"`} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
	for _, site := range []web.Site{{DefaultLanguage: "fr"}, {Base: "auth"}, {Base: "/"}, {Base: "/auth/"}, {Base: "//evil"}} {
		if _, err := web.NewPages(site); err == nil {
			t.Errorf("%+v was accepted", site)
		}
	}
}

// A page with all it loads stays small enough for a bad line.
func TestPageWeight(t *testing.T) {
	pages := newPages(t, web.Site{})
	for name, page := range samples() {
		body := render(t, pages, get("/p?lang=zh"), page).Body.String()
		weight := len(body)
		for address := range assetsOf(body) {
			w, r := httptest.NewRecorder(), get(address)
			r.Header.Set("Accept-Encoding", "gzip, br")
			pages.Assets().ServeHTTP(w, r)
			weight += w.Body.Len()
		}
		if weight > 40_000 {
			t.Errorf("%s weighs %d bytes", name, weight)
		}
	}
}

// Nothing but the language switch, names and code words is in the other tongue.
func TestPageChineseHoldsNoEnglishSentence(t *testing.T) {
	pages := newPages(t, web.Site{})
	sentence := regexp.MustCompile(`[A-Za-z]{2,} [a-z]{2,} [a-z]{2,}`)
	for name, page := range samples() {
		if name == "consent" { // a declared text is in the language it was declared in
			continue
		}
		body := render(t, pages, get("/p?lang=zh"), page).Body.String()
		_, body, _ = strings.Cut(body, "<body")
		if found := sentence.FindString(tagOrEntity.ReplaceAllString(body, "|")); found != "" {
			t.Errorf("%s: %q", name, found)
		}
	}
}

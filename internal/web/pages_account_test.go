package web_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/web"
)

var today = time.Date(2026, time.March, 4, 12, 0, 0, 0, time.UTC)

func accountOf(done string) web.Person {
	return web.Person{Username: "alice", Name: "Alice Liddell", FormToken: "token", SignOutURL: "/end-session", Done: done, Now: today}
}

// accountSamples are the pages of an account with all their branches.
func accountSamples() map[string]web.Page {
	ago := func(d time.Duration) time.Time { return today.Add(-d) }
	pages := map[string]web.Page{
		"account, overview":                web.OverviewPage{Person: accountOf(""), Email: "alice@example.com", Sessions: 1, Apps: 2},
		"account, nothing there":           web.OverviewPage{Person: web.Person{Username: "bob", Now: today}, Sessions: 2},
		"account, one app":                 web.OverviewPage{Person: accountOf(""), Sessions: 1, Apps: 1},
		"account, profile":                 web.ProfilePage{Person: accountOf("profile"), Fields: []web.ProfileField{{Name: "name", Value: "Alice"}}, Language: "zh"},
		"account, profile with an address": web.ProfilePage{Person: accountOf("email"), Email: "alice@example.com", SendsMail: true},
		"account, profile confirmed":       web.ProfilePage{Person: accountOf(""), Email: "alice@example.com", EmailVerified: true, SendsMail: true},
		"account, profile without":         web.ProfilePage{Person: accountOf(""), SendsMail: true},
		"account, email":                   web.EmailPage{Person: accountOf(""), Email: "alice@example.com", Verified: true},
		"account, email to confirm":        web.EmailPage{Person: accountOf(""), Email: "alice@example.com"},
		"account, email refused":           web.EmailPage{Person: accountOf(""), Typed: "x", Wrong: true},
		"account, security":                web.SecurityPage{Person: accountOf("password"), HasPassword: true},
		"account, one passkey":             web.SecurityPage{Person: accountOf(""), HasPassword: true, PasskeysURL: "/account/passkeys", Passkeys: 1},
		"account, two passkeys":            web.SecurityPage{Person: accountOf(""), PasskeysURL: "/account/passkeys", Passkeys: 2},
		"account, without a passkey":       web.SecurityPage{Person: accountOf(""), HasPassword: true, PasskeysURL: "/account/passkeys"},
		"account, passkeys": web.PasskeysPage{Person: accountOf("passkey_added"), OptionsURL: "/account/passkeys/options", RPID: "id.example", UserHandle: "YQ", Passkeys: []web.Passkey{
			{ID: "a", Name: "iCloud", AddedAt: ago(40 * 24 * time.Hour), UsedAt: ago(time.Hour)}, {ID: "b", Roaming: true, AddedAt: today}, {ID: "c", AddedAt: today},
		}},
		"account, passkeys, full":   web.PasskeysPage{Person: accountOf("passkey_removed"), Passkeys: []web.Passkey{{ID: "a"}}, Full: true},
		"account, no password":      web.SecurityPage{Person: accountOf("")},
		"account, password":         web.PasswordPage{Person: accountOf(""), HasPassword: true},
		"account, password refused": web.PasswordPage{Person: accountOf(""), Problem: web.PasswordCommon},
		"account, sessions": web.SessionsPage{Person: accountOf("sessions"), Sessions: []web.SignedIn{
			{SID: "1", UserAgent: "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile/15E148 Safari/604.1", Address: "192.0.2.1", Since: ago(time.Hour), SeenAt: today, Current: true},
			{SID: "2", UserAgent: "Mozilla/5.0 (Windows NT 10.0) Firefox/140.0", Address: "2001:db8::1", Since: ago(40 * 24 * time.Hour), SeenAt: ago(3 * 24 * time.Hour)},
			{SID: "3", UserAgent: "X11; Linux", Since: ago(25 * time.Hour), SeenAt: ago(time.Minute)}, {SID: "4", UserAgent: "curl/8", Since: ago(2 * time.Minute), SeenAt: ago(2 * time.Hour)},
			{SID: "5", Since: ago(24 * time.Hour), SeenAt: ago(90 * time.Second)},
		}},
		"account, one session": web.SessionsPage{Person: accountOf("session"), Sessions: []web.SignedIn{{SID: "1", Since: today, SeenAt: today, Current: true}}},
		"account, apps": web.AppsPage{Person: accountOf("app"), Apps: []web.App{
			{ID: "acme", Client: acme, Scopes: []web.ScopeView{{Name: "profile"}, {Name: "notes", Text: "Notes"}, {Name: "calendar:read"}}, Since: ago(40 * 24 * time.Hour), UsedAt: ago(time.Hour)},
			{ID: "other", Client: web.Client{Host: "other"}, Since: today}, {ID: "unnamed"},
		}},
		"account, no apps":       web.AppsPage{Person: accountOf("")},
		"account, no activity":   web.ActivityPage{Person: accountOf("")},
		"account, data":          web.DataPage{Person: accountOf("")},
		"account, delete":        web.DeletePage{Person: accountOf("")},
		"account, not deleted":   web.DeletePage{Person: accountOf(""), Wrong: true},
		"account, last admin":    web.DeletePage{Person: accountOf(""), LastAdmin: true},
		"account, left":          web.LeftPage{},
		"account, app":           web.SecurityPage{Person: accountOf("factor_added"), HasPassword: true, HasApp: true, CodesLeft: 9},
		"account, second factor": web.TwoStepPage{Person: accountOf(""), App: "id", Added: ago(40 * 24 * time.Hour), Used: ago(time.Hour), CodesLeft: 3, Required: true},
		"account, unused app":    web.TwoStepPage{Person: accountOf(""), App: "id", Added: ago(time.Minute)},
		"account, set up":        web.TwoStepPage{Person: accountOf(""), Offer: &web.AppOffer{Enrolment: "offer", Key: "JBSWY3DP", URI: "otpauth://totp/a"}},
		"account, set up failed": web.TwoStepPage{Person: accountOf(""), Offer: &web.AppOffer{Enrolment: "offer", Key: "JBSWY3DP", URI: "otpauth://totp/a"}, Error: web.SecondFactorFailed},
		"account, new codes":     web.TwoStepPage{Person: accountOf(""), NewCodes: []string{"01234-ABCDE"}},
	}
	invalid := web.ProfilePage{Person: accountOf("conflict")}
	for _, name := range web.ProfileFields() {
		invalid.Fields = append(invalid.Fields, web.ProfileField{Name: name, Value: "x", Problem: true})
	}
	pages["account, profile refused"] = invalid
	for _, problem := range web.PasskeyProblems {
		pages["account, passkeys, "+problem] = web.PasskeysPage{Person: accountOf(""), OptionsURL: "/account/passkeys/options", Problem: problem}
	}
	var happenings []web.Happening
	for i, kind := range append(web.ActivityKinds, "user.unheard_of") {
		happenings = append(happenings, web.Happening{Kind: kind, At: ago(time.Duration(i) * 31 * 24 * time.Hour), Address: "192.0.2.1", Client: "Acme", Foreign: i%2 == 0})
	}
	pages["account, activity"] = web.ActivityPage{Person: accountOf(""), Happenings: happenings[:25], Older: "1"} // as many as a page has
	pages["account, more activity"] = web.ActivityPage{Person: accountOf(""), Happenings: happenings[25:]}
	return pages
}

// Pages of an account are kept apart from whatever opened them, and no page keeps other
// pages from the way back to a client (HD-03).
func TestPage_HD_03_OpenerPolicy(t *testing.T) {
	pages := newPages(t, web.Site{})
	of := accountSamples()
	for name, page := range samples() {
		want := ""
		if of[name] != nil {
			want = "same-origin"
		}
		if got := render(t, pages, get("/p"), page).Header().Get("Cross-Origin-Opener-Policy"); got != want {
			t.Errorf("%s: Cross-Origin-Opener-Policy %q, want %q", name, got, want)
		}
	}
}

// What a browser says of itself, in names that people know.
func TestDeviceOf(t *testing.T) {
	for userAgent, want := range map[string]web.Device{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0": {Browser: "Edge", System: "Windows"},
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36":           {Browser: "Chrome", System: "Windows"},
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15":     {Browser: "Safari", System: "macOS"},
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0":                                                    {Browser: "Firefox", System: "Linux"},
		"Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36 MicroMessenger/8.0.50":                {Browser: "WeChat", System: "Android", Phone: true},
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) CriOS/140.0 Mobile/15E148 Safari/604.1":                             {Browser: "Chrome", System: "iPhone", Phone: true},
		"curl/8.5.0": {Browser: "curl"},
		"":           {},
		"<script>":   {},
	} {
		if got := web.DeviceOf(userAgent); got != want {
			t.Errorf("%q is %+v, want %+v", userAgent, got, want)
		}
	}
}

// Times are told so that they are true wherever the reader is.
func TestPageMoments(t *testing.T) {
	pages := newPages(t, web.Site{})
	for ago, want := range map[time.Duration][2]string{
		-time.Hour:           {"just now", "刚刚"}, // another server's clock is ahead
		59 * time.Second:     {"just now", "刚刚"},
		time.Minute:          {"1 minute ago", "1 分钟前"},
		59 * time.Minute:     {"59 minutes ago", "59 分钟前"},
		time.Hour:            {"1 hour ago", "1 小时前"},
		26 * time.Hour:       {"1 day ago", "1 天前"},
		29 * 24 * time.Hour:  {"29 days ago", "29 天前"},
		30 * 24 * time.Hour:  {"on February 2, 2026", "2026年2月2日"},
		400 * 24 * time.Hour: {"on January 28, 2025", "2025年1月28日"},
	} {
		page := web.ActivityPage{Person: accountOf(""), Happenings: []web.Happening{{Kind: "user.sign_in", At: today.Add(-ago)}}}
		for i, language := range []string{"en", "zh"} {
			body := render(t, pages, get("/p?lang="+language), page).Body.String()
			at := today.Add(-ago)
			element := `<time datetime="` + at.Format(time.RFC3339) + `" title="` + at.Format("2006-01-02 15:04 UTC") + `">` + want[i] + `</time>`
			if !strings.Contains(body, element) {
				t.Errorf("%v ago, %s: no %s", ago, language, element)
			}
		}
	}
}

// Somebody else's pages lead to nobody's account: what was done is one of our own words.
func TestPageAccountDone(t *testing.T) {
	pages := newPages(t, web.Site{})
	for done, shown := range map[string]bool{"": false, "password": true, "everything": false, "password.title": false} {
		answer := render(t, pages, get("/p"), web.SecurityPage{Person: accountOf(done)})
		if got := strings.Contains(answer.Body.String(), `id="account-done"`); answer.Code != http.StatusOK || got != shown {
			t.Errorf("done=%q: %d, shown %t, want %t", done, answer.Code, got, shown)
		}
	}
}

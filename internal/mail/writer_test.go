package mail_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/mail"
)

const hostile = "\"><script>alert('x')</script>{product}\r\nBcc: mallory@example.com\u202e<img src=x>"

func newWriter(t testing.TB) *mail.Writer {
	t.Helper()
	w, err := mail.NewWriter(mail.Writer{Fill: "#123456", Letters: "#fedcba", Issuer: "https://id.example.com", Forgotten: "https://id.example.com/login/forgot", DefaultLanguage: "en"})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// message is one of a kind, with all that can be known.
func message(kind mail.Kind, language string) *mail.Message {
	return &mail.Message{
		ID: "id", Kind: kind, To: "alice@example.com", Language: language, Username: "alice", Link: "https://id.example.com/login/password?ticket=t&x=1",
		At: now, Address: "203.0.113.7", Browser: "Firefox", System: "Windows",
	}
}

// Every kind there is reads well in both languages, in both forms.
func TestWrite(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	for _, kind := range mail.Kinds() {
		for language, tag := range map[string]string{"en": "en", "zh": "zh-Hans"} {
			l, err := w.Write(message(kind, language))
			if err != nil {
				t.Fatal(err)
			}
			if l.ID != "id" || l.To != "alice@example.com" || l.Language != tag || !strings.Contains(l.HTML, `<html lang="`+tag+`">`) || strings.ContainsAny(l.Subject, "\r\n") {
				t.Errorf("%s in %s: %+v", kind, language, l)
			}
			all := l.Subject + l.Text + l.HTML
			if strings.ContainsAny(all, "{}") || strings.Contains(all, "ZgotmplZ") || strings.Contains(all, "<no value>") || strings.Contains(l.Text, "\n\n\n") {
				t.Errorf("%s in %s: something is left open:\n%s", kind, language, all)
			}
			if han := strings.ContainsFunc(l.Subject+l.Text, func(r rune) bool { return unicode.Is(unicode.Han, r) }); han != (language == "zh") {
				t.Errorf("%s in %s: Chinese in it: %v", kind, language, han)
			}
			if kind != mail.EmailChanged && !strings.Contains(l.HTML, "background-color:#123456;color:#fedcba") {
				t.Errorf("%s in %s: the button has not the site's colours:\n%s", kind, language, l.HTML)
			}
			if !strings.Contains(l.Text, "alice") || !strings.Contains(l.HTML, "alice") {
				t.Errorf("%s in %s does not say to whom it speaks", kind, language)
			}
		}
	}
	if _, err := w.Write(message("gossip", "en")); err == nil {
		t.Error("there is a letter about what nobody has words for")
	}
	if l, err := w.Write(message(mail.Reset, "fr")); err != nil || l.Language != "en" {
		t.Errorf("in a language that we do not have: %+v, %v", l, err)
	}
}

// The letters as they are read.
func TestWriteText(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	for name, tt := range map[string]struct {
		message *mail.Message
		want    string
	}{
		"a link": {message(mail.Reset, "en"), `Hello alice,

Somebody (we hope it was you) asked for a new password for your account. Open this link to choose one:

https://id.example.com/login/password?ticket=t&x=1

The link works once, within 30 minutes. If it was not you, do nothing: your password stays as it is.

-- 
You get this because alice@example.com was given as the address of an account at Hufu. This is an automatic message; please do not reply.
https://id.example.com
`},
		"a notice": {message(mail.NewDevice, "zh"), `alice，您好：

有人用一个陌生的浏览器登录了您的账号。

- 时间：2026年11月29日 21:47（UTC）
- 设备：Windows 上的 Firefox
- IP 地址：203.0.113.7

如果是您本人，无需任何操作。如果不是，说明有人知道您的密码：请立即设置新密码，所有设备都会随之退出登录。

设置新密码：
https://id.example.com/login/forgot

-- 
您收到这封邮件，是因为 alice@example.com 被登记为「虎符 Hufu」账号的邮箱。这是系统邮件，请勿回复。
https://id.example.com
`},
		"a notice to the old address": {message(mail.EmailChanged, "en"), `Hello alice,

Your account now has another email address. This is the last message to alice@example.com.

- When: 29 November 2026, 21:47 UTC
- Device: Firefox on Windows
- IP address: 203.0.113.7

If it was you, there is nothing to do. If not, contact the administrator of Hufu at once.

-- 
You get this because alice@example.com was given as the address of an account at Hufu. This is an automatic message; please do not reply.
https://id.example.com
`},
	} {
		l, err := w.Write(tt.message)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, l.Text); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// What somebody calls themselves, and what is known of their browser, is text: it
// becomes no markup, no line of its own and no header (XS-01).
func TestWrite_XS_01(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	for _, kind := range mail.Kinds() {
		m := message(kind, "en")
		m.Username, m.Browser, m.System, m.Address, m.To = hostile, hostile, hostile, hostile, hostile
		l, err := w.Write(m)
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"<script>", "<img", "\u202e", "\r"} {
			if strings.Contains(l.HTML, bad) {
				t.Errorf("%s: %q got through", kind, bad)
			}
		}
		if strings.Contains(l.Text, "\nBcc") || strings.ContainsAny(l.Text, "\r\u202e") || strings.ContainsAny(l.Subject, "<\r\n") {
			t.Errorf("%s: it broke the text:\n%s\n%s", kind, l.Subject, l.Text)
		}
		m.Link = "javascript:alert(1)" // no caller makes one; if one did, it would not run
		if l, err = w.Write(m); err != nil || strings.Contains(l.HTML, `href="javascript:`) {
			t.Errorf("%s: %v, a link that is none", kind, err)
		}
	}
}

// A printed letter cannot break out of its frame, and two do not mix.
func TestPrinter(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := &mail.Letter{To: "a@example.com\nready", Subject: "Hello\n", Text: "one\n\ntwo\n"}
	if err := (&mail.Printer{Out: &out}).Send(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	if want := "\nMail to a@example.com ready: Hello\n  | one\n  | \n  | two\n\n"; out.String() != want {
		t.Errorf("printed %q, want %q", out.String(), want)
	}
}

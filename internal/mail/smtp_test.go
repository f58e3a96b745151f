package mail_test

import (
	"context"
	"errors"
	netmail "net/mail"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/mail"
	"github.com/hufu-auth/hufu/internal/mailtest"
)

var now = time.Date(2026, time.November, 29, 21, 47, 0, 0, time.UTC)

var letter = &mail.Letter{ID: "id", To: "alice@example.com", Language: "zh-Hans", Subject: "设置新密码", Text: "您好\n", HTML: "<p>您好</p>"}

func sender(s *mailtest.Server) *mail.SMTP {
	return &mail.SMTP{
		Host: mailtest.Name, Port: s.Port, Authorities: s.Authorities, Domain: "id.example.com",
		From: netmail.Address{Name: "虎符, Hufu", Address: "no-reply@example.com"}, Now: func() time.Time { return now },
	}
}

// A letter arrives whole, with the headers it should have, in each way to speak TLS and
// to sign in.
func TestSend(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		server mailtest.Options
		user   string
	}{
		"STARTTLS":           {server: mailtest.Options{}},
		"TLS":                {server: mailtest.Options{Implicit: true}},
		"STARTTLS and PLAIN": {mailtest.Options{Username: "hufu", Password: "secret"}, "hufu"},
		"TLS and PLAIN":      {mailtest.Options{Implicit: true, Username: "hufu", Password: "secret"}, "hufu"},
		"STARTTLS and LOGIN": {mailtest.Options{Username: "hufu", Password: "secret", Mechanisms: "LOGIN"}, "hufu"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := mailtest.Start(t, tt.server)
			s := sender(server)
			s.Implicit, s.Username, s.Password = tt.server.Implicit, tt.user, "secret"
			if err := s.Send(t.Context(), letter); err != nil {
				t.Fatal(err)
			}
			got := server.Wait(t, 1)[0]
			if got.From != "no-reply@example.com" || len(got.To) != 1 || got.To[0] != "alice@example.com" || got.SignedIn != tt.user {
				t.Errorf("envelope %+v", got)
			}
			read := got.Read(t)
			if read.Subject != letter.Subject || read.Text != letter.Text || read.HTML != letter.HTML {
				t.Errorf("read %+v", read)
			}
			for header, want := range map[string]string{
				"Message-Id": "<id@id.example.com>", "Date": "Sun, 29 Nov 2026 21:47:00 +0000", "Auto-Submitted": "auto-generated", "Content-Language": "zh-Hans",
				"To": "<alice@example.com>", "Mime-Version": "1.0", "User-Agent": "", "X-Mailer": "",
			} {
				if got := read.Header.Get(header); got != want {
					t.Errorf("%s: %q, want %q", header, got, want)
				}
			}
			if from, err := read.Header.AddressList("From"); err != nil || *from[0] != s.From {
				t.Errorf("From: %v, %v", from, err)
			}
		})
	}
}

// tellTale is what must not be said in the open.
var tellTale = regexp.MustCompile(`(?i)AUTH|MAIL|RCPT|DATA|alice|secret|hufu`)

// Nothing is said to a mail server that does not speak TLS, or under a certificate that
// nobody vouches for: no name, no address, no password.
func TestSendNeverPlain(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		server mailtest.Options
		edit   func(s *mail.SMTP)
	}{
		"no STARTTLS offered":   {mailtest.Options{Plain: true, Username: "hufu", Password: "secret"}, func(*mail.SMTP) {}},
		"nobody vouches for it": {mailtest.Options{Username: "hufu", Password: "secret"}, func(s *mail.SMTP) { s.Authorities = nil }},
		"another name":          {mailtest.Options{Username: "hufu", Password: "secret"}, func(s *mail.SMTP) { s.Host = "127.0.0.1" }},
		"TLS, nobody vouches":   {mailtest.Options{Implicit: true}, func(s *mail.SMTP) { s.Authorities = nil }},
		"TLS, but it is plain":  {mailtest.Options{Plain: true}, func(s *mail.SMTP) { s.Implicit = true }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := mailtest.Start(t, tt.server)
			s := sender(server)
			s.Implicit, s.Username, s.Password = tt.server.Implicit, "hufu", "secret"
			tt.edit(s)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			err := s.Send(ctx, letter)
			if err == nil || len(server.Mails()) > 0 {
				t.Fatalf("it went: %v", err)
			}
			if _, refused := errors.AsType[*mail.Error](err); refused {
				t.Errorf("it is taken for a refusal: %v", err)
			}
			for _, line := range server.Heard() {
				if strings.HasPrefix(line, "!") && tellTale.MatchString(line) {
					t.Errorf("in the open it said %q", line)
				}
			}
		})
	}
}

// What a mail server answers decides whether the same letter is tried again; no error
// names the address, for it goes to the log.
func TestSendRefused(t *testing.T) {
	t.Parallel()
	const address = "550 5.1.1 <alice@example.com> unknown"
	for name, tt := range map[string]struct {
		step, reply string
		want        mail.Error // zero for a failure on the way
	}{
		"no such address":       {"RCPT", address, mail.Error{Step: "RCPT", Code: 550, Permanent: true}},
		"mailbox is full":       {"RCPT", "452 4.2.2 alice@example.com is over quota", mail.Error{Step: "RCPT", Code: 452}},
		"taken for spam":        {"END", "554 5.7.1 alice@example.com does not want this", mail.Error{Step: "DATA", Code: 554, Permanent: true}},
		"busy at the end":       {"END", "451 4.3.0 later", mail.Error{Step: "DATA", Code: 451}},
		"busy":                  {"DATA", "421 4.3.2 later", mail.Error{Step: "DATA", Code: 421}},
		"sender not wanted":     {"MAIL", "553 5.7.1 <no-reply@example.com> is not yours", mail.Error{Step: "MAIL", Code: 553}},
		"wrong password":        {"AUTH", "535 5.7.8 no", mail.Error{}},
		"not today":             {"CONNECT", "554 no", mail.Error{}},
		"gone at once":          {"CONNECT", mailtest.Drop, mail.Error{}},
		"gone at the end":       {"END", mailtest.Drop, mail.Error{Step: "DATA"}},
		"gone at the address":   {"RCPT", mailtest.Drop, mail.Error{Step: "RCPT"}},
		"silent from the start": {"CONNECT", mailtest.Hang, mail.Error{}},
		"silent at the end":     {"END", mailtest.Hang, mail.Error{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := mailtest.Start(t, mailtest.Options{Username: "hufu", Password: "secret"})
			server.Reply(func(step, _ string) string {
				if step == tt.step {
					return tt.reply
				}
				return ""
			})
			s := sender(server)
			s.Username, s.Password = "hufu", "secret"
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			err := s.Send(ctx, letter)
			if err == nil {
				t.Fatal("it went")
			}
			var got mail.Error
			if e, ok := errors.AsType[*mail.Error](err); ok {
				got = *e
			}
			if got != tt.want {
				t.Errorf("%+v (%v), want %+v", got, err, tt.want)
			}
			if strings.Contains(err.Error(), "alice") || strings.Contains(err.Error(), "secret") {
				t.Errorf("the error tells too much: %v", err)
			}
		})
	}
}

// A mail server that is away is a failure on the way, and told at once.
func TestSendServerAway(t *testing.T) {
	t.Parallel()
	server := mailtest.Start(t, mailtest.Options{})
	s := sender(server)
	server.Stop()
	began := time.Now()
	err := s.Send(t.Context(), letter)
	if _, refused := errors.AsType[*mail.Error](err); err == nil || refused || time.Since(began) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}

// A letter that the mail server took is sent, whatever it answers to the good-bye.
func TestSendTakenThenGone(t *testing.T) {
	t.Parallel()
	server := mailtest.Start(t, mailtest.Options{})
	server.Reply(func(step, _ string) string {
		if step == "RSET" || step == "QUIT" {
			return mailtest.Drop
		}
		return ""
	})
	if err := sender(server).Send(t.Context(), letter); err != nil || len(server.Mails()) != 1 {
		t.Errorf("%v, %d letters", err, len(server.Mails()))
	}
}

// Nothing that stands in an address becomes a header, a second address or a command.
func TestSendInjection(t *testing.T) {
	t.Parallel()
	server := mailtest.Start(t, mailtest.Options{})
	s := sender(server)
	for _, to := range []string{
		"", "alice", "alice@example.com\r\nBcc: mallory@example.com", "alice@example.com, mallory@example.com", "alice@example.com>\r\nRCPT TO:<mallory@example.com",
		"Alice <alice@example.com>", "alice@example.com\x00", "<alice@example.com>", "alice@example.com ", "@", "alice@",
	} {
		l := *letter
		l.To = to
		err := s.Send(t.Context(), &l)
		if e, ok := errors.AsType[*mail.Error](err); !ok || !e.Permanent {
			t.Errorf("%q: %v", to, err)
		}
	}
	l := *letter
	l.Subject = "Hello\r\nBcc: mallory@example.com\r\n\r\nbody"
	if err := s.Send(t.Context(), &l); err != nil {
		t.Fatal(err)
	}
	mails := server.Mails()
	if len(mails) != 1 {
		t.Fatalf("%d letters went", len(mails))
	}
	if read := mails[0].Read(t); read.Header.Get("Bcc") != "" || read.Subject != "Hello Bcc: mallory@example.com body" || len(mails[0].To) != 1 {
		t.Errorf("a subject became %q, to %v", read.Header, mails[0].To)
	}
}

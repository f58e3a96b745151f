package mail

import (
	"bytes"
	"mime"
	netmail "net/mail"
	"strings"
	"testing"
	"time"
)

// Whatever an address and a subject hold, a letter goes to that one address or nowhere,
// and has the headers that we wrote and no others.
func FuzzMessage(f *testing.F) {
	for _, to := range []string{"alice@example.com", "a@b\r\nBcc: c@d", "a@b, c@d", "A <a@b>", "\"a b\"@c", "a@[192.0.2.1]", "li.bai@例子.example", "a@b>", "a@b\x00", "=?utf-8?q?a?=@b"} {
		f.Add(to, "Hello\r\nBcc: c@d\r\n\r\nbody")
	}
	f.Add("a@b", "=?utf-8?q?x=0D=0ABcc:_c@d?= 虎符 \u2028\xff"+strings.Repeat(" long", 100))
	s := &SMTP{From: netmail.Address{Name: "Hufu", Address: "no-reply@example.com"}, Domain: "id.example.com", Now: func() time.Time { return time.Unix(1_800_000_000, 0) }}
	f.Fuzz(func(t *testing.T, to, subject string) {
		m, err := s.message(&Letter{ID: "id", To: to, Language: "en", Subject: subject, Text: subject, HTML: subject})
		if err != nil {
			return
		}
		var raw bytes.Buffer
		if _, err := m.WriteTo(&raw); err != nil {
			t.Fatalf("to %q: %v", to, err)
		}
		got, err := netmail.ReadMessage(&raw)
		if err != nil {
			t.Fatalf("to %q: no message: %v", to, err)
		}
		if all, err := got.Header.AddressList("To"); err != nil || len(all) != 1 || all[0].Address != to {
			t.Errorf("to %q: it goes to %v, %v (%q)", to, all, err, got.Header["To"])
		}
		for name := range got.Header {
			switch name {
			case "To", "From", "Subject", "Date", "Message-Id", "Mime-Version", "Content-Type", "Content-Language", "Auto-Submitted", "X-Auto-Response-Suppress":
			default:
				t.Errorf("subject %q: a header %s", subject, name)
			}
		}
		read, err := new(mime.WordDecoder).DecodeHeader(got.Header.Get("Subject"))
		if err == nil && strings.ContainsAny(read, "\r\n") && !strings.Contains(subject, "=?") { // an encoded word is read as one
			t.Errorf("subject %q reads %q", subject, read)
		}
	})
}

package mailtest

import (
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"regexp"
	"strings"
	"testing"
)

// A Mail is a letter as it came.
type Mail struct {
	From     string // envelope
	To       []string
	SignedIn string // who brought it
	Raw      string
}

// A Letter is what a reader sees of a mail.
type Letter struct {
	Header     mail.Header
	Subject    string
	Text, HTML string
}

// Read takes a mail apart.
func (m *Mail) Read(t testing.TB) Letter {
	t.Helper()
	message, err := mail.ReadMessage(strings.NewReader(m.Raw))
	if err != nil {
		t.Fatalf("no mail: %v\n%s", err, m.Raw)
	}
	l := Letter{Header: message.Header}
	if l.Subject, err = new(mime.WordDecoder).DecodeHeader(message.Header.Get("Subject")); err != nil {
		t.Fatal(err)
	}
	kind, parameters, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("a mail of type %q, %v", kind, err)
	}
	for parts := multipart.NewReader(message.Body, parameters["boundary"]); ; {
		part, err := parts.NextRawPart()
		if err == io.EOF {
			return l
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(part))
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(body), "\r\n", "\n")
		switch kind := part.Header.Get("Content-Type"); {
		case strings.HasPrefix(kind, "text/plain"):
			l.Text = text
		case strings.HasPrefix(kind, "text/html"):
			l.HTML = text
		}
	}
}

var linkPattern = regexp.MustCompile(`https?://\S+`)

// Link is the first link of the plain text.
func (l Letter) Link() string { return linkPattern.FindString(l.Text) }

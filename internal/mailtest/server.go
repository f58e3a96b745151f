// Package mailtest is a mail server for tests: it speaks SMTP with STARTTLS or TLS from
// the beginning, under a certificate of its own, keeps what it is given, and can refuse,
// hang or go away at any step. It serves SMTP on loopback. Its one invariant: it takes
// nothing over a connection that is not encrypted.
package mailtest

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Name is what the certificate of every server is for.
const Name = "localhost"

// A Server is a running mail server.
type Server struct {
	Port int
	// Authorities vouch for it, and CAFile holds them in PEM.
	Authorities *x509.CertPool
	CAFile      string

	o        Options
	config   *tls.Config
	listener net.Listener
	done     sync.WaitGroup

	mu    sync.Mutex
	mails []*Mail
	reply func(step, line string) string
	conns map[net.Conn]bool
	heard []string
	calls int
	came  chan struct{}
}

// Options say what a server offers.
type Options struct {
	Implicit   bool // TLS from the beginning
	Plain      bool // no STARTTLS
	Username   string
	Password   string
	Mechanisms string // "PLAIN LOGIN" unless set
}

// Hang is a reply that never comes, and Drop one that is the end of the connection.
const (
	Hang = "hang"
	Drop = "drop"
)

// Start runs a server until the test ends.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{o: o, listener: listener, Port: listener.Addr().(*net.TCPAddr).Port, conns: map[net.Conn]bool{}, came: make(chan struct{}, 1)}
	if s.o.Mechanisms == "" {
		s.o.Mechanisms = "PLAIN LOGIN"
	}
	s.certify(t)
	s.done.Go(s.accept)
	t.Cleanup(s.Stop)
	return s
}

// Stop ends the server and its connections.
func (s *Server) Stop() {
	_ = s.listener.Close()
	s.mu.Lock()
	for conn := range s.conns {
		_ = conn.Close()
	}
	s.mu.Unlock()
	s.done.Wait()
}

// Reply has the server answer otherwise. It is asked at every step (CONNECT, EHLO, AUTH,
// MAIL, RCPT, DATA, and END behind the letter) with the line that was sent; "" is the
// usual answer.
func (s *Server) Reply(with func(step, line string) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reply = with
}

// Mails are those that were taken, the first one first.
func (s *Server) Mails() []*Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*Mail(nil), s.mails...)
}

// Calls is how often somebody has connected.
func (s *Server) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// Heard are the lines that were sent outside of letters; those before a connection was
// encrypted begin with an exclamation mark.
func (s *Server) Heard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.heard...)
}

// Wait waits until so many letters were taken, and returns them.
func (s *Server) Wait(t testing.TB, n int) []*Mail {
	t.Helper()
	for late := time.After(20 * time.Second); ; {
		if mails := s.Mails(); len(mails) >= n {
			return mails
		}
		select {
		case <-s.came:
		case <-late:
			t.Fatalf("%d letters came, want %d", len(s.Mails()), n)
		}
	}
}

// certify makes the certificate.
func (s *Server) certify(t testing.TB) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail server of a test"}, DNSNames: []string{Name},
		NotBefore: time.Unix(1_600_000_000, 0), NotAfter: time.Unix(4_000_000_000, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	s.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(s.CAFile, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s.Authorities = x509.NewCertPool()
	s.Authorities.AppendCertsFromPEM(text)
	s.config = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[conn] = true
		s.calls++
		s.mu.Unlock()
		s.done.Go(func() {
			defer conn.Close()
			secure := s.o.Implicit
			if secure {
				conn = tls.Server(conn, s.config)
			}
			c := &conversation{s: s, conn: conn, in: bufio.NewReader(conn), secure: secure}
			c.hold()
		})
	}
}

// A conversation is one connection.
type conversation struct {
	s        *Server
	conn     net.Conn
	in       *bufio.Reader
	secure   bool
	signedIn string
	mail     *Mail
}

// say answers a step, usually so; false ends the conversation.
func (c *conversation) say(step, line, usual string) (taken, ok bool) {
	c.s.mu.Lock()
	with := c.s.reply
	c.s.mu.Unlock()
	answer := ""
	if with != nil {
		answer = with(step, line)
	}
	switch answer {
	case Hang:
		_, _ = io.Copy(io.Discard, c.conn) // until the other side has enough
		return false, false
	case Drop:
		return false, false
	case "":
		answer = usual
	}
	_, err := io.WriteString(c.conn, answer+"\r\n")
	return answer == usual, err == nil
}

func (c *conversation) hold() {
	if _, ok := c.say("CONNECT", "", "220 mail server of a test"); !ok {
		return
	}
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		heard := line
		if !c.secure {
			heard = "!" + line
		}
		c.s.mu.Lock()
		c.s.heard = append(c.s.heard, heard)
		c.s.mu.Unlock()
		if !c.step(line) {
			return
		}
	}
}

// step answers one line.
func (c *conversation) step(line string) (ok bool) {
	verb, rest, _ := strings.Cut(line, " ")
	switch verb = strings.ToUpper(verb); verb {
	case "EHLO":
		_, ok = c.say(verb, line, c.greeting())
		return ok
	case "STARTTLS":
		if _, ok = c.say(verb, line, "220 go on"); !ok {
			return false
		}
		c.conn = tls.Server(c.conn, c.s.config)
		c.in, c.secure = bufio.NewReader(c.conn), true
		return true
	case "AUTH":
		return c.auth(line, rest)
	case "QUIT":
		_, _ = c.say(verb, line, "221 bye")
		return false
	case "RSET", "NOOP":
		_, ok = c.say(verb, line, "250 ok")
		return ok
	}
	if !c.secure || c.s.o.Username != "" && c.signedIn == "" {
		_, ok = c.say(verb, line, "530 not like that")
		return ok
	}
	return c.transfer(verb, line, rest)
}

func (c *conversation) greeting() string {
	lines := []string{"250-" + Name}
	if !c.secure && !c.s.o.Plain {
		lines = append(lines, "250-STARTTLS")
	}
	if c.s.o.Username != "" {
		lines = append(lines, "250-AUTH "+c.s.o.Mechanisms)
	}
	return strings.Join(append(lines, "250 ENHANCEDSTATUSCODES"), "\r\n")
}

// transfer takes a letter.
func (c *conversation) transfer(verb, line, rest string) (ok bool) {
	var taken bool
	switch verb {
	case "MAIL":
		if taken, ok = c.say(verb, line, "250 2.1.0 ok"); taken {
			c.mail = &Mail{From: between(rest), SignedIn: c.signedIn}
		}
	case "RCPT":
		if taken, ok = c.say(verb, line, "250 2.1.5 ok"); taken && c.mail != nil {
			c.mail.To = append(c.mail.To, between(rest))
		}
	case "DATA":
		if taken, ok = c.say(verb, line, "354 go on"); taken && c.mail != nil {
			return c.data()
		}
	default:
		_, ok = c.say(verb, line, "502 what?")
	}
	return ok
}

// between is what stands between angle brackets.
func between(text string) string {
	_, text, _ = strings.Cut(text, "<")
	text, _, _ = strings.Cut(text, ">")
	return text
}

func (c *conversation) data() (ok bool) {
	var text strings.Builder
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return false
		}
		if line == ".\r\n" {
			break
		}
		text.WriteString(strings.TrimPrefix(line, "."))
	}
	c.mail.Raw = text.String()
	taken, ok := c.say("END", "", "250 2.0.0 taken")
	if taken {
		c.s.mu.Lock()
		c.s.mails = append(c.s.mails, c.mail)
		c.s.mu.Unlock()
		select {
		case c.s.came <- struct{}{}:
		default:
		}
	}
	return ok
}

// auth signs the other side in, by PLAIN or LOGIN.
func (c *conversation) auth(line, rest string) (ok bool) {
	if !c.secure {
		_, ok = c.say("AUTH", line, "538 not without TLS")
		return ok
	}
	ask := func(what string) string {
		_, _ = io.WriteString(c.conn, "334 "+what+"\r\n")
		answer, _ := c.in.ReadString('\n')
		return unpack(answer)
	}
	mechanism, first, _ := strings.Cut(rest, " ")
	var name, password string
	switch strings.ToUpper(mechanism) {
	case "PLAIN":
		if first == "" {
			first = base64.StdEncoding.EncodeToString([]byte(ask("")))
		}
		parts := strings.Split(unpack(first), "\x00")
		if len(parts) == 3 {
			name, password = parts[1], parts[2]
		}
	case "LOGIN":
		name, password = ask("VXNlcm5hbWU6"), ask("UGFzc3dvcmQ6")
	}
	if name != c.s.o.Username || password != c.s.o.Password {
		_, ok = c.say("AUTH", line, "535 5.7.8 no")
		return ok
	}
	c.signedIn = name
	_, ok = c.say("AUTH", line, "235 2.7.0 welcome")
	return ok
}

func unpack(text string) string {
	plain, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	return string(plain)
}

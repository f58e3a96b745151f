package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"strconv"
	"time"

	"github.com/wneessen/go-mail"
)

// Timeouts of one letter: for each step of the conversation, and for all of it.
const (
	stepTimeout = 20 * time.Second
	sendTimeout = 75 * time.Second
)

// An SMTP hands letters to a mail server (RFC 6409), over TLS always: from the beginning
// (RFC 8314 Section 3), or after STARTTLS (RFC 3207), without which it says nothing.
type SMTP struct {
	Host string
	Port int // 0 means the one that is usual
	// Implicit is TLS from the beginning.
	Implicit bool
	// Username and Password sign in at the mail server; without a name nobody does.
	Username, Password string
	From               netmail.Address
	// Authorities vouch for the mail server; nil means those of the system.
	Authorities *x509.CertPool
	// Domain is the host of the issuer: who we say that we are, and where the ids of
	// messages are unique.
	Domain string
	Now    func() time.Time
}

// Send implements Sender.
func (s *SMTP) Send(ctx context.Context, l *Letter) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	message, err := s.message(l)
	if err != nil {
		return err
	}
	client, err := s.client(ctx)
	if err != nil {
		return err
	}
	connection, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return fmt.Errorf("mail server: %w", errors.Join(ctx.Err(), err))
	}
	defer connection.Close()
	err = client.SendWithSMTPClient(connection, message)
	if message.IsDelivered() { // whatever came behind it
		_ = client.CloseWithSMTPClient(connection)
		return nil
	}
	return refusal(ctx, err)
}

// client is one conversation's. The connection ends with ctx.
func (s *SMTP) client(ctx context.Context) (*mail.Client, error) {
	config := &tls.Config{ServerName: s.Host, MinVersion: tls.VersionTLS12, RootCAs: s.Authorities}
	port := s.Port
	dial := func(_ context.Context, network, address string) (net.Conn, error) {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { _ = conn.Close() })
		if !s.Implicit {
			return conn, nil
		}
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return secure, nil
	}
	options := []mail.Option{mail.WithTLSConfig(config), mail.WithTimeout(stepTimeout), mail.WithHELO(s.Domain), mail.WithDialContextFunc(dial), mail.WithoutNoop()}
	if s.Implicit {
		options = append(options, mail.WithSSL())
	} else {
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if port == 0 {
		port = 587
		if s.Implicit {
			port = 465
		}
	}
	options = append(options, mail.WithPort(port))
	if s.Username != "" {
		options = append(options, mail.WithUsername(s.Username), mail.WithPassword(s.Password),
			mail.WithOpportunisticSMTPAuth(mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthPlain, mail.SMTPAuthLogin))
	}
	client, err := mail.NewClient(s.Host, options...)
	if err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	return client, nil
}

// message is the letter as it travels.
func (s *SMTP) message(l *Letter) (*mail.Msg, error) {
	to, err := netmail.ParseAddress("<" + l.To + ">")
	if err != nil || to.Address != l.To {
		return nil, &Error{Step: "RCPT", Permanent: true} // never asked: it is no address
	}
	m := mail.NewMsg(mail.WithNoDefaultUserAgent())
	m.FromMailAddress(&s.From)
	m.ToMailAddress(&netmail.Address{Address: l.To})
	m.Subject(plain(l.Subject))
	m.SetDateWithValue(s.Now())
	m.SetMessageIDWithValue(l.ID + "@" + s.Domain)
	m.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834 Section 5
	m.SetGenHeader("X-Auto-Response-Suppress", "All")
	m.SetGenHeader("Content-Language", l.Language)
	m.SetBodyString(mail.TypeTextPlain, l.Text)
	m.AddAlternativeString(mail.TypeTextHTML, l.HTML)
	return m, nil
}

// steps are those of a conversation that a mail server can refuse a letter at.
var steps = map[mail.SendErrReason]string{
	mail.ErrSMTPMailFrom: "MAIL", mail.ErrSMTPRcptTo: "RCPT", mail.ErrSMTPData: "DATA", mail.ErrWriteContent: "DATA", mail.ErrSMTPDataClose: "DATA",
}

// refusal says why a letter was not taken. What the mail server wrote is left out: it
// likes to repeat the address.
func refusal(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	sent, ok := errors.AsType[*mail.SendError](err)
	if !ok {
		return errors.New("mail server: the letter was not taken")
	}
	e := &Error{Step: steps[sent.Reason], Code: sent.ErrorCode()}
	// A sender that is not wanted is our operator's to mend, and then others go as well.
	e.Permanent = e.Code >= 500 && (e.Step == "RCPT" || e.Step == "DATA")
	return e
}

// Error implements error.
func (e *Error) Error() string {
	switch {
	case e.Code != 0:
		return "mail server: " + e.Step + " was answered with " + strconv.Itoa(e.Code)
	case e.Permanent:
		return "mail: the address cannot be one"
	}
	return "mail server: the connection was lost at " + e.Step
}

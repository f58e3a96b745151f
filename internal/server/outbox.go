package server

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/issuer"
	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/mail"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// An outbox sends the mail that waits in the database, on whichever server comes first.
// It may send a letter twice, when a server is killed between the two; both have one id,
// by which mail programs show one.
type outbox struct {
	store  *store.Store
	writer *mail.Writer
	sender mail.Sender
	open   func(sealed string) ([]byte, error)
	issuer string
	now    func() time.Time
	log    *slog.Logger
	count  func(kind, result string)

	once    sync.Once
	places  chan struct{} // one for each letter on its way
	running sync.WaitGroup

	mu   sync.Mutex
	away time.Time // until when the mail server is taken to be away
}

const (
	// mostLetters is how many are on their way at once, each on a connection of its own.
	mostLetters = 4
	// awayFor is how long nothing is sent when the mail server could not be reached: all
	// that waits would find that out one after another.
	awayFor = 5 * time.Second
)

// mailWaits are the times between the attempts to send a letter. The last is used again,
// until it would be too late.
var mailWaits = []time.Duration{10 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 3 * time.Hour}

// newOutbox makes the outbox that the configuration describes; nil when no mail is sent.
func (s *Server) newOutbox(o Options) (*outbox, error) {
	c := s.config
	if !s.Links.Sends {
		return nil, nil //nolint:nilnil // there is none, and nothing is wrong
	}
	fill, letters := web.ButtonColors(c.AccentColor)
	writer, err := mail.NewWriter(mail.Writer{
		Site: c.SiteName, Issuer: c.Issuer, Forgotten: c.Issuer + login.ForgottenPath, DefaultLanguage: c.DefaultLanguage, Fill: fill, Letters: letters,
	})
	if err != nil {
		return nil, err
	}
	for _, kind := range store.NoticeKinds() { // an event that nobody has words for would be told to nobody
		if _, err := writer.Write(&mail.Message{Kind: mail.Kind(kind)}); err != nil {
			return nil, err
		}
	}
	b := &outbox{
		store: s.Store, writer: writer, issuer: c.Issuer, now: s.now, log: o.Log,
		open:  func(sealed string) ([]byte, error) { return s.Ring.Open(issuer.PurposeMail, sealed) },
		count: s.instruments.mail,
	}
	if b.sender, err = newSender(c, o, s.now); err != nil {
		return nil, err
	}
	return b, nil
}

func newSender(c *config.Config, o Options, now func() time.Time) (mail.Sender, error) {
	if o.Letters != nil {
		return &mail.Printer{Out: o.Letters}, nil
	}
	password, err := c.ReadMailPassword()
	if err != nil {
		return nil, err
	}
	authorities, err := c.ReadAuthorities()
	if err != nil {
		return nil, err
	}
	at, err := url.Parse(c.Issuer)
	if err != nil {
		return nil, err
	}
	return &mail.SMTP{
		Host: c.MailHost, Port: c.MailPort, Implicit: c.MailSecurity == config.MailTLS, Username: c.MailUsername, Password: password,
		From: c.MailSender(), Authorities: authorities, Domain: at.Hostname(), Now: now,
	}, nil
}

// deliver sends what is due. It does not wait for the mail server.
func (b *outbox) deliver(ctx context.Context) error {
	b.once.Do(func() { b.places = make(chan struct{}, mostLetters) })
	for !b.isAway() {
		select {
		case b.places <- struct{}{}: // there is room for one at least
		case <-ctx.Done():
			return nil
		}
		room := mostLetters - len(b.places) + 1
		<-b.places
		mails, err := b.store.ClaimMails(ctx, b.now(), room)
		if err != nil || len(mails) == 0 {
			return err
		}
		for _, m := range mails {
			b.places <- struct{}{}
			b.running.Go(func() {
				defer func() { <-b.places }()
				b.send(ctx, &m)
			})
		}
	}
	return nil
}

// wait waits for what deliver has begun. Its context must have ended, or this takes as
// long as the mail server does.
func (b *outbox) wait() {
	if b != nil {
		b.running.Wait()
	}
}

// send sends one letter and writes down what came of it. The log has no address and
// nothing of what is in it.
func (b *outbox) send(ctx context.Context, m *store.Mail) {
	log := b.log.With("mail", m.ID, "kind", m.Kind, "user", m.UserID, "attempt", m.Attempts)
	cause := b.try(ctx, m)
	if cause != nil && ctx.Err() != nil {
		return // this server stops; another one, or the next, sends it
	}
	ctx = context.WithoutCancel(ctx)
	refused, judged := errors.AsType[*mail.Error](cause)
	due := b.now().Add(mailWaits[min(int(m.Attempts), len(mailWaits))-1])
	var err error
	switch {
	case cause == nil:
		b.count(m.Kind, "sent")
		log.Info("mail was sent")
		err = b.store.SettleMail(ctx, m)
	case judged && refused.Permanent:
		b.count(m.Kind, "refused")
		log.Warn("mail was refused, and will not be sent again", "cause", cause)
		err = b.store.SettleMail(ctx, m)
	case !due.Before(m.ExpiresAt):
		b.count(m.Kind, "given_up")
		log.Error("mail could not be sent, and it is too late to try again", "cause", cause)
		err = b.store.SettleMail(ctx, m)
	default:
		b.count(m.Kind, "postponed")
		log.Warn("mail could not be sent, and will be tried again", "cause", cause, "due", due)
		err = b.store.PostponeMail(ctx, m, due)
	}
	if cause != nil && !judged {
		b.noteAway()
	}
	if err != nil {
		log.Error("what came of sending mail could not be written", "cause", err)
	}
}

// try makes one attempt.
func (b *outbox) try(ctx context.Context, m *store.Mail) error {
	letter, err := b.write(m)
	if err != nil {
		return err
	}
	return b.sender.Send(ctx, letter)
}

// errUnreadable is the end of a mail that cannot be written: the key of its link is gone.
var errUnreadable = &mail.Error{Step: "writing", Permanent: true}

func (b *outbox) write(m *store.Mail) (*mail.Letter, error) {
	device := web.DeviceOf(m.UserAgent)
	message := &mail.Message{
		ID: m.ID, Kind: mail.Kind(m.Kind), To: m.Recipient, Language: m.Language, Username: m.Username,
		At: m.At, Address: m.Address, Browser: device.Browser, System: device.System,
	}
	if m.Sealed != "" {
		token, err := b.open(m.Sealed)
		if err != nil {
			return nil, errUnreadable
		}
		message.Link = login.LetterURL(b.issuer, message.Kind, string(token))
	}
	letter, err := b.writer.Write(message)
	if err != nil {
		return nil, errors.Join(errUnreadable, err)
	}
	return letter, nil
}

func (b *outbox) isAway() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now().Before(b.away)
}

func (b *outbox) noteAway() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.away = b.now().Add(awayFor)
}

// mail counts a letter by what it is about and what came of it.
func (i instruments) mail(kind, result string) {
	if i.metrics != nil {
		i.metrics.mails.of(mailLabels{kind, result}).Inc()
	}
}

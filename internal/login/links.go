package login

import (
	"context"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hufu-auth/hufu/internal/mail"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// Where one-time links lead, and who has none gets one, below the issuer.
const (
	ForgottenPath      = Path + "/forgot"
	ForgottenSentPath  = Path + "/forgot/sent"
	PasswordPath       = Path + "/password"
	PasswordSetPath    = Path + "/password/done"
	InvitedPath        = Path + "/password/ready"
	EmailPath          = Path + "/email"
	EmailDonePath      = Path + "/email/done"
	FirstAdminPath     = Path + "/first-administrator"
	FirstAdminDonePath = Path + "/first-administrator/done"
)

// How long one-time links are good. For a password that is short, for whoever has the link
// has the account.
const (
	resetLife      = 30 * time.Minute
	invitationLife = 7 * 24 * time.Hour
	emailLife      = 24 * time.Hour
	setUpLife      = 24 * time.Hour
)

// Links makes one-time links: 256 random bits, of which the database has the hash. They
// begin with the configured issuer, whatever a request says of itself.
type Links struct {
	Store  *store.Store
	Issuer string // URL
	// Sends reports whether there is mail; without, links are handed over by people.
	Sends bool
	// Seal protects what stands in a link while it waits to be sent.
	Seal func(plain []byte) (string, error)
	Now  func() time.Time
}

// A Link is one that was made, for somebody to hand over.
type Link struct {
	URL       string
	ExpiresAt time.Time
}

// linkPaths are where links of each purpose lead, and kinds the letters that bring them.
var (
	linkPaths = map[string]string{
		store.TicketReset: PasswordPath, store.TicketInvitation: PasswordPath, store.TicketEmail: EmailPath, store.TicketSetUp: FirstAdminPath,
	}
	kinds = map[string]mail.Kind{store.TicketReset: mail.Reset, store.TicketInvitation: mail.Invitation, store.TicketEmail: mail.Verify}
)

// linkURL is the address of a link.
func linkURL(issuer, purpose, token string) string {
	return issuer + linkPaths[purpose] + "?ticket=" + url.QueryEscape(token)
}

// LetterURL is the address of the link that a letter of a kind brings.
func LetterURL(issuer string, kind mail.Kind, token string) string {
	for purpose, k := range kinds {
		if k == kind {
			return linkURL(issuer, purpose, token)
		}
	}
	return ""
}

// make makes a link; nothing is stored yet.
func (l *Links) make(purpose, userID string, life time.Duration) (token string, t *store.Ticket) {
	token = randomID()
	now := l.Now()
	return token, &store.Ticket{Hash: hash(token), Purpose: purpose, UserID: userID, CreatedAt: now, ExpiresAt: now.Add(life)}
}

func (l *Links) link(token string, t *store.Ticket) *Link {
	return &Link{linkURL(l.Issuer, t.Purpose, token), t.ExpiresAt}
}

// letter is the mail that brings a link to an address, which using it proves.
func (l *Links) letter(token string, t *store.Ticket, to, language string, by store.By) (*store.Mail, error) {
	sealed, err := l.Seal([]byte(token))
	if err != nil {
		return nil, err
	}
	t.NewEmail = to
	return &store.Mail{Kind: string(kinds[t.Purpose]), Language: language, Sealed: sealed, Address: by.Address, UserAgent: by.UserAgent}, nil
}

// Reset makes a link for another password, to be handed over.
func (l *Links) Reset(ctx context.Context, u *store.User, by store.By) (*Link, error) {
	token, t := l.make(store.TicketReset, u.ID, resetLife)
	if err := l.Store.MakeTicket(ctx, t, nil, by); err != nil {
		return nil, err
	}
	return l.link(token, t), nil
}

// SendReset has a link for another password sent to the verified address of a user.
// store.ErrNotLive means that there is no such user or address.
func (l *Links) SendReset(ctx context.Context, u *store.User, language string, by store.By) error {
	token, t := l.make(store.TicketReset, u.ID, resetLife)
	m, err := l.letter(token, t, u.Email, language, by)
	if err != nil {
		return err
	}
	if u.Email == "" {
		t.UserID = "" // or the link would be made for somebody to hand over
	}
	return l.Store.MakeTicket(ctx, t, m, by)
}

// Invite makes a user without a password, and the link by which one is chosen: to be
// handed over, or, when send is set, sent to the address of the user, which is verified
// by using it.
func (l *Links) Invite(ctx context.Context, u *store.User, send bool, by store.By) (*Link, error) {
	token, t := l.make(store.TicketInvitation, u.ID, invitationLife)
	var m *store.Mail
	if send {
		var err error
		if m, err = l.letter(token, t, u.Email, u.Locale, by); err != nil {
			return nil, err
		}
	}
	if err := l.Store.Invite(ctx, u, t, m, by); err != nil {
		return nil, err
	}
	return l.link(token, t), nil
}

// perUserEmail bounds what somebody can have sent to addresses of others.
var perUserEmail = store.Limit{Burst: 5, Interval: 10 * time.Minute}

// ChangeEmail has a link sent to an address, by which it becomes the user's and verified:
// another one, or the one that is known and not yet verified. Until then the old one
// stays, and then it is told. epoch is what the user is signed in under, 0 for whoever need
// not be. language is that of the page, for a user who has chosen none. Too many of them
// are refused with 429; store.ErrNotLive means that the user is not in force any more, or
// was signed out meanwhile.
func (l *Links) ChangeEmail(ctx context.Context, userID string, epoch int64, address, language string, by store.By) error {
	wait, err := l.Store.Attempt(ctx, store.Bucket("email", userID), perUserEmail, l.Now())
	if err != nil {
		return err
	}
	if wait > 0 {
		return web.TooManyRequests(wait, errManyAddresses)
	}
	token, t := l.make(store.TicketEmail, userID, emailLife)
	t.UserEpoch = epoch
	m, err := l.letter(token, t, address, language, by)
	if err != nil {
		return err
	}
	return l.Store.MakeTicket(ctx, t, m, by)
}

// FirstAdmin makes a link by which the first administrator is made; nil when there is one, or
// ever was.
func (l *Links) FirstAdmin(ctx context.Context) (*Link, error) {
	token, t := l.make(store.TicketSetUp, "", setUpLife)
	open, err := l.Store.OpenSetUp(ctx, t, l.Now())
	if err != nil || !open {
		return nil, err
	}
	return l.link(token, t), nil
}

// By is who causes a change, with the request of a context: a user by subject, or "" for somebody who has
// not signed in.
func By(ctx context.Context, userID string) store.By {
	event := web.EventOf(ctx)
	if userID == "" {
		userID = "nobody"
	}
	return store.By{Actor: userID, Address: event.Address, RequestID: event.RequestID, UserAgent: bounded(event.UserAgent)}
}

// IsEmail takes what can be an address. Whether mail arrives is for a link to find out.
func IsEmail(text string) bool {
	name, domain, found := strings.Cut(text, "@")
	bad := func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsGraphic(r) || strings.ContainsRune("<>(),;:\"\\[]", r)
	}
	return found && name != "" && domain != "" && len(text) <= 254 && utf8.ValidString(text) &&
		!strings.Contains(domain, "@") && !strings.ContainsFunc(text, bad)
}

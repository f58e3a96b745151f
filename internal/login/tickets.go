package login

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// An opened is what a page of a one-time link works with: opening the link with GET never
// uses it, since those who look through mail for danger open every link in it.
type opened struct {
	form   oauth.Form
	token  string
	ticket *store.Ticket
}

// errDead refuses a link that cannot be used any more, or never could.
var errDead = errors.New("the link cannot be used any more")

// openTicket reads the link of a request, which must be for one of the purposes. A nil
// result means that the answer is out.
func (e *Endpoint) openTicket(w http.ResponseWriter, r *http.Request, purposes ...string) (*opened, error) {
	parse := oauth.ParseQuery
	if r.Method == http.MethodPost {
		parse = oauth.ParseForm
	}
	form, err := parse(r)
	if err != nil {
		return nil, err
	}
	if r.Method == http.MethodPost {
		if err := e.Browsers.CheckForm(r, form); err != nil {
			return nil, err
		}
	}
	s := &opened{form: form, token: form.Get("ticket")}
	s.ticket, err = e.Links.Store.Ticket(r.Context(), hash(s.token), e.Links.Now())
	if err == nil {
		for _, purpose := range purposes {
			if s.ticket.Purpose == purpose {
				return s, nil
			}
		}
		err = fmt.Errorf("it is for another purpose: %s", s.ticket.Purpose)
	}
	if isDead(err) || s.ticket != nil {
		return nil, e.dead(w, r, purposes[0], err)
	}
	return nil, err
}

func isDead(err error) bool {
	return errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrExpired) || errors.Is(err, store.ErrNotLive)
}

// dead answers that a link is not good any more. Which of the reasons it is, is for the
// operator to know.
func (e *Endpoint) dead(w http.ResponseWriter, r *http.Request, purpose string, why error) error {
	web.EventOf(r.Context()).Failure = oauth.Refuse(oauth.InvalidRequest, "the link cannot be used any more", fmt.Errorf("%w: %w", errDead, why))
	page := web.ResultPage{Result: web.ResultLinkDead, NextURL: e.Base + Path, Self: e.Base + linkPaths[purpose]}
	if purpose == store.TicketReset && e.Links.Sends {
		page.Again, page.NextURL = true, e.Base+ForgottenPath
	}
	return e.Pages.Render(w, r, http.StatusGone, page)
}

// self is the address of the page of a link, for the language switch.
func (e *Endpoint) self(path, token string) string {
	return e.Base + path + "?ticket=" + url.QueryEscape(token)
}

// NewPassword lets whoever has a link for it choose a password. It signs nobody in: a
// second factor is asked for as always. But the browser is known from then on, or who
// guesses at the account would keep its owner out even so.
func (e *Endpoint) NewPassword(w http.ResponseWriter, r *http.Request) error {
	s, err := e.openTicket(w, r, store.TicketReset, store.TicketInvitation)
	if s == nil || err != nil {
		return err
	}
	page := web.NewPasswordPage{Invitation: s.ticket.Purpose == store.TicketInvitation, Ticket: s.token, Username: s.ticket.Username}
	if r.Method != http.MethodPost {
		return e.showNewPassword(w, r, http.StatusOK, page)
	}
	user, err := e.Links.Store.User(r.Context(), s.ticket.UserID)
	if err != nil {
		return err
	}
	hash, refused, err := e.newPassword(r.Context(), s.form.Get("password"), user)
	if err != nil {
		return err
	}
	if refused.status != 0 {
		page.Problem, page.Busy, page.RetryAfter = refused.problem, refused.busy, refused.retryAfter
		return e.showNewPassword(w, r, refused.status, page)
	}
	err = e.Links.Store.UsePasswordTicket(r.Context(), s.ticket, hash, e.Links.Now(), By(r.Context(), s.ticket.UserID))
	if isDead(err) {
		return e.dead(w, r, s.ticket.Purpose, err)
	}
	if err != nil {
		return err
	}
	if err := e.Sessions.Know(w, r, user); err != nil {
		return err
	}
	if page.Invitation {
		return web.Redirect(w, e.Base+InvitedPath)
	}
	return web.Redirect(w, e.Base+PasswordSetPath)
}

// A passwordRefusal is why a password was not taken; its status is 0 when it was.
type passwordRefusal struct {
	problem    web.PasswordProblem
	busy       bool
	retryAfter int // seconds
	status     int
}

// newPassword hashes a password that a user may have.
func (e *Endpoint) newPassword(ctx context.Context, password string, u *store.User) (hash string, refused passwordRefusal, err error) {
	hash, err = e.Passwords.HashNew(ctx, e.Authenticator.Hasher, password, OwnNames(u)...)
	if wrong, ok := errors.AsType[*PasswordError](err); ok {
		web.EventOf(ctx).Failure = oauth.Refuse(oauth.InvalidRequest, "the password may not be set", err)
		return "", passwordRefusal{problem: wrong.Problem, status: http.StatusUnprocessableEntity}, nil
	}
	if away, ok := errors.AsType[*web.StatusError](err); ok && away.Status == http.StatusServiceUnavailable {
		web.EventOf(ctx).Failure = err
		return "", passwordRefusal{busy: true, retryAfter: int(away.RetryAfter.Seconds()) + 1, status: away.Status}, nil
	}
	return hash, refused, err
}

func (e *Endpoint) showNewPassword(w http.ResponseWriter, r *http.Request, status int, page web.NewPasswordPage) error {
	page.Action, page.Self = e.Base+PasswordPath, e.self(PasswordPath, page.Ticket)
	page.FormToken = e.Browsers.FormToken(e.Browsers.ID(w, r))
	return e.Pages.Render(w, r, status, page)
}

// mailedMark has the page say that a link is on its way, which comes after the set-up.
const mailedMark = "mailed"

// Result shows what came of a form, at an address of its own.
func (e *Endpoint) Result(result web.Result, path string) web.Handler {
	next := Path
	if result == web.ResultEmailConfirmed { // by somebody who may be signed in
		next = AccountPath
	}
	return func(w http.ResponseWriter, r *http.Request) error {
		return e.Pages.Render(w, r, http.StatusOK, web.ResultPage{
			Result: result, NextURL: e.Base + next, Self: e.Base + path,
			Mailed: result == web.ResultSetUp && r.URL.Query().Has(mailedMark),
		})
	}
}

// ConfirmEmail makes the address that a link was sent to the user's.
func (e *Endpoint) ConfirmEmail(w http.ResponseWriter, r *http.Request) error {
	s, err := e.openTicket(w, r, store.TicketEmail)
	if s == nil || err != nil {
		return err
	}
	if r.Method == http.MethodPost {
		err := e.Links.Store.UseEmailTicket(r.Context(), s.ticket, e.Links.Now(), By(r.Context(), s.ticket.UserID))
		if isDead(err) {
			return e.dead(w, r, s.ticket.Purpose, err)
		}
		if err != nil {
			return err
		}
		return web.Redirect(w, e.Base+EmailDonePath)
	}
	return e.Pages.Render(w, r, http.StatusOK, web.ConfirmEmailPage{
		Action: e.Base + EmailPath, Ticket: s.token, Username: s.ticket.Username, Email: s.ticket.NewEmail,
		FormToken: e.Browsers.FormToken(e.Browsers.ID(w, r)), Self: e.self(EmailPath, s.token),
	})
}

// FirstAdmin lets whoever has the link that the server printed make the first administrator.
func (e *Endpoint) FirstAdmin(w http.ResponseWriter, r *http.Request) error {
	s, err := e.openTicket(w, r, store.TicketSetUp)
	if s == nil || err != nil {
		return err
	}
	page := web.FirstAdminPage{Ticket: s.token, Username: strings.TrimSpace(s.form.Get("username")), Email: strings.TrimSpace(s.form.Get("email"))}
	if r.Method != http.MethodPost {
		return e.showFirstAdmin(w, r, http.StatusOK, page)
	}
	user, status, err := e.firstAdmin(r, &page, s.form.Get("password"))
	if err != nil {
		return err
	}
	if status != 0 {
		return e.showFirstAdmin(w, r, status, page)
	}
	err = e.Links.Store.SetUp(r.Context(), s.ticket.Hash, user, e.Links.Now(), By(r.Context(), user.ID))
	switch {
	case errors.Is(err, store.ErrConflict):
		page.NameProblem = web.NameTaken
		return e.showFirstAdmin(w, r, http.StatusUnprocessableEntity, page)
	case isDead(err):
		return e.dead(w, r, s.ticket.Purpose, err)
	case err != nil:
		return err
	}
	if !e.Links.Sends {
		return web.Redirect(w, e.Base+FirstAdminDonePath)
	}
	if err := e.Links.ChangeEmail(r.Context(), user.ID, 0, user.Email, user.Locale, By(r.Context(), user.ID)); err != nil {
		web.EventOf(r.Context()).Failure = err // the account is there; the address can be confirmed later
		return web.Redirect(w, e.Base+FirstAdminDonePath)
	}
	return web.Redirect(w, e.Base+FirstAdminDonePath+"?"+mailedMark)
}

// firstAdmin is the user that the form of the set-up page describes; with a status, when
// the page says what is wrong with it.
func (e *Endpoint) firstAdmin(r *http.Request, page *web.FirstAdminPage, password string) (u *store.User, status int, err error) {
	u = &store.User{ID: store.NewUserID(), Username: page.Username, Email: page.Email, Admin: true, Locale: e.Pages.Language(r, ""), CreatedAt: e.Links.Now()}
	if u.UsernameKey, err = CheckUsername(page.Username); err != nil {
		page.NameProblem = web.NameOdd
	}
	if page.Username == "" {
		page.NameProblem = web.NameMissing
	}
	page.EmailWrong = !IsEmail(page.Email)
	hash, refused, err := e.newPassword(r.Context(), password, u)
	if err != nil {
		return nil, 0, err
	}
	u.Password, page.Problem, page.Busy, page.RetryAfter = hash, refused.problem, refused.busy, refused.retryAfter
	if refused.status == 0 && (page.NameProblem != "" || page.EmailWrong) {
		return nil, http.StatusUnprocessableEntity, nil
	}
	return u, refused.status, nil
}

func (e *Endpoint) showFirstAdmin(w http.ResponseWriter, r *http.Request, status int, page web.FirstAdminPage) error {
	page.Action, page.Self = e.Base+FirstAdminPath, e.self(FirstAdminPath, page.Ticket)
	if len(page.Username) > maxUsername {
		page.Username = ""
	}
	if len(page.Email) > maxEmail {
		page.Email = ""
	}
	page.FormToken = e.Browsers.FormToken(e.Browsers.ID(w, r))
	return e.Pages.Render(w, r, status, page)
}

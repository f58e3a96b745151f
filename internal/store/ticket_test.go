package store_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/store"
)

const address = "alice@example.com"

// withAddress makes a user whose address is known, and verified or not.
func withAddress(t testing.TB, s *store.Store, name, email string, verified bool) *store.User {
	t.Helper()
	u := &store.User{ID: store.NewUserID(), Username: name, UsernameKey: strings.ToLower(name), Password: "hash", Email: email, EmailVerified: verified, CreatedAt: now, Locale: "zh"}
	must(t, s.CreateUser(t.Context(), u, by))
	u, err := s.User(t.Context(), u.ID)
	must(t, err)
	return u
}

// linkFor is a link for a user that was not made yet.
func linkFor(u *store.User, purpose, hash, newEmail string) *store.Ticket {
	return &store.Ticket{Hash: hash, Purpose: purpose, UserID: u.ID, NewEmail: newEmail, CreatedAt: now, ExpiresAt: now.Add(30 * time.Minute)}
}

// made makes a link and reads it back.
func made(t testing.TB, s *store.Store, ticket *store.Ticket) *store.Ticket {
	t.Helper()
	must(t, s.MakeTicket(t.Context(), ticket, nil, by))
	found, err := s.Ticket(t.Context(), ticket.Hash, now)
	must(t, err)
	return found
}

// mailsOf are the mails that wait, in words, and which now wait for nobody.
func mailsOf(t testing.TB, s *store.Store) (all []string) {
	t.Helper()
	mails, err := s.ClaimMails(t.Context(), now.Add(time.Hour), 100)
	must(t, err)
	for _, m := range mails {
		all = append(all, m.Kind+" to "+m.Recipient)
		must(t, s.SettleMail(t.Context(), &m))
	}
	slices.Sort(all)
	return all
}

// A link sets the password once, ends what was made under the old one (SE-05), proves the
// address that it was sent to, and says what it is before it is used.
func TestUsePasswordTicket(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		for name, tt := range map[string]struct {
			purpose  string
			verified bool
			sent     bool
			event    string
		}{
			"reset, sent":             {store.TicketReset, true, true, store.EventUserPassword},
			"reset, handed over":      {store.TicketReset, false, false, store.EventUserPassword},
			"invitation, sent":        {store.TicketInvitation, false, true, store.EventInvitationUsed},
			"invitation, handed over": {store.TicketInvitation, false, false, store.EventInvitationUsed},
		} {
			p := open(t)
			u := withAddress(t, p, "Alice", address, tt.verified)
			must(t, p.CreateSession(t.Context(), &store.Session{SID: "sid", UserID: u.ID, UserEpoch: u.Epoch, AuthTime: now, CreatedAt: now, ExpiresAt: now.Add(time.Hour)}, "id", "", by))
			to := ""
			if tt.sent {
				to = address
			}
			link := made(t, p, linkFor(u, tt.purpose, "hash of link", to))
			if diff := cmp.Diff(&store.Ticket{Hash: "hash of link", Purpose: tt.purpose, UserID: u.ID, UserEmail: address, NewEmail: to, Username: "Alice", UsernameKey: "alice", CreatedAt: now, ExpiresAt: now.Add(30 * time.Minute)}, link); diff != "" {
				t.Errorf("%s: the link (-want +got):\n%s", name, diff)
			}
			must(t, p.UsePasswordTicket(t.Context(), link, "new hash", now.Add(time.Minute), by))
			after, err := p.User(t.Context(), u.ID)
			must(t, err)
			if after.Password != "new hash" || after.Epoch != u.Epoch+1 || after.EmailVerified != (tt.verified || tt.sent) || after.Email != address || !after.UpdatedAt.Equal(now.Add(time.Minute)) {
				t.Errorf("%s: the user is %+v", name, after)
			}
			if e := lastEvent(t, p); e.Kind != tt.event || e.UserID != u.ID || e.Detail != tt.purpose {
				t.Errorf("%s: recorded %+v", name, e)
			}
			want(t, name+": the session", second(p.Session(t.Context(), "id", now.Add(time.Minute), time.Hour)), store.ErrNotFound)
			want(t, name+": used again", p.UsePasswordTicket(t.Context(), link, "other hash", now.Add(time.Minute), by), store.ErrNotFound)
			want(t, name+": read again", second(p.Ticket(t.Context(), link.Hash, now.Add(time.Minute))), store.ErrNotFound)
		}
	})
}

// A link is dead after a newer one of its purpose, a change of the password or of the
// address, when the user is disabled or deleted, and when its time is over (PW-05). The
// read for the page and the statement that decides agree.
func TestTicketDies(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		for name, tt := range map[string]struct {
			happens func(s *store.Store, u *store.User) error
			read    error
		}{
			"a newer one": {func(s *store.Store, u *store.User) error {
				return s.MakeTicket(context.Background(), linkFor(u, store.TicketReset, "newer", address), nil, by)
			}, store.ErrNotFound},
			"a password": {func(s *store.Store, u *store.User) error {
				return s.SetPassword(context.Background(), u.ID, "x", now, by)
			}, store.ErrNotLive},
			"another address": {func(s *store.Store, u *store.User) error {
				changed := *u
				changed.Email = "other@example.com"
				return s.UpdateUser(context.Background(), u, &changed, now, by)
			}, store.ErrNotLive},
			"disabled": {func(s *store.Store, u *store.User) error {
				return s.DisableUser(context.Background(), u.ID, now, by)
			}, store.ErrNotLive},
			"disabled and enabled": {func(s *store.Store, u *store.User) error {
				if err := s.DisableUser(context.Background(), u.ID, now, by); err != nil {
					return err
				}
				return s.EnableUser(context.Background(), u.ID, now, by)
			}, store.ErrNotLive},
			"everything was ended": {func(s *store.Store, u *store.User) error {
				return s.RevokeAll(context.Background(), now, by)
			}, store.ErrNotFound},
			"deleted": {func(s *store.Store, u *store.User) error {
				return s.DeleteUser(context.Background(), u.ID, now, by)
			}, store.ErrNotFound},
		} {
			s := open(t)
			u := withAddress(t, s, "alice", address, true)
			link := made(t, s, linkFor(u, store.TicketReset, "hash", address))
			email := made(t, s, linkFor(u, store.TicketEmail, "hash of email", "new@example.com"))
			must(t, tt.happens(s, u))
			want(t, name+": read", second(s.Ticket(t.Context(), link.Hash, now)), tt.read)
			want(t, name+": used", s.UsePasswordTicket(t.Context(), link, "new", now, by), store.ErrNotFound)
			if name != "a newer one" { // of another purpose
				want(t, name+": the address", s.UseEmailTicket(t.Context(), email, now, by), store.ErrNotFound)
			}
		}
		s := open(t)
		u := withAddress(t, s, "alice", address, true)
		link := made(t, s, linkFor(u, store.TicketReset, "hash", address))
		late := now.Add(30 * time.Minute)
		want(t, "too late to read", second(s.Ticket(t.Context(), link.Hash, late)), store.ErrExpired)
		want(t, "too late to use", s.UsePasswordTicket(t.Context(), link, "new", late, by), store.ErrNotFound)
		must(t, s.UsePasswordTicket(t.Context(), link, "new", late.Add(-time.Second), by))
		// A link for one thing does nothing else.
		email := made(t, s, linkFor(u, store.TicketEmail, "hash of email", "new@example.com"))
		want(t, "a password by a link for the address", s.UsePasswordTicket(t.Context(), email, "new", now, by), store.ErrNotFound)
		reset := made(t, s, linkFor(u, store.TicketReset, "hash of reset", address))
		want(t, "the address by a link for a password", s.UseEmailTicket(t.Context(), reset, now, by), store.ErrNotFound)
	})
}

// To whom a link is made, and how: a new password only goes to an address that is
// verified, an invitation to the one the operator named, and nothing to nobody.
func TestMakeTicket(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		verified, typed := withAddress(t, s, "verified", "v@example.com", true), withAddress(t, s, "typed", "t@example.com", false)
		none, disabled := withAddress(t, s, "none", "", false), withAddress(t, s, "disabled", "d@example.com", true)
		must(t, s.DisableUser(t.Context(), disabled.ID, now, by))
		signedOut := linkFor(verified, store.TicketEmail, "12", "thief@example.com")
		signedOut.UserEpoch = verified.Epoch
		must(t, s.SetPassword(t.Context(), verified.ID, "another", now, by))
		for name, tt := range map[string]struct {
			ticket *store.Ticket
			want   error
		}{
			"reset to a verified address": {linkFor(verified, store.TicketReset, "1", "v@example.com"), nil},
			"reset to a typed one":        {linkFor(typed, store.TicketReset, "2", "t@example.com"), store.ErrNotLive},
			"reset to another one":        {linkFor(verified, store.TicketReset, "3", "t@example.com"), store.ErrNotLive},
			"reset, handed over":          {linkFor(none, store.TicketReset, "4", ""), nil},
			"reset, disabled":             {linkFor(disabled, store.TicketReset, "5", "d@example.com"), store.ErrNotLive},
			"handed over, disabled":       {linkFor(disabled, store.TicketReset, "6", ""), store.ErrNotLive},
			"invitation to a typed one":   {linkFor(typed, store.TicketInvitation, "7", "t@example.com"), nil},
			"invitation to another one":   {linkFor(typed, store.TicketInvitation, "8", "v@example.com"), store.ErrNotLive},
			"another address":             {linkFor(typed, store.TicketEmail, "9", "n@example.com"), nil},
			"another address, disabled":   {linkFor(disabled, store.TicketEmail, "10", "n@example.com"), store.ErrNotLive},
			"nobody":                      {linkFor(&store.User{ID: "nobody"}, store.TicketReset, "11", ""), store.ErrNotLive},
			"by who was signed out since": {signedOut, store.ErrNotLive}, // (SE-05)
		} {
			want(t, name, s.MakeTicket(t.Context(), tt.ticket, &store.Mail{Kind: "k", Sealed: "s"}, by), tt.want)
		}
		wantCount(t, s, "mails", 4, `SELECT COUNT(*) FROM mail WHERE sealed = 's' AND language = 'zh'`)
		wantCount(t, s, "links of one purpose", 1, `SELECT COUNT(*) FROM ticket WHERE user_id = $1`, verified.ID)
	})
}

// Of a hundred who use one link at once, on several servers, one sets the password; and
// so with an address (PW-05).
func TestTicketRace(t *testing.T) {
	t.Parallel()
	eachFleet(t, func(t *testing.T, f *fleet) {
		u := withAddress(t, f.Store, "zoe", address, true)
		for round := range 3 {
			link := made(t, f.Store, linkFor(u, store.TicketReset, fmt.Sprint("hash ", round), u.Email))
			email := made(t, f.Store, linkFor(u, store.TicketEmail, fmt.Sprint("email ", round), fmt.Sprintf("new%d@example.com", round)))
			var changed atomic.Int64
			won := 0
			for i, err := range atOnce(100, func(n int) error {
				if n%2 == 0 {
					return f.server(n).UsePasswordTicket(t.Context(), link, fmt.Sprint("password ", n), now, by)
				}
				err := f.server(n).UseEmailTicket(t.Context(), email, now, by)
				if err == nil {
					changed.Add(1)
				}
				return err
			}) {
				if i%2 == 0 && err == nil {
					won++
				} else if err != nil {
					want(t, "one who lost", err, store.ErrNotFound)
				}
			}
			// The two disturb each other: a password ends the link for the address, and the
			// other way round. Neither works twice.
			if won > 1 || changed.Load() > 1 || int64(won)+changed.Load() != 1 {
				t.Errorf("round %d: %d set the password, and %d the address", round, won, changed.Load())
			}
			var err error
			u, err = f.User(t.Context(), u.ID)
			must(t, err)
		}
	})
}

// The address of a link becomes the user's; the old one is told if it was verified
// (AC-02).
func TestUseEmailTicket(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		for name, tt := range map[string]struct {
			from     string
			verified bool
			to       string
			event    string
			told     []string
		}{
			"another one":             {"old@example.com", true, "new@example.com", store.EventEmailChanged, []string{"email_changed to old@example.com"}},
			"another, none verified":  {"old@example.com", false, "new@example.com", store.EventEmailChanged, nil},
			"the first":               {"", false, "new@example.com", store.EventEmailChanged, nil},
			"the same, not yet right": {"old@example.com", false, "old@example.com", store.EventEmailVerified, nil},
		} {
			s := open(t)
			must(t, s.SetSendsMail(t.Context(), true))
			u := withAddress(t, s, "alice", tt.from, tt.verified)
			link := made(t, s, linkFor(u, store.TicketEmail, "hash", tt.to))
			reset := made(t, s, linkFor(u, store.TicketReset, "hash of reset", ""))
			must(t, s.UseEmailTicket(t.Context(), link, now, by))
			after, err := s.User(t.Context(), u.ID)
			must(t, err)
			if after.Email != tt.to || !after.EmailVerified || after.Epoch != u.Epoch || after.Password != u.Password {
				t.Errorf("%s: the user is %+v", name, after)
			}
			if e := lastEvent(t, s); e.Kind != tt.event || e.UserID != u.ID {
				t.Errorf("%s: recorded %+v", name, e)
			}
			if told := mailsOf(t, s); !slices.Equal(told, tt.told) {
				t.Errorf("%s: told %q", name, told)
			}
			events := count(t, s, `SELECT COUNT(*) FROM event`)
			want(t, name+": again", s.UseEmailTicket(t.Context(), link, now, by), store.ErrNotFound)
			want(t, name+": a link from before", s.UsePasswordTicket(t.Context(), reset, "x", now, by), store.ErrNotFound)
			if told := mailsOf(t, s); len(told) > 0 || count(t, s, `SELECT COUNT(*) FROM event`) != events {
				t.Errorf("%s: a link that was used told %q", name, told)
			}
		}
	})
}

// An address that somebody else in force has confirmed stays theirs alone, in whatever
// case it is written; nobody is told anything (LG-06).
func TestUseEmailTicketOfAnother(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		for name, tt := range map[string]struct {
			verified bool
			end      func(s *store.Store, id string) error
			verdict  error
		}{
			"confirmed by another":     {true, nil, store.ErrNotFound},
			"not confirmed by another": {false, nil, nil},
			"of one who is gone":       {true, func(s *store.Store, id string) error { return s.DeleteUser(t.Context(), id, now, by) }, nil},
			"of one who is disabled":   {true, func(s *store.Store, id string) error { return s.DisableUser(t.Context(), id, now, by) }, nil},
		} {
			s := open(t)
			must(t, s.SetSendsMail(t.Context(), true))
			other := withAddress(t, s, "other", "Shared@example.com", tt.verified)
			if tt.end != nil {
				must(t, tt.end(s, other.ID))
			}
			u := withAddress(t, s, "alice", "alice@example.com", true)
			link := made(t, s, linkFor(u, store.TicketEmail, "hash", "shared@EXAMPLE.com"))
			events := count(t, s, `SELECT COUNT(*) FROM event`)
			want(t, name, s.UseEmailTicket(t.Context(), link, now, by), tt.verdict)
			after, err := s.User(t.Context(), u.ID)
			must(t, err)
			if changed := after.Email == "shared@EXAMPLE.com"; changed != (tt.verdict == nil) {
				t.Errorf("%s: she has %s", name, after.Email)
			}
			if told := mailsOf(t, s); tt.verdict != nil && (len(told) > 0 || count(t, s, `SELECT COUNT(*) FROM event`) != events) {
				t.Errorf("%s: told %q", name, told)
			}
		}
	})
}

// The first administrator is made once, by whichever link of whichever server; then it is
// closed for good, also when the administrator is gone (PW-08).
func TestSetUp(t *testing.T) {
	t.Parallel()
	link := func(hash string) *store.Ticket {
		return &store.Ticket{Hash: hash, CreatedAt: now, ExpiresAt: now.Add(24 * time.Hour)}
	}
	admin := func(name string) *store.User {
		return &store.User{ID: store.NewUserID(), Username: name, UsernameKey: name, Password: "hash", Admin: true, CreatedAt: now}
	}
	eachFleet(t, func(t *testing.T, f *fleet) {
		user(t, f.Store, "taken")
		for i, err := range atOnce(9, func(n int) error {
			open, err := f.server(n).OpenSetUp(t.Context(), link(fmt.Sprint("link ", n)), now)
			if err == nil && !open {
				err = store.ErrConflict
			}
			return err
		}) {
			want(t, fmt.Sprint("server ", i), err, nil)
		}
		for i := range 9 {
			must(t, second(f.Ticket(t.Context(), fmt.Sprint("link ", i), now)))
		}
		want(t, "a link that is none", f.SetUp(t.Context(), "guessed", admin("root"), now, by), store.ErrNotFound)
		want(t, "a link for another thing", f.SetUp(t.Context(), made(t, f.Store, linkFor(f.user, store.TicketReset, "reset", "")).Hash, admin("root"), now, by), store.ErrNotFound)
		want(t, "too late", f.SetUp(t.Context(), "link 0", admin("root"), now.Add(24*time.Hour), by), store.ErrNotFound)
		want(t, "a name that is taken", f.SetUp(t.Context(), "link 0", admin("taken"), now, by), store.ErrConflict)
		won := 0
		for _, err := range atOnce(100, func(n int) error {
			return f.server(n).SetUp(t.Context(), fmt.Sprint("link ", n%9), admin(fmt.Sprint("root", n)), now, by)
		}) {
			if err == nil {
				won++
			} else {
				want(t, "one who lost", err, store.ErrNotFound)
			}
		}
		if admins := count(t, f.Store, `SELECT COUNT(*) FROM end_user WHERE admin`); won != 1 || admins != 1 {
			t.Fatalf("%d have set it up, and there are %d administrators", won, admins)
		}
		users, err := f.Users(t.Context(), "", 100)
		must(t, err)
		for _, u := range users {
			if u.Admin {
				must(t, f.DeleteUser(t.Context(), u.ID, now, by))
			}
		}
		open, err := f.OpenSetUp(t.Context(), link("later"), now)
		must(t, err)
		if open {
			t.Error("it opens again when the administrator is gone")
		}
		want(t, "an old link", f.SetUp(t.Context(), "link 0", admin("late"), now, by), store.ErrNotFound)
	})
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		must(t, s.CreateUser(t.Context(), admin("root"), by))
		must(t, s.DeleteUser(t.Context(), theAdmin(t, s), now, by))
		if open, err := s.OpenSetUp(t.Context(), link("again"), now); err != nil || open {
			t.Errorf("open although there was an administrator: %v, %v", open, err)
		}
	})
}

func theAdmin(t testing.TB, s *store.Store) string {
	t.Helper()
	u, err := s.UserByName(t.Context(), "root")
	must(t, err)
	return u.ID
}

// By which names somebody is found who signs in.
func TestUserBySignIn(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		withAddress(t, s, "alice", "Alice@Example.com", true)
		withAddress(t, s, "typed", "typed@example.com", false)
		withAddress(t, s, "one", "two@example.com", true)
		withAddress(t, s, "two", "TWO@example.com", true)
		withAddress(t, s, "shared", "shared@example.com", true)
		must(t, s.DisableUser(t.Context(), withAddress(t, s, "gone", "shared@example.com", true).ID, now, by))
		must(t, s.DisableUser(t.Context(), withAddress(t, s, "disabled", "disabled@example.com", true).ID, now, by))
		withAddress(t, s, "named@example.com", "", false)
		withAddress(t, s, "other", "named@example.com", true)
		for name, want := range map[string]string{
			"alice": "alice", "alice@example.com": "alice", "ALICE@EXAMPLE.COM": "alice", "typed@example.com": "", "two@example.com": "", "shared@example.com": "shared",
			"disabled@example.com": "", "disabled": "disabled", "named@example.com": "named@example.com", "nobody@example.com": "", "": "", "%@example.com": "",
		} {
			u, err := s.UserBySignIn(t.Context(), strings.ToLower(name), name)
			if u == nil || err != nil {
				u = &store.User{}
			}
			if u.UsernameKey != want || (err == nil) != (want != "") {
				t.Errorf("%q finds %q, %v; want %q", name, u.UsernameKey, err, want)
			}
		}
	})
}

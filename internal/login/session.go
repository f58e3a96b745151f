package login

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// Sessions keeps who is signed in where. The cookie holds what names the sign-in, and 256
// random bits; the database only the hash of both.
type Sessions struct {
	Store    *store.Store
	Cookies  web.Cookies
	Now      func() time.Time
	Idle     time.Duration // without use
	Lifetime time.Duration // absolute
	// Remembered is how long a device may stand in for the second factor that was used on
	// it; 0 means that none does.
	Remembered time.Duration
	// Seal and Open protect the device cookie.
	Seal func(plain []byte) (string, error)
	Open func(sealed string) ([]byte, error)
}

const (
	sessionCookie = "session"
	deviceCookie  = "device"
	deviceAge     = 400 * 24 * time.Hour // the longest a browser keeps a cookie
	signInLength  = 16
)

func hash(id string) string {
	sum := sha256.Sum256([]byte(id))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func randomID() string {
	id := make([]byte, 32)
	rand.Read(id)
	return base64.RawURLEncoding.EncodeToString(id)
}

// Current returns the live session of a browser; nil when nobody is signed in.
func (s *Sessions) Current(r *http.Request) (*store.Session, error) {
	session, err := s.find(r, s.Idle)
	if session == nil || err != nil {
		return nil, err
	}
	web.EventOf(r.Context()).UserID = session.UserID
	if now := s.Now(); session.SeenAt.Add(time.Minute).Before(now) {
		err = s.Store.TouchSession(r.Context(), hash(s.Cookies.Get(r, sessionCookie)), now)
	}
	return session, err
}

// Idled returns the session of a browser however long it was not used: nobody is signed
// in by it any more, but it has not ended. It is nil when there is none.
func (s *Sessions) Idled(r *http.Request) (*store.Session, error) { return s.find(r, s.Lifetime) }

func (s *Sessions) find(r *http.Request, idle time.Duration) (*store.Session, error) {
	id := s.Cookies.Get(r, sessionCookie)
	if id == "" || len(id) > 64 {
		return nil, nil
	}
	session, err := s.Store.Session(r.Context(), hash(id), s.Now(), idle)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return session, nil
}

// Mark is a name of the sign-in that the browser's session began with; "" when the browser
// has none. A session that goes on under a new id keeps it. A request that demands a new
// sign-in remembers the one it found.
func (s *Sessions) Mark(r *http.Request) string {
	if id := s.Cookies.Get(r, sessionCookie); id != "" {
		return signInOf(id)
	}
	return ""
}

// newID makes the id of a session: what names its sign-in, and 256 random bits.
func newID(signIn string) string { return signIn + "." + randomID() }

// signInOf is what names the sign-in in the id of a session. For an id from before ids had
// such a name it is what the release called it that made the id.
func signInOf(id string) string {
	if signIn, _, ok := strings.Cut(id, "."); ok {
		return signIn[:min(len(signIn), signInLength)]
	}
	return hash("mark " + id)[:signInLength]
}

// Begin signs a user in: a new session under a new id, in place of the one the
// browser had. amr are the methods by which they proved who they are, RFC 8176.
func (s *Sessions) Begin(w http.ResponseWriter, r *http.Request, user *store.User, amr ...string) error {
	return s.begin(w, r, user, proof{amr: amr, at: s.Now()})
}

// A proof is how and when somebody proved who they are.
type proof struct {
	amr    []string
	at     time.Time
	factor string // the second factor that this device stands in for from now on; "" for none
	adds   bool   // to what the session of the browser has proved already
}

func (s *Sessions) begin(w http.ResponseWriter, r *http.Request, user *store.User, p proof) error {
	old, signIn := s.Cookies.Get(r, sessionCookie), randomID()[:signInLength]
	if p.adds {
		signIn = signInOf(old)
	}
	now, id, event := s.Now(), newID(signIn), web.EventOf(r.Context())
	session := &store.Session{
		SID: randomID()[:22], UserID: user.ID, UserEpoch: user.Epoch, AuthTime: p.at, ACR: acrOf(p.amr), AMR: strings.Join(p.amr, " "),
		Address: event.Address, UserAgent: bounded(r.UserAgent()), CreatedAt: now, ExpiresAt: p.at.Add(s.Lifetime),
		NewDevice: s.Device(r, user.UsernameKey) == "", Continues: p.adds,
	}
	replaced := ""
	if old != "" {
		replaced = hash(old)
	}
	if err := s.Store.CreateSession(r.Context(), session, hash(id), replaced, By(r.Context(), user.ID)); err != nil {
		return err
	}
	event.UserID = user.ID
	s.Cookies.Set(w, sessionCookie, id, s.Lifetime)
	s.Cookies.SetShared(w, stateCookie, stateOf(id), s.Lifetime)
	return s.remember(w, r, user, p.factor)
}

// StepUp has somebody who is signed in pass a second factor as well, by a code: the session goes on
// under a new id. When the rest was proved stays as it was, and so does its end. A session
// that was ended meanwhile is store.ErrNotLive. factor is the second factor
// that the device stands in for from now on; "" for none.
func (s *Sessions) StepUp(w http.ResponseWriter, r *http.Request, user *store.User, was *store.Session, factor string) error {
	return s.stepUp(w, r, user, was, methodOTP, factor)
}

// stepUp does so by any method.
func (s *Sessions) stepUp(w http.ResponseWriter, r *http.Request, user *store.User, was *store.Session, method, factor string) error {
	as := *user
	as.Epoch = was.UserEpoch // what was proved before counts for that one alone
	return s.begin(w, r, &as, proof{withSecondFactor(strings.Fields(was.AMR), method), was.AuthTime, factor, true})
}

// Continue gives a browser a new session in place of was, for somebody who stays signed in
// although the epoch of the user has moved on: it was proved as before who they are, and
// when.
func (s *Sessions) Continue(w http.ResponseWriter, r *http.Request, was *store.Session, epoch int64) error {
	old := s.Cookies.Get(r, sessionCookie)
	now, id, event := s.Now(), newID(signInOf(old)), web.EventOf(r.Context())
	session := &store.Session{
		SID: randomID()[:22], UserID: was.UserID, UserEpoch: epoch, AuthTime: was.AuthTime, ACR: was.ACR, AMR: was.AMR,
		Address: event.Address, UserAgent: bounded(r.UserAgent()), CreatedAt: now, ExpiresAt: was.AuthTime.Add(s.Lifetime), Continues: true,
	}
	if err := s.Store.CreateSession(r.Context(), session, hash(id), hash(old), By(r.Context(), was.UserID)); err != nil {
		return err
	}
	s.Cookies.Set(w, sessionCookie, id, s.Lifetime)
	s.Cookies.SetShared(w, stateCookie, stateOf(id), s.Lifetime)
	return nil
}

// bounded keeps a text that a browser sent to what is worth keeping.
func bounded(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s[:min(len(s), 256)], "\x00", ""), "")
}

// End signs the browser out.
func (s *Sessions) End(ctx context.Context, w http.ResponseWriter, r *http.Request) (ended store.EndedSession, err error) {
	if id := s.Cookies.Get(r, sessionCookie); id != "" {
		event := web.EventOf(ctx)
		if ended, err = s.Store.EndSession(ctx, hash(id), s.Now(), store.By{Actor: event.UserID, Address: event.Address, RequestID: event.RequestID}); err != nil {
			return ended, err
		}
	}
	return ended, s.Clear(w, r)
}

// Clear takes a session that has ended from its browser.
func (s *Sessions) Clear(w http.ResponseWriter, r *http.Request) error {
	s.Cookies.Clear(w, sessionCookie)
	s.Cookies.SetShared(w, stateCookie, "", 0)
	return s.forget(w, r)
}

// A device is what the device cookie says: users who have signed in with this
// browser, or have chosen their password there. It opens nothing; it only has a budget of
// guesses of its own.
type device struct {
	ID    string   `json:"i"`
	Users []string `json:"u"`
	// Names are those of users who have signed in and not out again, the last one first:
	// accounts to choose from.
	Names []string `json:"n,omitempty"`
	// Factors are the second factors that this browser stands in for, the last one first.
	Factors []deviceFactor `json:"f,omitempty"`
}

// maxDeviceUsers bounds the cookie of a browser that many share.
const maxDeviceUsers = 8

// Device returns the id of the browser when the user of a name is known in it; ""
// otherwise.
func (s *Sessions) Device(r *http.Request, usernameKey string) string {
	d := s.device(r)
	for _, u := range d.Users {
		if u == deviceUser(d.ID, usernameKey) {
			return d.ID
		}
	}
	return ""
}

func deviceUser(id, usernameKey string) string { return hash("device " + id + " " + usernameKey)[:16] }

func (s *Sessions) device(r *http.Request) (d device) {
	if sealed := s.Cookies.Get(r, deviceCookie); sealed != "" {
		if plain, err := s.Open(sealed); err == nil && json.Unmarshal(plain, &d) == nil {
			return d
		}
	}
	return device{ID: randomID()[:22]}
}

// remember notes that a user has signed in with this browser, and for which second factor
// it stands in from now on; "" changes nothing about that.
func (s *Sessions) remember(w http.ResponseWriter, r *http.Request, user *store.User, factor string) error {
	d := s.device(r)
	if factor != "" {
		d.standIn(user, factor, s.Now())
	}
	d.know(user)
	d.Names = append([]string{user.Username}, without(d.Names, user.Username)...)
	d.Names = d.Names[:min(len(d.Names), maxDeviceUsers)]
	return s.setDevice(w, d)
}

// Know makes a browser one that a user is known in, as if they had signed in there:
// strangers who guess at the password do not hold them up.
func (s *Sessions) Know(w http.ResponseWriter, r *http.Request, user *store.User) error {
	d := s.device(r)
	d.know(user)
	return s.setDevice(w, d)
}

func (d *device) know(user *store.User) {
	users := []string{deviceUser(d.ID, user.UsernameKey)}
	for _, u := range d.Users {
		if u != users[0] && len(users) < maxDeviceUsers {
			users = append(users, u)
		}
	}
	d.Users = users
}

// forget takes the name of whoever signs out off the browser's list: the last who has
// signed in.
func (s *Sessions) forget(w http.ResponseWriter, r *http.Request) error {
	d := s.device(r)
	if len(d.Names) == 0 || s.Cookies.Get(r, sessionCookie) == "" {
		return nil
	}
	d.Names = d.Names[1:]
	return s.setDevice(w, d)
}

// Accounts are the names of users who have signed in with this browser and not out again,
// the last one first. They may have been renamed, disabled or deleted meanwhile.
func (s *Sessions) Accounts(r *http.Request) []string { return s.device(r).Names }

// without is a list less one of its texts.
func without(list []string, text string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == text })
}

func (s *Sessions) setDevice(w http.ResponseWriter, d device) error {
	plain, err := json.Marshal(d)
	if err != nil {
		return err
	}
	sealed, err := s.Seal(plain)
	if err != nil {
		return err
	}
	s.Cookies.Set(w, deviceCookie, sealed, deviceAge)
	return nil
}

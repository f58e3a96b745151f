package login

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// Paths of the steps behind the password, below the issuer.
const (
	SecondFactorPath = "/login/second-factor"
	SetUpPath        = "/login/second-factor/set-up"
)

// halfLifetime is how long a sign-in may stand between its steps.
const halfLifetime = 10 * time.Minute

// SecondFactorURL is the page that asks somebody who is signed in for the second factor as
// well, and leads on to a path below the issuer.
func SecondFactorURL(base, path string) string {
	return base + SecondFactorPath + "?return=" + url.QueryEscape(path)
}

// A way is where a sign-in leads: on with the sealed request of an app, or back to a page
// of the account.
type way struct{ request, to string }

func (g way) mark() string { return hash("way " + g.request + " " + g.to)[:22] }

// A half is a sign-in that lacks its second step. It travels sealed in the address: there
// is no session yet, so to everybody else nobody has signed in.
type half struct {
	UserID  string   `json:"u"`
	Epoch   int64    `json:"e"`
	AMR     []string `json:"a"` // what was proved
	Browser string   `json:"b"` // mark of the browser it was proved in
	Way     string   `json:"w"` // mark of where it leads
	At      int64    `json:"t"` // Unix seconds
}

// A standing is who stands before the second step of a sign-in, and why.
type standing struct {
	way
	half    string         // sealed; "" when it is a session that lacks the step
	session *store.Session // nil when it is half a sign-in
	user    *store.User
	amr     []string  // of half a sign-in
	proved  time.Time // when
	prompt  *Prompt   // of the request

	passkeyURL string // where a page gets a challenge for one of the user's passkeys; "" when they have none
}

// afterPassword goes on with somebody whose password was right: to the second step when
// they have one to pass, or must have one; else they have signed in.
func (e *Endpoint) afterPassword(w http.ResponseWriter, r *http.Request, g way, user *store.User) error {
	path := ""
	switch {
	case user.SecondFactor:
		factors, err := e.Factors.Store.SecondFactors(r.Context(), user.ID)
		if err != nil {
			return err
		}
		if !e.Sessions.StandsIn(r, user.ID, user.Epoch, factors) {
			path = SecondFactorPath
		}
	case e.RequireSecondFactor:
		path = SetUpPath
	}
	if path == "" {
		if err := e.Sessions.Begin(w, r, user, methodPassword); err != nil {
			return err
		}
		return web.Redirect(w, e.next(g.request, g.to))
	}
	h := half{user.ID, user.Epoch, []string{methodPassword}, e.Browsers.Mark(r), g.mark(), e.Sessions.Now().Unix()}
	sealed, err := e.SignIns.sealJSON(h)
	if err != nil {
		return err
	}
	return web.Redirect(w, e.stepURL(path, g, sealed))
}

// stepURL is a page of a sign-in on its way, with more in the query.
func (e *Endpoint) stepURL(path string, g way, sealed string, more ...string) string {
	query := url.Values{}
	for i, pairs := 0, append([]string{"request", g.request, "return", g.to, "sign_in", sealed}, more...); i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			query.Set(pairs[i], pairs[i+1])
		}
	}
	if len(query) == 0 {
		return e.Base + path
	}
	return e.Base + path + "?" + query.Encode()
}

// againURL is where the sign-in begins anew.
func (e *Endpoint) againURL(g way) string { return e.stepURL(Path, g, "") }

// errBeginAgain is for half a sign-in that is none any more.
var errBeginAgain = errors.New("half a sign-in that is too old, of another browser, or of a user who has changed since")

// stand finds out who stands before the second step: half a sign-in, or a session that is
// not sure enough. There is nobody when both are nil; errBeginAgain is for half a sign-in
// that no longer counts.
func (e *Endpoint) stand(r *http.Request, form oauth.Form) (*standing, error) {
	s := &standing{way: way{form.Get("request"), e.returnTo(form)}, half: form.Get("sign_in"), prompt: &Prompt{}}
	if s.request != "" {
		var err error
		if s.prompt, err = e.Flow.Prompt(r, s.request); err != nil {
			return nil, err
		}
	}
	if s.half != "" {
		return s, e.openHalf(r, s)
	}
	session, err := e.Sessions.Current(r)
	if err != nil || session == nil {
		return s, err
	}
	s.user, err = e.Factors.Store.User(r.Context(), session.UserID)
	if errors.Is(err, store.ErrNotFound) || err == nil && s.user.Epoch != session.UserEpoch {
		return s, errBeginAgain // deleted or changed since the session was read
	}
	s.session, s.proved = session, session.AuthTime
	return s, err
}

// openHalf reads half a sign-in, which is for the browser it began in, for where it led
// then, and for a user who has not changed since.
func (e *Endpoint) openHalf(r *http.Request, s *standing) error {
	var h half
	err := e.SignIns.openJSON(s.half, &h)
	at, now := time.Unix(h.At, 0), e.Sessions.Now()
	if err != nil || h.Browser != e.Browsers.Mark(r) || h.Way != s.mark() || now.Sub(at) > halfLifetime || at.Sub(now) > clockSkew {
		return errBeginAgain
	}
	user, err := e.Factors.Store.User(r.Context(), h.UserID)
	if errors.Is(err, store.ErrNotFound) {
		return errBeginAgain
	}
	if err != nil {
		return err
	}
	if user.Epoch != h.Epoch || !user.DisabledAt.IsZero() {
		return errBeginAgain
	}
	s.user, s.amr, s.proved = user, h.AMR, now
	return nil
}

// finish makes the session of somebody who has passed the second step, under a new id.
// Who only added the step to a session has said the rest when it began. method is that of
// the step, and factor the second factor that the device is to stand in for; "" for none.
func (e *Endpoint) finish(w http.ResponseWriter, r *http.Request, s *standing, method, factor string) error {
	if s.session != nil {
		return e.Sessions.stepUp(w, r, s.user, s.session, method, factor)
	}
	return e.Sessions.begin(w, r, s.user, proof{amr: withSecondFactor(s.amr, method), at: s.proved, factor: factor})
}

// step is what the page of a step shows of the sign-in.
func (e *Endpoint) step(w http.ResponseWriter, r *http.Request, s *standing, path string, more ...string) web.SignInStep {
	return web.SignInStep{
		PasskeyURL: s.passkeyURL,
		Client:     s.prompt.Client, Action: e.Base + path, Request: s.request, Return: s.to, SignIn: s.half, Username: s.user.Username,
		FormToken: e.Browsers.FormToken(e.Browsers.ID(w, r)), AgainURL: e.againURL(s.way), Self: e.stepURL(path, s.way, s.half, more...), UILocales: s.prompt.UILocales,
	}
}

// beginAgain leads back to the sign-in page from a step that nobody stands before.
func (e *Endpoint) beginAgain(w http.ResponseWriter, r *http.Request, s *standing, err error) error {
	if !errors.Is(err, errBeginAgain) {
		return err
	}
	web.EventOf(r.Context()).Failure = oauth.Refuse(oauth.InvalidRequest, "the sign-in must begin again", err)
	if r.Method != http.MethodPost {
		return web.Redirect(w, e.againURL(s.way))
	}
	return e.show(w, r, http.StatusUnprocessableEntity, web.LoginPage{Request: s.request, Return: s.to, Error: web.LoginStale})
}

// isFresh reports whether somebody has proved who they are so short a while ago that they
// may change how they do that.
func (s *standing) isFresh(now time.Time) bool {
	return s.session == nil || now.Sub(s.proved) <= FreshFor
}

// FreshFor is how long after a sign-in somebody may change how they sign in.
const FreshFor = 10 * time.Minute

package login

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"

	"github.com/hufu-auth/hufu/internal/store"
)

// stateCookie holds what a script may know of the session: a text that is another one
// after every sign-in and sign-out, OpenID Connect Session Management 1.0 Section 3.2.
const stateCookie = "session_state"

// stateOf makes it from the session cookie, which cannot be told from it.
func stateOf(id string) string { return hash("state " + id)[:22] }

// ShowState has scripts see what the server knows: whether the browser's session is
// still one. A request that brought no session cookie says nothing about that: it may come
// from a frame of another site, where browsers keep the cookie back.
func (s *Sessions) ShowState(w http.ResponseWriter, r *http.Request, session *store.Session) {
	id, state := s.Cookies.Get(r, sessionCookie), ""
	if id == "" {
		return
	}
	if session != nil {
		state = stateOf(id)
	}
	if s.Cookies.Get(r, stateCookie) != state {
		s.Cookies.SetShared(w, stateCookie, state, s.Lifetime)
	}
}

// State is the session_state of a client whose answer goes to an origin, Section 3.2;
// "" when the browser has no session.
func (s *Sessions) State(r *http.Request, clientID, origin string) string {
	id := s.Cookies.Get(r, sessionCookie)
	if id == "" {
		return ""
	}
	salt := rand.Text()
	sum := sha256.Sum256([]byte(clientID + " " + origin + " " + stateOf(id) + " " + salt))
	return hex.EncodeToString(sum[:]) + "." + salt
}

package authorize

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
)

// A demand is how sure a sign-in must be for a request.
type demand struct {
	essential []string // acr values of which one must be reached, OpenID Connect Core Section 5.5.1.1
	voluntary []string // acr values that the client would like, the best first (Section 3.1.2.1)
	policy    bool     // of the server or the client: a second factor
	reachable []string // acr values that a sign-in here can have
}

// asked are the acr values that the client can compare the answer with.
func (d demand) asked() []string { return slices.Concat(d.essential, d.voluntary) }

// checkACR reads what the request demands. Who names no acr values wants those that the
// client is registered with (OpenID Connect Registration Section 2).
func (q *request) checkACR(required bool, reachable []string) error {
	m := &q.client.Metadata
	q.acr = demand{essential: q.claims.EssentialACR(), voluntary: strings.Fields(bound(q.form.Get("acr_values"), maxACR)), policy: required || m.RequireSecondFactor, reachable: reachable}
	if len(q.acr.voluntary) == 0 {
		q.acr.voluntary = q.claims.VoluntaryACR()
	}
	if len(q.acr.voluntary) == 0 {
		q.acr.voluntary = m.DefaultACR
	}
	if wanted := q.acr.essential; len(wanted) > 0 && !slices.ContainsFunc(wanted, q.acr.isReachable) {
		return unmet(wanted)
	}
	return nil
}

// maxACR bounds acr_values, in bytes. Longer ones are only a wish, and ignored.
const maxACR = 1024

// isReachable reports whether a sign-in here can have an acr.
func (d demand) isReachable(acr string) bool { return slices.Contains(d.reachable, acr) }

func unmet(wanted []string) error {
	return oauth.Refuse(oauth.UnmetAuthentication, "no sign-in here has an acr that was asked for as essential", fmt.Errorf("asked for: %.200q", wanted))
}

// missingStep is the page of the step that a session lacks for a request; "" when it is as
// sure as that demands, or when only a wish stays open that the user cannot fulfil, or not
// without a page. A device that stands in for a second factor does for a policy, and never
// where acr will be compared.
func (e *Endpoint) missingStep(r *http.Request, q *request, session *store.Session) (page string, err error) {
	acr, surer := session.ACR, login.HasSecondFactor(session)
	if q.acr.best() == login.ACRPasskey && acr != login.ACRPasskey && !q.prompts["none"] {
		if has, err := e.couldUsePasskey(r, q, session); has || err != nil {
			return login.Path, err
		}
	}
	if q.acr.metBy(acr) && q.acr.pleasedBy(acr) && (!q.acr.policy || surer) {
		return "", nil
	}
	factors, err := e.Store.SecondFactors(r.Context(), session.UserID)
	if err != nil {
		return "", err
	}
	can := len(factors) > 0 && !surer
	switch {
	case !q.acr.metBy(acr):
		if can && q.acr.metBy(login.ACRMFA) {
			return login.SecondFactorPath, nil
		}
		has, err := e.couldUsePasskey(r, q, session)
		if err == nil && !has {
			err = unmet(q.acr.essential)
		}
		return login.Path, err
	case !q.acr.pleasedBy(acr) && can && q.acr.pleasedBy(login.ACRMFA) && !q.prompts["none"]:
		return login.SecondFactorPath, nil
	case !q.acr.policy || surer:
		return "", nil
	case len(factors) == 0:
		return e.setUpPage(session), nil
	case e.Sessions.StandsIn(r, session.UserID, session.UserEpoch, factors):
		return "", nil
	}
	return login.SecondFactorPath, nil
}

// couldUsePasskey reports whether a user has a passkey, and could sign in with it for this
// request. Whoever has signed in for it by other means has been asked, and chose those.
func (e *Endpoint) couldUsePasskey(r *http.Request, q *request, session *store.Session) (bool, error) {
	if !q.acr.isReachable(login.ACRPasskey) || !q.acr.metBy(login.ACRPasskey) || e.signedInFor(r, q, session) {
		return false, nil
	}
	passkeys, err := e.Store.Passkeys(r.Context(), session.UserID)
	return len(passkeys) > 0, err
}

// setUpPage is where somebody gets a second factor, who has signed in a short while ago;
// the sign-in page for all others.
func (e *Endpoint) setUpPage(session *store.Session) string {
	if e.Now().Sub(session.AuthTime) > login.FreshFor {
		return login.Path
	}
	return login.SetUpPath
}

// metBy reports whether a sign-in of an acr is one that was asked for as essential.
func (d demand) metBy(acr string) bool {
	return len(d.essential) == 0 || slices.ContainsFunc(d.essential, func(wanted string) bool { return login.Reaches(acr, wanted) })
}

// pleasedBy reports whether a sign-in of an acr is what the client would like best, of
// what there is.
func (d demand) pleasedBy(acr string) bool {
	for _, wanted := range d.voluntary {
		if d.isReachable(wanted) && (wanted != login.ACRPasskey || acr == wanted) { // not everybody has one
			return login.Reaches(acr, wanted)
		}
	}
	return true
}

// best is what the client would like best, of what there is; "" when it has no wish.
func (d demand) best() string {
	if i := slices.IndexFunc(d.voluntary, d.isReachable); i >= 0 {
		return d.voluntary[i]
	}
	return ""
}

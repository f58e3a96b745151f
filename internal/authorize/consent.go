package authorize

import (
	"errors"
	"net/http"
	"slices"

	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/web"
)

// Consent shows the consent page and takes its form.
func (e *Endpoint) Consent(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodPost {
		return e.decide(w, r)
	}
	form, err := oauth.ParseQuery(r)
	if err != nil {
		return err
	}
	q, session, err := e.openSignedIn(r, form.Get("request"))
	if err != nil {
		return err
	}
	used, err := e.Store.RequestUsed(r.Context(), q.id)
	if err != nil {
		return err
	}
	if used {
		return e.usedUp(q)
	}
	return e.ask(w, r, q, session, form.Get("request"))
}

// openSignedIn opens a sealed request for the person who is signed in and sure
// enough; anything else goes back to the dispatcher.
func (e *Endpoint) openSignedIn(r *http.Request, sealed string) (*request, *store.Session, error) {
	q, err := e.open(r, sealed)
	if err != nil {
		return nil, nil, err
	}
	session, err := e.Sessions.Current(r)
	if err != nil {
		return nil, nil, err
	}
	q.session, q.looked = session, true
	foreign, err := e.isForeign(q, session)
	if err != nil {
		return nil, nil, err
	}
	if q.err != nil || !q.resumed || session == nil || foreign || e.needsSignIn(r, q, session) || e.needsChoice(r, q, session) {
		return nil, nil, &web.SeeOther{URL: e.ResumeURL(sealed)}
	}
	step, err := e.missingStep(r, q, session)
	if _, refused := errors.AsType[*oauth.Error](err); refused || step != "" {
		return nil, nil, &web.SeeOther{URL: e.ResumeURL(sealed)}
	}
	if err != nil {
		return nil, nil, err
	}
	return q, session, nil
}

// usedUp tells that the page was sent already.
func (e *Endpoint) usedUp(q *request) error {
	return &web.PageError{Reason: web.ReasonUsed, RestartURL: e.restartURL(q),
		Err: oauth.Refuse(oauth.InvalidRequest, "this page was used already", errors.New("the sealed request has a grant"))}
}

func (e *Endpoint) ask(w http.ResponseWriter, r *http.Request, q *request, session *store.Session, sealed string) error {
	page := web.ConsentPage{
		Client: q.view(), Username: session.Username, Account: e.account(q, session), Action: e.Base + ConsentPath, Request: sealed,
		FormToken: e.Browsers.FormToken(e.Browsers.ID(w, r)), RedirectHost: q.redirect.Host(),
		Remember:  !q.client.Metadata.IsPublic() || q.redirect.IsClaimedHTTPS(),
		SwitchURL: e.pageURL(login.Path, sealed), Self: e.pageURL(ConsentPath, sealed), UILocales: q.uiLocales,
	}
	chinese := e.Pages.Language(r, q.uiLocales) == "zh"
	for _, name := range q.asks() {
		declared := e.Scopes[name]
		text := declared.English
		if chinese {
			text = declared.Chinese
		}
		page.Scopes = append(page.Scopes, web.ScopeView{Name: name, Text: text, Optional: declared.Optional})
	}
	return e.Pages.Render(w, r, http.StatusOK, page)
}

// decide takes the answer of the consent page.
func (e *Endpoint) decide(w http.ResponseWriter, r *http.Request) error {
	form, err := oauth.ParseForms(r, "scope")
	if err != nil {
		return err
	}
	if err := e.Browsers.CheckForm(r, form); err != nil {
		return err
	}
	q, session, err := e.openSignedIn(r, form.Get("request"))
	if err != nil {
		return err
	}
	switch form.Get("decision") {
	case "approve":
		if !e.Browsers.CheckTag(form.Get("account"), accountText(q, session)) {
			// Somebody else signed in since the page was shown, in another tab: the
			// page they have not seen is theirs to answer.
			return web.Redirect(w, e.pageURL(ConsentPath, form.Get("request")))
		}
	case "deny":
		return e.refuse(w, r, q, denied())
	default:
		return oauth.Errorf(oauth.InvalidRequest, "decision must be approve or deny")
	}
	chosen := e.chosen(q.asks(), form.All("scope"))
	q.scope = q.scope.Intersect(chosen)
	q.claims.Within(chosen)
	remember := form.Get("remember") != "" && (!q.client.Metadata.IsPublic() || q.redirect.IsClaimedHTTPS())
	return e.issue(w, r, q, session, &store.Consent{Scope: chosen.String(), Remember: remember})
}

// account names whom the page asked, so that its answer speaks for nobody else.
func (e *Endpoint) account(q *request, session *store.Session) string {
	return e.Browsers.Tag(accountText(q, session))
}

func accountText(q *request, session *store.Session) string {
	return "consent " + q.id + " " + session.UserID
}

// chosen is the scope less what is optional and was not ticked. Boxes that the
// page did not show add nothing.
func (e *Endpoint) chosen(asked oauth.Scope, ticked []string) oauth.Scope {
	var scope oauth.Scope
	for _, name := range asked {
		if !e.Scopes[name].Optional || slices.Contains(ticked, name) {
			scope = append(scope, name)
		}
	}
	return scope
}

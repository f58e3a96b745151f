package server

import (
	"net/http"
	"strings"
	"time"

	"github.com/hufu-auth/hufu/internal/authorize"
	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/openid"
	"github.com/hufu-auth/hufu/internal/token"
	"github.com/hufu-auth/hufu/internal/web"
)

// requestTimeout ends a request's context; nothing that it waits for may hold it
// longer, and it ends before a stopping server loses patience.
const requestTimeout = 12 * time.Second

// routes mounts every address. Each stands once, and its methods beside it.
func (s *Server) routes(o Options) (http.Handler, error) {
	base := s.config.BasePath()
	site, err := s.config.Site()
	if err != nil {
		return nil, err
	}
	pages, err := web.NewPages(site)
	if err != nil {
		return nil, err
	}
	edge := &web.Edge{Pages: pages, Log: s.log, Now: s.now, TrustedProxies: s.config.TrustedProxies, Secure: s.config.Secure(), Timeout: requestTimeout}
	s.instruments.on(edge)
	authorization, signIn, tokens, discovery, userInfo, logout := s.parts(pages)
	s.discovery = discovery

	mux := http.NewServeMux()
	page := func(path, methods string, h web.Handler) { mux.Handle(base+path, edge.Page(web.Only(methods, h))) }
	open := func(path, methods string, h web.Handler) {
		mux.Handle(base+path, web.CORS(methods, edge.API(web.Only(methods, h))))
	}
	api := func(path, methods string, h web.Handler) { mux.Handle(base+path, edge.API(web.Only(methods, h))) }

	for _, path := range []string{authorize.Path, authorize.CodePath, authorize.ImplicitPath} {
		page(path, "GET, POST", authorization.Serve(path)) // no HEAD: an answer may make a code
	}
	page(authorize.ResumePath, "GET", authorization.Resume)
	page(authorize.ConsentPath, "GET, HEAD, POST", authorization.Consent)
	page(login.Path, "GET, HEAD, POST", signIn.Serve)
	if signIn.Passkeys != nil {
		api(login.PasskeyPath, "GET", signIn.PasskeyOptions)
		api(login.SecondPasskeyPath, "GET", signIn.SecondPasskeyOptions)
	}
	page(login.SecondFactorPath, "GET, HEAD, POST", signIn.SecondFactor)
	page(login.SetUpPath, "GET, HEAD, POST", signIn.SetUp)
	page(login.SelectPath, "GET, HEAD, POST", signIn.SelectAccount)
	page(login.ForgottenPath, "GET, HEAD, POST", signIn.Forgotten)
	page(login.ForgottenSentPath, "GET, HEAD", signIn.ForgottenSent)
	page(login.PasswordPath, "GET, HEAD, POST", signIn.NewPassword)
	page(login.InvitedPath, "GET, HEAD", signIn.Result(web.ResultAccountReady, login.InvitedPath))
	page(login.PasswordSetPath, "GET, HEAD", signIn.Result(web.ResultPasswordSet, login.PasswordSetPath))
	page(login.EmailPath, "GET, HEAD, POST", signIn.ConfirmEmail)
	page(login.EmailDonePath, "GET, HEAD", signIn.Result(web.ResultEmailConfirmed, login.EmailDonePath))
	page(login.FirstAdminPath, "GET, HEAD, POST", signIn.FirstAdmin)
	page(login.FirstAdminDonePath, "GET, HEAD", signIn.Result(web.ResultSetUp, login.FirstAdminDonePath))
	for _, route := range s.account(pages, signIn.Sessions, signIn.Browsers).Routes() {
		page(route.Path, route.Methods, route.Serve)
	}
	page(openid.EndSessionPath, "GET, HEAD, POST", logout.EndSession)
	page(openid.LoggedOutPath, "GET, HEAD", logout.Done)
	checkSession, err := pages.CheckSession(strings.TrimSuffix(s.config.Issuer, base))
	if err != nil {
		return nil, err
	}
	page(openid.CheckSessionPath, "GET, HEAD", checkSession)

	for path := range token.Paths {
		open(path, "POST", tokens.Serve(path))
	}
	open(token.RevokePath, "POST", tokens.Revoke)
	api(token.IntrospectPath, "POST", tokens.Introspect)

	if err := s.mountRegistration(api); err != nil {
		return nil, err
	}

	open(openid.UserInfoPath, "GET, POST", userInfo.Serve)

	open(openid.ConfigurationPath, "GET, HEAD", discovery.Metadata)
	open(openid.MetadataPath, "GET, HEAD", discovery.Metadata)
	if base != "" {
		// RFC 8414 Section 3.1 puts the well-known part between host and path.
		mux.Handle(openid.MetadataPath+base, web.CORS("GET, HEAD", edge.API(web.Only("GET, HEAD", discovery.Metadata))))
	}
	open(openid.JWKSPath, "GET, HEAD", discovery.JWKS)

	home := &home{sessions: logout.Sessions, pages: pages, issuer: s.config.Issuer, base: base, playground: o.Extra != nil}
	page("/{$}", "GET, HEAD", home.serve)
	mux.Handle(base+"/assets/", pages.Assets())
	api("/healthz", "GET, HEAD", alive)
	api("/readyz", "GET, HEAD", s.ready)
	if o.Extra != nil {
		for path, h := range o.Extra(s, pages, base) {
			page(path, "GET, HEAD, POST", h)
		}
	}
	mux.Handle("/", edge.Page(web.NotFound))
	return edge.Wrap(mux), nil
}

// home is the page at the issuer itself.
type home struct {
	sessions     *login.Sessions
	pages        *web.Pages
	issuer, base string
	playground   bool
}

func (h *home) serve(w http.ResponseWriter, r *http.Request) error {
	session, err := h.sessions.Current(r)
	if err != nil {
		return err
	}
	h.sessions.ShowState(w, r, session)
	page := web.HomePage{Issuer: h.issuer, SignInURL: h.base + login.Path, SignOutURL: h.base + openid.EndSessionPath, MetadataURL: h.base + openid.MetadataPath, Self: h.base + "/"}
	if session != nil {
		page.Username, page.AccountURL = session.Username, h.base+login.AccountPath
	}
	if h.playground {
		page.PlaygroundURL = h.base + "/playground"
	}
	return h.pages.Render(w, r, http.StatusOK, page)
}

// alive says that the process runs.
func alive(w http.ResponseWriter, r *http.Request) error {
	web.EventOf(r.Context()).Quiet = true
	return word(w, http.StatusOK, "ok")
}

// ready says whether the server can serve what needs the database.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) error {
	web.EventOf(r.Context()).Quiet = true
	if err := s.Store.Ready(r.Context()); err != nil {
		web.EventOf(r.Context()).Failure = err
		return word(w, http.StatusServiceUnavailable, "unavailable")
	}
	return word(w, http.StatusOK, "ready")
}

func word(w http.ResponseWriter, status int, text string) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n"))
	return nil
}

// Package server puts the parts together: it opens the database and the keys,
// mounts the routes, runs the jobs, and stops without losing anything.
//
// It serves /, /healthz and /readyz itself. Its one invariant: whatever is
// configured is handed to the parts here as plain fields, once.
package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/hufu-auth/hufu/internal/account"
	"github.com/hufu-auth/hufu/internal/authorize"
	"github.com/hufu-auth/hufu/internal/client"
	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/issuer"
	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/openid"
	"github.com/hufu-auth/hufu/internal/store"
	"github.com/hufu-auth/hufu/internal/token"
	"github.com/hufu-auth/hufu/internal/web"
)

// A Server is one running authorization server.
type Server struct {
	Store   *store.Store
	Ring    *issuer.Ring
	Clients *client.Registry
	Hasher  *login.Hasher
	// Passwords decides which passwords may be set.
	Passwords *login.PasswordPolicy
	// Links makes one-time links.
	Links *login.Links

	config  *config.Config
	log     *slog.Logger
	now     func() time.Time
	handler http.Handler
	release func() error // of the lock on the database; nil for a command
	jobs    context.CancelFunc
	jobsEnd chan struct{}

	instruments instruments
	metrics     *metricsServer // nil when metrics are served nowhere

	name     string // of this process among the servers of a database
	revision int64  // of the database, that keys and metadata were last read at

	discovery   *openid.Discovery
	backchannel *openid.Backchannel
	outbox      *outbox // nil when no mail is sent
}

// Options are what a server is told beside its configuration.
type Options struct {
	Log *slog.Logger
	Now func() time.Time
	// Version is that of the program, for what it tells about itself.
	Version string
	// Letters, when set, is where mail is printed instead of being sent.
	Letters io.Writer
	// Demo allows, and marks, a database with well-known passwords.
	Demo bool
	// Extra mounts further pages, such as the playground of --demo.
	Extra func(s *Server, pages *web.Pages, base string) map[string]web.Handler
}

// OpenParts opens the database and the keys that a configuration names, without
// serving anything. Commands work this way beside a running server.
func OpenParts(ctx context.Context, c *config.Config, now func() time.Time) (*Server, error) {
	return openParts(ctx, c, now, instruments{})
}

func openParts(ctx context.Context, c *config.Config, now func() time.Time, i instruments) (*Server, error) {
	db, err := openStore(ctx, c, i.store())
	if err != nil {
		return nil, err
	}
	s := &Server{Store: db, config: c, now: now, instruments: i}
	breached, err := c.OpenBreachedPasswords()
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s.Passwords = &login.PasswordPolicy{Site: c.SiteName, Breached: breached}
	if err := s.openKeys(ctx); err != nil {
		return nil, errors.Join(err, db.Close(), breached.Close())
	}
	return s, nil
}

// OpenStore opens the database that a configuration names.
func OpenStore(ctx context.Context, c *config.Config) (*store.Store, error) {
	return openStore(ctx, c, store.Options{})
}

func openStore(ctx context.Context, c *config.Config, o store.Options) (*store.Store, error) {
	address, err := c.ReadDatabase()
	if err != nil {
		return nil, err
	}
	o.Connections = c.DatabaseConnections
	return store.Open(ctx, address, o)
}

// MasterKeyPath is where the master key lies when the configuration names none.
func MasterKeyPath(c *config.Config) string { return filepath.Join(c.Data, "master.key") }

func (s *Server) openKeys(ctx context.Context) error {
	master, err := Master(ctx, s.Store, s.config)
	if err != nil {
		return err
	}
	s.Ring = &issuer.Ring{Store: s.Store, Master: master, Now: s.now, Publish: s.config.JWKSMaxAge}
	if err := s.Ring.Prepare(ctx); err != nil {
		return err
	}
	s.Clients = &client.Registry{
		Store: s.Store, HashSecret: s.Ring.HashSecret, CheckSecret: s.Ring.CheckSecret,
		SealSecret: s.Ring.SealSecret, OpenSecret: s.Ring.OpenSecret, MakeKeys: s.Ring.MakeFor, Now: s.now,
		Fetch: s.fetch, Issuer: s.config.Issuer, TokenPath: token.Path, Origin: strings.TrimSuffix(s.config.Issuer, s.config.BasePath()),
	}
	s.Links = &login.Links{
		Store: s.Store, Issuer: s.config.Issuer, Sends: s.config.SendsMail(), Now: s.now,
		Seal: func(plain []byte) (string, error) { return s.Ring.Seal(issuer.PurposeMail, plain) },
	}
	s.Hasher = login.NewHasher(s.config.HashSlots(), s.config.PasswordHashQueue)
	if m := s.instruments.metrics; m != nil {
		s.Hasher.Watch = m.hash
	}
	return nil
}

// fetch reads a document that a client has named, also for a command, which has not read
// whom else to trust before.
func (s *Server) fetch(ctx context.Context, address string, mediaTypes ...string) ([]byte, error) {
	authorities, err := s.config.ReadAuthorities()
	if err != nil {
		return nil, err
	}
	return web.NewFetcher(authorities, s.config.OutboundNetworks).Get(ctx, address, mediaTypes...)
}

// Master finds the master key: the configured one, else the file in the data
// directory, which is made when the database has no key yet.
func Master(ctx context.Context, db *store.Store, c *config.Config) (*issuer.Master, error) {
	key, err := c.ReadMasterKey()
	if err != nil {
		return nil, err
	}
	if key != nil {
		return issuer.NewMaster(key)
	}
	state, err := db.Server(ctx)
	if err != nil {
		return nil, err
	}
	path := MasterKeyPath(c)
	if err := issuer.FinishReplacement(path, state.KeyCheck); err != nil {
		return nil, err
	}
	return issuer.LoadMasterFile(path, state.KeyCheck != "")
}

// New opens everything and is ready to serve.
func New(ctx context.Context, c *config.Config, o Options) (*Server, error) {
	i, err := newInstruments(ctx, c, o)
	if err != nil {
		return nil, err
	}
	s, err := openParts(ctx, c, o.Now, i)
	if err != nil {
		return nil, errors.Join(err, i.close())
	}
	s.log = o.Log
	if err := s.begin(ctx, o); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) begin(ctx context.Context, o Options) (err error) {
	if s.release, err = s.Store.Lock(); err != nil {
		return err
	}
	if err := s.checkDemo(ctx, o.Demo); err != nil {
		return err
	}
	if err := s.config.VerifyBreachedPasswords(s.Passwords.Breached); err != nil {
		return err
	}
	if err := s.Ring.MakeWanted(ctx); err != nil {
		return err
	}
	authorities, err := s.config.ReadAuthorities()
	if err != nil {
		return err
	}
	fetcher := web.NewFetcher(authorities, s.config.OutboundNetworks)
	s.Clients.Fetch = fetcher.Get
	s.Clients.Keys = &client.Keys{Fetch: s.Clients.Fetch, Now: s.now}
	if err := s.openMail(ctx, o); err != nil {
		return err
	}
	if s.handler, err = s.routes(o); err != nil {
		return err
	}
	s.backchannel = &openid.Backchannel{Store: s.Store, Issuer: s.discovery.Issuer, Post: fetcher.Post, Now: s.now, Log: s.log}
	if err := s.serveMetrics(ctx); err != nil {
		return err
	}
	s.name = rand.Text()
	if err := s.follow(ctx); err != nil {
		return err
	}
	s.Store.OnChange = func() { _ = s.discovery.Refresh(context.Background()) } // when it fails, following makes it good
	jobs, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.jobs, s.jobsEnd = cancel, make(chan struct{})
	go s.run(jobs)
	return nil
}

// openMail prepares to send mail, and lets the database know whether any is sent.
func (s *Server) openMail(ctx context.Context, o Options) (err error) {
	s.Links.Sends = s.Links.Sends || o.Letters != nil
	if s.outbox, err = s.newOutbox(o); err != nil {
		return err
	}
	return s.Store.SetSendsMail(ctx, s.Links.Sends)
}

// checkDemo keeps well-known passwords away from real servers, and real people
// away from demo ones.
func (s *Server) checkDemo(ctx context.Context, demo bool) error {
	if demo {
		if err := s.Store.MarkDemo(ctx); errors.Is(err, store.ErrConflict) {
			return fmt.Errorf("the database %s holds clients or users that are not the demo's; --demo does not touch it", s.config.DatabaseName())
		} else if err != nil {
			return err
		}
		return nil
	}
	state, err := s.Store.Server(ctx)
	if err != nil {
		return err
	}
	if state.Demo {
		return fmt.Errorf("the database %s was made by --demo and holds well-known passwords; start it with --demo, or use another --data", s.config.DatabaseName())
	}
	return nil
}

// Handler serves every address of the server.
func (s *Server) Handler() http.Handler { return s.handler }

// Close stops the jobs and closes the database. Requests must have ended.
func (s *Server) Close() error {
	if s.jobs != nil {
		s.jobs()
		<-s.jobsEnd
	}
	err := errors.Join(s.metrics.close(), s.Store.Close(), s.Passwords.Breached.Close(), s.instruments.close())
	if s.release != nil {
		err = errors.Join(err, s.release())
	}
	return err
}

// parts builds the endpoints from the configuration.
func (s *Server) parts(pages *web.Pages) (*authorize.Endpoint, *login.Endpoint, *token.Endpoint, *openid.Discovery, *openid.UserInfo, *openid.Logout) {
	c, base := s.config, s.config.BasePath()
	iss := &issuer.Issuer{URL: c.Issuer, Ring: s.Ring, Keys: s.Clients.Keys, Now: s.now}
	browsers := s.Browsers()
	users := &login.Authenticator{Store: s.Store, Hasher: s.Hasher, Now: s.now, Sleep: sleep}
	sessions := &login.Sessions{
		Store: s.Store, Cookies: browsers.Cookies, Now: s.now, Idle: c.SessionIdleLifetime, Lifetime: c.SessionLifetime,
		Seal: s.sealer(issuer.PurposeDevice).Seal, Open: s.sealer(issuer.PurposeDevice).Open, Remembered: c.SecondFactorRemembered,
	}
	passkeys := s.passkeys()
	acr := login.ACRValues(passkeys != nil)
	authorization := &authorize.Endpoint{
		Store: s.Store, Issuer: iss, Sessions: sessions, Browsers: browsers, Pages: pages, Now: s.now, Base: base,
		Keys: s.Clients.Keys, Fetch: s.Clients.Fetch, RequestLifetime: c.RequestLifetime, CodeLifetime: c.CodeLifetime, AccessTokenLifetime: c.AccessTokenLifetime,
		Forbidden: c.ForbiddenGrants, Scopes: scopeTexts(c.Scopes), RequireSecondFactor: c.RequireSecondFactor, ACRValues: acr,
	}
	signIn := &login.Endpoint{
		Authenticator: users, Factors: s.factors(), SignIns: s.sealer(issuer.PurposeSignIn), Sessions: sessions, Browsers: browsers, Pages: pages,
		Flow: authorization, Base: base, RequireSecondFactor: c.RequireSecondFactor, Links: s.Links, Passwords: s.Passwords, Passkeys: passkeys,
	}
	tokens := &token.Endpoint{
		Store: s.Store, Issuer: iss, Clients: s.Clients, Users: users, Now: s.now, AccessTokenLifetime: c.AccessTokenLifetime,
		RefreshIdleLifetime: c.RefreshTokenIdleLifetime, RefreshTokenLifetime: c.RefreshTokenLifetime, RefreshGrace: c.RefreshGrace,
		Forbidden: c.ForbiddenGrants, RequireSecondFactor: c.RequireSecondFactor,
	}
	at := openid.Endpoints{Authorization: authorize.Path, Token: token.Path, Introspection: token.IntrospectPath, Revocation: token.RevokePath}
	if c.Registration != config.RegistrationOff {
		at.Registration = client.RegisterPath
	}
	discovery := &openid.Discovery{
		Issuer: iss, Store: s.Store, At: at, Forbidden: c.ForbiddenGrants, Registrable: c.RegistrableGrants(),
		Scopes: scopeNames(c.Scopes), JWKSMaxAge: c.JWKSMaxAge, ACRValues: acr, PolicyURI: c.PolicyURI, TermsURI: c.TermsURI,
	}
	userInfo := &openid.UserInfo{Issuer: iss, Store: s.Store, Now: s.now}
	logout := &openid.Logout{Store: s.Store, Issuer: iss, Sessions: sessions, Browsers: browsers, Pages: pages, Now: s.now, Base: base}
	return authorization, signIn, tokens, discovery, userInfo, logout
}

// passkeys is nil when there are none: they are off, or the host of the issuer is an
// address.
func (s *Server) passkeys() *login.Passkeys {
	c := s.config
	id := login.RPID(c.Issuer)
	if !c.Passkeys || id == "" {
		return nil
	}
	name := c.SiteName
	if name == "" {
		name = "Hufu"
	}
	return &login.Passkeys{
		Store: s.Store, Now: s.now, Log: s.log, RPID: id, Origin: strings.TrimSuffix(c.Issuer, c.BasePath()), Name: name,
		TolerateCount: c.PasskeySignCount == config.SignCountLog,
		Seal:          func(plain []byte) (string, error) { return s.Ring.Seal(issuer.PurposePasskey, plain) },
		Open:          func(sealed string) ([]byte, error) { return s.Ring.Open(issuer.PurposePasskey, sealed) },
	}
}

// factors looks after second factors.
func (s *Server) factors() *login.Factors {
	site := s.config.SiteName
	if site == "" {
		site = "Hufu"
	}
	return &login.Factors{
		Store: s.Store, Now: s.now, Site: site, Secrets: s.sealer(issuer.PurposeTOTP), Enrolments: s.sealer(issuer.PurposeEnrolment),
		Tag: func(text string) (string, error) { return s.Ring.Tag(issuer.PurposeRecoveryCode, text) },
	}
}

// sealer seals with the keys of a purpose.
func (s *Server) sealer(purpose string) login.Sealer {
	return login.Sealer{
		Seal: func(plain []byte) (string, error) { return s.Ring.Seal(purpose, plain) },
		Open: func(sealed string) ([]byte, error) { return s.Ring.Open(purpose, sealed) },
	}
}

// mountRegistration lets applications register themselves, unless that is off.
func (s *Server) mountRegistration(api func(path, methods string, h web.Handler)) error {
	c := s.config
	if c.Registration == config.RegistrationOff {
		return nil
	}
	tokens, err := c.ReadRegistrationTokens()
	if err != nil {
		return err
	}
	registration := &client.Registration{
		Clients: s.Clients, Tokens: tokens, Grants: c.RegistrableGrants(), Scopes: c.RegistrationScopes, PerHour: c.RegistrationLimit,
		Unused: c.RegistrationUnusedLifetime, Now: s.now,
	}
	api(client.RegisterPath, "POST", registration.Register)
	api(client.ManagePath, "GET, PUT, DELETE", registration.Manage)
	return nil
}

// Browsers tells browsers apart and checks where their forms come from.
func (s *Server) Browsers() *web.Browsers {
	cookies := web.Cookies{Secure: s.config.Secure(), Base: s.config.BasePath()}
	return &web.Browsers{Cookies: cookies, Tag: s.formTag, CheckTag: s.checkFormTag, Origin: s.originCheck()}
}

// formTag is the keyed hash behind form tokens. The key is there since the ring
// was prepared; without it no form would be taken, which is the safe side.
func (s *Server) formTag(text string) string {
	tag, err := s.Ring.Tag(issuer.PurposeForm, text)
	if err != nil {
		s.log.Error("form token", "cause", err)
		return ""
	}
	return tag
}

func (s *Server) checkFormTag(tag, text string) bool {
	return s.Ring.CheckTag(issuer.PurposeForm, tag, text)
}

// originCheck knows the issuer's origin, so that a proxy that rewrites Host does
// no harm.
func (s *Server) originCheck() *http.CrossOriginProtection {
	check := http.NewCrossOriginProtection()
	origin := s.config.Issuer[:len(s.config.Issuer)-len(s.config.BasePath())]
	if err := check.AddTrustedOrigin(origin); err != nil {
		s.log.Error("origin of the issuer", "cause", err)
	}
	return check
}

func sleep(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// account are the pages where people look after themselves.
func (s *Server) account(pages *web.Pages, sessions *login.Sessions, browsers *web.Browsers) *account.Endpoint {
	texts := scopeTexts(s.config.Scopes)
	return &account.Endpoint{
		Store: s.Store, Sessions: sessions, Browsers: browsers, Pages: pages, Hasher: s.Hasher, Passwords: s.Passwords, Factors: s.factors(), Now: s.now, Base: s.config.BasePath(),
		RequireSecondFactor: s.config.RequireSecondFactor,
		Passkeys:            s.passkeys(),
		SignOutURL:          s.config.BasePath() + openid.EndSessionPath,
		ScopeText: func(scope, language string) string {
			if language == "zh" {
				return texts[scope].Chinese
			}
			return texts[scope].English
		},
	}
}

func scopeTexts(scopes []config.Scope) map[string]authorize.ScopeText {
	texts := map[string]authorize.ScopeText{}
	for _, s := range scopes {
		texts[s.Name] = authorize.ScopeText{English: s.TextEN, Chinese: s.TextZH, Optional: s.Optional}
	}
	return texts
}

func scopeNames(scopes []config.Scope) []string {
	var names []string
	for _, s := range scopes {
		names = append(names, s.Name)
	}
	return names
}

package store_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
)

// A party is a client and a user who deal with each other.
type party struct {
	*store.Store
	client *store.Client
	user   *store.User
}

func newParty(t testing.TB, open opener) *party {
	t.Helper()
	s := open(t)
	return &party{s, client(t, s, "app"), user(t, s, "alice")}
}

// pending is a grant whose code is "code of NAME".
func (p *party) pending(name string) *store.Grant {
	return &store.Grant{
		ID: store.NewGrantID(), GrantType: oauth.GrantAuthorizationCode, ClientID: p.client.ID, UserID: p.user.ID,
		Scope: "read write", RequestID: "request of " + name, CodeHash: "code of " + name, CodeExpiresAt: now.Add(time.Minute),
		RedirectURI: "https://app.example/cb", AuthTime: now.Add(-time.Hour), ACR: "acr", AMR: "pwd otp",
		ClientEpoch: p.client.Epoch, UserEpoch: p.user.Epoch, CreatedAt: now, ExpiresAt: now.Add(time.Hour),
	}
}

func (p *party) createPending(t testing.TB, name string) *store.Grant {
	t.Helper()
	g := p.pending(name)
	must(t, p.CreateGrant(t.Context(), g, nil, by))
	return g
}

// createLive makes a grant that was redeemed at now and ends a day later.
func (p *party) createLive(t testing.TB, name string) *store.Grant {
	t.Helper()
	g := p.createPending(t, name)
	must(t, p.RedeemCode(t.Context(), g.ID, g.ClientID, store.NewGrantID(), now, now.Add(24*time.Hour)))
	return g
}

func (p *party) redeem(t testing.TB, name string, at time.Time) error {
	g, err := p.GrantByCode(t.Context(), "code of "+name)
	if err != nil {
		return err
	}
	return p.RedeemCode(t.Context(), g.ID, p.client.ID, store.NewGrantID(), at, at.Add(time.Hour))
}

// ends are what takes a client, a user or everything out of force.
var ends = map[string]func(t testing.TB, p *party){
	"client disabled":          func(t testing.TB, p *party) { must(t, p.DisableClient(t.Context(), p.client.ID, now, by)) },
	"client deleted":           func(t testing.TB, p *party) { must(t, p.DeleteClient(t.Context(), p.client.ID, now, by)) },
	"user disabled":            func(t testing.TB, p *party) { must(t, p.DisableUser(t.Context(), p.user.ID, now, by)) },
	"user deleted":             func(t testing.TB, p *party) { must(t, p.DeleteUser(t.Context(), p.user.ID, now, by)) },
	"password changed":         func(t testing.TB, p *party) { must(t, p.SetPassword(t.Context(), p.user.ID, "other", now, by)) },
	"client disabled, enabled": disabledAndEnabled,
	"client made anew": func(t testing.TB, p *party) {
		must(t, p.DeleteClient(t.Context(), "app", now, by))
		client(t, p.Store, "app")
	},
	"user disabled, enabled": func(t testing.TB, p *party) {
		must(t, p.DisableUser(t.Context(), p.user.ID, now, by))
		must(t, p.EnableUser(t.Context(), p.user.ID, now, by))
	},
}

func disabledAndEnabled(t testing.TB, p *party) {
	must(t, p.DisableClient(t.Context(), p.client.ID, now, by))
	must(t, p.EnableClient(t.Context(), p.client.ID, now, by))
}

// What a row was made of is read back whole, by its id and by its code, and
// stored is the hash of the code alone (CO-05).
func TestCreateGrant(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		p := newParty(t, open)
		g := p.pending("a")
		g.Resource, g.Challenge, g.Nonce, g.Claims, g.RedirectURISent = "urn:a urn:b", "challenge", "nonce", "{}", true
		must(t, p.CreateGrant(t.Context(), g, nil, by))
		want := *g
		want.RequestID, want.CodeHash, want.ServerEpoch, want.RotatedAt = "", "", 1, now // what names a row is not read back
		got, err := p.Grant(t.Context(), g.ID)
		must(t, err)
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Errorf("by id (-want +got):\n%s", diff)
		}
		got, err = p.GrantByCode(t.Context(), g.CodeHash)
		must(t, err)
		if diff := cmp.Diff(&store.Grant{
			ID: g.ID, ClientID: g.ClientID, UserID: g.UserID, RedirectURI: g.RedirectURI, RedirectURISent: true, Challenge: "challenge", Nonce: "nonce", Claims: "{}",
			Scope: g.Scope, Resource: g.Resource, AuthTime: g.AuthTime, ACR: g.ACR, AMR: g.AMR,
		}, got); diff != "" {
			t.Errorf("by code (-want +got):\n%s", diff)
		}
		if _, err := p.GrantByCode(t.Context(), ""); err == nil {
			t.Error("an empty code finds a grant")
		}
	})
}

// Whoever is out of force, or was changed since the caller looked, is granted
// nothing (CO-07).
func TestCreateGrantNotLive(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		for name, end := range ends {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				p := newParty(t, open)
				end(t, p)
				want(t, name, p.CreateGrant(t.Context(), p.pending("a"), &store.Consent{Scope: "read write", Remember: true}, by), store.ErrNotLive)
				if _, found, err := p.Consent(t.Context(), p.user.ID, p.client); found || err != nil {
					t.Errorf("a consent was remembered: %v", err)
				}
				if e := lastEvent(t, p.Store); e.Kind == store.EventConsent {
					t.Error("a consent was recorded")
				}
			})
		}
		for name, edit := range map[string]func(g *store.Grant){
			"no such client":    func(g *store.Grant) { g.ClientID = "nobody" },
			"no such user":      func(g *store.Grant) { g.UserID = "nobody" },
			"client epoch late": func(g *store.Grant) { g.ClientEpoch++ },
			"user epoch late":   func(g *store.Grant) { g.UserEpoch-- },
			"no such session":   func(g *store.Grant) { g.SID = "sid" },
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				p := newParty(t, open)
				g := p.pending("a")
				edit(g)
				want(t, name, p.CreateGrant(t.Context(), g, nil, by), store.ErrNotLive)
			})
		}
	})
}

// A grant needs the session it was allowed in to be there at that moment.
func TestCreateGrantInSession(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		for name, tt := range map[string]struct {
			edit func(t *testing.T, p *party)
			want error
		}{
			"live":            {func(*testing.T, *party) {}, nil},
			"signed out":      {func(t *testing.T, p *party) { must(t, second(p.EndSession(t.Context(), "id", now, by))) }, store.ErrNotLive},
			"another's":       {func(t *testing.T, p *party) { p.user = user(t, p.Store, "bob") }, store.ErrNotLive},
			"everything over": {func(t *testing.T, p *party) { must(t, p.RevokeAll(t.Context(), now, by)) }, store.ErrNotLive},
			"run out": {func(t *testing.T, p *party) {
				session := sessionOf(p, "sid2")
				session.ExpiresAt = now
				must(t, p.CreateSession(t.Context(), session, "id2", "id", by))
			}, store.ErrNotLive},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				p := newParty(t, open)
				must(t, p.CreateSession(t.Context(), sessionOf(p, "sid"), "id", "", by))
				g := p.pending("a")
				tt.edit(t, p)
				g.SID, g.UserID, g.UserEpoch = "sid", p.user.ID, p.user.Epoch
				want(t, name, p.CreateGrant(t.Context(), g, nil, by), tt.want)
			})
		}
	})
}

// One sealed request leads to one grant, however many callers bring it.
func TestCreateGrantOncePerRequest(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		p := newParty(t, open)
		for round := range 10 {
			var callers sync.WaitGroup
			results := make([]error, 16)
			for i := range results {
				callers.Go(func() {
					g := p.pending(fmt.Sprintf("%d %d", round, i))
					g.RequestID = fmt.Sprint("request ", round)
					results[i] = p.CreateGrant(t.Context(), g, nil, by)
				})
			}
			callers.Wait()
			winners := 0
			for _, err := range results {
				if err == nil {
					winners++
					continue
				}
				want(t, "a loser", err, store.ErrReplayed)
			}
			if winners != 1 {
				t.Errorf("%d grants for one request", winners)
			}
			if used, err := p.RequestUsed(t.Context(), fmt.Sprint("request ", round)); !used || err != nil {
				t.Errorf("used: %t, %v", used, err)
			}
		}
		if used, err := p.RequestUsed(t.Context(), "unused"); used || err != nil {
			t.Errorf("an unused request: %t, %v", used, err)
		}
		for range 2 { // a grant without a sealed request is in nobody's way
			g := p.pending("")
			g.RequestID, g.CodeHash = "", ""
			must(t, p.CreateGrant(t.Context(), g, nil, by))
		}
	})
}

// A consent is recorded with its grant, and remembered when the user said so.
func TestConsent(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		p := newParty(t, open)
		remembered := func() (string, bool) {
			t.Helper()
			scope, found, err := p.Consent(t.Context(), p.user.ID, p.client)
			must(t, err)
			return scope, found
		}
		g := p.pending("a")
		must(t, p.CreateGrant(t.Context(), g, &store.Consent{Scope: g.Scope}, by))
		e := lastEvent(t, p.Store)
		want := store.Event{ID: e.ID, At: now, Kind: store.EventConsent, By: by, UserID: p.user.ID, ClientID: p.client.ID, GrantID: g.ID, Detail: g.Scope}
		if diff := cmp.Diff(want, e); diff != "" {
			t.Errorf("event (-want +got):\n%s", diff)
		}
		if _, found := remembered(); found {
			t.Error("remembered although nobody asked for it")
		}
		bare := p.pending("b")
		bare.Scope = ""
		must(t, p.CreateGrant(t.Context(), bare, &store.Consent{Scope: bare.Scope, Remember: true}, by))
		if scope, found := remembered(); !found || scope != "" {
			t.Errorf("consent to no scope: %q, %t", scope, found)
		}
		wider := p.pending("c")
		wider.Scope = "write read"
		must(t, p.CreateGrant(t.Context(), p.pending("d"), &store.Consent{Scope: "read write", Remember: true}, by))
		must(t, p.CreateGrant(t.Context(), wider, &store.Consent{Scope: wider.Scope, Remember: true}, by))
		if scope, found := remembered(); !found || scope != "read write" {
			t.Errorf("wider consent: %q, %t", scope, found)
		}
		disabledAndEnabled(t, p)
		p.client = client2(t, p.Store, p.client.ID)
		if _, found := remembered(); found {
			t.Error("remembered for a client that was disabled meanwhile")
		}
		anew := p.pending("anew")
		anew.Scope = "write"
		must(t, p.CreateGrant(t.Context(), anew, &store.Consent{Scope: anew.Scope, Remember: true}, by))
		if scope, found := remembered(); !found || scope != "write" {
			t.Errorf("allowed anew: %q, %t", scope, found)
		}
		must(t, p.WithdrawConsent(t.Context(), p.user.ID, p.client.ID, now, by))
		if _, found := remembered(); found {
			t.Error("still remembered after it was withdrawn")
		}
		got, err := p.Grant(t.Context(), g.ID)
		must(t, err)
		if got.RevokedAt.IsZero() || got.RevokeReason != "consent withdrawn" {
			t.Errorf("a grant of a withdrawn consent: %+v", got)
		}
		if e := lastEvent(t, p.Store); e.Kind != "consent.withdrawn" || e.UserID != p.user.ID || e.ClientID != p.client.ID {
			t.Errorf("event %+v", e)
		}
	})
}

// What two tabs allow at the same moment is both remembered, and so is what together
// is longer than a scope may be, as far as it fits.
func TestConsentUnited(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		p := newParty(t, open)
		remembered := func() string {
			t.Helper()
			scope, _, err := p.Consent(t.Context(), p.user.ID, p.client)
			must(t, err)
			return scope
		}
		allow := func(name, scope string) {
			g := p.pending(name)
			g.Scope = scope
			if err := p.CreateGrant(t.Context(), g, &store.Consent{Scope: g.Scope, Remember: true}, by); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for round := range 5 {
			var tabs sync.WaitGroup
			for tab := range 8 {
				scope := fmt.Sprint("scope-", round, "-", tab)
				tabs.Go(func() { allow(scope, scope) })
			}
			tabs.Wait()
			if got, want := len(strings.Fields(remembered())), 8*(round+1); got != want {
				t.Errorf("after %d rounds %d scopes are remembered, want %d", round+1, got, want)
			}
		}
		long := func(letter string) string {
			return strings.Join(numbered(letter, 30), " ")
		}
		allow("long a", long("a"))
		allow("long b", long("b"))
		got, err := oauth.ParseScope(remembered())
		must(t, err) // it still is one
		newest, err := oauth.ParseScope(long("b"))
		must(t, err)
		if !newest.Within(got) {
			t.Error("what was just allowed is not remembered")
		}
	})
}

// numbered are so many long scope values.
func numbered(letter string, n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprint(strings.Repeat(letter, 90), i))
	}
	return all
}

// RFC 6749 Section 4.1.2: what a code can meet at the gate, each with the verdict
// that tells it from the others (CO-01, CO-02, CO-03, CO-07, PK-03).
func TestRedeemCode(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		spoil := func(tries int) func(t testing.TB, p *party) {
			return func(t testing.TB, p *party) {
				g, err := p.GrantByCode(t.Context(), "code of a")
				must(t, err)
				for range tries {
					must(t, p.CountWrongVerifier(t.Context(), g.ID))
				}
			}
		}
		revoke := func(t testing.TB, p *party) {
			g, err := p.GrantByCode(t.Context(), "code of a")
			must(t, err)
			must(t, p.RevokeGrant(t.Context(), g.ID, store.EventGrantRevoked, "because", now, by))
		}
		type test struct {
			before func(t testing.TB, p *party)
			name   string
			after  time.Duration
			want   error
		}
		nothing := func(testing.TB, *party) {}
		tests := map[string]test{
			"good":                 {nothing, "a", 0, nil},
			"in its last second":   {nothing, "a", 59 * time.Second, nil},
			"at its end":           {nothing, "a", 60 * time.Second, store.ErrExpired},
			"unknown":              {nothing, "b", 0, store.ErrNotFound},
			"of another client":    {func(t testing.TB, p *party) { p.client = client(t, p.Store, "other") }, "a", 0, store.ErrNotFound},
			"used before":          {func(t testing.TB, p *party) { must(t, p.redeem(t, "a", now)) }, "a", 0, store.ErrReplayed},
			"used before, and old": {func(t testing.TB, p *party) { must(t, p.redeem(t, "a", now)) }, "a", time.Hour, store.ErrReplayed},
			"revoked":              {revoke, "a", 0, store.ErrRevoked},
			"nine wrong verifiers": {spoil(9), "a", 0, nil},
			"ten wrong verifiers":  {spoil(10), "a", 0, store.ErrExhausted},
			"everything over":      {func(t testing.TB, p *party) { must(t, p.RevokeAll(t.Context(), now, by)) }, "a", 0, store.ErrNotLive},
		}
		for name, end := range ends {
			tests[name] = test{end, "a", 0, store.ErrNotLive}
		}
		for name, tt := range tests {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				p := newParty(t, open)
				g := p.createPending(t, "a")
				tt.before(t, p)
				was, err := p.Grant(t.Context(), g.ID)
				must(t, err)
				want(t, name, p.redeem(t, tt.name, now.Add(tt.after)), tt.want)
				is, err := p.Grant(t.Context(), g.ID)
				must(t, err)
				if tt.want != nil {
					if diff := cmp.Diff(was, is); diff != "" {
						t.Errorf("a refusal changed the row (-was +is):\n%s", diff)
					}
					return
				}
				if is.RedeemedAt != now.Add(tt.after) || is.RotatedAt != now.Add(tt.after) || is.Generation != 0 {
					t.Errorf("redeemed: %+v", is)
				}
			})
		}
	})
}

// Redemption settles when the grant ends (RT-03), and never shortens how long its
// row is remembered for the sake of the sealed request it came from.
func TestRedeemCodeEnd(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		for end, kept := range map[time.Duration]time.Duration{10 * time.Minute: time.Hour, 24 * time.Hour: 24 * time.Hour} {
			p := newParty(t, open)
			pending := p.pending("a")
			pending.KeepUntil = now.Add(time.Hour)
			must(t, p.CreateGrant(t.Context(), pending, nil, by))
			must(t, p.RedeemCode(t.Context(), pending.ID, p.client.ID, "redeemer", now, now.Add(end)))
			g, err := p.Grant(t.Context(), pending.ID)
			must(t, err)
			if g.ExpiresAt != now.Add(end) {
				t.Errorf("ends %v, want %v", g.ExpiresAt, now.Add(end))
			}
			if until := count(t, p.Store, `SELECT keep_until FROM oauth_grant`); until != now.Add(kept).Unix() {
				t.Errorf("ends after %v: kept until %v, want %v", end, time.Unix(until, 0), now.Add(kept))
			}
			if by := count(t, p.Store, `SELECT COUNT(*) FROM oauth_grant WHERE redeemed_by = 'redeemer'`); by != 1 {
				t.Error("the row does not tell by which request it was redeemed")
			}
		}
	})
}

// However many callers race for one code, one wins, and the others learn that it
// was used (CO-01).
func TestRedeemCodeRace(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		p := newParty(t, open)
		for round := range 40 {
			name := fmt.Sprint(round)
			p.createPending(t, name)
			results := make([]error, 24)
			var callers sync.WaitGroup
			for i := range results {
				callers.Go(func() { results[i] = p.redeem(t, name, now) })
			}
			callers.Wait()
			winners := 0
			for _, err := range results {
				if err == nil {
					winners++
					continue
				}
				want(t, "a loser", err, store.ErrReplayed)
			}
			if winners != 1 {
				t.Errorf("round %d: %d redemptions", round, winners)
			}
		}
	})
}

// Wrong verifiers count while the code waits, and no further than to its end.
func TestCountWrongVerifier(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		p := newParty(t, open)
		g := p.createPending(t, "a")
		var callers sync.WaitGroup
		for range 30 {
			callers.Go(func() { want(t, "count", p.CountWrongVerifier(t.Context(), g.ID), nil) })
		}
		callers.Wait()
		got, err := p.Grant(t.Context(), g.ID)
		must(t, err)
		if got.WrongVerifiers != 10 {
			t.Errorf("%d wrong verifiers, want 10", got.WrongVerifiers)
		}
		live := p.createLive(t, "b")
		must(t, p.CountWrongVerifier(t.Context(), live.ID))
		if got, err = p.Grant(t.Context(), live.ID); err != nil || got.WrongVerifiers != 0 {
			t.Errorf("counted after the redemption: %+v, %v", got, err)
		}
		must(t, p.CountWrongVerifier(t.Context(), "unknown"))
	})
}

// Revoking leaves a record, once; what is revoked stays as it was revoked first.
func TestRevokeGrant(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		p := newParty(t, open)
		g := p.createLive(t, "a")
		must(t, p.RevokeGrant(t.Context(), g.ID, store.EventReplay, "code used twice", now, by))
		e := lastEvent(t, p.Store)
		wanted := store.Event{ID: e.ID, At: now, Kind: store.EventReplay, By: by, UserID: p.user.ID, ClientID: p.client.ID, GrantID: g.ID, Detail: "code used twice"}
		if diff := cmp.Diff(wanted, e); diff != "" {
			t.Errorf("event (-want +got):\n%s", diff)
		}
		must(t, p.RevokeGrant(t.Context(), g.ID, store.EventGrantRevoked, "again", now.Add(time.Hour), by))
		if again := lastEvent(t, p.Store); again.ID != e.ID {
			t.Errorf("a second event: %+v", again)
		}
		got, err := p.Grant(t.Context(), g.ID)
		must(t, err)
		if got.RevokedAt != now || got.RevokeReason != "code used twice" {
			t.Errorf("revoked at %v because %q", got.RevokedAt, got.RevokeReason)
		}
		want(t, "unknown", p.RevokeGrant(t.Context(), "unknown", store.EventGrantRevoked, "", now, by), store.ErrNotFound)
	})
}

func TestGrants(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		p := newParty(t, open)
		var ids []string
		for i := range 5 {
			ids = append([]string{p.createPending(t, fmt.Sprint(i)).ID}, ids...)
		}
		alice := p.user.ID
		p.user = user(t, p.Store, "bob")
		bobs := p.createPending(t, "of bob").ID
		for name, tt := range map[string]struct {
			user, before string
			limit        int
			want         []string
		}{
			"alice's":        {alice, "", 10, ids},
			"first page":     {alice, "", 2, ids[:2]},
			"second page":    {alice, ids[1], 2, ids[2:4]},
			"last page":      {alice, ids[3], 2, ids[4:]},
			"everybody's":    {"", "", 3, append([]string{bobs}, ids[:2]...)},
			"nobody's":       {"nobody", "", 10, nil},
			"behind the end": {alice, ids[4], 2, nil},
		} {
			grants, err := p.Grants(t.Context(), tt.user, tt.before, tt.limit)
			must(t, err)
			var got []string
			for _, g := range grants {
				got = append(got, g.ID)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	})
}

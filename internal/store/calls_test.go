package store_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/store"
)

// A call is one call of a method, which it is named by.
type call struct {
	method string
	do     func(ctx context.Context) error
}

// second is the error of a call that also returns something.
func second[T any](_ T, err error) error { return err }

// everyCall calls every method that asks the database, with what makes it succeed
// when they are called in this order, on a party that has done nothing yet.
func everyCall(p *party) []call {
	all := grantCalls(p)
	all = append(all, passkeyCalls(p)...)
	all = append(all, userCalls(p)...)
	all = append(all, accountCalls(p)...)
	all = append(all, clientCalls(p)...)
	return append(all, serverCalls(p)...)
}

func grantCalls(p *party) []call {
	g := p.pending("every")
	g.SID, g.SessionID, g.HearsOfLogout = "sid", "sid", true
	refresh := p.present(g, 0, 0)
	session := sessionOf(p, "sid")
	notice := store.LogoutNotice{SID: "sid", ClientID: g.ClientID, UserID: g.UserID, Attempts: 1}
	return []call{
		{"CreateSession", func(ctx context.Context) error { return p.CreateSession(ctx, session, "id", "", by) }},
		{"Session", func(ctx context.Context) error { return second(p.Session(ctx, "id", now, time.Hour)) }},
		{"TouchSession", func(ctx context.Context) error { return p.TouchSession(ctx, "id", now.Add(time.Minute)) }},
		{"CreateGrant", func(ctx context.Context) error {
			return p.CreateGrant(ctx, g, &store.Consent{Scope: g.Scope, Remember: true}, by)
		}},
		{"Consent", func(ctx context.Context) error {
			scope, found, err := p.Consent(ctx, p.user.ID, p.client)
			if err == nil && (!found || scope != g.Scope) {
				err = errors.New("no consent is remembered")
			}
			return err
		}},
		{"RequestUsed", func(ctx context.Context) error { return second(p.RequestUsed(ctx, g.RequestID)) }},
		{"GrantByCode", func(ctx context.Context) error { return second(p.GrantByCode(ctx, g.CodeHash)) }},
		{"CountWrongVerifier", func(ctx context.Context) error { return p.CountWrongVerifier(ctx, g.ID) }},
		{"RedeemCode", func(ctx context.Context) error {
			return p.RedeemCode(ctx, g.ID, g.ClientID, "request", now, now.Add(time.Hour))
		}},
		{"TakeBack", func(ctx context.Context) error { return p.TakeBack(ctx, now) }},
		{"NextGeneration", func(ctx context.Context) error { return second(p.NextGeneration(ctx, refresh)) }},
		{"Grant", func(ctx context.Context) error { return second(p.Grant(ctx, g.ID)) }},
		{"GrantState", func(ctx context.Context) error { return second(p.GrantState(ctx, g.ID, now)) }},
		{"Grants", func(ctx context.Context) error { return second(p.Grants(ctx, p.user.ID, "", 10)) }},
		{"TokenState", func(ctx context.Context) error {
			state, err := p.TokenState(ctx, g.ID, g.ClientID, "jti", now)
			if err == nil && !state.Live {
				err = errors.New("the grant is not live")
			}
			return err
		}},
		{"TokenUser", func(ctx context.Context) error {
			user, _, err := p.TokenUser(ctx, g.ID, g.ClientID, "jti", now)
			if err == nil && user == nil {
				return errors.New("not in force")
			}
			return err
		}},
		{"UseAssertion", func(ctx context.Context) error {
			return p.UseAssertion(ctx, g.ClientID, rand.Text(), now.Add(time.Minute))
		}},
		{"RevokeToken", func(ctx context.Context) error {
			return p.RevokeToken(ctx, "jti", g.ClientID, g.ID, now, now.Add(time.Hour), by)
		}},
		{"RevokeGrant", func(ctx context.Context) error {
			return p.RevokeGrant(ctx, g.ID, store.EventGrantRevoked, "because", now, by)
		}},
		{"EndSession", func(ctx context.Context) error { return second(p.EndSession(ctx, "id", now, by)) }},
		{"ClaimLogoutNotices", func(ctx context.Context) error {
			notices, err := p.ClaimLogoutNotices(ctx, now, 10)
			if err == nil && len(notices) != 1 {
				err = fmt.Errorf("%d notices", len(notices))
			}
			return err
		}},
		{"PostponeLogoutNotice", func(ctx context.Context) error { return p.PostponeLogoutNotice(ctx, notice, now) }},
		{"SettleLogoutNotice", func(ctx context.Context) error { return p.SettleLogoutNotice(ctx, notice) }},
		{"WithdrawConsent", func(ctx context.Context) error { return p.WithdrawConsent(ctx, p.user.ID, g.ClientID, now, by) }},
	}
}

func userCalls(p *party) []call {
	bob := &store.User{ID: store.NewUserID(), Username: "Bob", UsernameKey: "bob", CreatedAt: now}
	next := *bob
	next.Email = "bob@b.example"
	carol := &store.User{ID: store.NewUserID(), Username: "Carol", UsernameKey: "carol", Email: "carol@c.example", CreatedAt: now}
	link := func(purpose string, to string) *store.Ticket {
		return &store.Ticket{Hash: "hash of " + purpose, Purpose: purpose, UserID: carol.ID, UserEmail: carol.Email, NewEmail: to, CreatedAt: now, ExpiresAt: now.Add(time.Hour)}
	}
	set := &store.User{ID: store.NewUserID(), Username: "Root", UsernameKey: "root", Admin: true, CreatedAt: now}
	bobsApp := &store.AuthenticatorApp{ID: "app", UserID: bob.ID, Sealed: "sealed", CreatedAt: now}
	return []call{
		{"CreateUser", func(ctx context.Context) error { return p.CreateUser(ctx, bob, by) }},
		{"UserByName", func(ctx context.Context) error { return second(p.UserByName(ctx, "bob")) }},
		{"User", func(ctx context.Context) error { return second(p.User(ctx, bob.ID)) }},
		{"Users", func(ctx context.Context) error { return second(p.Users(ctx, "", 10)) }},
		{"UpdateUser", func(ctx context.Context) error { return p.UpdateUser(ctx, bob, &next, now, by) }},
		{"AddAuthenticatorApp", func(ctx context.Context) error {
			return second(p.AddAuthenticatorApp(ctx, bobsApp, 1, []string{"a"}, by))
		}},
		{"AuthenticatorApp", func(ctx context.Context) error { return second(p.AuthenticatorApp(ctx, bob.ID)) }},
		{"SecondFactors", func(ctx context.Context) error { return second(p.SecondFactors(ctx, bob.ID)) }},
		{"UseAuthenticatorApp", func(ctx context.Context) error { return p.UseAuthenticatorApp(ctx, bob.ID, "app", 1, now) }},
		{"UseRecoveryCode", func(ctx context.Context) error { return p.UseRecoveryCode(ctx, bob.ID, "a", now, by) }},
		{"RenewRecoveryCodes", func(ctx context.Context) error {
			return p.RenewRecoveryCodes(ctx, bob.ID, 1, []string{"b"}, now, by)
		}},
		{"RecoveryCodesLeft", func(ctx context.Context) error { return second(p.RecoveryCodesLeft(ctx, bob.ID)) }},
		{"RemoveAuthenticatorApp", func(ctx context.Context) error {
			return p.RemoveAuthenticatorApp(ctx, bob.ID, 1, "app", now, by)
		}},
		{"SetPassword", func(ctx context.Context) error { return p.SetPassword(ctx, bob.ID, "hash", now, by) }},
		{"Rehash", func(ctx context.Context) error { return p.Rehash(ctx, bob.ID, "hash", "better hash") }},
		{"DisableUser", func(ctx context.Context) error { return p.DisableUser(ctx, bob.ID, now, by) }},
		{"EnableUser", func(ctx context.Context) error { return p.EnableUser(ctx, bob.ID, now, by) }},
		{"DeleteUser", func(ctx context.Context) error { return p.DeleteUser(ctx, bob.ID, now, by) }},
		{"SetSendsMail", func(ctx context.Context) error { return p.SetSendsMail(ctx, true) }},
		{"Invite", func(ctx context.Context) error {
			return p.Invite(ctx, carol, link(store.TicketInvitation, carol.Email), &store.Mail{Kind: "invitation"}, by)
		}},
		{"ClaimMails", func(ctx context.Context) error {
			mails, err := p.ClaimMails(ctx, now, 10)
			if err == nil && len(mails) != 1 {
				err = fmt.Errorf("%d mails", len(mails))
			}
			return err
		}},
		{"PostponeMail", func(ctx context.Context) error { return p.PostponeMail(ctx, &store.Mail{ID: "id"}, now) }},
		{"SettleMail", func(ctx context.Context) error { return p.SettleMail(ctx, &store.Mail{ID: "id"}) }},
		{"Ticket", func(ctx context.Context) error { return second(p.Ticket(ctx, "hash of invitation", now)) }},
		{"UsePasswordTicket", func(ctx context.Context) error {
			return p.UsePasswordTicket(ctx, link(store.TicketInvitation, ""), "hash", now, by)
		}},
		{"UserBySignIn", func(ctx context.Context) error { return second(p.UserBySignIn(ctx, "carol@c.example", carol.Email)) }},
		{"MakeTicket", func(ctx context.Context) error {
			return p.MakeTicket(ctx, link(store.TicketEmail, "new@c.example"), nil, by)
		}},
		{"UseEmailTicket", func(ctx context.Context) error {
			return p.UseEmailTicket(ctx, link(store.TicketEmail, "new@c.example"), now, by)
		}},
		{"OpenSetUp", func(ctx context.Context) error { return second(p.OpenSetUp(ctx, link(store.TicketSetUp, ""), now)) }},
		{"SetUp", func(ctx context.Context) error { return p.SetUp(ctx, "hash of set_up", set, now, by) }},
	}
}

func passkeyCalls(p *party) []call {
	made := &store.Passkey{ID: "credential", UserID: p.user.ID, Name: "n", CreatedAt: now}
	other := &store.Passkey{ID: "other", UserID: p.user.ID, Name: "n", CreatedAt: now}
	use := store.PasskeyUse{ID: "credential", UserID: p.user.ID, Challenge: challenge("use"), SignCount: 1, Now: now}
	return []call{
		{"AddPasskey", func(ctx context.Context) error { return p.AddPasskey(ctx, made, challenge("add"), by) }},
		{"AddPasskey", func(ctx context.Context) error { return p.AddPasskey(ctx, other, challenge("other"), by) }},
		{"Passkey", func(ctx context.Context) error { return second(p.Passkey(ctx, "credential")) }},
		{"Passkeys", func(ctx context.Context) error { return second(p.Passkeys(ctx, p.user.ID)) }},
		{"UsePasskey", func(ctx context.Context) error { return second(p.UsePasskey(ctx, use, by)) }},
		{"RenamePasskey", func(ctx context.Context) error { return p.RenamePasskey(ctx, p.user.ID, "credential", "m") }},
		{"RemovePasskey", func(ctx context.Context) error {
			return p.RemovePasskey(ctx, p.user.ID, p.user.Epoch, "credential", now, by)
		}},
	}
}

func clientCalls(p *party) []call {
	zoo := &store.Client{ID: "zoo", CreatedAt: now, Secrets: []store.ClientSecret{{ID: "1", Hash: "h1", CreatedAt: now}}}
	changed := *p.client
	changed.Metadata.ClientName = "changed"
	own := &store.Client{ID: "own", CreatedAt: now, RegistrationToken: "hash", UnusedUntil: now.Add(time.Hour)}
	return []call{
		{"CreateClient", func(ctx context.Context) error { return p.CreateClient(ctx, zoo, by) }},
		{"Client", func(ctx context.Context) error { return second(p.Client(ctx, "zoo")) }},
		{"Clients", func(ctx context.Context) error { return second(p.Clients(ctx, "", 10)) }},
		{"KnownClient", func(ctx context.Context) error { return second(p.KnownClient(ctx, "zoo", now)) }},
		{"GrantInUse", func(ctx context.Context) error { return second(p.GrantInUse(ctx, "password")) }},
		{"MetadataHolds", func(ctx context.Context) error { return second(p.MetadataHolds(ctx, `"alg"`)) }},
		{"ResponseTypesInUse", func(ctx context.Context) error { return second(p.ResponseTypesInUse(ctx)) }},
		{"UpdateClient", func(ctx context.Context) error { return p.UpdateClient(ctx, &changed, now, by) }},
		{"AddSecret", func(ctx context.Context) error {
			return p.AddSecret(ctx, "zoo", store.ClientSecret{ID: "2", Hash: "h2", CreatedAt: now}, by)
		}},
		{"RetireSecrets", func(ctx context.Context) error { return p.RetireSecrets(ctx, "zoo", "2", now.Add(time.Hour), now, by) }},
		{"RemoveSecret", func(ctx context.Context) error { return p.RemoveSecret(ctx, "zoo", "2", now, by) }},
		{"DisableClient", func(ctx context.Context) error { return p.DisableClient(ctx, "zoo", now, by) }},
		{"EnableClient", func(ctx context.Context) error { return p.EnableClient(ctx, "zoo", now, by) }},
		{"CreateClient", func(ctx context.Context) error { return p.CreateClient(ctx, own, by) }},
		{"UseClient", func(ctx context.Context) error { return p.UseClient(ctx, "own") }},
		{"ReplaceRegistration", func(ctx context.Context) error {
			c, err := p.Client(ctx, "own")
			if err != nil {
				return err
			}
			return p.ReplaceRegistration(ctx, c, nil, now, by)
		}},
		{"DeleteRegistration", func(ctx context.Context) error { return p.DeleteRegistration(ctx, "own", "hash", now, by) }},
		{"DeleteClient", func(ctx context.Context) error { return p.DeleteClient(ctx, "zoo", now, by) }},
	}
}

func serverCalls(p *party) []call {
	limit := store.Limit{Burst: 5, Interval: time.Minute}
	k := func(id string) store.Key {
		k := key(id, 0)
		k.Check = "check"
		return k
	}
	return []call{
		{"Ready", p.Ready},
		{"Schema", func(ctx context.Context) error { return second(p.Schema(ctx)) }},
		{"Server", func(ctx context.Context) error { return second(p.Server(ctx)) }},
		{"MarkDemo", func(ctx context.Context) error {
			if err := p.MarkDemo(ctx); !errors.Is(err, store.ErrConflict) { // there is somebody
				return errors.Join(errors.New("marked for the demo"), err)
			}
			return nil
		}},
		{"SetKeyCheck", func(ctx context.Context) error { return p.SetKeyCheck(ctx, "check") }},
		{"AddFirstKey", func(ctx context.Context) error { return p.AddFirstKey(ctx, k("k0")) }},
		{"SucceedKey", func(ctx context.Context) error { return p.SucceedKey(ctx, "k0", k("k1"), now.Add(time.Hour), by) }},
		{"RemoveKey", func(ctx context.Context) error { return p.RemoveKey(ctx, "k0", k("k2"), by) }},
		{"Keys", func(ctx context.Context) error { return second(p.Keys(ctx)) }},
		{"ResealKeys", func(ctx context.Context) error {
			return p.ResealKeys(ctx, []store.Key{k("k1")}, "check", "check 2", now, by)
		}},
		{"ResetKeys", func(ctx context.Context) error { return p.ResetKeys(ctx, "check 3", now, by) }},
		{"RevokeAll", func(ctx context.Context) error { return p.RevokeAll(ctx, now, by) }},
		{"Follow", func(ctx context.Context) error { return second(p.Follow(ctx, now)) }},
		{"Attempt", func(ctx context.Context) error { return second(p.Attempt(ctx, "bucket", limit, now)) }},
		{"Forgive", func(ctx context.Context) error { return p.Forgive(ctx, "bucket", limit) }},
		{"HoldJob", func(ctx context.Context) error {
			held, err := p.HoldJob(ctx, "job", "holder", now, time.Minute)
			if err == nil && !held {
				err = errors.New("a job that nobody holds is not to be had")
			}
			return err
		}},
		{"Record", func(ctx context.Context) error { return p.Record(ctx, store.Event{At: now, Kind: "kind"}) }},
		{"Events", func(ctx context.Context) error { return second(p.Events(ctx, "", 10)) }},
		{"DeleteExpired", func(ctx context.Context) error { return second(p.DeleteExpired(ctx, now.Add(99*24*time.Hour))) }},
	}
}

// elsewhere are the methods that everyCall leaves out: they ask no database, or are
// an operator's and take as long as it takes.
var elsewhere = map[string]bool{
	"Close": true, "Lock": true, "Changes": true, "SignOuts": true, "Mails": true, "SchemaBefore": true, "Connections": true, "ClientLookups": true, "Export": true, "Import": true,
}

// Every method there is, is called.
func TestEveryCall(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		p := newParty(t, open)
		called := map[string]bool{}
		for _, call := range everyCall(p) {
			called[call.method] = true
			if err := call.do(t.Context()); err != nil {
				t.Errorf("%s: %v", call.method, err)
			}
		}
		for i := range reflect.TypeFor[*store.Store]().NumMethod() {
			name := reflect.TypeFor[*store.Store]().Method(i).Name
			if !called[name] && !elsewhere[name] && !store.OnlyInTests[name] {
				t.Errorf("%s is not called", name)
			}
		}
	})
}

package demo_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/client"
	"github.com/hufu-auth/hufu/internal/demo"
	"github.com/hufu-auth/hufu/internal/issuer"
	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
)

const origin = "http://localhost:8080"

// parts opens a database with keys.
func parts(t *testing.T) demo.Parts {
	t.Helper()
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "hufu.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	master, err := issuer.NewMaster(make([]byte, issuer.MasterKeySize))
	if err != nil {
		t.Fatal(err)
	}
	ring := &issuer.Ring{Store: s, Master: master, Now: time.Now, Publish: time.Minute}
	if err := ring.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	clients := &client.Registry{Store: s, HashSecret: ring.HashSecret, CheckSecret: ring.CheckSecret, SealSecret: ring.SealSecret, OpenSecret: ring.OpenSecret, MakeKeys: ring.MakeFor, Now: time.Now}
	return demo.Parts{Store: s, Clients: clients, Hasher: login.NewHasher(1, 1), Now: time.Now, Issuer: origin}
}

func provision(t *testing.T, p demo.Parts) {
	t.Helper()
	if err := demo.Provision(t.Context(), p); err != nil {
		t.Fatal(err)
	}
}

func readClient(t *testing.T, p demo.Parts, id string) *store.Client {
	t.Helper()
	c, err := p.Store.Client(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func countEvents(t *testing.T, p demo.Parts) int {
	t.Helper()
	events, err := p.Store.Events(t.Context(), "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	return len(events)
}

func TestProvision(t *testing.T) {
	t.Parallel()
	p := parts(t)
	provision(t, p)
	for id, want := range map[string]struct {
		secret string
		grants []string
	}{
		demo.WebID:     {demo.WebSecret, []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken}},
		demo.AppID:     {"", []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken}},
		demo.ServiceID: {demo.ServiceSecret, []string{oauth.GrantClientCredentials}},
		demo.LegacyID:  {demo.LegacySecret, []string{oauth.GrantPassword, oauth.GrantImplicit, oauth.GrantRefreshToken}},
	} {
		c := readClient(t, p, id)
		if diff := cmp.Diff(want.grants, c.Metadata.GrantTypes); diff != "" {
			t.Errorf("%s: grants (-want +got):\n%s", id, diff)
		}
		if c.Metadata.IsPublic() != (want.secret == "") {
			t.Errorf("%s: public is %t", id, c.Metadata.IsPublic())
		}
		if want.secret != "" && !takes(p, c, want.secret) {
			t.Errorf("%s does not take its secret", id)
		}
	}
	for name, password := range map[string]string{demo.Alice: demo.AlicePassword, demo.Bob: demo.BobPassword} {
		u, err := p.Store.UserByName(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if match, _, err := p.Hasher.Check(t.Context(), u.Password, password); err != nil || !match {
			t.Errorf("%s: the password does not match: %v", name, err)
		}
	}
}

func takes(p demo.Parts, c *store.Client, secret string) bool {
	return slices.ContainsFunc(c.Secrets, func(s store.ClientSecret) bool { return p.Clients.CheckSecret(s.Hash, secret) })
}

// A second start changes nothing that nobody has changed.
func TestProvisionTwice(t *testing.T) {
	t.Parallel()
	p := parts(t)
	provision(t, p)
	events, was := countEvents(t, p), readClient(t, p, demo.WebID)
	provision(t, p)
	if got := countEvents(t, p); got != events {
		t.Errorf("%d audit events, had %d", got, events)
	}
	if now := readClient(t, p, demo.WebID); len(now.Secrets) != len(was.Secrets) || now.Epoch != was.Epoch {
		t.Errorf("the client is %+v, was %+v", now, was)
	}
}

// Another port: the playground's callback follows, what somebody added stays.
func TestProvisionAnotherIssuer(t *testing.T) {
	t.Parallel()
	p := parts(t)
	provision(t, p)
	_, err := p.Clients.Update(t.Context(), demo.AppID, func(m *oauth.ClientMetadata) error {
		m.RedirectURIs = append(m.RedirectURIs, "com.example.notes:/cb")
		return nil
	}, store.By{Actor: "test"})
	if err != nil {
		t.Fatal(err)
	}
	p.Issuer = "http://127.0.0.1:9090/auth"
	provision(t, p)
	callback := p.Issuer + "/playground/callback"
	for id, want := range map[string][]string{
		demo.WebID:     {callback},
		demo.AppID:     {callback, "http://127.0.0.1/callback", "com.example.notes:/cb"},
		demo.ServiceID: nil,
		demo.LegacyID:  {callback},
	} {
		if diff := cmp.Diff(want, readClient(t, p, id).Metadata.RedirectURIs); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
	}
}

// What is missing comes back, what was changed stays changed.
func TestProvisionRepairs(t *testing.T) {
	t.Parallel()
	p := parts(t)
	provision(t, p)
	ctx, by := t.Context(), store.By{Actor: "test"}
	alice, err := p.Store.UserByName(ctx, demo.Alice)
	if err != nil {
		t.Fatal(err)
	}
	web := readClient(t, p, demo.WebID)
	for _, err := range []error{
		p.Store.DeleteUser(ctx, alice.ID, p.Now(), by),
		p.Store.DeleteClient(ctx, demo.LegacyID, p.Now(), by),
		p.Store.RemoveSecret(ctx, demo.WebID, web.Secrets[0].ID, p.Now(), by),
		rename(ctx, p, demo.ServiceID, "My own name"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	provision(t, p)
	if again, err := p.Store.UserByName(ctx, demo.Alice); err != nil || again.ID == alice.ID {
		t.Errorf("alice: %v, %v", again, err)
	}
	if c := readClient(t, p, demo.LegacyID); !takes(p, c, demo.LegacySecret) {
		t.Error("the deleted client did not come back")
	}
	if c := readClient(t, p, demo.WebID); !takes(p, c, demo.WebSecret) {
		t.Error("the removed secret did not come back")
	}
	if name := readClient(t, p, demo.ServiceID).Metadata.ClientName; name != "My own name" {
		t.Errorf("the client is called %q again", name)
	}
}

func rename(ctx context.Context, p demo.Parts, id, name string) error {
	_, err := p.Clients.Update(ctx, id, func(m *oauth.ClientMetadata) error {
		m.ClientName = name
		return nil
	}, store.By{Actor: "test"})
	return err
}

// Two secrets of somebody's own are not one too few.
func TestProvisionLeavesTwoSecrets(t *testing.T) {
	t.Parallel()
	p := parts(t)
	provision(t, p)
	by, was := store.By{Actor: "test"}, readClient(t, p, demo.WebID).Secrets[0].ID
	add := func() error {
		_, _, err := p.Clients.AddSecret(t.Context(), demo.WebID, "", time.Time{}, by)
		return err
	}
	if err := errors.Join(add(), p.Store.RemoveSecret(t.Context(), demo.WebID, was, p.Now(), by), add()); err != nil {
		t.Fatal(err)
	}
	provision(t, p)
	if c := readClient(t, p, demo.WebID); takes(p, c, demo.WebSecret) {
		t.Error("a third secret was added")
	}
}

// The printed text keeps to a terminal's width, and names what it should.
func TestTutorial(t *testing.T) {
	t.Parallel()
	const issuer = "http://localhost:8080/auth"
	text := demo.Tutorial(issuer)
	for _, want := range []string{
		issuer + "/playground\n", issuer + "/open/authorize/index?", issuer + "/open/implicit?", issuer + "/oauth2/password",
		issuer + "/oauth2/client-credentials", issuer + "/oauth2/refresh-token", "code_challenge_method=S256",
		demo.Alice, demo.AlicePassword, demo.Bob, demo.BobPassword,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
	for line := range strings.Lines(text) {
		if len(line) > 81 && !strings.Contains(line, "/open/") || strings.TrimRight(line, " \n") != strings.TrimRight(line, "\n") || strings.Contains(line, "\t") {
			t.Errorf("%q", line)
		}
	}
}

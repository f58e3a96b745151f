package spec_test

import (
	"crypto"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	josev4 "github.com/go-jose/go-jose/v4"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/oauthtest"
	"github.com/hufu-auth/hufu/internal/store"
)

// onRequest are the algorithms whose keys are made when the first client wants them.
var onRequest = []string{"PS256", "EdDSA"}

// byAlgorithm counts the published keys.
func byAlgorithm(t *testing.T, s *oauthtest.Server) map[string]int {
	t.Helper()
	count := map[string]int{}
	for _, key := range keySet(t, s).Keys {
		count[key.Algorithm]++
	}
	return count
}

func idTokenAlg(algorithm string) func(*oauth.ClientMetadata) {
	return func(m *oauth.ClientMetadata) { m.IDTokenAlg = algorithm }
}

// OpenID Connect Core Sections 2, 3.1.3.6 and 3.3.2.11: with every algorithm an ID token
// verifies by the published key, from either endpoint and after a refresh, and the
// hashes in it are those of its algorithm; for Ed25519 that is SHA-512 (JW-13).
func TestOpenIDCore_3_1_3_6_HashOfTheAlgorithm(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	for _, algorithm := range oauth.SigningAlgorithms {
		t.Run(algorithm, func(t *testing.T) {
			p := newRelyingParty(t, s, idTokenAlg(algorithm))
			answer, _ := p.ask(t, "response_type", "code id_token token", "scope", "openid offline_access", "nonce", "n", "prompt", "consent")
			half := leftHalf
			if algorithm == "EdDSA" {
				half = func(text string) string {
					sum := sha512.Sum512([]byte(text))
					return base64.RawURLEncoding.EncodeToString(sum[:32])
				}
			}
			token, claims := p.verify(t, answer.Get("id_token"))
			if err := token.VerifyAccessToken(answer.Get("access_token")); err != nil {
				t.Error(err)
			}
			if claims["at_hash"] != half(answer.Get("access_token")) || claims["c_hash"] != half(answer.Get("code")) {
				t.Errorf("at_hash %v, c_hash %v", claims["at_hash"], claims["c_hash"])
			}
			tokens := p.tokens(t, answer.Get("code"))
			for what, next := range map[string]*oauthtest.Answer{"code": tokens, "refresh": p.Refresh(t, oauthtest.AllAddresses[0], tokens.Text("refresh_token"))} {
				raw := next.Text("id_token")
				token, _ := p.verify(t, raw)
				if err := token.VerifyAccessToken(next.Text("access_token")); err != nil || headerOf(t, raw)["alg"] != algorithm {
					t.Errorf("%s: %v, header %v", what, err, headerOf(t, raw))
				}
			}
			// It is a hint for us as well, OpenID Connect Core Section 3.1.2.1.
			location := p.Browser.Open(t, p.address("scope", "openid", "prompt", "none", "id_token_hint", answer.Get("id_token")))
			if responseCode(location) == "" {
				t.Errorf("as a hint: %s", location.Header.Get("Location"))
			}
		})
	}
}

// The key of an unusual algorithm is made when the first client is registered for it,
// or changed so, and is in the key set before anything is signed with it; whoever has no
// such client shows no such key. The thumbprint of RFC 8037 Section 2 names it (KY-01,
// JW-14).
func TestRFC8037_2_KeyOnRequest(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	app := s.App(t)
	if got := byAlgorithm(t, s); len(got) != 2 || got["ES256"] != 1 || got["RS256"] != 1 {
		t.Fatalf("before anybody wants more: %v", got)
	}
	s.App(t, idTokenAlg("PS256"), func(m *oauth.ClientMetadata) { m.UserInfoAlg = "PS256" })
	if got := byAlgorithm(t, s); len(got) != 3 || got["PS256"] != 1 {
		t.Errorf("when a client was registered: %v", got)
	}
	if _, err := s.Clients.Update(t.Context(), app.ClientID, func(m *oauth.ClientMetadata) error { m.UserInfoAlg = "EdDSA"; return nil }, theOperator); err != nil {
		t.Fatal(err)
	}
	for _, edit := range []string{"PS256", "EdDSA"} {
		s.App(t, idTokenAlg(edit)) // which has its key
	}
	if got := byAlgorithm(t, s); len(got) != 4 || got["EdDSA"] != 1 || got["PS256"] != 1 {
		t.Errorf("when a client was changed: %v", got)
	}
	for _, key := range keySet(t, s).Keys {
		thumbprint, err := key.Thumbprint(crypto.SHA256)
		if err != nil || key.KeyID != base64.RawURLEncoding.EncodeToString(thumbprint) || !key.Valid() || !key.IsPublic() || key.Use != "sig" {
			t.Errorf("key %s of %s: %v", key.KeyID, key.Algorithm, err)
		}
	}
}

// Servers that are asked for a key at the same moment make one.
func TestKeys_OnRequestAtOnce(t *testing.T) {
	t.Parallel()
	data := oauthtest.DataDir(t)
	s := oauthtest.StartIn(t, data)
	servers := []*oauthtest.Server{s, s}
	if oauthtest.OnPostgres() { // where there can be two
		servers[1] = oauthtest.StartIn(t, data)
	}
	var callers sync.WaitGroup
	for i := range 16 {
		callers.Go(func() {
			m := oauth.ClientMetadata{RedirectURIs: []string{oauthtest.Callback}, Scope: "openid", IDTokenAlg: onRequest[i/2%2]}
			if _, _, err := servers[i%2].Clients.Register(t.Context(), fmt.Sprintf("client-%d", i), m, "", theOperator); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	for i, server := range servers {
		if err := server.Ring.Refresh(t.Context()); err != nil { // which it does by itself within a second
			t.Fatal(err)
		}
		if got := byAlgorithm(t, server); got["PS256"] != 1 || got["EdDSA"] != 1 {
			t.Errorf("keys of server %d: %v", i, got)
		}
	}
}

// unregistered puts a client into the database as an import does.
func unregistered(t *testing.T, s *oauthtest.Server, app *oauthtest.App, algorithm string) {
	t.Helper()
	c, err := s.Store.Client(t.Context(), app.ClientID)
	if err != nil {
		t.Fatal(err)
	}
	c.Metadata.IDTokenAlg, c.Metadata.UserInfoAlg = algorithm, algorithm
	if err := s.Store.UpdateClient(t.Context(), c, s.Clock.Now(), theOperator); err != nil {
		t.Fatal(err)
	}
}

// A client that came into the database another way has its key made when it is needed,
// at every place that needs it, and a sign-in never fails for it; a server that starts
// makes it before it answers.
func TestKeys_OnRequestWhenNeeded(t *testing.T) {
	t.Parallel()
	for name, use := range map[string]func(t *testing.T, p *relyingParty){
		"code":    func(t *testing.T, p *relyingParty) { answer, _ := p.ask(t); p.tokens(t, answer.Get("code")) },
		"browser": func(t *testing.T, p *relyingParty) { p.ask(t, "response_type", "id_token", "nonce", "n") },
		"password": func(t *testing.T, p *relyingParty) {
			p.Server.Post(t, "/token", p.Credentials("grant_type", "password", "username", "alice", "password", oauthtest.Password, "scope", "openid"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := oauthtest.Start(t)
			p := newRelyingParty(t, s)
			unregistered(t, s, p.App, "EdDSA")
			use(t, p)
			if got := byAlgorithm(t, s); got["EdDSA"] != 1 {
				t.Errorf("keys: %v", got)
			}
			tokens := p.tokens(t, p.code(t))
			p.verify(t, tokens.Text("id_token"))
		})
	}
	t.Run("userinfo and refresh", func(t *testing.T) {
		t.Parallel()
		s := oauthtest.Start(t)
		p := newRelyingParty(t, s)
		answer, _ := p.ask(t, "scope", "openid offline_access", "prompt", "consent")
		tokens := p.tokens(t, answer.Get("code"))
		unregistered(t, s, p.App, "PS256")
		s.Clock.Advance(2 * time.Second)
		if info := p.userInfo(t, tokens.Text("access_token")); info.StatusCode != http.StatusOK || headerOf(t, string(info.Body))["alg"] != "PS256" {
			t.Errorf("UserInfo: %d %s", info.StatusCode, info.Body)
		}
		unregistered(t, s, p.App, "EdDSA")
		s.Clock.Advance(2 * time.Second)
		if raw := p.Refresh(t, oauthtest.AllAddresses[0], tokens.Text("refresh_token")).Text("id_token"); headerOf(t, raw)["alg"] != "EdDSA" {
			t.Errorf("refresh: %s", raw)
		}
	})
	t.Run("start", func(t *testing.T) {
		t.Parallel()
		data := oauthtest.DataDir(t)
		t.Run("one server", func(t *testing.T) {
			s := oauthtest.StartIn(t, data)
			c := &store.Client{ID: "imported", CreatedAt: s.Clock.Now(), Metadata: oauth.ClientMetadata{UserInfoAlg: "EdDSA"}}
			if err := s.Store.CreateClient(t.Context(), c, theOperator); err != nil {
				t.Fatal(err)
			}
		})
		t.Run("the next", func(t *testing.T) {
			if got := byAlgorithm(t, oauthtest.StartIn(t, data)); got["EdDSA"] != 1 || got["PS256"] != 0 {
				t.Errorf("keys of the server that started: %v", got)
			}
		})
	})
}

// code is that of an authorization.
func (p *relyingParty) code(t *testing.T) string {
	t.Helper()
	answer, _ := p.ask(t)
	return answer.Get("code")
}

// OpenID Connect Core Section 10.1.1: keys on request rotate as all signing keys do, and
// can be removed in an emergency (KY-01, KY-02).
func TestKeys_OnRequestRotate(t *testing.T) {
	t.Parallel()
	s := oauthtest.Start(t)
	for _, algorithm := range onRequest {
		if _, err := s.Ring.Rotate(t.Context(), "sign:"+algorithm, theOperator); err == nil {
			t.Errorf("%s: rotated before there is one", algorithm)
		}
		p := newRelyingParty(t, s, idTokenAlg(algorithm))
		kid := func() any {
			t.Helper()
			raw := p.tokens(t, p.code(t)).Text("id_token")
			if _, _, err := verifiedBy(keySet(t, s), raw); err != nil {
				t.Fatal(err)
			}
			return headerOf(t, raw)["kid"]
		}
		first := kid()
		next, err := s.Ring.Rotate(t.Context(), "sign:"+algorithm, theOperator)
		if err != nil {
			t.Fatal(err)
		}
		if got := kid(); got != first || byAlgorithm(t, s)[algorithm] != 2 {
			t.Errorf("%s: at once %v signs, keys %v", algorithm, got, byAlgorithm(t, s))
		}
		s.Clock.Advance(s.Config.JWKSMaxAge + 6*time.Second)
		if got := kid(); got != next.ID {
			t.Errorf("%s: after a cache period %v signs", algorithm, got)
		}
		if err := s.Ring.Remove(t.Context(), next.ID, theOperator); err != nil {
			t.Fatal(err)
		}
		if got := kid(); got == next.ID || got == first {
			t.Errorf("%s: after its removal %v signs", algorithm, got)
		}
	}
	if got := s.Ring.Signing(); !slices.Equal(got, []string{"sign:ES256", "sign:RS256", "sign:PS256", "sign:EdDSA"}) {
		t.Errorf("signing: %v", got)
	}
}

// verifiedBy is verified for ID tokens, of any algorithm.
func verifiedBy(set josev4.JSONWebKeySet, token string) (josev4.Header, []byte, error) {
	jws, err := josev4.ParseSignedCompact(token, []josev4.SignatureAlgorithm{"RS256", "ES256", "PS256", "EdDSA"})
	if err != nil {
		return josev4.Header{}, nil, err
	}
	header := jws.Signatures[0].Protected
	keys := set.Key(header.KeyID)
	if len(keys) != 1 || keys[0].Algorithm != header.Algorithm {
		return header, nil, fmt.Errorf("%d keys for %s", len(keys), header.KeyID)
	}
	payload, err := jws.Verify(keys[0].Key)
	return header, payload, err
}

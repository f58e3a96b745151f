package issuer_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	josev4 "github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/hufu-auth/hufu/internal/issuer"
	"github.com/hufu-auth/hufu/internal/jose"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
)

func signedBy(t testing.TB, token string) string {
	t.Helper()
	jws, err := josev4.ParseSignedCompact(token, []josev4.SignatureAlgorithm{josev4.ES256, josev4.RS256})
	must(t, err)
	return jws.Signatures[0].Header.KeyID
}

// RFC 9068 Section 2.2: the claims of a user's token, the same whether it is
// signed or sealed.
func TestGrantToken(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := alice()
	for form, m := range forms {
		for name, tt := range map[string]struct {
			resource, defaults string
			want               oauth.Audience
		}{
			"the issuer":  {"", "", oauth.Audience{"https://id.example"}},
			"the default": {"", "https://api.example", oauth.Audience{"https://api.example"}},
			"as asked":    {"urn:a urn:b", "https://api.example", oauth.Audience{"urn:a", "urn:b"}},
		} {
			m.DefaultAudience, g.Resource = tt.defaults, tt.resource
			token, err := h.GrantToken(g, &m, oauth.Scope{"read"}, 10*time.Minute)
			must(t, err)
			got, err := h.ReadAccessToken(token)
			must(t, err)
			want := &issuer.AccessToken{
				Issuer: "https://id.example", Subject: g.UserID, Audience: tt.want, ClientID: "app", Scope: "read", GrantID: g.ID,
				IssuedAt: h.now.Unix(), ExpiresAt: h.now.Add(10 * time.Minute).Unix(), AuthTime: g.AuthTime.Unix(), ACR: "urn:acr", AMR: []string{"pwd", "otp"},
			}
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(issuer.AccessToken{}, "JWTID")); diff != "" {
				t.Errorf("%s for %s (-want +got):\n%s", form, name, diff)
			}
			if len(got.JWTID) < 22 {
				t.Errorf("%s: jti %q", form, got.JWTID)
			}
			if opaque := strings.HasPrefix(token, "hat_"); opaque != (form == "opaque") {
				t.Errorf("%s: %.20s", form, token)
			}
		}
	}
}

// RFC 9068 Section 2.2: the client is the subject of a token for itself, and
// nothing in it is about a user (TE-19, CC-02).
func TestClientToken(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for form, m := range forms {
		c := &store.Client{ID: "service", Metadata: m, Epoch: 3, ServerEpoch: 5}
		token, err := h.ClientToken(c, nil, []string{"urn:a"}, time.Minute)
		must(t, err)
		got, err := h.ReadAccessToken(token)
		must(t, err)
		want := &issuer.AccessToken{
			Issuer: "https://id.example", Subject: "service", ClientID: "service", Audience: oauth.Audience{"urn:a"},
			IssuedAt: h.now.Unix(), ExpiresAt: h.now.Add(time.Minute).Unix(), Epochs: []int64{3, 5},
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(issuer.AccessToken{}, "JWTID")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", form, diff)
		}
	}
}

// A token is in force by what the database knows of it: its row, its id, the
// epochs (AT-03, AT-04, CK-01).
func TestInForce(t *testing.T) {
	t.Parallel()
	ofUser := issuer.AccessToken{ClientID: "app", GrantID: "g"}
	ofClient := issuer.AccessToken{ClientID: "app", Epochs: []int64{1, 3}}
	for name, tt := range map[string]struct {
		token issuer.AccessToken
		state store.TokenState
		want  bool
	}{
		"user's":                       {ofUser, store.TokenState{Live: true, ClientEpoch: 1, ServerEpoch: 3}, true},
		"user's, revoked by id":        {ofUser, store.TokenState{Live: true, Revoked: true, ClientEpoch: 1, ServerEpoch: 3}, false},
		"user's, grant over":           {ofUser, store.TokenState{ClientEpoch: 1, ServerEpoch: 3}, false},
		"client's":                     {ofClient, store.TokenState{ClientEpoch: 1, ServerEpoch: 3}, true},
		"client's, revoked by id":      {ofClient, store.TokenState{Revoked: true, ClientEpoch: 1, ServerEpoch: 3}, false},
		"client's, client disabled":    {ofClient, store.TokenState{ServerEpoch: 3}, false},
		"client's, client changed":     {ofClient, store.TokenState{ClientEpoch: 2, ServerEpoch: 3}, false},
		"client's, epoch back":         {ofClient, store.TokenState{ClientEpoch: 1, ServerEpoch: 2}, false},
		"neither grant nor epochs":     {issuer.AccessToken{ClientID: "app"}, store.TokenState{ClientEpoch: 1, ServerEpoch: 3}, false},
		"epochs of the wrong number":   {issuer.AccessToken{ClientID: "app", Epochs: []int64{1}}, store.TokenState{ClientEpoch: 1, ServerEpoch: 3}, false},
		"no epochs, client gone":       {issuer.AccessToken{ClientID: "app", Epochs: []int64{1, 3}}, store.TokenState{}, false},
		"a grant and epochs, row gone": {issuer.AccessToken{ClientID: "app", GrantID: "g", Epochs: []int64{1, 3}}, store.TokenState{ClientEpoch: 1, ServerEpoch: 3}, false},
	} {
		if got := tt.token.InForce(&tt.state); got != tt.want {
			t.Errorf("%s: in force %t, want %t", name, got, tt.want)
		}
	}
}

// What is not an access token of this server, or no longer, is one refusal
// (JW-01, JW-06, AT-02).
func TestReadAccessToken(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for form := range forms {
		token := h.mint(t, form)
		h.now = h.now.Add(10*time.Minute - time.Second)
		if _, err := h.ReadAccessToken(token); err != nil {
			t.Errorf("%s in its last second: %v", form, err)
		}
		h.now = h.now.Add(time.Second)
		if _, err := h.ReadAccessToken(token); !errors.Is(err, issuer.ErrNotActive) {
			t.Errorf("%s at its end: %v", form, err)
		}
		other := onStore(t, h.Ring.Store, master(t, 1))
		other.URL, other.now = "https://other.example", h.now
		if _, err := h.ReadAccessToken(other.mint(t, form)); !errors.Is(err, issuer.ErrNotActive) {
			t.Errorf("%s of another issuer on the same keys: %v", form, err)
		}
		if _, err := h.ReadAccessToken(newHouse(t).mint(t, form)); !errors.Is(err, issuer.ErrNotActive) {
			t.Errorf("%s of another server: %v", form, err)
		}
	}
	refresh, err := h.RefreshToken(issuer.RefreshToken{GrantID: store.NewGrantID()})
	must(t, err)
	for name, text := range map[string]string{
		"empty": "", "prefix": "hat_", "refresh token": refresh, "renamed refresh token": "hat_" + strings.TrimPrefix(refresh, "hrt_"),
		"prefix in other case": "HAT_" + strings.TrimPrefix(h.mint(t, "opaque"), "hat_"), "prefix of a JWT": "hat_" + h.mint(t, "ES256"), "huge": strings.Repeat("a", 17<<10),
		"opaque without prefix": strings.TrimPrefix(h.mint(t, "opaque"), "hat_"),
	} {
		if got, err := h.ReadAccessToken(text); !errors.Is(err, issuer.ErrNotActive) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// A token that was read before is asked about its key and its time again, and is
// no other's: what is remembered is that its signature was right (KY-02, JW-06).
func TestReadAccessTokenAgain(t *testing.T) {
	t.Parallel()
	for form, purpose := range map[string]string{"ES256": issuer.PurposeES256, "opaque": issuer.PurposeAccessToken} {
		h := newHouse(t)
		token := h.mint(t, form)
		first, err := h.ReadAccessToken(token)
		must(t, err)
		first.Scope = "changed by its reader"
		again, err := h.ReadAccessToken(token)
		must(t, err)
		if again.Scope != "read" {
			t.Errorf("%s: read again it says %+v", form, again)
		}
		h.now = h.now.Add(10 * time.Minute)
		if _, err := h.ReadAccessToken(token); !errors.Is(err, issuer.ErrNotActive) {
			t.Errorf("%s at its end: %v", form, err)
		}
		h.now = h.now.Add(-time.Minute)
		if _, err := h.ReadAccessToken(token); err != nil {
			t.Errorf("%s before its end: %v", form, err)
		}
		must(t, h.Ring.Remove(t.Context(), h.newest(t, purpose).ID, by))
		if _, err := h.ReadAccessToken(token); !errors.Is(err, issuer.ErrNotActive) {
			t.Errorf("%s of a removed key: %v", form, err)
		}
	}
}

// Many tokens are read by many at once, and each says what it says, however many
// have been forgotten.
func TestReadManyAccessTokens(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	tokens := map[string]string{} // to their grants
	for range 50 {
		g := alice()
		token, err := h.GrantToken(g, &oauth.ClientMetadata{}, nil, 10*time.Minute)
		must(t, err)
		tokens[token] = g.ID
	}
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for token, id := range tokens {
				if got, err := h.ReadAccessToken(token); err != nil || got.GrantID != id {
					t.Errorf("the token of %s is read as %+v, %v", id, got, err)
				}
			}
		})
	}
	readers.Wait()
}

// A foreign resource server verifies a token with the published key set alone,
// and finds the type of RFC 9068 Section 2.1.
func TestForeignResourceServer(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	set, err := h.Ring.JWKS()
	must(t, err)
	text, err := json.Marshal(set)
	must(t, err)
	var keys josev4.JSONWebKeySet
	must(t, json.Unmarshal(text, &keys))
	for _, form := range []string{jose.ES256, jose.RS256} {
		jws, err := josev4.ParseSignedCompact(h.mint(t, form), []josev4.SignatureAlgorithm{josev4.SignatureAlgorithm(form)})
		must(t, err)
		payload, err := jws.Verify(&keys)
		must(t, err)
		var claims map[string]any
		must(t, json.Unmarshal(payload, &claims))
		for _, name := range []string{"iss", "exp", "aud", "sub", "client_id", "iat", "jti"} {
			if claims[name] == nil {
				t.Errorf("%s: no %s, which RFC 9068 Section 2.2 requires", form, name)
			}
		}
		if got := jws.Signatures[0].Header.ExtraHeaders[josev4.HeaderType]; got != "at+jwt" {
			t.Errorf("%s: typ %v", form, got)
		}
	}
}

// What a refresh token says comes out again, and it is kept short.
func TestRefreshToken(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, generation := range []int64{0, 1, 1 << 40} {
		want := issuer.RefreshToken{GrantID: store.NewGrantID(), Generation: generation}
		token, err := h.RefreshToken(want)
		must(t, err)
		if got, err := h.ReadRefreshToken(token); err != nil || got != want {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
		if !issuer.IsRefreshToken(token) || issuer.IsRefreshToken(h.mint(t, "opaque")) || len(token) > 100 {
			t.Errorf("token %s", token)
		}
	}
	if _, err := h.RefreshToken(issuer.RefreshToken{GrantID: "no uuid"}); err == nil {
		t.Error("a refresh token for what is no grant")
	}
}

// RFC 6749 Section 10.4: a refresh token is decoded strictly, has one text, and
// nothing but our own key makes one.
func TestReadRefreshToken(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	of := issuer.RefreshToken{GrantID: store.NewGrantID(), Generation: 7}
	token, err := h.RefreshToken(of)
	must(t, err)
	text := strings.TrimPrefix(token, "hrt_")
	raw, err := base64.RawURLEncoding.DecodeString(text)
	must(t, err)
	change := func(edit func(raw []byte) []byte) string {
		return "hrt_" + base64.RawURLEncoding.EncodeToString(edit(append([]byte(nil), raw...)))
	}
	flip := func(at int) func([]byte) []byte {
		return func(raw []byte) []byte { raw[at] ^= 1; return raw }
	}
	other, err := newHouse(t).RefreshToken(of)
	must(t, err)
	for name, mutant := range map[string]string{
		"empty": "", "prefix": "hrt_", "no prefix": text, "prefix in other case": "HRT_" + text, "prefix twice": "hrt_" + token, "access token": h.mint(t, "opaque"),
		"version": change(flip(0)), "key id": change(flip(1)), "grant id": change(flip(7)), "generation": change(flip(30)), "MAC": change(flip(len(raw) - 1)),
		"a byte more":  change(func(raw []byte) []byte { return append(raw, 0) }),
		"a byte less":  change(func(raw []byte) []byte { return raw[:len(raw)-1] }),
		"no MAC":       change(func(raw []byte) []byte { return raw[:31] }),
		"short MAC":    change(func(raw []byte) []byte { return raw[:32] }),
		"padding":      "hrt_" + base64.URLEncoding.EncodeToString(raw),
		"std alphabet": "hrt_" + base64.RawStdEncoding.EncodeToString(raw) + "+",
		"line break":   token[:20] + "\n" + token[20:], "carriage return": token + "\r", "space": token + " ", "stray bits": strays(token), "another server's": other,
		"huge": "hrt_" + strings.Repeat("A", 1<<16),
	} {
		if mutant == token {
			continue // a text without a stray bit
		}
		if got, err := h.ReadRefreshToken(mutant); err == nil {
			t.Errorf("%s: read as %+v", name, got)
		}
	}
	if _, err := uuid.Parse(of.GrantID); err != nil {
		t.Error(err)
	}
}

// strays sets the bits of the last letter that stand for nothing.
func strays(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	if len(strings.TrimPrefix(token, "hrt_"))%4 == 0 {
		return token // there are none
	}
	return token[:len(token)-1] + string(alphabet[last|1])
}

// Whatever is accepted is what was minted: no text but the very token reads as an
// access token.
func FuzzReadAccessToken(f *testing.F) {
	h := newHouse(f)
	genuine := map[string]*issuer.AccessToken{}
	for form := range forms {
		token := h.mint(f, form)
		content, err := h.ReadAccessToken(token)
		must(f, err)
		genuine[token] = content
		f.Add(token, 5, byte(1))
	}
	f.Add("hat_", 0, byte('\n'))
	f.Add("eyJhbGciOiJub25lIn0.e30.", 100, byte(32))
	f.Add("..", 200, byte(0))
	f.Fuzz(func(t *testing.T, text string, at int, change byte) {
		for token, content := range genuine {
			for _, m := range mutants(token, text, at, change) {
				if got, err := h.ReadAccessToken(m); err == nil && genuine[m] == nil {
					t.Errorf("%q reads as %+v", m, got)
				}
			}
			got, err := h.ReadAccessToken(token)
			if diff := cmp.Diff(content, got); err != nil || diff != "" {
				t.Errorf("the token itself: %v (-minted +read):\n%s", err, diff)
			}
		}
	})
}

// The same for refresh tokens, of any grant and generation.
func FuzzReadRefreshToken(f *testing.F) {
	h := newHouse(f)
	f.Add([]byte("0123456789abcdef"), int64(0), "", 0, byte(1))
	f.Add([]byte("0123456789abcdef"), int64(1<<62), "hrt_", 60, byte('\n'))
	f.Fuzz(func(t *testing.T, id []byte, generation int64, text string, at int, change byte) {
		grant, err := uuid.FromBytes(id)
		if err != nil {
			return
		}
		minted := issuer.RefreshToken{GrantID: grant.String(), Generation: generation}
		token, err := h.RefreshToken(minted)
		must(t, err)
		if got, err := h.ReadRefreshToken(token); err != nil || got != minted {
			t.Fatalf("%+v reads as %+v, %v", minted, got, err)
		}
		for _, m := range mutants(token, text, at, change) {
			if got, err := h.ReadRefreshToken(m); err == nil {
				t.Errorf("%q reads as %+v; it is not %q", m, got, token)
			}
		}
	})
}

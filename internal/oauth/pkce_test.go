package oauth_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"github.com/hufu-auth/hufu/internal/oauth"
)

// The vector of RFC 7636 Appendix B.
const (
	verifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

// RFC 7636 Section 4.6 (PK-03, PK-04).
func TestChallengeVerify(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		challenge oauth.Challenge
		verifier  string
		want      oauth.Code // "" means accepted
	}{
		"RFC 7636 Appendix B":         {challenge, verifier, ""},
		"no PKCE":                     {"", "", ""},
		"challenge stripped":          {"", verifier, oauth.InvalidGrant},
		"verifier missing":            {challenge, "", oauth.InvalidGrant},
		"verifier too short":          {challenge, verifier[:42], oauth.InvalidRequest},
		"verifier too long":           {challenge, strings.Repeat("a", 129), oauth.InvalidRequest},
		"verifier of another":         {challenge, strings.Repeat("a", 43), oauth.InvalidGrant},
		"longest verifier":            {challenge, strings.Repeat("a", 128), oauth.InvalidGrant},
		"verifier in other case":      {challenge, strings.ToUpper(verifier), oauth.InvalidGrant},
		"verifier with a letter more": {challenge, verifier + "a", oauth.InvalidGrant},
		"verifier with a space":       {challenge, verifier[:42] + " ", oauth.InvalidRequest},
		"verifier with a plus":        {challenge, verifier[:42] + "+", oauth.InvalidRequest},
		"verifier with padding":       {challenge, verifier + "=", oauth.InvalidRequest},
		"verifier not ASCII":          {challenge, verifier[:42] + "é", oauth.InvalidRequest},
		"plain":                       {challenge, challenge, oauth.InvalidGrant},
	} {
		t.Run(name, func(t *testing.T) {
			if got := codeOf(tt.challenge.Verify(tt.verifier)); got != tt.want {
				t.Errorf("Verify(%q) = %q, want %q", tt.verifier, got, tt.want)
			}
		})
	}
}

// RFC 7636 Sections 4.2 and 4.3, RFC 9700 Section 2.1.1: S256 and nothing else;
// a method that is missing means plain (PK-02, PK-04).
func TestParseChallenge(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		query string
		want  oauth.Challenge
		code  oauth.Code // "" means accepted
	}{
		"none":                {"", "", ""},
		"S256":                {"code_challenge=" + challenge + "&code_challenge_method=S256", challenge, ""},
		"both empty":          {"code_challenge=&code_challenge_method=", "", ""},
		"every character":     {"code_challenge=" + "azAZ09-._~" + strings.Repeat("a", 33) + "&code_challenge_method=S256", oauth.Challenge("azAZ09-._~" + strings.Repeat("a", 33)), ""},
		"plain":               {"code_challenge=" + challenge + "&code_challenge_method=plain", "", oauth.InvalidRequest},
		"no method":           {"code_challenge=" + challenge, "", oauth.InvalidRequest},
		"empty method":        {"code_challenge=" + challenge + "&code_challenge_method=", "", oauth.InvalidRequest},
		"method in lower":     {"code_challenge=" + challenge + "&code_challenge_method=s256", "", oauth.InvalidRequest},
		"unknown method":      {"code_challenge=" + challenge + "&code_challenge_method=S512", "", oauth.InvalidRequest},
		"method alone":        {"code_challenge_method=S256", "", oauth.InvalidRequest},
		"too short":           {"code_challenge=" + challenge[:42] + "&code_challenge_method=S256", "", oauth.InvalidRequest},
		"too long":            {"code_challenge=" + strings.Repeat("a", 129) + "&code_challenge_method=S256", "", oauth.InvalidRequest},
		"with padding":        {"code_challenge=" + challenge + "%3D&code_challenge_method=S256", "", oauth.InvalidRequest},
		"with a slash":        {"code_challenge=" + challenge[:42] + "%2F&code_challenge_method=S256", "", oauth.InvalidRequest},
		"with a line break":   {"code_challenge=" + challenge + "%0A&code_challenge_method=S256", "", oauth.InvalidRequest},
		"with a high letter":  {"code_challenge=" + challenge[:42] + "%C3%A9&code_challenge_method=S256", "", oauth.InvalidRequest},
		"with a space before": {"code_challenge=+" + challenge + "&code_challenge_method=S256", "", oauth.InvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			values, err := url.ParseQuery(tt.query)
			if err != nil {
				t.Fatal(err)
			}
			got, err := oauth.ParseChallenge(oauth.NewForm(values))
			if codeOf(err) != tt.code || got != tt.want {
				t.Errorf("got %q, %v; want %q, %q", got, err, tt.want, tt.code)
			}
		})
	}
}

// A verifier is accepted exactly when it follows the grammar and the challenge is
// its own SHA-256.
func FuzzChallengeVerify(f *testing.F) {
	f.Add(challenge, verifier)
	f.Add(challenge, challenge)
	f.Add("", verifier)
	f.Add(challenge, "")
	f.Add(strings.Repeat("a", 43), strings.Repeat("~", 128))
	f.Fuzz(func(t *testing.T, challenge, verifier string) {
		accepted := oauth.Challenge(challenge).Verify(verifier) == nil
		sum := sha256.Sum256([]byte(verifier))
		right := base64.RawURLEncoding.EncodeToString(sum[:]) == challenge && len(verifier) >= 43 && len(verifier) <= 128 &&
			strings.Trim(verifier, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") == ""
		if want := right || challenge == "" && verifier == ""; accepted != want {
			t.Errorf("Verify(%q, %q): %t, want %t", challenge, verifier, accepted, want)
		}
		if len(verifier) >= 43 && strings.Trim(verifier, "abcdefghijklmnopqrstuvwxyz") == "" && len(verifier) <= 128 {
			if err := oauth.Challenge(base64.RawURLEncoding.EncodeToString(sum[:])).Verify(verifier); err != nil {
				t.Errorf("the right verifier %q: %v", verifier, err)
			}
		}
	})
}

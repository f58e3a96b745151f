package oauth_test

import (
	"encoding/json"
	"testing"

	"github.com/hufu-auth/hufu/internal/oauth"
)

// The answers that write themselves are what encoding/json makes of them, whatever
// is in them: nobody can end a string or a member early.
func FuzzAppendJSON(f *testing.F) {
	for _, seed := range []string{"", "read write", `"`, `\`, "</script>&", "\x00\x1f\x7f", "\u2028", "虎符", "\xff\xfe", `","active":true,"x":"`, "{"} {
		f.Add(seed, seed, int64(len(seed)), uint8(len(seed)), true)
	}
	f.Fuzz(func(t *testing.T, one, other string, number int64, many uint8, yes bool) {
		list := make([]string, many%4)
		for i := range list {
			list[i] = []string{one, other}[i%2]
		}
		for _, response := range []interface{ AppendJSON(to []byte) []byte }{
			&oauth.TokenResponse{AccessToken: one, TokenType: other, ExpiresIn: number, RefreshToken: other, Scope: one},
			&oauth.TokenResponse{AccessToken: one},
			&oauth.IntrospectionResponse{Active: yes},
			&oauth.IntrospectionResponse{
				Active: yes, Scope: one, ClientID: other, Username: one, TokenType: other, ExpiresAt: number, IssuedAt: -number, Subject: one,
				Audience: list, Issuer: other, JWTID: one, AuthTime: int64(many), ACR: other, AMR: list,
			},
		} {
			want, err := json.Marshal(response)
			if err != nil {
				t.Fatal(err)
			}
			if got := response.AppendJSON([]byte("in front{")); string(got) != "in front{"+string(want) {
				t.Errorf("%+v is written as %s, want %s behind what stood in front", response, got, want)
			}
		}
	})
}

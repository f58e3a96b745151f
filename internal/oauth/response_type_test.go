package oauth_test

import (
	"testing"

	"github.com/hufu-auth/hufu/internal/oauth"
)

// OAuth 2.0 Multiple Response Type Encoding Practices Section 3: the order of the words
// means nothing; a word twice, an unknown one, or another case is no response type.
func TestParseResponseType(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"code": "code", "token": "token", "id_token": "id_token",
		"token id_token": "id_token token", "id_token token": "id_token token", "id_token code": "code id_token",
		"token code": "code token", "token code id_token": "code id_token token", "code id_token token": "code id_token token",
		"": "", " ": "", "Code": "", "code code": "", "code  token": "", " code": "", "code\ttoken": "", "none": "", "code none": "", "id_token id_token token": "",
	} {
		if got := oauth.ParseResponseType(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	for _, responseType := range oauth.ResponseTypes {
		if oauth.ParseResponseType(responseType) != responseType || oauth.IsFrontChannel(responseType) != (responseType != "code") {
			t.Errorf("%q is not in its usual order, or in the wrong place", responseType)
		}
	}
}

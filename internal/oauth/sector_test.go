package oauth_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/hufu-auth/hufu/internal/oauth"
)

// A document that vouches for a client is a JSON array that holds each of its redirect
// URIs as it is registered, whatever else is in it.
func FuzzCheckSector(f *testing.F) {
	for _, seed := range []string{`["https://a.example/cb","https://b.example/cb"]`, `["https://a.example/cb"]`, `[null]`, `{}`, ``, `["HTTPS://a.example/cb","https://b.example/cb"]`} {
		f.Add([]byte(seed), "https://a.example/cb", "https://b.example/cb")
	}
	f.Fuzz(func(t *testing.T, document []byte, one, other string) {
		m := oauth.ClientMetadata{RedirectURIs: []string{one, other}}
		var listed []any
		isList := json.Unmarshal(document, &listed) == nil
		both := isList && slices.Contains(listed, any(one)) && slices.Contains(listed, any(other))
		if err := m.CheckSector(document); err == nil && !both {
			t.Errorf("%q vouches for %q and %q", document, one, other)
		}
	})
}

// A client without redirect URIs belongs to no sector, whatever a document says.
func TestCheckSectorOfNothing(t *testing.T) {
	t.Parallel()
	if err := (&oauth.ClientMetadata{}).CheckSector([]byte(`[]`)); err == nil {
		t.Error("an empty list vouches for a client without redirect URIs")
	}
}

package oauth_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/hufu-auth/hufu/internal/oauth"
)

// RFC 7519 Section 4.1.3: one recipient is a string, more are a list.
func TestAudience(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]oauth.Audience{
		`"https://api.example"`: {"https://api.example"},
		`["a","b"]`:             {"a", "b"},
	} {
		var got oauth.Audience
		if err := json.Unmarshal([]byte(text), &got); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s reads as %q, %v", text, got, err)
		}
		written, err := json.Marshal(got)
		if err != nil || string(written) != text {
			t.Errorf("%q is written as %s, %v; want %s", got, written, err, text)
		}
	}
	var one oauth.Audience
	if err := json.Unmarshal([]byte(`["a"]`), &one); err != nil || !one.Contains("a") || one.Contains("A") || one.Contains("") {
		t.Errorf("a list of one reads as %q, %v", one, err)
	}
	for _, text := range []string{`1`, `{}`, `[1]`, `["a",null,{}]`, `true`} {
		var got oauth.Audience
		if err := json.Unmarshal([]byte(text), &got); err == nil {
			t.Errorf("%s reads as %q", text, got)
		}
	}
}

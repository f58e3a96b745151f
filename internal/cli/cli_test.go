package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/config"
	"github.com/hufu-auth/hufu/internal/issuer"
	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/server"
	"github.com/hufu-auth/hufu/internal/store"
)

// TestClientFlagsAreMembers wants a flag for every member of the client
// metadata: its name in the singular, with dashes.
func TestClientFlagsAreMembers(t *testing.T) {
	singular := map[string]string{
		"redirect_uris": "redirect-uri", "grant_types": "grant-type", "response_types": "response-type", "contacts": "contact", "resources": "resource",
		"default_acr_values": "default-acr-value", "post_logout_redirect_uris": "post-logout-redirect-uri", "request_uris": "request-uri",
	}
	var want, got []string
	for field := range reflect.TypeFor[oauth.ClientMetadata]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "sector_identifier" {
			continue // follows from the others
		}
		want = append(want, firstText(singular[name], strings.ReplaceAll(name, "_", "-")))
	}
	for _, m := range clientMembers {
		got = append(got, m.name)
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("flags differ from the members (-member +flag):\n%s", diff)
	}
}

// TestClientFlags sets members by flags and compares what JSON they make.
func TestClientFlags(t *testing.T) {
	for name, tt := range map[string]struct {
		before string // metadata as JSON
		args   string
		want   string
	}{
		"nothing given":    {`{"client_name":"a","scope":"b"}`, ``, `{"client_name":"a","scope":"b"}`},
		"long and short":   {`{}`, `--client-name a --grant client_credentials --auth-method client_secret_post --access-token-alg RS256`, `{"client_name":"a","grant_types":["client_credentials"],"token_endpoint_auth_method":"client_secret_post","access_token_signed_response_alg":"RS256"}`},
		"last text wins":   {`{}`, `--name a --client-name b`, `{"client_name":"b"}`},
		"lists":            {`{"redirect_uris":["https://x/"]}`, `--redirect-uri https://a/ --redirect-uri https://b/`, `{"redirect_uris":["https://a/","https://b/"]}`},
		"list emptied":     {`{"redirect_uris":["https://x/"],"contacts":["a"]}`, `--redirect-uri= --contact=`, `{}`},
		"scopes":           {`{"scope":"x"}`, `--scope=a,b --scope=c`, `{"scope":"a,b c"}`},
		"public":           {`{}`, `--public`, `{"token_endpoint_auth_method":"none"}`},
		"switches":         {`{"trusted":true}`, `--require-pkce --trusted=false --refresh-token-rotation=false`, `{"require_pkce":true,"refresh_token_rotation":false}`},
		"switch defaulted": {`{"refresh_token_rotation":false}`, `--refresh-token-rotation=`, `{}`},
		"times":            {`{}`, `--access-token-lifetime 5m --refresh-token-grace 0 --refresh-token-lifetime 720h --refresh-token-idle-lifetime 60 --code-lifetime 10s --default-max-age 0s`, `{"default_max_age":0,"refresh_token_grace":0,"access_token_lifetime":300,"refresh_token_idle_lifetime":60,"refresh_token_lifetime":2592000,"code_lifetime":10}`},
		"times defaulted":  {`{"refresh_token_grace":5,"code_lifetime":10,"default_max_age":3}`, `--refresh-token-grace= --code-lifetime= --default-max-age=`, `{}`},
		"types follow":     {`{"grant_types":["implicit"],"response_types":["token"]}`, `--grant authorization_code`, `{"grant_types":["authorization_code"]}`},
		"types given":      {`{"grant_types":["implicit"],"response_types":["token"]}`, `--response-type code --grant authorization_code`, `{"grant_types":["authorization_code"],"response_types":["code"]}`},
		"logout":           {`{}`, `--post-logout-redirect-uri a --backchannel-logout-uri b --backchannel-logout-session-required --frontchannel-logout-uri c --frontchannel-logout-session-required`, `{"post_logout_redirect_uris":["a"],"backchannel_logout_uri":"b","backchannel_logout_session_required":true,"frontchannel_logout_uri":"c","frontchannel_logout_session_required":true}`},
		"the rest":         {`{}`, `--client-uri a --logo-uri b --policy-uri c --tos-uri d --software-id e --software-version f --default-scope g --token-format h --resource i --default-audience j --introspect any`, `{"client_uri":"a","logo_uri":"b","policy_uri":"c","tos_uri":"d","software_id":"e","software_version":"f","default_scope":"g","token_format":"h","resources":["i"],"default_audience":"j","introspect":"any"}`},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := group("test", "")
			flags := addClientFlags(cmd)
			if err := cmd.ParseFlags(strings.Fields(tt.args)); err != nil {
				t.Fatal(err)
			}
			for range 2 { // an edit is tried again when somebody else was quicker
				var m oauth.ClientMetadata
				if err := json.Unmarshal([]byte(tt.before), &m); err != nil {
					t.Fatal(err)
				}
				if err := flags.edit(&m); err != nil {
					t.Fatal(err)
				}
				if got := marshal(t, m); got != marshal(t, metadata(t, tt.want)) {
					t.Errorf("got  %s\nwant %s", got, tt.want)
				}
			}
		})
	}
}

func metadata(t *testing.T, text string) oauth.ClientMetadata {
	t.Helper()
	var m oauth.ClientMetadata
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestParseSeconds(t *testing.T) {
	for typed, want := range map[string]int64{"0": 0, "45": 45, "30s": 30, "1h30m": 5400, "-5s": -5} {
		if got, err := parseSeconds(typed); err != nil || got != want {
			t.Errorf("parseSeconds(%q) = %d, %v, want %d", typed, got, err, want)
		}
	}
	for _, typed := range []string{"", "1.5s", "500ms", "soon", "1d", "99999999999999999999"} {
		if got, err := parseSeconds(typed); err == nil {
			t.Errorf("parseSeconds(%q) = %d, want an error", typed, got)
		}
	}
}

func TestEditClaims(t *testing.T) {
	for name, tt := range map[string]struct {
		before string
		typed  []string
		want   string // "" means refused
	}{
		"text":            {``, []string{"team=blue team"}, `{"team":"blue team"}`},
		"equals sign":     {``, []string{"formula=a=b"}, `{"formula":"a=b"}`},
		"number":          {``, []string{"level=3", "ratio=0.10", "big=123456789012345678901"}, `{"big":123456789012345678901,"level":3,"ratio":0.10}`},
		"bool":            {``, []string{"staff=true"}, `{"staff":true}`},
		"object and list": {``, []string{`a={"b":1}`, `c=[1,"d"]`}, `{"a":{"b":1},"c":[1,"d"]}`},
		"null is a text":  {``, []string{"a=null"}, `{"a":"null"}`},
		"quotes stay":     {``, []string{`a="b"`}, `{"a":"\"b\""}`},
		"broken JSON":     {``, []string{`a={"b"`}, `{"a":"{\"b\""}`},
		"Chinese":         {``, []string{"name=李白"}, `{"name":"李白"}`},
		"standard text":   {``, []string{"nickname=007", "name=true", "phone_number=123"}, `{"name":"true","nickname":"007","phone_number":"123"}`},
		"standard bool":   {``, []string{"phone_number_verified=true"}, `{"phone_number_verified":true}`},
		"others stay":     {`{"a":1,"b":2}`, []string{"b=3"}, `{"a":1,"b":3}`},
		"taken away":      {`{"a":1,"b":2}`, []string{"a="}, `{"b":2}`},
		"last wins":       {``, []string{"a=1", "a=2"}, `{"a":2}`},
		"wrong bool":      {``, []string{"phone_number_verified=yes"}, ``},
		"wrong object":    {``, []string{"address=here"}, ``},
		"wrong number":    {``, []string{"updated_at=now"}, ``},
		"reserved":        {``, []string{"sub=root"}, ``},
		"reserved, empty": {`{}`, []string{"exp="}, ``},
		"own flag":        {``, []string{"email=a@b"}, ``},
		"no value":        {``, []string{"a"}, ``},
		"no name":         {``, []string{"=a"}, ``},
		"space in name":   {``, []string{"a b=c"}, ``},
		"not UTF-8":       {``, []string{"a=\xff"}, ``},
		"too much":        {``, []string{"a=" + strings.Repeat("x", maxClaims)}, ``},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := editClaims(json.RawMessage(tt.before), tt.typed)
			if (err != nil) != (tt.want == "") || err == nil && string(got) != tt.want {
				t.Errorf("editClaims(%s, %q) = %s, %v, want %s", tt.before, tt.typed, got, err, tt.want)
			}
		})
	}
}

// TestStandardClaimsAreNotReserved keeps the two lists apart.
func TestStandardClaimsAreNotReserved(t *testing.T) {
	for name := range standardClaims {
		if oauth.IsProtocolClaim(name) || slices.Contains(flaggedClaims, name) {
			t.Errorf("%s is standard and reserved", name)
		}
	}
}

func TestReadSecret(t *testing.T) {
	for given, want := range map[string]string{
		"a": "a", "a\n": "a", "a\r\n": "a", "a\n\n": "a\n", "a\r": "a\r", "\n": "", "": "", " a \n": " a ", "a\nb\n": "a\nb",
	} {
		a := &app{stdin: strings.NewReader(given)}
		if got, err := a.readSecret("--secret-stdin"); err != nil || got != want {
			t.Errorf("readSecret(%q) = %q, %v, want %q", given, got, err, want)
		}
	}
	a := &app{stdin: strings.NewReader(strings.Repeat("a", maxSecretInput+1))}
	if _, err := a.readSecret("--secret-stdin"); err == nil {
		t.Error("readSecret took more than it may")
	}
}

func TestKeyState(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	for name, tt := range map[string]struct {
		active, retired time.Time
		want            string
	}{
		"the newest":         {now, time.Time{}, "active"},
		"waiting":            {now.Add(time.Second), time.Time{}, "next"},
		"successor waiting":  {now.Add(-time.Hour), now.Add(time.Second), "active"},
		"succeeded just now": {now.Add(-time.Hour), now, "retired"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := answerKey(store.Key{ActiveAt: tt.active, RetiredAt: tt.retired}, now).State; got != tt.want {
				t.Errorf("state %s, want %s", got, tt.want)
			}
		})
	}
}

func TestGrantState(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	future, past := now.Add(time.Hour), now.Add(-time.Hour)
	client, user := &store.Client{Epoch: 1}, &store.User{Epoch: 2}
	for name, tt := range map[string]struct {
		change func(g *store.Grant)
		client *store.Client
		user   *store.User
		want   string
	}{
		"live":            {func(*store.Grant) {}, client, user, "live"},
		"code out":        {func(g *store.Grant) { g.RedeemedAt = time.Time{} }, client, user, "pending"},
		"code expired":    {func(g *store.Grant) { g.RedeemedAt, g.CodeExpiresAt = time.Time{}, past }, client, user, "expired"},
		"over":            {func(g *store.Grant) { g.ExpiresAt = now }, client, user, "expired"},
		"revoked":         {func(g *store.Grant) { g.RevokedAt = past }, client, user, "revoked"},
		"client gone":     {func(*store.Grant) {}, nil, user, "ended"},
		"client disabled": {func(*store.Grant) {}, &store.Client{Epoch: 1, DisabledAt: past}, user, "ended"},
		"client enabled":  {func(*store.Grant) {}, &store.Client{Epoch: 2}, user, "ended"},
		"user gone":       {func(*store.Grant) {}, client, nil, "ended"},
		"user disabled":   {func(*store.Grant) {}, client, &store.User{Epoch: 2, DisabledAt: past}, "ended"},
		"password new":    {func(*store.Grant) {}, client, &store.User{Epoch: 3}, "ended"},
		"all revoked":     {func(g *store.Grant) { g.ServerEpoch = 2 }, client, user, "ended"},
	} {
		t.Run(name, func(t *testing.T) {
			g := &store.Grant{ClientEpoch: 1, UserEpoch: 2, ServerEpoch: 3, RedeemedAt: past, CodeExpiresAt: future, ExpiresAt: future}
			tt.change(g)
			v := &grantView{now: now, server: &store.Server{Epoch: 3}}
			if got := v.state(g, tt.client, tt.user); got != tt.want {
				t.Errorf("state %s, want %s", got, tt.want)
			}
		})
	}
}

// TestShow prints for people, and keeps what strangers wrote out of the
// terminal's control.
func TestShow(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out}
	err := a.show(struct {
		Name    string          `json:"name"`
		List    []string        `json:"list"`
		Empty   []string        `json:"empty,omitempty"`
		At      int64           `json:"expires_at"`
		Never   int64           `json:"ends_at"`
		Age     int64           `json:"age"`
		Yes     bool            `json:"yes"`
		Claims  json.RawMessage `json:"claims"`
		Nothing *int64          `json:"nothing,omitempty"`
	}{Name: "evil\x1b[2J\u202eo\nname", List: []string{"a&b", "c"}, At: 60, Age: 7, Yes: true, Claims: json.RawMessage(`{"a":1,"b":["x","y"]}`)})
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"name        evil\uFFFD[2J\uFFFDo\uFFFDname",
		"list        a&b",
		"            c",
		"expires_at  1970-01-01T00:01:00Z",
		"ends_at     never",
		"age         7",
		"yes         true",
		"claims      a 1, b x, y",
		"",
	}, "\n")
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("printed (-want +got):\n%s", diff)
	}
}

// TestRotateAfterReseal: a command that read the keys before somebody changed the
// master key must not add a key that nobody can open.
func TestRotateAfterReseal(t *testing.T) {
	c := config.Default()
	c.Data = t.TempDir()
	if err := c.Finish(); err != nil {
		t.Fatal(err)
	}
	open := func() *server.Server {
		s, err := server.OpenParts(t.Context(), c, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	}
	late := open()
	a := &app{stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}, now: time.Now}
	if err := a.resealInPlace(t.Context(), opened{open(), c}); err != nil {
		t.Fatal(err)
	}
	if _, err := late.Ring.Rotate(t.Context(), issuer.PurposeES256, operator); !errors.Is(err, store.ErrConflict) {
		t.Errorf("rotate: %v, want a conflict", err)
	}
	if err := late.Ring.Remove(t.Context(), late.Ring.List()[0].ID, operator); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("remove: %v, want not found", err)
	}
	if got, want := len(open().Ring.List()), len(slices.DeleteFunc(issuer.Purposes(), issuer.OnRequest)); got != want {
		t.Errorf("%d keys, want %d", got, want)
	}
}

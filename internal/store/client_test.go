package store_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hufu-auth/hufu/internal/oauth"
	"github.com/hufu-auth/hufu/internal/store"
)

// A client is read as it was made, secrets and all, in one statement, and the
// list leaves the secrets out.
func TestClient(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		made := &store.Client{
			ID: "app", CreatedAt: now, Epoch: 1, ServerEpoch: 1, UpdatedAt: now, Revision: 2,
			Metadata: oauth.ClientMetadata{ClientName: `A "quoted" 虎 name`, RedirectURIs: []string{"https://a.example/?x=1&y=2"}, GrantTypes: []string{"authorization_code"}},
			Secrets:  []store.ClientSecret{{ID: "1", Hash: "h1", CreatedAt: now}, {ID: "2", Hash: "h2", Sealed: "s2", CreatedAt: now, ExpiresAt: now.Add(time.Hour)}},
		}
		must(t, s.CreateClient(t.Context(), made, by))
		got, err := s.Client(t.Context(), "app")
		must(t, err)
		if diff := cmp.Diff(made, got, cmpopts.IgnoreUnexported(store.Client{})); diff != "" {
			t.Errorf("client (-want +got):\n%s", diff)
		}
		e := lastEvent(t, s)
		if e.Kind != store.EventClientCreated || e.ClientID != "app" || e.By != by || e.At != now {
			t.Errorf("event %+v", e)
		}
		_, err = s.Client(t.Context(), "APP")
		want(t, "other case", err, store.ErrNotFound)
		_, err = s.Client(t.Context(), "")
		want(t, "empty id", err, store.ErrNotFound)
		client(t, s, "zoo")
		client(t, s, "bar")
		for name, tt := range map[string]struct {
			after string
			limit int
			want  []string
		}{
			"all": {"", 10, []string{"app", "bar", "zoo"}}, "a page": {"", 2, []string{"app", "bar"}}, "the next": {"bar", 2, []string{"zoo"}}, "none": {"zoo", 2, nil},
		} {
			clients, err := s.Clients(t.Context(), tt.after, tt.limit)
			must(t, err)
			var ids []string
			for _, c := range clients {
				ids = append(ids, c.ID)
				if c.Secrets != nil || c.Metadata.ClientName == "" || c.CreatedAt != now {
					t.Errorf("%s: %+v", name, c)
				}
			}
			if diff := cmp.Diff(tt.want, ids); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	})
}

// An id is taken once, by one of those who race for it. A deleted one may come
// back, as a new client without the secrets of the old, under an epoch of its own.
func TestCreateClient(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		errs := make([]error, 16)
		var callers sync.WaitGroup
		for i := range errs {
			callers.Go(func() {
				c := &store.Client{ID: "app", CreatedAt: now, Secrets: []store.ClientSecret{{ID: fmt.Sprint(i), Hash: "h", CreatedAt: now}}}
				errs[i] = s.CreateClient(t.Context(), c, by)
			})
		}
		callers.Wait()
		winners := 0
		for _, err := range errs {
			if err == nil {
				winners++
				continue
			}
			want(t, "a loser", err, store.ErrConflict)
		}
		first, err := s.Client(t.Context(), "app")
		must(t, err)
		if winners != 1 || len(first.Secrets) != 1 {
			t.Errorf("%d winners, %d secrets", winners, len(first.Secrets))
		}
		must(t, s.DisableClient(t.Context(), "app", now, by))
		must(t, s.DeleteClient(t.Context(), "app", now, by))
		_, err = s.Client(t.Context(), "app")
		want(t, "deleted", err, store.ErrNotFound)
		again := client(t, s, "app")
		if again.Epoch <= first.Epoch || len(again.Secrets) != 0 || !again.DisabledAt.IsZero() {
			t.Errorf("came back as %+v, was %+v", again, first)
		}
	})
}

// An update is for the client as it was read; one that changed meanwhile is a
// conflict, and is not overwritten.
func TestUpdateClient(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		mine, theirs := client(t, s, "app"), client2(t, s, "app")
		theirs.Metadata.ClientName = "theirs"
		must(t, s.UpdateClient(t.Context(), theirs, now.Add(time.Minute), by))
		if e := lastEvent(t, s); e.Kind != store.EventClientChanged || e.ClientID != "app" {
			t.Errorf("event %+v", e)
		}
		mine.Metadata.ClientName = "mine"
		want(t, "changed meanwhile", s.UpdateClient(t.Context(), mine, now, by), store.ErrConflict)
		got := client2(t, s, "app")
		if got.Metadata.ClientName != "theirs" || got.UpdatedAt != now.Add(time.Minute) || got.Epoch != 1 {
			t.Errorf("got %+v", got)
		}
		must(t, s.DeleteClient(t.Context(), "app", now, by))
		want(t, "deleted meanwhile", s.UpdateClient(t.Context(), got, now, by), store.ErrConflict)
	})
}

func client2(t testing.TB, s *store.Store, id string) *store.Client {
	t.Helper()
	c, err := s.Client(t.Context(), id)
	must(t, err)
	return c
}

// Disabling raises the epoch, so that enabling revives nothing; what is not there
// cannot be changed (AT-04).
func TestDisableClient(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		client(t, s, "app")
		must(t, s.DisableClient(t.Context(), "app", now, by))
		if c := client2(t, s, "app"); c.Epoch != 2 || c.DisabledAt != now {
			t.Errorf("disabled: %+v", c)
		}
		if e := lastEvent(t, s); e.Kind != "client.disabled" {
			t.Errorf("event %+v", e)
		}
		must(t, s.EnableClient(t.Context(), "app", now, by))
		if c := client2(t, s, "app"); c.Epoch != 2 || !c.DisabledAt.IsZero() {
			t.Errorf("enabled: %+v", c)
		}
		if e := lastEvent(t, s); e.Kind != "client.enabled" {
			t.Errorf("event %+v", e)
		}
		must(t, s.DeleteClient(t.Context(), "app", now, by))
		if e := lastEvent(t, s); e.Kind != store.EventClientDeleted {
			t.Errorf("event %+v", e)
		}
		for name, act := range map[string]func() error{
			"disable": func() error { return s.DisableClient(t.Context(), "app", now, by) },
			"enable":  func() error { return s.EnableClient(t.Context(), "app", now, by) },
			"delete":  func() error { return s.DeleteClient(t.Context(), "app", now, by) },
		} {
			want(t, name+" a deleted one", act(), store.ErrNotFound)
		}
	})
}

// Two secrets can be live at once, whoever races; one that has expired counts no
// more (CA-08).
func TestSecrets(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		client(t, s, "app")
		add := func(id string, expires time.Time) error {
			return s.AddSecret(t.Context(), "app", store.ClientSecret{ID: id, Hash: "hash " + id, CreatedAt: now, ExpiresAt: expires}, by)
		}
		must(t, add("old", now))
		errs := make([]error, 12)
		var callers sync.WaitGroup
		for i := range errs {
			callers.Go(func() { errs[i] = add(fmt.Sprint(i), time.Time{}) })
		}
		callers.Wait()
		added := 0
		for _, err := range errs {
			if err == nil {
				added++
				continue
			}
			want(t, "one too many", err, store.ErrConflict)
		}
		live := client2(t, s, "app").Secrets
		if added != 2 || len(live) != 3 {
			t.Fatalf("%d added, %+v", added, live)
		}
		if e := lastEvent(t, s); e.Kind != store.EventSecretAdded || e.Detail == "" {
			t.Errorf("event %+v", e)
		}
		id := live[0].ID
		if id == "old" {
			id = live[1].ID
		}
		want(t, "of another client", s.RemoveSecret(t.Context(), "other", id, now, by), store.ErrNotFound)
		must(t, s.RemoveSecret(t.Context(), "app", id, now, by))
		if e := lastEvent(t, s); e.Kind != store.EventSecretRemoved || e.Detail != id {
			t.Errorf("event %+v", e)
		}
		want(t, "twice", s.RemoveSecret(t.Context(), "app", id, now, by), store.ErrNotFound)
		must(t, add("new", time.Time{}))
		want(t, "no such client", s.AddSecret(t.Context(), "nobody", store.ClientSecret{ID: "x", CreatedAt: now}, by), store.ErrConflict)
		must(t, s.DeleteClient(t.Context(), "app", now, by))
		if n := count(t, s, `SELECT COUNT(*) FROM client_secret`); n != 0 {
			t.Errorf("%d secrets of a deleted client are left", n)
		}
	})
}

// Metadata lists a grant when an enabled client is registered for it; names are
// whole words.
func TestGrantInUse(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		used := func(grant string) bool {
			t.Helper()
			used, err := s.GrantInUse(t.Context(), grant)
			must(t, err)
			return used
		}
		c := &store.Client{ID: "legacy", CreatedAt: now, Metadata: oauth.ClientMetadata{GrantTypes: []string{"password", "refresh_token"}}}
		if used("password") {
			t.Error("in use without a client (RO-01)")
		}
		must(t, s.CreateClient(t.Context(), c, by))
		if !used("password") || !used("refresh_token") || used("implicit") || used("pass") || used("word") {
			t.Error("in use is wrong with one client")
		}
		must(t, s.DisableClient(t.Context(), "legacy", now, by))
		if used("password") {
			t.Error("in use by a disabled client")
		}
		must(t, s.EnableClient(t.Context(), "legacy", now, by))
		c = client2(t, s, "legacy")
		c.Metadata.GrantTypes = []string{"implicit"}
		must(t, s.UpdateClient(t.Context(), c, now, by))
		if used("password") || !used("implicit") {
			t.Error("an update is not followed")
		}
		must(t, s.DeleteClient(t.Context(), "legacy", now, by))
		if used("implicit") {
			t.Error("in use by a deleted client")
		}
	})
}

// Metadata is searched as text, and no letter of the text means another.
func TestMetadataHolds(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		c := &store.Client{ID: "app", CreatedAt: now, Metadata: oauth.ClientMetadata{ClientName: `100 % "_response_alg":"RS256"`, IDTokenAlg: "EdDSA"}}
		must(t, s.CreateClient(t.Context(), c, by))
		for piece, want := range map[string]bool{
			`_response_alg":"EdDSA"`: true, `_response_alg":"RS256"`: false, `100 %`: true, `10%`: false, `id-token-signed`: false, `id_token_signed`: true, `\`: true,
		} {
			if got, err := s.MetadataHolds(t.Context(), piece); err != nil || got != want {
				t.Errorf("%s: %t, %v", piece, got, err)
			}
		}
		must(t, s.DeleteClient(t.Context(), "app", now, by))
		if got, err := s.MetadataHolds(t.Context(), "EdDSA"); err != nil || got {
			t.Errorf("of a deleted client: %t, %v", got, err)
		}
	})
}

// Metadata lists a response type when an enabled client with the implicit grant is
// registered for it, whatever else stands in the metadata of clients.
func TestResponseTypesInUse(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		wantUsed := func(want ...string) {
			t.Helper()
			used, err := s.ResponseTypesInUse(t.Context())
			must(t, err)
			slices.Sort(used)
			if diff := cmp.Diff(want, used, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
		create := func(id string, m oauth.ClientMetadata) {
			t.Helper()
			must(t, s.CreateClient(t.Context(), &store.Client{ID: id, CreatedAt: now, Metadata: m}, by))
		}
		create("web", oauth.ClientMetadata{ClientName: `"token"`, GrantTypes: []string{"authorization_code"}, ResponseTypes: []string{"code"}})
		wantUsed()
		create("a", oauth.ClientMetadata{GrantTypes: []string{"implicit"}, ResponseTypes: []string{"id_token"}})
		create("b", oauth.ClientMetadata{GrantTypes: []string{"authorization_code", "implicit"}, ResponseTypes: []string{"code id_token", "id_token"}})
		wantUsed("code id_token", "id_token")
		must(t, s.DisableClient(t.Context(), "b", now, by))
		wantUsed("id_token")
		must(t, s.DeleteClient(t.Context(), "a", now, by))
		wantUsed()
		create("all", oauth.ClientMetadata{GrantTypes: []string{"authorization_code", "implicit"}, ResponseTypes: oauth.ResponseTypes})
		create("z", oauth.ClientMetadata{GrantTypes: []string{"implicit"}, ResponseTypes: []string{"token"}})
		wantUsed("code", "code id_token", "code id_token token", "code token", "id_token", "id_token token", "token")
	})
}

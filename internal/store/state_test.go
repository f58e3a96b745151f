package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/store"
)

// A token is in force as long as its row is: not revoked, not over, and under the epochs
// of today (AT-03, AT-04).
func TestTokenState(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		type test struct {
			before func(t testing.TB, p *party, g *store.Grant)
			after  time.Duration
			live   bool
		}
		nothing := func(testing.TB, *party, *store.Grant) {}
		tests := map[string]test{
			"live":               {nothing, 0, true},
			"in its last second": {nothing, 24*time.Hour - time.Second, true},
			"over":               {nothing, 24 * time.Hour, false},
			"revoked": {func(t testing.TB, p *party, g *store.Grant) {
				must(t, p.RevokeGrant(t.Context(), g.ID, store.EventGrantRevoked, "", now, by))
			}, 0, false},
			"everything over": {func(t testing.TB, p *party, _ *store.Grant) { must(t, p.RevokeAll(t.Context(), now, by)) }, 0, false},
		}
		for name, end := range ends {
			tests[name] = test{func(t testing.TB, p *party, _ *store.Grant) { end(t, p) }, 0, false}
		}
		for name, tt := range tests {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				p := newParty(t, open)
				g := p.createLive(t, "a")
				tt.before(t, p, g)
				state, err := p.TokenState(t.Context(), g.ID, p.client.ID, "jti", now.Add(tt.after))
				must(t, err)
				if state.Live != tt.live {
					t.Errorf("live: %t, want %t: %+v", state.Live, tt.live, state)
				}
				row, err := p.GrantState(t.Context(), g.ID, now.Add(tt.after))
				must(t, err)
				if row.Live != tt.live || row.ID != g.ID || row.Username != "alice" && name != "user deleted" {
					t.Errorf("live: %t, want %t: %+v", row.Live, tt.live, row)
				}
			})
		}
	})
}

// What the one statement reads, with and without a row.
func TestTokenStateReads(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		p := newParty(t, open)
		g, pending := p.createLive(t, "a"), p.createPending(t, "b")
		for name, tt := range map[string]struct {
			grant, client string
			want          store.TokenState
		}{
			"live":            {g.ID, "app", store.TokenState{Live: true, Username: "alice", ClientEpoch: 1, ServerEpoch: 1}},
			"pending":         {pending.ID, "app", store.TokenState{Live: true, Username: "alice", ClientEpoch: 1, ServerEpoch: 1}}, // a token beside its code
			"another's":       {g.ID, "other", store.TokenState{ServerEpoch: 1}},
			"without a grant": {"", "app", store.TokenState{ClientEpoch: 1, ServerEpoch: 1}},
			"of nobody":       {"gone", "gone", store.TokenState{ServerEpoch: 1}},
		} {
			state, err := p.TokenState(t.Context(), tt.grant, tt.client, "jti", now)
			must(t, err)
			if diff := cmp.Diff(&tt.want, state); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
		_, err := p.GrantState(t.Context(), "gone", now)
		want(t, "no such grant", err, store.ErrNotFound)
	})
}

// An assertion is used up for its client, and for nobody else; what a token is called
// is another matter (CA-04).
func TestUseAssertion(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		p := newParty(t, open)
		g := p.createLive(t, "a")
		use := func(clientID, id string) error {
			return p.UseAssertion(t.Context(), clientID, id, now.Add(time.Minute))
		}
		must(t, use("app", "jti"))
		want(t, "again", use("app", "jti"), store.ErrReplayed)
		must(t, use("app", "another"))
		must(t, use("other", "jti"))
		must(t, use("ap", "pjti"))
		state, err := p.TokenState(t.Context(), g.ID, p.client.ID, "jti", now)
		must(t, err)
		if state.Revoked {
			t.Error("an assertion revoked the token of its name")
		}
	})
}

// One token is revoked by its id, and recorded once; its grant goes on (RV-12).
func TestRevokeToken(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		p := newParty(t, open)
		g := p.createLive(t, "a")
		revoked := func(jti string) bool {
			t.Helper()
			state, err := p.TokenState(t.Context(), g.ID, p.client.ID, jti, now)
			must(t, err)
			if !state.Live {
				t.Error("the grant ended")
			}
			return state.Revoked
		}
		must(t, p.RevokeToken(t.Context(), "jti", p.client.ID, g.ID, now, now.Add(time.Minute), by))
		e := lastEvent(t, p.Store)
		if e.Kind != store.EventTokenRevoked || e.ClientID != p.client.ID || e.GrantID != g.ID {
			t.Errorf("event %+v", e)
		}
		must(t, p.RevokeToken(t.Context(), "jti", p.client.ID, g.ID, now, now.Add(time.Minute), by))
		if again := lastEvent(t, p.Store); again.ID != e.ID {
			t.Error("recorded twice")
		}
		if !revoked("jti") || revoked("other") || revoked("") {
			t.Error("the wrong token is revoked")
		}
	})
}

// The audit trail is read from its newest record on, page by page.
func TestEvents(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		for i := range 5 {
			must(t, s.Record(t.Context(), store.Event{At: now, Kind: "k", By: by, Detail: fmt.Sprint(i)}))
		}
		var got []string
		for before := ""; ; {
			events, err := s.Events(t.Context(), before, 2)
			must(t, err)
			if len(events) == 0 {
				break
			}
			for _, e := range events {
				got = append(got, e.Detail)
				before = e.ID
			}
		}
		if diff := cmp.Diff([]string{"4", "3", "2", "1", "0"}, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

// Rows that can no longer be used go in small batches, each kind by its own end,
// and nothing else goes.
func TestDeleteExpired(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		p := newParty(t, open)
		const dead = store.ExpireBatch + 5
		const day = 24 * time.Hour
		for i := range dead {
			g := p.pending(fmt.Sprint(i))
			g.ExpiresAt = now
			must(t, p.CreateGrant(t.Context(), g, nil, by))
			session := sessionOf(p, fmt.Sprint("sid", i))
			session.ExpiresAt = now
			must(t, p.CreateSession(t.Context(), session, fmt.Sprint("id", i), "", by))
			must(t, p.RevokeToken(t.Context(), fmt.Sprint("jti", i), "", "", now, now.Add(-day), by))
			_, err := p.Attempt(t.Context(), fmt.Sprint("bucket", i), store.Limit{Burst: 1, Interval: time.Second}, now.Add(-time.Second))
			must(t, err)
		}
		must(t, p.AddFirstKey(t.Context(), key("old", 0)))
		must(t, p.SucceedKey(t.Context(), "old", key("new", 0), now.Add(-31*day), by)) // hints of it are known for as long
		must(t, p.AddSecret(t.Context(), "app", store.ClientSecret{ID: "old", Hash: "h", CreatedAt: now.Add(-time.Hour), ExpiresAt: now}, by))

		keep := p.createPending(t, "keep")
		must(t, p.CreateSession(t.Context(), sessionOf(p, "keep"), "keep", "", by))
		// A day longer than it can be used: a clock that went ahead must not revive it (CK-01).
		must(t, p.RevokeToken(t.Context(), "keep", "", "", now, now.Add(time.Second-day), by))
		_, err := p.Attempt(t.Context(), "keep", store.Limit{Burst: 1, Interval: time.Second}, now)
		must(t, err)
		must(t, p.AddSecret(t.Context(), "app", store.ClientSecret{ID: "keep", Hash: "h", CreatedAt: now}, by))

		tables := []string{"oauth_grant", "browser_session", "revoked_token", "attempt", "key_ring", "client_secret"}
		sizes := func() (sizes []int64) {
			for _, table := range tables {
				sizes = append(sizes, count(t, p.Store, `SELECT COUNT(*) FROM `+table))
			}
			return sizes
		}
		if more, err := p.DeleteExpired(t.Context(), now.Add(-time.Hour)); more || err != nil {
			t.Errorf("before anything expires: more %t, %v", more, err)
		}
		if diff := cmp.Diff([]int64{dead + 1, dead + 1, dead + 1, dead + 1, 2, 2}, sizes()); diff != "" {
			t.Errorf("before (-want +got):\n%s", diff)
		}
		if more, err := p.DeleteExpired(t.Context(), now); !more || err != nil {
			t.Errorf("first batch: more %t, %v", more, err)
		}
		if diff := cmp.Diff([]int64{6, 6, 6, 6, 1, 1}, sizes()); diff != "" {
			t.Errorf("after the first batch (-want +got):\n%s", diff)
		}
		if more, err := p.DeleteExpired(t.Context(), now); more || err != nil {
			t.Errorf("second batch: more %t, %v", more, err)
		}
		if diff := cmp.Diff([]int64{1, 1, 1, 1, 1, 1}, sizes()); diff != "" {
			t.Errorf("after the second batch (-want +got):\n%s", diff)
		}
		if _, err := p.Grant(t.Context(), keep.ID); err != nil {
			t.Errorf("a row that can be used went: %v", err)
		}
	})
}

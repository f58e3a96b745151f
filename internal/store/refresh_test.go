package store_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/store"
)

// present is a refresh token of a generation, presented some time after the
// redemption, under the defaults of a server.
func (p *party) present(g *store.Grant, generation int64, after time.Duration, edits ...func(r *store.Refresh)) store.Refresh {
	r := store.Refresh{GrantID: g.ID, ClientID: p.client.ID, Generation: generation, Rotate: true, Grace: 30 * time.Second, Idle: time.Hour, Now: now.Add(after)}
	for _, edit := range edits {
		edit(&r)
	}
	return r
}

// refresh presents a token and returns the generation to answer with.
func (p *party) refresh(t testing.TB, r store.Refresh) (int64, error) {
	t.Helper()
	g, err := p.NextGeneration(t.Context(), r)
	return g.Generation, err
}

// RFC 9700 Section 4.14.2: each use gives the next generation; the previous one
// gives the same successor again within the grace window, and later, or an older
// one at any time, is a replay (RT-01, RT-02, RT-07).
func TestNextGeneration(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		type use struct {
			generation int64
			after      time.Duration
			want       int64
			err        error
		}
		for name, uses := range map[string][]use{
			"a chain":                    {{0, time.Minute, 1, nil}, {1, 2 * time.Minute, 2, nil}, {2, 3 * time.Minute, 3, nil}},
			"a lost answer":              {{0, 0, 1, nil}, {0, 29 * time.Second, 1, nil}, {1, 30 * time.Second, 2, nil}},
			"a lost answer, many times":  {{0, 0, 1, nil}, {0, time.Second, 1, nil}, {0, 2 * time.Second, 1, nil}, {1, 3 * time.Second, 2, nil}},
			"the window closes":          {{0, 0, 1, nil}, {0, 30 * time.Second, 0, store.ErrReplayed}},
			"asking again opens none":    {{0, 0, 1, nil}, {0, 29 * time.Second, 1, nil}, {0, 31 * time.Second, 0, store.ErrReplayed}},
			"the one before the last":    {{0, 0, 1, nil}, {1, time.Second, 2, nil}, {0, 2 * time.Second, 0, store.ErrReplayed}},
			"much older":                 {{0, 0, 1, nil}, {1, 0, 2, nil}, {2, 0, 3, nil}, {0, 0, 0, store.ErrReplayed}},
			"ahead, after a restore":     {{7, 0, 8, nil}, {8, time.Minute, 9, nil}, {7, 2 * time.Minute, 0, store.ErrReplayed}},
			"idle in its last second":    {{0, time.Hour - time.Second, 1, nil}},
			"idle too long":              {{0, time.Hour, 0, store.ErrExpired}},
			"a use begins the idle time": {{0, 50 * time.Minute, 1, nil}, {1, 100 * time.Minute, 2, nil}},
			"a replay after the idle":    {{0, 0, 1, nil}, {0, 2 * time.Hour, 0, store.ErrExpired}},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				p := newParty(t, open)
				g := p.createLive(t, "a")
				for i, u := range uses {
					got, err := p.refresh(t, p.present(g, u.generation, u.after))
					want(t, fmt.Sprintf("use %d", i+1), err, u.err)
					if err == nil && got != u.want {
						t.Errorf("use %d: generation %d, want %d", i+1, got, u.want)
					}
				}
			})
		}
	})
}

// The verdicts other than a replay; none of them changes the row (RT-03, RT-05,
// RT-06).
func TestNextGenerationVerdicts(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		type test struct {
			before func(t testing.TB, p *party)
			edit   func(r *store.Refresh)
			want   error
		}
		nothing, same := func(testing.TB, *party) {}, func(*store.Refresh) {}
		tests := map[string]test{
			"good":           {nothing, same, nil},
			"unknown":        {nothing, func(r *store.Refresh) { r.GrantID = "x" }, store.ErrNotFound},
			"another client": {nothing, func(r *store.Refresh) { r.ClientID = "x" }, store.ErrNotFound},
			"absolute end":   {nothing, func(r *store.Refresh) { r.Now, r.Idle = now.Add(24*time.Hour), 999*time.Hour }, store.ErrExpired},
			"before that":    {nothing, func(r *store.Refresh) { r.Now, r.Idle = now.Add(24*time.Hour-time.Second), 999*time.Hour }, nil},
			"no grace":       {advance, func(r *store.Refresh) { r.Grace = 0 }, store.ErrReplayed},
			"revoked": {func(t testing.TB, p *party) {
				grants, err := p.Grants(t.Context(), "", "", 1)
				must(t, err)
				must(t, p.RevokeGrant(t.Context(), grants[0].ID, store.EventGrantRevoked, "", now, by))
			}, same, store.ErrRevoked},
			"everything over":   {func(t testing.TB, p *party) { must(t, p.RevokeAll(t.Context(), now, by)) }, same, store.ErrNotLive},
			"consent withdrawn": {func(t testing.TB, p *party) { must(t, p.WithdrawConsent(t.Context(), p.user.ID, p.client.ID, now, by)) }, same, store.ErrRevoked},
		}
		for name, end := range ends {
			tests[name] = test{end, same, store.ErrNotLive}
		}
		for name, tt := range tests {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				p := newParty(t, open)
				g := p.createLive(t, "a")
				tt.before(t, p)
				was, err := p.Grant(t.Context(), g.ID)
				must(t, err)
				_, err = p.refresh(t, p.present(g, 0, time.Second, tt.edit))
				want(t, name, err, tt.want)
				is, err := p.Grant(t.Context(), g.ID)
				must(t, err)
				if diff := cmp.Diff(was, is); (diff == "") != (tt.want != nil) {
					t.Errorf("the row (-was +is):\n%s", diff)
				}
				if is.ExpiresAt != was.ExpiresAt {
					t.Errorf("a refresh moved the absolute end to %v", is.ExpiresAt)
				}
			})
		}
	})
}

// advance uses the first token of the one grant there is.
func advance(t testing.TB, p *party) {
	grants, err := p.Grants(t.Context(), "", "", 1)
	must(t, err)
	_, err = p.refresh(t, p.present(&grants[0], 0, 0))
	must(t, err)
}

// A pending grant has no refresh token yet, whoever asks.
func TestNextGenerationPending(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		p := newParty(t, open)
		g := p.createPending(t, "a")
		_, err := p.refresh(t, p.present(g, 0, 0))
		want(t, "pending", err, store.ErrNotFound)
	})
}

// Without rotation the same token is good again and again, and each use counts as
// one; a token from before rotation was switched off goes on.
func TestNextGenerationWithoutRotation(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		p := newParty(t, open)
		g := p.createLive(t, "a")
		still := func(r *store.Refresh) { r.Rotate = false }
		for i := range 4 {
			got, err := p.refresh(t, p.present(g, 0, time.Duration(i)*50*time.Minute, still))
			if err != nil || got != 0 {
				t.Errorf("use %d: generation %d, %v", i+1, got, err)
			}
		}
		rotated := p.createLive(t, "b")
		_, err := p.refresh(t, p.present(rotated, 0, 0))
		must(t, err)
		if got, err := p.refresh(t, p.present(rotated, 1, time.Minute, still)); err != nil || got != 1 {
			t.Errorf("the newest, rotation off: generation %d, %v", got, err)
		}
		_, err = p.refresh(t, p.present(rotated, 0, 2*time.Minute, still))
		want(t, "the previous one, rotation off", err, store.ErrReplayed)
	})
}

// However many present one token at once, all get the same successor, and the row
// moves by one: there are never two branches (RT-07).
func TestNextGenerationRace(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		p := newParty(t, open)
		g := p.createLive(t, "a")
		for round := range int64(40) {
			got, errs := make([]int64, 16), make([]error, 16)
			var callers sync.WaitGroup
			for i := range got {
				callers.Go(func() { got[i], errs[i] = p.refresh(t, p.present(g, round, time.Duration(round)*time.Second)) })
			}
			callers.Wait()
			for i := range got {
				if errs[i] != nil || got[i] != round+1 {
					t.Errorf("round %d, caller %d: generation %d, %v", round, i, got[i], errs[i])
				}
			}
			row, err := p.Grant(t.Context(), g.ID)
			must(t, err)
			if row.Generation != round+1 {
				t.Errorf("round %d: the row is at generation %d", round, row.Generation)
			}
		}
	})
}

// A revocation and a refresh that race: when the revocation was acknowledged
// first, the refresh fails; afterwards nothing works in any case (RT-06).
func TestRevokeRacesRefresh(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		p := newParty(t, open)
		for round := range 40 {
			g := p.createLive(t, fmt.Sprint(round))
			var callers sync.WaitGroup
			for range 4 {
				callers.Go(func() { _, _ = p.refresh(t, p.present(g, 0, 0)) })
			}
			callers.Go(func() { want(t, "revoke", p.RevokeGrant(t.Context(), g.ID, store.EventGrantRevoked, "", now, by), nil) })
			callers.Wait()
			for generation := range int64(3) {
				_, err := p.refresh(t, p.present(g, generation, 0))
				want(t, fmt.Sprintf("generation %d of a revoked grant", generation), err, store.ErrRevoked)
			}
		}
	})
}

package store_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hufu-auth/hufu/internal/store"
)

// newUser makes a user who can sign in.
func newUser(t *testing.T, s *store.Store, name string) *store.User {
	t.Helper()
	must(t, s.CreateUser(t.Context(), &store.User{ID: store.NewUserID(), Username: name, UsernameKey: name, Password: "$argon2id$", CreatedAt: now}, by))
	u, err := s.UserByName(t.Context(), name)
	must(t, err)
	return u
}

// app is an authenticator app of a user.
func app(u *store.User, id string) *store.AuthenticatorApp {
	return &store.AuthenticatorApp{ID: id, UserID: u.ID, Sealed: "sealed " + id, LastStep: 100, CreatedAt: now}
}

// kinds are the kinds of the last events, the newest first.
func kinds(t *testing.T, s *store.Store, n int) []string {
	t.Helper()
	events, err := s.Events(t.Context(), "", n)
	must(t, err)
	var all []string
	for _, e := range events {
		all = append(all, e.Kind)
	}
	return all
}

// An app is added with recovery codes, read back, and removed with them; the codes come
// with the first second factor only, and every step is audited (MF-04).
func TestAuthenticatorApp(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		u := newUser(t, s, "alice")
		if u.SecondFactor {
			t.Error("a new user has a second factor")
		}
		made, err := s.AddAuthenticatorApp(t.Context(), app(u, "first"), u.Epoch, []string{"a", "b"}, by)
		must(t, err)
		if !made {
			t.Error("no recovery codes came with the first factor")
		}
		if diff := cmp.Diff([]string{store.EventRecoveryCodesMade, store.EventSecondFactorAdded}, kinds(t, s, 2)); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		got, err := s.AuthenticatorApp(t.Context(), u.ID)
		must(t, err)
		if diff := cmp.Diff(app(u, "first"), got); diff != "" {
			t.Errorf("app (-want +got):\n%s", diff)
		}
		_, err = s.AddAuthenticatorApp(t.Context(), app(u, "second"), u.Epoch, nil, by)
		want(t, "a second app", err, store.ErrConflict)
		u, err = s.User(t.Context(), u.ID)
		must(t, err)
		factors, err := s.SecondFactors(t.Context(), u.ID)
		must(t, err)
		if diff := cmp.Diff([]store.SecondFactor{{ID: "first", Kind: store.AuthenticatorAppFactor, CreatedAt: now}}, factors); diff != "" || !u.SecondFactor {
			t.Errorf("SecondFactor %t; factors (-want +got):\n%s", u.SecondFactor, diff)
		}

		want(t, "another's app", s.RemoveAuthenticatorApp(t.Context(), "nobody", u.Epoch, "first", now, by), store.ErrNotLive)
		want(t, "an app of another id", s.RemoveAuthenticatorApp(t.Context(), u.ID, u.Epoch, "second", now, by), store.ErrNotFound)
		want(t, "an app, by who was let in before the user changed", s.RemoveAuthenticatorApp(t.Context(), u.ID, u.Epoch-1, "first", now, by), store.ErrNotLive)
		must(t, s.RemoveAuthenticatorApp(t.Context(), u.ID, u.Epoch, "first", now, by))
		if kinds(t, s, 1)[0] != store.EventSecondFactorRemoved {
			t.Errorf("event %v", kinds(t, s, 1))
		}
		left, err := s.RecoveryCodesLeft(t.Context(), u.ID)
		must(t, err)
		if _, err := s.AuthenticatorApp(t.Context(), u.ID); left != 0 || err == nil {
			t.Errorf("%d recovery codes are left, and the app: %v", left, err)
		}
	})
}

// Who has been disabled, deleted or given another password since gets no app; what a
// deleted person had is gone (MF-04, AC-03).
func TestAuthenticatorAppNotLive(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		u := newUser(t, s, "alice")
		must(t, s.SetPassword(t.Context(), u.ID, "another", now, by))
		_, err := s.AddAuthenticatorApp(t.Context(), app(u, "first"), u.Epoch, nil, by)
		want(t, "under an old epoch", err, store.ErrNotLive)
		_, err = s.AddAuthenticatorApp(t.Context(), app(u, "first"), u.Epoch+1, []string{"a"}, by)
		must(t, err)
		must(t, s.DeleteUser(t.Context(), u.ID, now, by))
		for range 20 {
			must(t, second(s.DeleteExpired(t.Context(), now)))
		}
		for _, table := range []string{"authenticator_app", "recovery_code"} {
			wantCount(t, s, table, 0, `SELECT COUNT(*) FROM `+table)
		}
		_, err = s.AddAuthenticatorApp(t.Context(), app(u, "second"), u.Epoch+2, nil, by)
		want(t, "of a deleted user", err, store.ErrNotLive)
	})
}

// Each time step is taken once, by whichever of many callers on two replicas, and none
// before it afterwards (MF-01).
func TestUseAuthenticatorApp(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		u := newUser(t, s, "alice")
		_, err := s.AddAuthenticatorApp(t.Context(), app(u, "first"), u.Epoch, nil, by)
		must(t, err)
		for step := int64(101); step < 121; step++ {
			errs := make([]error, 16)
			var callers sync.WaitGroup
			for i := range errs {
				callers.Go(func() { errs[i] = s.UseAuthenticatorApp(t.Context(), u.ID, "first", step, now.Add(time.Minute)) })
			}
			callers.Wait()
			winners := 0
			for _, err := range errs {
				if err == nil {
					winners++
					continue
				}
				want(t, "a loser", err, store.ErrReplayed)
			}
			if winners != 1 {
				t.Fatalf("step %d was taken %d times", step, winners)
			}
		}
		want(t, "an earlier step", s.UseAuthenticatorApp(t.Context(), u.ID, "first", 119, now), store.ErrReplayed)
		want(t, "another app", s.UseAuthenticatorApp(t.Context(), u.ID, "other", 200, now), store.ErrReplayed)
		if a, err := s.AuthenticatorApp(t.Context(), u.ID); err != nil || a.LastStep != 120 || !a.UsedAt.Equal(now.Add(time.Minute)) {
			t.Errorf("app %+v, %v", a, err)
		}
	})
}

// A recovery code is taken once, however many try; renewing lets the old ones die
// (MF-04).
func TestRecoveryCodes(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		u := newUser(t, s, "alice")
		want(t, "renewing without a factor", s.RenewRecoveryCodes(t.Context(), u.ID, u.Epoch, []string{"z"}, now, by), store.ErrNotFound)
		_, err := s.AddAuthenticatorApp(t.Context(), app(u, "first"), u.Epoch, []string{"a", "b", "c"}, by)
		must(t, err)
		errs := make([]error, 16)
		var callers sync.WaitGroup
		for i := range errs {
			callers.Go(func() { errs[i] = s.UseRecoveryCode(t.Context(), u.ID, "a", now, by) })
		}
		callers.Wait()
		winners := 0
		for _, err := range errs {
			if err == nil {
				winners++
				continue
			}
			want(t, "a loser", err, store.ErrNotFound)
		}
		e := lastEvent(t, s)
		if winners != 1 || e.Kind != store.EventRecoveryCodeUsed || e.Detail != "2 left" {
			t.Errorf("%d winners, event %+v", winners, e)
		}
		want(t, "somebody else's", s.UseRecoveryCode(t.Context(), "nobody", "b", now, by), store.ErrNotFound)
		want(t, "renewing, by who was let in before the user changed", s.RenewRecoveryCodes(t.Context(), u.ID, u.Epoch-1, []string{"z"}, now, by), store.ErrNotLive)
		must(t, s.RenewRecoveryCodes(t.Context(), u.ID, u.Epoch, []string{"x", "y"}, now, by))
		want(t, "an old one", s.UseRecoveryCode(t.Context(), u.ID, "b", now, by), store.ErrNotFound)
		must(t, s.UseRecoveryCode(t.Context(), u.ID, "x", now, by))
		if left, err := s.RecoveryCodesLeft(t.Context(), u.ID); err != nil || left != 1 {
			t.Errorf("%d left, %v", left, err)
		}
	})
}

// However many add, remove and renew at once, a user has one app at most, and recovery
// codes only beside one.
func TestSecondFactorRaces(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		u := newUser(t, s, "alice")
		var callers sync.WaitGroup
		for i := range 8 {
			id := fmt.Sprint(i)
			callers.Go(func() {
				_, _ = s.AddAuthenticatorApp(t.Context(), app(u, id), u.Epoch, []string{"a" + id}, by)
			})
			callers.Go(func() { _ = s.RenewRecoveryCodes(t.Context(), u.ID, u.Epoch, []string{"r" + id}, now, by) })
			callers.Go(func() {
				if a, err := s.AuthenticatorApp(t.Context(), u.ID); err == nil {
					_ = s.RemoveAuthenticatorApp(t.Context(), u.ID, u.Epoch, a.ID, now, by)
				}
			})
		}
		callers.Wait()
		factors, err := s.SecondFactors(t.Context(), u.ID)
		must(t, err)
		left, err := s.RecoveryCodesLeft(t.Context(), u.ID)
		must(t, err)
		if len(factors) > 1 || len(factors) != left {
			t.Errorf("%d factors and %d recovery codes", len(factors), left)
		}
	})
}

package store_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/hufu-auth/hufu/internal/store"
)

// A user is read as made, by subject and by the key of the name.
func TestUser(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		made := &store.User{
			ID: store.NewUserID(), Username: "Alice", UsernameKey: "alice", Email: "a@b.example", EmailVerified: true, Password: "$argon2id$",
			Claims: json.RawMessage(`{"name":"Alice \"A\""}`), Epoch: 1, CreatedAt: now, UpdatedAt: now,
		}
		must(t, s.CreateUser(t.Context(), made, by))
		for name, read := range map[string]func() (*store.User, error){
			"by subject": func() (*store.User, error) { return s.User(t.Context(), made.ID) },
			"by name":    func() (*store.User, error) { return s.UserByName(t.Context(), "alice") },
		} {
			got, err := read()
			must(t, err)
			if diff := cmp.Diff(made, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
		if e := lastEvent(t, s); e.Kind != store.EventUserCreated || e.UserID != made.ID {
			t.Errorf("event %+v", e)
		}
		for _, key := range []string{"Alice", "", "bob", "alice "} {
			_, err := s.UserByName(t.Context(), key)
			want(t, fmt.Sprintf("by %q", key), err, store.ErrNotFound)
		}
		if id, err := uuid.Parse(made.ID); err != nil || id.Version() != 4 {
			t.Errorf("a subject is %v, %v; want a random UUID, which tells nothing (CC-02)", made.ID, err)
		}
	})
}

// A name is taken once, whoever races; a deleted person's name is free again, and
// the subject never (AC-03).
func TestCreateUser(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		errs := make([]error, 16)
		var callers sync.WaitGroup
		for i := range errs {
			callers.Go(func() {
				errs[i] = s.CreateUser(t.Context(), &store.User{ID: store.NewUserID(), Username: "alice", UsernameKey: "alice", CreatedAt: now}, by)
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
		if winners != 1 {
			t.Errorf("%d winners", winners)
		}
		first, err := s.UserByName(t.Context(), "alice")
		must(t, err)
		must(t, s.DeleteUser(t.Context(), first.ID, now, by))
		second := user(t, s, "alice")
		if second.ID == first.ID {
			t.Error("the subject came back")
		}
		want(t, "a subject twice", s.CreateUser(t.Context(), &store.User{ID: first.ID, Username: "bob", UsernameKey: "bob", CreatedAt: now}, by), store.ErrConflict)
	})
}

// What changes a user, under which condition, with which epoch and record.
func TestChangeUser(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		for name, tt := range map[string]struct {
			act    func(s *store.Store, u *store.User) error
			epoch  int64
			kind   string
			check  func(u *store.User) bool
			absent error // of one that is not there
		}{
			"update": {func(s *store.Store, u *store.User) error {
				next := *u
				next.Email, next.EmailVerified, next.Claims = "x@y.example", true, json.RawMessage(`{"a":1}`)
				return s.UpdateUser(t.Context(), u, &next, now.Add(time.Minute), by)
			}, 1, store.EventUserChanged, func(u *store.User) bool {
				return u.Email == "x@y.example" && u.EmailVerified && string(u.Claims) == `{"a":1}`
			}, store.ErrConflict},
			"password": {func(s *store.Store, u *store.User) error {
				return s.SetPassword(t.Context(), u.ID, "new", now.Add(time.Minute), by)
			}, 2, store.EventUserPassword, func(u *store.User) bool { return u.Password == "new" }, store.ErrNotFound},
			"disable": {func(s *store.Store, u *store.User) error {
				return s.DisableUser(t.Context(), u.ID, now.Add(time.Minute), by)
			},
				2, store.EventUserDisabled, func(u *store.User) bool { return u.DisabledAt == now.Add(time.Minute) }, store.ErrNotFound},
			"enable": {func(s *store.Store, u *store.User) error {
				return s.EnableUser(t.Context(), u.ID, now.Add(time.Minute), by)
			},
				1, store.EventUserEnabled, func(u *store.User) bool { return u.DisabledAt.IsZero() }, store.ErrNotFound},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := open(t)
				u, other := user(t, s, "alice"), user(t, s, "bob")
				must(t, tt.act(s, u))
				got, err := s.User(t.Context(), u.ID)
				must(t, err)
				if got.Epoch != tt.epoch || got.UpdatedAt != now.Add(time.Minute) || !tt.check(got) {
					t.Errorf("got %+v", got)
				}
				if e := lastEvent(t, s); e.Kind != tt.kind || e.UserID != u.ID || e.By != by {
					t.Errorf("event %+v", e)
				}
				if bob, err := s.User(t.Context(), other.ID); err != nil || !cmp.Equal(bob, other) {
					t.Errorf("another user changed: %+v, %v", bob, err)
				}
				must(t, s.DeleteUser(t.Context(), u.ID, now, by))
				want(t, "deleted", tt.act(s, u), tt.absent)
			})
		}
	})
}

// An update is for the user as read.
func TestUpdateUserConflict(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		was := user(t, s, "alice")
		next := *was
		next.Email = "first@b.example"
		must(t, s.UpdateUser(t.Context(), was, &next, now, by))
		late := *was
		late.Email = "late@b.example"
		want(t, "changed meanwhile", s.UpdateUser(t.Context(), was, &late, now, by), store.ErrConflict)
		if got, err := s.User(t.Context(), was.ID); err != nil || got.Email != "first@b.example" {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

// A better hash of the same password ends nothing, and never overwrites a
// password that was changed meanwhile (PW-01).
func TestRehash(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		u := user(t, s, "alice")
		must(t, s.Rehash(t.Context(), u.ID, "hash", "better hash"))
		if got, err := s.User(t.Context(), u.ID); err != nil || got.Password != "better hash" || got.Epoch != u.Epoch {
			t.Errorf("got %+v, %v", got, err)
		}
		must(t, s.SetPassword(t.Context(), u.ID, "changed", now, by))
		must(t, s.Rehash(t.Context(), u.ID, "better hash", "late hash"))
		if got, err := s.User(t.Context(), u.ID); err != nil || got.Password != "changed" {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

// Of a deleted person nothing is left but the subject.
func TestDeleteUser(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		u := &store.User{ID: store.NewUserID(), Username: "Secretive", UsernameKey: "secretive", Email: "secret@b.example", Password: "secret hash",
			Claims: json.RawMessage(`{"name":"secret"}`), CreatedAt: now}
		must(t, s.CreateUser(t.Context(), u, by))
		must(t, s.DeleteUser(t.Context(), u.ID, now, by))
		_, err := s.User(t.Context(), u.ID)
		want(t, "by subject", err, store.ErrNotFound)
		_, err = s.UserByName(t.Context(), "secretive")
		want(t, "by name", err, store.ErrNotFound)
		if n := count(t, s, `SELECT COUNT(*) FROM end_user WHERE username || COALESCE(username_key, '') || email || password || claims LIKE '%secret%'`); n != 0 {
			t.Error("the row still tells about the person")
		}
		want(t, "twice", s.DeleteUser(t.Context(), u.ID, now, by), store.ErrNotFound)
		if e := lastEvent(t, s); e.Kind != store.EventUserDeleted || e.UserID != u.ID {
			t.Errorf("event %+v", e)
		}
	})
}

func TestUsers(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, open opener) {
		s := open(t)
		for _, name := range []string{"Carol", "alice", "Bob"} {
			user(t, s, name)
		}
		gone := user(t, s, "aaron")
		must(t, s.DeleteUser(t.Context(), gone.ID, now, by))
		for name, tt := range map[string]struct {
			after string
			limit int
			want  []string
		}{"all": {"", 10, []string{"alice", "bob", "carol"}}, "a page": {"", 2, []string{"alice", "bob"}}, "the next": {"bob", 2, []string{"carol"}}} {
			users, err := s.Users(t.Context(), tt.after, tt.limit)
			must(t, err)
			var got []string
			for _, u := range users {
				got = append(got, u.UsernameKey)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	})
}

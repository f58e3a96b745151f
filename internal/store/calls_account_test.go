package store_test

import (
	"context"
	"time"

	"github.com/hufu-auth/hufu/internal/store"
)

// accountCalls are what people do with their own account.
func accountCalls(p *party) []call {
	erin := &store.User{ID: store.NewUserID(), Username: "Erin", UsernameKey: "erin", CreatedAt: now}
	session := func(sid string) *store.Session {
		return &store.Session{SID: sid, UserID: erin.ID, UserEpoch: 2, AuthTime: now, CreatedAt: now, ExpiresAt: now.Add(time.Hour)}
	}
	return []call{
		{"CreateUser", func(ctx context.Context) error { return p.CreateUser(ctx, erin, by) }},
		{"ChangePassword", func(ctx context.Context) error { return second(p.ChangePassword(ctx, erin.ID, 1, "hash", now, by)) }},
		{"CreateSession", func(ctx context.Context) error {
			return p.CreateSession(ctx, session("erin 1"), "id of erin 1", "", by)
		}},
		{"Sessions", func(ctx context.Context) error { return second(p.Sessions(ctx, erin.ID, now, time.Hour, 10)) }},
		{"EndOtherSessions", func(ctx context.Context) error { return p.EndOtherSessions(ctx, erin.ID, "erin 1", now, by) }},
		{"EndUserSession", func(ctx context.Context) error { return p.EndUserSession(ctx, erin.ID, "erin 1", now, by) }},
		{"Accesses", func(ctx context.Context) error { return second(p.Accesses(ctx, erin.ID, now, 10)) }},
		{"UserEvents", func(ctx context.Context) error { return second(p.UserEvents(ctx, erin.ID, "", 10)) }},
		{"Leave", func(ctx context.Context) error { return p.Leave(ctx, erin.ID, 2, now, by) }},
	}
}

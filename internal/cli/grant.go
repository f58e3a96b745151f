package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/hufu-auth/hufu/internal/store"
)

// A grantAnswer is what commands print about a grant.
type grantAnswer struct {
	ID           string     `json:"id"`
	ClientID     string     `json:"client_id"`
	Subject      string     `json:"sub"`
	Username     string     `json:"username,omitempty"` // of a user who is still there
	GrantType    string     `json:"grant_type"`
	Scope        string     `json:"scope"`
	Resource     string     `json:"resource,omitempty"`
	State        string     `json:"state"`
	RevokeReason string     `json:"revoke_reason,omitempty"`
	Generation   int64      `json:"generation"`
	CreatedAt    *time.Time `json:"created_at"`
	UsedAt       *time.Time `json:"used_at,omitempty"` // redeemed or last refreshed
	RevokedAt    *time.Time `json:"revoked_at,omitempty"`
	ExpiresAt    *time.Time `json:"expires_at"`
}

func (a *app) grantCommand() *cobra.Command {
	revoke := &cobra.Command{Use: "revoke ID", Short: "End a grant and every token of it", Args: takes("ID")}
	revoke.RunE = a.with(func(ctx context.Context, o opened, args []string) error {
		if err := o.Store.RevokeGrant(ctx, args[0], store.EventGrantRevoked, "operator", a.now(), operator); err != nil {
			return noGrant(args[0], err)
		}
		g, err := o.Store.Grant(ctx, args[0])
		if err != nil {
			return noGrant(args[0], err)
		}
		v, err := newGrantView(ctx, o.Store, a.now())
		if err != nil {
			return err
		}
		answer, err := v.answer(ctx, g)
		if err != nil {
			return err
		}
		return a.show(answer)
	})
	return group("grant", "See and end what users have allowed clients", a.grantList(), revoke)
}

func noGrant(id string, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("no grant %q", id)
	}
	return err
}

func (a *app) grantList() *cobra.Command {
	var username string
	cmd := &cobra.Command{Use: "list", Short: "List grants, the newest first", Args: takes()}
	cmd.Flags().StringVar(&username, "user", "", "only those of this user")
	cmd.RunE = a.with(func(ctx context.Context, o opened, _ []string) error {
		var subject string
		if username != "" {
			u, err := findUser(ctx, o.Store, username)
			if err != nil {
				return err
			}
			subject = u.ID
		}
		v, err := newGrantView(ctx, o.Store, a.now())
		if err != nil {
			return err
		}
		l := a.list("ID", "CLIENT", "USER", "GRANT", "SCOPE", "STATE", "CREATED", "EXPIRES")
		return errors.Join(a.listGrants(ctx, v, l, subject), l.end())
	})
	return cmd
}

// listGrants prints page by page, for there can be many.
func (a *app) listGrants(ctx context.Context, v *grantView, l *listing, subject string) error {
	for before := ""; ; {
		page, err := v.db.Grants(ctx, subject, before, pageSize)
		if err != nil {
			return err
		}
		for _, g := range page {
			answer, err := v.answer(ctx, &g)
			if err != nil {
				return err
			}
			user := firstText(answer.Username, g.UserID)
			if err := l.add(answer, g.ID, g.ClientID, user, g.GrantType, g.Scope, answer.State, day(g.CreatedAt), day(g.ExpiresAt)); err != nil {
				return err
			}
		}
		if len(page) < pageSize {
			return nil
		}
		before = page[len(page)-1].ID
		if err := l.page(); err != nil {
			return err
		}
	}
}

// A grantView knows what a grant's state depends on: the epochs of its client,
// its user and the server. It asks for each only once.
type grantView struct {
	db      *store.Store
	now     time.Time
	server  *store.Server
	clients map[string]*store.Client // nil: not in force
	users   map[string]*store.User   // nil: gone
}

func newGrantView(ctx context.Context, db *store.Store, now time.Time) (*grantView, error) {
	state, err := db.Server(ctx)
	return &grantView{db: db, now: now, server: state, clients: map[string]*store.Client{}, users: map[string]*store.User{}}, err
}

func (v *grantView) answer(ctx context.Context, g *store.Grant) (grantAnswer, error) {
	client, err := once(v.clients, g.ClientID, func() (*store.Client, error) { return v.db.Client(ctx, g.ClientID) })
	if err != nil {
		return grantAnswer{}, err
	}
	user, err := once(v.users, g.UserID, func() (*store.User, error) { return v.db.User(ctx, g.UserID) })
	if err != nil {
		return grantAnswer{}, err
	}
	answer := grantAnswer{
		ID: g.ID, ClientID: g.ClientID, Subject: g.UserID, GrantType: g.GrantType, Scope: g.Scope, Resource: g.Resource,
		State: v.state(g, client, user), RevokeReason: g.RevokeReason, Generation: g.Generation,
		CreatedAt: stamp(g.CreatedAt), RevokedAt: stamp(g.RevokedAt), ExpiresAt: stamp(g.ExpiresAt),
	}
	if user != nil {
		answer.Username = user.Username
	}
	if !g.RedeemedAt.IsZero() {
		answer.UsedAt = stamp(g.RotatedAt)
	}
	return answer, nil
}

// state is a grant's state in one word. "ended" is a grant whose client, user or
// server has since been disabled, changed its password or revoked everything.
func (v *grantView) state(g *store.Grant, client *store.Client, user *store.User) string {
	inForce := client != nil && client.DisabledAt.IsZero() && client.Epoch == g.ClientEpoch &&
		user != nil && user.DisabledAt.IsZero() && user.Epoch == g.UserEpoch && v.server.Epoch == g.ServerEpoch
	switch {
	case !g.RevokedAt.IsZero():
		return "revoked"
	case !inForce:
		return "ended"
	case !g.ExpiresAt.After(v.now), g.RedeemedAt.IsZero() && !g.CodeExpiresAt.After(v.now):
		return "expired"
	case g.RedeemedAt.IsZero():
		return "pending"
	}
	return "live"
}

// once reads a record the first time it is asked for; one that is gone is nil.
func once[T any](known map[string]*T, id string, read func() (*T, error)) (*T, error) {
	if record, ok := known[id]; ok {
		return record, nil
	}
	record, err := read()
	if errors.Is(err, store.ErrNotFound) {
		record, err = nil, nil
	}
	if err == nil {
		known[id] = record
	}
	return record, err
}

func firstText(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

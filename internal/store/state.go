package store

import (
	"context"
	"database/sql"
	"time"
)

// A TokenState is what the database knows of an access or refresh token at one
// moment, read in one statement. It is never cached.
type TokenState struct {
	Grant       *Grant // nil when the token has no grant row, or the row is gone
	Username    string
	Revoked     bool // the token's own id was revoked
	ClientLive  bool // enabled
	UserLive    bool // enabled; false without a user
	ClientEpoch int64
	UserEpoch   int64
	ServerEpoch int64
}

// TokenState reads the state of a token: its grant, if it names one, the
// revocation of its own id, and the epochs.
func (q *queries) TokenState(ctx context.Context, grantID, clientID, jwtID string) (*TokenState, error) {
	var t TokenState
	var g grantOrNull
	var clientEpoch, userEpoch sql.NullInt64
	var username sql.NullString
	dest := append(g.fields(), &username, &t.Revoked, &clientEpoch, &userEpoch, &t.ServerEpoch)
	err := q.row(ctx, `
		SELECT g.id, g.grant_type, g.client_id, g.user_id, g.scope, g.resource, g.auth_time, g.acr, g.amr,
			g.client_epoch, g.user_epoch, g.server_epoch, g.redeemed_at, g.generation, g.rotated_at, g.revoked_at, g.created_at, g.expires_at,
			u.username, EXISTS (SELECT 1 FROM revoked_token r WHERE r.jti = $3), c.epoch, u.epoch, s.epoch
		FROM server s
		LEFT JOIN oauth_grant g ON g.id = $1
		LEFT JOIN client c ON c.id = $2 AND c.disabled_at IS NULL AND c.deleted_at IS NULL
		LEFT JOIN end_user u ON u.id = g.user_id AND u.disabled_at IS NULL AND u.deleted_at IS NULL`,
		grantID, clientID, jwtID).Scan(dest...)
	t.Grant = g.grant()
	t.Username = username.String
	t.ClientLive, t.ClientEpoch = clientEpoch.Valid, clientEpoch.Int64
	t.UserLive, t.UserEpoch = userEpoch.Valid, userEpoch.Int64
	return &t, wrap("read token state", err)
}

// Live reports whether a grant is in force: redeemed, not revoked, not over, and
// under the epochs of today.
func (t *TokenState) Live(now time.Time) bool {
	g := t.Grant
	return g != nil && !g.RedeemedAt.IsZero() && g.RevokedAt.IsZero() && g.ExpiresAt.After(now) &&
		t.ClientLive && g.ClientEpoch == t.ClientEpoch &&
		t.UserLive && g.UserEpoch == t.UserEpoch && g.ServerEpoch == t.ServerEpoch
}

// grantOrNull reads the columns of a grant that a LEFT JOIN may not have found.
type grantOrNull struct {
	id, grantType, clientID, userID, scope, resource, acr, amr sql.NullString
	clientEpoch, userEpoch, serverEpoch, generation            sql.NullInt64
	auth, redeemed, rotated, revoked, created, expires         time.Time
}

func (n *grantOrNull) fields() []any {
	return []any{&n.id, &n.grantType, &n.clientID, &n.userID, &n.scope, &n.resource, nullTime{&n.auth}, &n.acr, &n.amr,
		&n.clientEpoch, &n.userEpoch, &n.serverEpoch, nullTime{&n.redeemed}, &n.generation, nullTime{&n.rotated}, nullTime{&n.revoked}, nullTime{&n.created}, nullTime{&n.expires}}
}

func (n *grantOrNull) grant() *Grant {
	if !n.id.Valid {
		return nil
	}
	return &Grant{
		ID: n.id.String, GrantType: n.grantType.String, ClientID: n.clientID.String, UserID: n.userID.String,
		Scope: n.scope.String, Resource: n.resource.String, AuthTime: n.auth, ACR: n.acr.String, AMR: n.amr.String,
		ClientEpoch: n.clientEpoch.Int64, UserEpoch: n.userEpoch.Int64, ServerEpoch: n.serverEpoch.Int64,
		RedeemedAt: n.redeemed, Generation: n.generation.Int64, RotatedAt: n.rotated, RevokedAt: n.revoked, CreatedAt: n.created, ExpiresAt: n.expires,
	}
}

// RevokeToken ends one access token by its id and leaves its grant.
func (s *Store) RevokeToken(ctx context.Context, jwtID, clientID, grantID string, now, expiresAt time.Time, by By) error {
	return wrap("revoke token", s.writeAgain(ctx, func(tx *Tx) error {
		n, err := tx.exec(ctx, `INSERT INTO revoked_token (jti, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING`, jwtID, expiresAt.Unix())
		if err != nil || n == 0 {
			return err
		}
		return tx.record(ctx, Event{At: now, Kind: EventTokenRevoked, By: by, ClientID: clientID, GrantID: grantID})
	}))
}

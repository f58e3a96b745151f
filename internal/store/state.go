package store

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"time"
)

// A TokenState is what the database knows of an access token at one moment, read
// in one statement. It is never cached.
type TokenState struct {
	Revoked     bool   // the token's own id was revoked
	Live        bool   // its grant is in force, and its client's; false without a grant
	Username    string // of the grant's user
	ClientEpoch int64  // of the client, 0 unless it is enabled
	ServerEpoch int64
}

// TokenState reads the state of an access token of a client: its grant, if it names
// one, the revocation of its own id, and the epochs. A grant is in force when it is
// neither revoked nor over, and client, user and server are as they were when it was
// made. Its code may still be out: in a hybrid flow an access token goes out beside it.
func (q *queries) TokenState(ctx context.Context, grantID, clientID, jwtID string, now time.Time) (*TokenState, error) {
	var t TokenState
	err := q.row(ctx, `
		SELECT EXISTS (SELECT 1 FROM revoked_token r WHERE r.jti = $3), s.epoch, COALESCE(c.epoch, 0), COALESCE(u.username, ''),
			`+tokenLive+` FROM `+tokenTables,
		grantID, clientID, jwtID, now.Unix()).Scan(&t.Revoked, &t.ServerEpoch, &t.ClientEpoch, &t.Username, &t.Live)
	return &t, wrap("read token state", err)
}

// What is asked about every access token: $1 is its grant, $2 its client, $4 now.
const (
	tokenLive = ` CASE WHEN g.revoked_at IS NULL AND g.expires_at > $4
		AND g.client_epoch = c.epoch AND g.user_epoch = u.epoch AND g.server_epoch = s.epoch THEN TRUE ELSE FALSE END`
	tokenTables = ` server s
		LEFT JOIN client c ON c.id = $2 AND c.disabled_at IS NULL AND c.deleted_at IS NULL
		LEFT JOIN oauth_grant g ON g.id = $1 AND g.client_id = $2
		LEFT JOIN end_user u ON u.id = g.user_id AND u.disabled_at IS NULL AND u.deleted_at IS NULL`
)

// TokenUser is TokenState for an access token of a grant, with the user whose it is and
// the claims that the grant asks for. The user is nil when the token is not in force.
func (q *queries) TokenUser(ctx context.Context, grantID, clientID, jwtID string, now time.Time) (u *User, claims string, err error) {
	var revoked, live bool
	var text string
	var updated int64
	u = &User{}
	err = q.row(ctx, `
		SELECT EXISTS (SELECT 1 FROM revoked_token r WHERE r.jti = $3),`+tokenLive+`, COALESCE(g.claims, ''), COALESCE(u.id, ''),
			COALESCE(u.username, ''), COALESCE(u.email, ''), COALESCE(u.email_verified, FALSE), COALESCE(u.claims, ''), COALESCE(u.updated_at, 0)
		FROM `+tokenTables, grantID, clientID, jwtID, now.Unix()).
		Scan(&revoked, &live, &claims, &u.ID, &u.Username, &u.Email, &u.EmailVerified, &text, &updated)
	if err != nil {
		return nil, "", wrap("read token user", err)
	}
	if revoked || !live {
		return nil, "", nil
	}
	u.Claims, u.UpdatedAt = json.RawMessage(text), time.Unix(updated, 0).UTC()
	return u, claims, nil
}

// A GrantState is a grant with what is known of those it was made for.
type GrantState struct {
	Grant
	Username string
	Live     bool // redeemed, neither revoked nor over, and under the epochs of today
}

// GrantState reads a grant and whether it is in force, in one statement.
func (q *queries) GrantState(ctx context.Context, id string, now time.Time) (*GrantState, error) {
	var g GrantState
	err := q.row(ctx, `SELECT `+grantColumns+`, COALESCE((SELECT u.username FROM end_user u WHERE u.id = oauth_grant.user_id), ''), `+inForce+`
		FROM oauth_grant WHERE id = $1`, id).Scan(append(g.columns(), &g.Username, &nullBool{&g.Live})...)
	g.Live = g.Live && !g.RedeemedAt.IsZero() && g.RevokedAt.IsZero() && g.ExpiresAt.After(now)
	return &g, wrap("read grant", err)
}

// UseAssertion uses up an assertion of a client, and is ErrReplayed when it was used
// before, at any server (RFC 7523 Section 3). Its id stands among those of tokens that are
// not honoured any more, which an assertion is from then on. It is remembered until
// expiresAt, when nobody would take it.
func (s *Store) UseAssertion(ctx context.Context, clientID, jwtID string, expiresAt time.Time) error {
	sum := sha256.Sum256([]byte(clientID + "\x00" + jwtID))
	return wrap("use assertion", s.write(ctx, func(tx *Tx) error {
		n, err := tx.exec(ctx, `INSERT INTO revoked_token (jti, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING`,
			"assertion "+base64.RawURLEncoding.EncodeToString(sum[:]), expiresAt.Unix())
		if err == nil && n == 0 {
			return ErrReplayed
		}
		return err
	}))
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

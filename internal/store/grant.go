package store

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// A Grant is what a user has allowed a client, one row for its whole life. It
// carries all that later answers need, so sessions may vanish.
type Grant struct {
	ID              string
	GrantType       string
	ClientID        string
	UserID          string
	SessionID       string // sid of the session it ends with; "" when it outlives sessions
	Scope           string
	Resource        string // space-separated
	RequestID       string // of the sealed request; "" when there was none
	CodeHash        string // "" when no code was issued
	CodeExpiresAt   time.Time
	Challenge       string
	WrongVerifiers  int64
	RedirectURI     string
	RedirectURISent bool // the authorization request carried it
	Nonce           string
	Claims          string
	AuthTime        time.Time
	ACR             string
	AMR             string // space-separated
	SID             string // session the user allowed it in
	ClientEpoch     int64
	UserEpoch       int64
	ServerEpoch     int64
	RedeemedAt      time.Time // zero while pending
	Generation      int64     // of the newest refresh token
	RotatedAt       time.Time
	RevokedAt       time.Time // zero while in force
	RevokeReason    string
	CreatedAt       time.Time
	ExpiresAt       time.Time // after this nothing of it can be used
	KeepUntil       time.Time // the row is kept as long at least; zero means until ExpiresAt
	HearsOfLogout   bool      // its client wants to be told when the session SID ends
}

const grantColumns = `id, grant_type, client_id, user_id, session_id, scope, resource, code_expires_at, challenge, wrong_verifiers,
	redirect_uri, redirect_uri_sent, nonce, claims, auth_time, acr, amr, sid, client_epoch, user_epoch, server_epoch,
	redeemed_at, generation, rotated_at, revoked_at, revoke_reason, created_at, expires_at`

// seconds reads a time that is never missing.
type seconds struct{ to *time.Time }

func (s seconds) Scan(v any) error { return nullTime(s).Scan(v) }

func (g *Grant) columns() []any {
	return []any{&g.ID, &g.GrantType, &g.ClientID, &g.UserID, &g.SessionID, &g.Scope, &g.Resource, seconds{&g.CodeExpiresAt}, &g.Challenge, &g.WrongVerifiers,
		&g.RedirectURI, &g.RedirectURISent, &g.Nonce, &g.Claims, seconds{&g.AuthTime}, &g.ACR, &g.AMR, &g.SID, &g.ClientEpoch, &g.UserEpoch, &g.ServerEpoch,
		nullTime{&g.RedeemedAt}, &g.Generation, seconds{&g.RotatedAt}, nullTime{&g.RevokedAt}, &g.RevokeReason, seconds{&g.CreatedAt}, seconds{&g.ExpiresAt}}
}

// inForce is the part of every gate that keeps what was granted from outliving
// those it was granted to: client, user and server as they were when the row
// was made. $1 to $9 are the statement's own.
const inForce = ` client_epoch = (SELECT c.epoch FROM client c WHERE c.id = oauth_grant.client_id AND c.disabled_at IS NULL AND c.deleted_at IS NULL)
	AND user_epoch = (SELECT u.epoch FROM end_user u WHERE u.id = oauth_grant.user_id AND u.disabled_at IS NULL AND u.deleted_at IS NULL)
	AND server_epoch = (SELECT s.epoch FROM server s)`

// NewGrantID makes the id of a grant row.
func NewGrantID() string { return newID() }

// A Consent is what a user decided on the consent page, for this time or for good.
type Consent struct {
	Scope    string // that of the grant it led to, and what stands for claims asked for by name
	Remember bool
}

// CreateGrant makes a grant row under the epochs it names: those its user and
// client were seen under. They are conditions of the statement, as is the
// session's life. A second grant for one sealed request is ErrReplayed; a
// client, user or session that has gone is ErrNotLive. consent is nil when
// nobody was asked.
func (s *Store) CreateGrant(ctx context.Context, g *Grant, consent *Consent, by By) error {
	write := s.writeAgain
	if consent == nil && !g.HearsOfLogout {
		write = s.writeOne
	}
	return wrap("create grant", write(ctx, func(tx *Tx) error {
		n, err := tx.insertGrant(ctx, g)
		if err != nil {
			return err
		}
		if n == 0 {
			return tx.whyNotCreated(ctx, g)
		}
		if g.HearsOfLogout {
			if err := tx.joinSession(ctx, g); err != nil {
				return err
			}
		}
		if consent == nil {
			return nil
		}
		if consent.Remember {
			if err := tx.remember(ctx, g, consent.Scope); err != nil {
				return err
			}
		}
		return tx.record(ctx, Event{At: g.CreatedAt, Kind: EventConsent, By: by, UserID: g.UserID, ClientID: g.ClientID, GrantID: g.ID, Detail: consent.Scope})
	}))
}

// insertGrant holds the session until the commit: whoever ends it afterwards finds
// the grant, and whoever has ended it before is found here.
func (tx *Tx) insertGrant(ctx context.Context, g *Grant) (int64, error) {
	return tx.exec(ctx, `
		INSERT INTO oauth_grant (id, grant_type, client_id, user_id, session_id, scope, resource, request_id, code_hash, code_expires_at,
			challenge, redirect_uri, redirect_uri_sent, nonce, claims, auth_time, acr, amr, sid,
			client_epoch, user_epoch, server_epoch, redeemed_at, rotated_at, created_at, expires_at, keep_until)
		SELECT $1, $2, c.id, u.id, $5, $6, $7, $8, $9, CAST($10 AS BIGINT),
			$11, $12, CAST($13 AS BOOLEAN), $14, $15, CAST($16 AS BIGINT), $17, $18, $19,
			c.epoch, u.epoch, s.epoch, CAST($20 AS BIGINT), CAST($21 AS BIGINT), CAST($21 AS BIGINT), CAST($22 AS BIGINT), CAST($25 AS BIGINT)
		FROM client c, end_user u, server s
		WHERE c.id = $3 AND c.epoch = $23 AND c.disabled_at IS NULL AND c.deleted_at IS NULL
		  AND u.id = $4 AND u.epoch = $24 AND u.disabled_at IS NULL AND u.deleted_at IS NULL
		  AND ($19 = '' OR EXISTS (SELECT 1 FROM browser_session b WHERE b.sid = $19 AND b.user_id = u.id AND b.user_epoch = u.epoch AND b.server_epoch = s.epoch AND b.expires_at > $21`+tx.share+`))
		ON CONFLICT DO NOTHING`,
		g.ID, g.GrantType, g.ClientID, g.UserID, g.SessionID, g.Scope, g.Resource, textOrNull(g.RequestID), textOrNull(g.CodeHash), g.CodeExpiresAt.Unix(),
		g.Challenge, g.RedirectURI, g.RedirectURISent, g.Nonce, g.Claims, g.AuthTime.Unix(), g.ACR, g.AMR, g.SID,
		unixOrNull(g.RedeemedAt), g.CreatedAt.Unix(), g.ExpiresAt.Unix(), g.ClientEpoch, g.UserEpoch, max(g.ExpiresAt.Unix(), g.KeepUntil.Unix()))
}

// whyNotCreated tells why a grant was not written; nil when it was, by a try whose
// answer was lost.
func (tx *Tx) whyNotCreated(ctx context.Context, g *Grant) error {
	var id string
	err := tx.row(ctx, `SELECT id FROM oauth_grant WHERE id = $1 OR request_id = $2`, g.ID, textOrNull(g.RequestID)).Scan(&id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return ErrNotLive
	case err != nil:
		return err
	case id == g.ID:
		return nil
	}
	return ErrReplayed
}

// RequestUsed reports whether a sealed request has led to a grant already. It
// only spares a page that would fail: the gate is in CreateGrant.
func (q *queries) RequestUsed(ctx context.Context, requestID string) (used bool, err error) {
	err = q.row(ctx, `SELECT EXISTS (SELECT 1 FROM oauth_grant WHERE request_id = $1)`, requestID).Scan(&used)
	return used, wrap("look for request", err)
}

// GrantByCode reads what a code was issued for, and to whom: the part of the grant
// that never changes. Whether the code may be spent is for RedeemCode to say.
func (q *queries) GrantByCode(ctx context.Context, codeHash string) (*Grant, error) {
	var g Grant
	err := q.row(ctx, `
		SELECT id, client_id, user_id, redirect_uri, redirect_uri_sent, challenge, nonce, claims, scope, resource, auth_time, acr, amr, sid
		FROM oauth_grant WHERE code_hash = $1`, codeHash).
		Scan(&g.ID, &g.ClientID, &g.UserID, &g.RedirectURI, &g.RedirectURISent, &g.Challenge, &g.Nonce, &g.Claims, &g.Scope, &g.Resource,
			seconds{&g.AuthTime}, &g.ACR, &g.AMR, &g.SID)
	return &g, wrap("read code", err)
}

// Grant reads a grant by its id.
func (q *queries) Grant(ctx context.Context, id string) (*Grant, error) {
	var g Grant
	err := q.row(ctx, `SELECT `+grantColumns+` FROM oauth_grant WHERE id = $1`, id).Scan(g.columns()...)
	return &g, wrap("read grant", err)
}

// maxWrongVerifiers spend a code.
const maxWrongVerifiers = 10

// RedeemCode spends the code of a pending grant and makes the grant live. The
// UPDATE is the single-use gate of RFC 6749 Section 4.1.2: however many callers
// race, one finds the row as it must be; why the others did not is read
// afterwards: ErrReplayed, ErrExpired, ErrRevoked, ErrExhausted, ErrNotLive or
// ErrNotFound. requestID is the caller's own and nobody else's: by it a redemption
// whose answer was lost is known again. When it cannot be known in time, it is
// taken back later (TakeBack). Nothing of the grant can be used after expiresAt.
func (s *Store) RedeemCode(ctx context.Context, id, clientID, requestID string, now, expiresAt time.Time) error {
	err := s.writeOne(ctx, func(tx *Tx) error {
		n, err := tx.exec(ctx, `
			UPDATE oauth_grant SET redeemed_at = $3, redeemed_by = $4, rotated_at = $3, expires_at = $5,
				keep_until = CASE WHEN keep_until > $5 THEN keep_until ELSE $5 END
			WHERE id = $1 AND client_id = $2 AND (redeemed_by = $4 OR redeemed_at IS NULL AND redeemed_by <> '-' || $4)
			  AND revoked_at IS NULL AND code_expires_at > $3 AND wrong_verifiers < $6 AND `+inForce,
			id, clientID, now.Unix(), requestID, expiresAt.Unix(), maxWrongVerifiers)
		if err == nil && n == 0 {
			return tx.whyNotRedeemed(ctx, id, clientID, now)
		}
		return err
	})
	if err != nil && (!isVerdict(err) || errors.Is(err, ErrUnavailable)) {
		s.unknown.add(redemption{id, requestID}, now)
	}
	return wrap("redeem code", err)
}

func (tx *Tx) whyNotRedeemed(ctx context.Context, id, clientID string, now time.Time) error {
	g, err := tx.Grant(ctx, id)
	switch {
	case err != nil:
		return err
	case g.ClientID != clientID:
		return ErrNotFound
	case !g.RedeemedAt.IsZero():
		return ErrReplayed
	case !g.RevokedAt.IsZero():
		return ErrRevoked
	case g.WrongVerifiers >= maxWrongVerifiers:
		return ErrExhausted
	case !g.CodeExpiresAt.After(now):
		return ErrExpired
	}
	return ErrNotLive
}

// CountWrongVerifier notes a code_verifier that did not match; the tenth spends
// the code.
func (s *Store) CountWrongVerifier(ctx context.Context, id string) error {
	return wrap("count wrong verifier", s.writeOne(ctx, func(tx *Tx) error {
		_, err := tx.exec(ctx, `
			UPDATE oauth_grant SET wrong_verifiers = wrong_verifiers + 1
			WHERE id = $1 AND redeemed_at IS NULL AND wrong_verifiers < $2`, id, maxWrongVerifiers)
		return err
	}))
}

// A Refresh is a refresh token presented by its own, authenticated client.
type Refresh struct {
	GrantID    string
	ClientID   string
	Generation int64
	Rotate     bool          // the next token is a new one
	Grace      time.Duration // how long the previous token still gives the same successor
	Idle       time.Duration // how long an unused token lives
	Now        time.Time
}

// NextGeneration moves a live grant on by one refresh. The grant it returns holds
// what an answer is made from, and the generation of the token to answer with. The
// UPDATE decides: of all who present one token, one moves the row, and the others
// find that they presented the previous generation. Those get the same successor
// within the grace window; later it is ErrReplayed (RFC 9700 Section 4.14.2). A
// generation ahead of the row was issued by us before a backup was restored, and
// heals it.
func (s *Store) NextGeneration(ctx context.Context, r Refresh) (*Grant, error) {
	next := r.Generation
	if r.Rotate {
		next++
	}
	write := s.writeOne
	if r.Rotate && r.Grace == 0 {
		write = s.write // a second try would find the first one's mark and take it for a thief's
	}
	var g Grant
	err := write(ctx, func(tx *Tx) error {
		g = Grant{ID: r.GrantID, ClientID: r.ClientID, Generation: next}
		err := tx.row(ctx, `
			UPDATE oauth_grant SET generation = $3, rotated_at = $4
			WHERE id = $1 AND client_id = $2 AND generation <= $5 AND redeemed_at IS NOT NULL AND revoked_at IS NULL
			  AND expires_at > $4 AND rotated_at > $6 AND `+inForce+`
			RETURNING user_id, scope, resource, auth_time, acr, amr, sid, expires_at`,
			r.GrantID, r.ClientID, next, r.Now.Unix(), r.Generation, r.Now.Add(-r.Idle).Unix()).
			Scan(&g.UserID, &g.Scope, &g.Resource, seconds{&g.AuthTime}, &g.ACR, &g.AMR, &g.SID, seconds{&g.ExpiresAt})
		if errors.Is(err, sql.ErrNoRows) {
			return tx.previousGeneration(ctx, r, &g)
		}
		return err
	})
	return &g, wrap("refresh", err)
}

// previousGeneration tells why a refresh did not move its row, or returns the
// row for the same successor again.
func (tx *Tx) previousGeneration(ctx context.Context, r Refresh, g *Grant) error {
	var live bool
	err := tx.row(ctx, `SELECT `+grantColumns+`, `+inForce+` FROM oauth_grant WHERE id = $1`, r.GrantID).Scan(append(g.columns(), &nullBool{&live})...)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return ErrNotFound
	case err != nil:
		return err
	case g.ClientID != r.ClientID, g.RedeemedAt.IsZero():
		return ErrNotFound
	case !g.RevokedAt.IsZero():
		return ErrRevoked
	case !live:
		return ErrNotLive
	case !g.ExpiresAt.After(r.Now), !g.RotatedAt.Add(r.Idle).After(r.Now):
		return ErrExpired
	case g.Generation == r.Generation+1 && g.RotatedAt.Add(r.Grace).After(r.Now):
		return nil
	}
	return ErrReplayed
}

// nullBool reads a comparison that may have met a NULL, which is no.
type nullBool struct{ to *bool }

func (n *nullBool) Scan(v any) error {
	switch v := v.(type) {
	case bool:
		*n.to = v
	case int64:
		*n.to = v != 0
	default:
		*n.to = false
	}
	return nil
}

// RevokeGrant ends a grant and everything issued from it; kind is the audit
// event. Revoking twice changes nothing and is no error; an unknown id is
// ErrNotFound.
func (s *Store) RevokeGrant(ctx context.Context, id, kind, reason string, now time.Time, by By) error {
	return wrap("revoke grant", s.writeAgain(ctx, func(tx *Tx) error {
		var e Event
		err := tx.row(ctx, `
			UPDATE oauth_grant SET revoked_at = $2, revoke_reason = $3 WHERE id = $1 AND revoked_at IS NULL
			RETURNING user_id, client_id`, id, now.Unix(), reason).Scan(&e.UserID, &e.ClientID)
		if errors.Is(err, sql.ErrNoRows) {
			_, err := tx.Grant(ctx, id)
			return err
		}
		if err != nil {
			return err
		}
		e.At, e.Kind, e.By, e.GrantID, e.Detail = now, kind, by, id, reason
		return tx.record(ctx, e)
	}))
}

// Grants lists the grants of a user, newest first, limit at most; "" lists those
// of everybody. before is the id to go on from, "" for the start.
func (q *queries) Grants(ctx context.Context, userID, before string, limit int) ([]Grant, error) {
	if before == "" {
		before = lastID
	}
	var grants []Grant
	err := q.each(ctx, func(r fields) error {
		var g Grant
		err := r.Scan(g.columns()...)
		grants = append(grants, g)
		return err
	}, `SELECT `+grantColumns+` FROM oauth_grant WHERE id < $1 AND ($2 = '' OR user_id = $2) ORDER BY id DESC LIMIT $3`, before, userID, limit)
	return grants, wrap("list grants", err)
}

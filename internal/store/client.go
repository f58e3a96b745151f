package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hufu-auth/hufu/internal/oauth"
)

// A Client is a registered client.
type Client struct {
	ID          string
	Metadata    oauth.ClientMetadata
	Secrets     []ClientSecret // live and expired ones, oldest first
	Epoch       int64          // a token made under another one is dead
	ServerEpoch int64          // of the server at the same moment, for the same use
	CreatedAt   time.Time
	UpdatedAt   time.Time
	DisabledAt  time.Time // zero while enabled
	Revision    int64     // another one after every change

	// Of a client that registered itself.
	RegistrationToken string    // hash of what it looks after its registration with; "" when it has none
	UnusedUntil       time.Time // it goes then unless it is used; zero once it was

	stored string // the metadata as it was read: the condition of an update
}

// A ClientSecret is one of the secrets of a client. Its keyed hash is kept, and the
// secret itself, sealed, where it is the key of an HMAC.
type ClientSecret struct {
	ID        string
	Hash      string
	Sealed    string // "" when only the hash is kept
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
}

// MaxSecrets is how many secrets of a client can be live at once.
const MaxSecrets = 2

// Client reads a client that was not deleted, with its secrets, in one statement.
func (q *queries) Client(ctx context.Context, id string) (*Client, error) {
	var c *Client
	err := q.each(ctx, func(r fields) error {
		var next Client
		var metadata string
		var created, updated int64
		var secretID, hash, sealed sql.NullString
		var secret ClientSecret
		if err := r.Scan(&next.ID, &metadata, &next.Epoch, &next.ServerEpoch, &created, &updated, nullTime{&next.DisabledAt}, &next.Revision,
			&next.RegistrationToken, nullTime{&next.UnusedUntil}, &secretID, &hash, &sealed, nullTime{&secret.CreatedAt}, nullTime{&secret.ExpiresAt}); err != nil {
			return err
		}
		if c == nil {
			next.CreatedAt, next.UpdatedAt = time.Unix(created, 0).UTC(), time.Unix(updated, 0).UTC()
			if err := json.Unmarshal([]byte(metadata), &next.Metadata); err != nil {
				return fmt.Errorf("metadata of client %q: %w", id, err)
			}
			next.stored = metadata
			c = &next
		}
		if secretID.Valid {
			secret.ID, secret.Hash, secret.Sealed = secretID.String, hash.String, sealed.String
			c.Secrets = append(c.Secrets, secret)
		}
		return nil
	}, `SELECT c.id, c.metadata, c.epoch, (SELECT v.epoch FROM server v), c.created_at, c.updated_at, c.disabled_at, c.revision, c.registration_token, c.unused_until,
			s.id, s.hash, s.sealed, s.created_at, s.expires_at
		FROM client c LEFT JOIN client_secret s ON s.client_id = c.id
		WHERE c.id = $1 AND c.deleted_at IS NULL ORDER BY s.id`, id)
	if err == nil && c == nil {
		return nil, ErrNotFound
	}
	return c, wrap("read client", err)
}

// Clients lists clients in the order of their ids, limit at most, behind after.
// Secrets are left out.
func (q *queries) Clients(ctx context.Context, after string, limit int) ([]Client, error) {
	var clients []Client
	err := q.each(ctx, func(r fields) error {
		var c Client
		var metadata string
		var created, updated int64
		if err := r.Scan(&c.ID, &metadata, &c.Epoch, &created, &updated, nullTime{&c.DisabledAt}); err != nil {
			return err
		}
		c.CreatedAt, c.UpdatedAt = time.Unix(created, 0).UTC(), time.Unix(updated, 0).UTC()
		clients = append(clients, c)
		return json.Unmarshal([]byte(metadata), &clients[len(clients)-1].Metadata)
	}, `SELECT id, metadata, epoch, created_at, updated_at, disabled_at
		FROM client WHERE id > $1 AND deleted_at IS NULL ORDER BY id LIMIT $2`, after, limit)
	return clients, wrap("list clients", err)
}

// GrantInUse reports whether any enabled client is registered for a grant;
// server metadata lists no other.
func (q *queries) GrantInUse(ctx context.Context, grant string) (used bool, err error) {
	err = q.row(ctx, `
		SELECT EXISTS (SELECT 1 FROM client WHERE deleted_at IS NULL AND disabled_at IS NULL AND grant_types LIKE $1)`,
		"% "+grant+" %").Scan(&used)
	return used, wrap("grants in use", err)
}

// MetadataHolds reports whether the metadata of any client holds a piece of JSON, as
// encoding/json writes it. It looks at all of them.
func (q *queries) MetadataHolds(ctx context.Context, piece string) (holds bool, err error) {
	pattern := "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(piece) + "%"
	err = q.row(ctx, `
		SELECT EXISTS (SELECT 1 FROM client WHERE deleted_at IS NULL AND metadata LIKE $1 ESCAPE '\')`, pattern).Scan(&holds)
	return holds, wrap("search metadata", err)
}

// errSeenAll ends the reading of rows that could tell nothing new.
var errSeenAll = errors.New("every response type has been seen")

// ResponseTypesInUse tells what enabled clients with the implicit grant are registered
// for, in no order. It reads these clients alone, and no more of them than it needs.
func (q *queries) ResponseTypesInUse(ctx context.Context) (used []string, err error) {
	err = q.each(ctx, func(r fields) error {
		var metadata string
		if err := r.Scan(&metadata); err != nil {
			return err
		}
		var m struct {
			ResponseTypes []string `json:"response_types"`
		}
		if err := json.Unmarshal([]byte(metadata), &m); err != nil {
			return err
		}
		for _, t := range m.ResponseTypes {
			if !slices.Contains(used, t) {
				used = append(used, t)
			}
		}
		if len(used) == len(oauth.ResponseTypes) {
			return errSeenAll
		}
		return nil
	}, `SELECT metadata FROM client WHERE deleted_at IS NULL AND disabled_at IS NULL AND grant_types LIKE $1`,
		"% "+oauth.GrantImplicit+" %")
	if errors.Is(err, errSeenAll) {
		err = nil
	}
	return used, wrap("response types in use", err)
}

// grantTypes is the column that GrantInUse and ResponseTypesInUse search.
func grantTypes(m oauth.ClientMetadata) string {
	return " " + strings.Join(m.GrantTypes, " ") + " "
}

// writeClient is write for a unit that changes a client, under the revision that
// it has to write to it.
func (s *Store) writeClient(ctx context.Context, id string, unit func(tx *Tx, revision int64) error) error {
	return s.writeRevision(ctx, []string{id}, unit)
}

// touchClient marks a client as changed whose row has not.
func (tx *Tx) touchClient(ctx context.Context, id string, revision int64) error {
	_, err := tx.exec(ctx, `UPDATE client SET revision = $2 WHERE id = $1`, id, revision)
	return err
}

// CreateClient registers a client. An id that is taken is ErrConflict; one that
// was deleted comes back as a new client, under a new epoch.
func (s *Store) CreateClient(ctx context.Context, c *Client, by By) error {
	metadata, err := json.Marshal(c.Metadata)
	if err != nil {
		return fmt.Errorf("store: create client: %w", err)
	}
	return wrap("create client", s.writeClient(ctx, c.ID, func(tx *Tx, revision int64) error {
		n, err := tx.exec(ctx, `
			INSERT INTO client (id, metadata, grant_types, epoch, created_at, updated_at, revision, registration_token, unused_until)
			VALUES ($1, $2, $4, 1, $3, $3, $5, $6, $7)
			ON CONFLICT (id) DO UPDATE SET metadata = excluded.metadata, grant_types = excluded.grant_types, epoch = client.epoch + 1,
				created_at = excluded.created_at, updated_at = excluded.updated_at, disabled_at = NULL, deleted_at = NULL, revision = excluded.revision,
				registration_token = excluded.registration_token, unused_until = excluded.unused_until
			WHERE client.deleted_at IS NOT NULL`,
			c.ID, string(metadata), c.CreatedAt.Unix(), grantTypes(c.Metadata), revision, c.RegistrationToken, unixOrNull(c.UnusedUntil))
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrConflict
		}
		for _, secret := range c.Secrets {
			if err := tx.addSecret(ctx, c.ID, secret); err != nil {
				return err
			}
		}
		return tx.record(ctx, Event{At: c.CreatedAt, Kind: EventClientCreated, By: by, ClientID: c.ID})
	}))
}

// UpdateClient replaces the metadata of a client that has not changed since it
// was read; ErrConflict when it has. A client that registered itself and that an
// operator has changed does not go by itself any more.
func (s *Store) UpdateClient(ctx context.Context, c *Client, now time.Time, by By) error {
	metadata, err := json.Marshal(c.Metadata)
	if err != nil {
		return fmt.Errorf("store: update client: %w", err)
	}
	return wrap("update client", s.writeClient(ctx, c.ID, func(tx *Tx, revision int64) error {
		return tx.changeClient(ctx, c.ID, now, revision, by, EventClientChanged, ErrConflict, `
			UPDATE client SET metadata = $4, grant_types = $6, updated_at = $2, revision = $3, unused_until = NULL
			WHERE id = $1 AND deleted_at IS NULL AND metadata = $5`,
			string(metadata), c.stored, grantTypes(c.Metadata))
	}))
}

// changeClient runs one gated UPDATE of a client whose $1 is the id, $2 the time
// and $3 the revision, and records it. none is what no row means.
func (tx *Tx) changeClient(ctx context.Context, id string, now time.Time, revision int64, by By, kind string, none error, update string, args ...any) error {
	n, err := tx.exec(ctx, update, append([]any{id, now.Unix(), revision}, args...)...)
	if err != nil {
		return err
	}
	if n == 0 {
		return none
	}
	return tx.record(ctx, Event{At: now, Kind: kind, By: by, ClientID: id})
}

// DisableClient takes a client out of force for good: its epoch rises, so
// enabling it again revives nothing.
func (s *Store) DisableClient(ctx context.Context, id string, now time.Time, by By) error {
	return wrap("disable client", s.writeClient(ctx, id, func(tx *Tx, revision int64) error {
		return tx.changeClient(ctx, id, now, revision, by, "client.disabled", ErrNotFound, `
			UPDATE client SET epoch = epoch + 1, disabled_at = $2, updated_at = $2, revision = $3 WHERE id = $1 AND deleted_at IS NULL`)
	}))
}

// EnableClient lets a disabled client begin anew.
func (s *Store) EnableClient(ctx context.Context, id string, now time.Time, by By) error {
	return wrap("enable client", s.writeClient(ctx, id, func(tx *Tx, revision int64) error {
		return tx.changeClient(ctx, id, now, revision, by, "client.enabled", ErrNotFound, `
			UPDATE client SET disabled_at = NULL, updated_at = $2, revision = $3 WHERE id = $1 AND deleted_at IS NULL`)
	}))
}

// DeleteClient removes a client; everything it was granted is dead with it.
func (s *Store) DeleteClient(ctx context.Context, id string, now time.Time, by By) error {
	return wrap("delete client", s.writeClient(ctx, id, func(tx *Tx, revision int64) error {
		return tx.deleteClient(ctx, id, now, revision, by, ``)
	}))
}

// deleteClient removes a client for which a further condition holds, whose arguments
// begin at $5. A row under whose epoch nothing was issued need not stay for long.
func (tx *Tx) deleteClient(ctx context.Context, id string, now time.Time, revision int64, by By, condition string, args ...any) error {
	if err := tx.changeClient(ctx, id, now, revision, by, EventClientDeleted, ErrNotFound, `
		UPDATE client SET metadata = '{}', epoch = epoch + 1, deleted_at = $2, updated_at = $2, revision = $3, registration_token = '',
			unused_until = CASE WHEN unused_until IS NULL THEN NULL ELSE CAST($4 AS BIGINT) END
		WHERE id = $1 AND deleted_at IS NULL`+condition, append([]any{now.Add(afterwards).Unix()}, args...)...); err != nil {
		return err
	}
	_, err := tx.exec(ctx, `DELETE FROM client_secret WHERE client_id = $1`, id)
	return err
}

// AddSecret gives a client another secret, beside the one it has. ErrConflict
// when two are live already.
func (s *Store) AddSecret(ctx context.Context, clientID string, secret ClientSecret, by By) error {
	return wrap("add client secret", s.writeClient(ctx, clientID, func(tx *Tx, revision int64) error {
		if err := tx.addSecret(ctx, clientID, secret); err != nil {
			return err
		}
		if err := tx.touchClient(ctx, clientID, revision); err != nil {
			return err
		}
		return tx.record(ctx, Event{At: secret.CreatedAt, Kind: EventSecretAdded, By: by, ClientID: clientID, Detail: secret.ID})
	}))
}

// addSecret counts the live secrets in the statement that adds one.
func (tx *Tx) addSecret(ctx context.Context, clientID string, secret ClientSecret) error {
	n, err := tx.exec(ctx, `
		INSERT INTO client_secret (id, client_id, hash, sealed, created_at, expires_at)
		SELECT $1, c.id, $3, $7, CAST($4 AS BIGINT), CAST($5 AS BIGINT) FROM client c
		WHERE c.id = $2 AND c.deleted_at IS NULL AND (
			SELECT COUNT(*) FROM client_secret s
			WHERE s.client_id = c.id AND (s.expires_at IS NULL OR s.expires_at > $4)) < $6`,
		secret.ID, clientID, secret.Hash, secret.CreatedAt.Unix(), unixOrNull(secret.ExpiresAt), MaxSecrets, secret.Sealed)
	if err == nil && n == 0 {
		return ErrConflict
	}
	return err
}

// RetireSecrets lets every secret of a client but one end at a time, unless it
// ends earlier by itself.
func (s *Store) RetireSecrets(ctx context.Context, clientID, keepID string, end, now time.Time, by By) error {
	return wrap("retire client secrets", s.writeClient(ctx, clientID, func(tx *Tx, revision int64) error {
		n, err := tx.exec(ctx, `
			UPDATE client_secret SET expires_at = $3 WHERE client_id = $1 AND id <> $2 AND (expires_at IS NULL OR expires_at > $3)`,
			clientID, keepID, end.Unix())
		if err != nil || n == 0 {
			return err
		}
		if err := tx.touchClient(ctx, clientID, revision); err != nil {
			return err
		}
		return tx.record(ctx, Event{At: now, Kind: EventSecretRetired, By: by, ClientID: clientID})
	}))
}

// NewSecretID makes the id a secret is removed by.
func NewSecretID() string { return newID() }

// RemoveSecret ends a secret at once.
func (s *Store) RemoveSecret(ctx context.Context, clientID, secretID string, now time.Time, by By) error {
	return wrap("remove client secret", s.writeClient(ctx, clientID, func(tx *Tx, revision int64) error {
		n, err := tx.exec(ctx, `DELETE FROM client_secret WHERE client_id = $1 AND id = $2`, clientID, secretID)
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrNotFound
		}
		if err := tx.touchClient(ctx, clientID, revision); err != nil {
			return err
		}
		return tx.record(ctx, Event{At: now, Kind: EventSecretRemoved, By: by, ClientID: clientID, Detail: secretID})
	}))
}

-- +goose Up
-- A grant is one row for its whole life: pending (a code is out), live, revoked.
-- Only the SHA-256 of a code is kept, and no refresh token: a leaked backup redeems nothing.
-- No foreign keys: the epochs decide whether client and user are still in force,
-- and nothing indexed changes on refresh.
CREATE TABLE oauth_grant (
    id                 TEXT    NOT NULL PRIMARY KEY,
    grant_type         TEXT    NOT NULL,
    client_id          TEXT    NOT NULL,
    user_id            TEXT    NOT NULL,
    session_id         TEXT    NOT NULL DEFAULT '',   -- sid, when it ends with the session
    scope              TEXT    NOT NULL,
    resource           TEXT    NOT NULL DEFAULT '',   -- space-separated
    request_id         TEXT    UNIQUE,                -- of the sealed request: one consent page, one grant
    code_hash          TEXT    UNIQUE,
    code_expires_at    BIGINT  NOT NULL DEFAULT 0,
    challenge          TEXT    NOT NULL DEFAULT '',
    wrong_verifiers    BIGINT  NOT NULL DEFAULT 0,
    redirect_uri       TEXT    NOT NULL DEFAULT '',
    redirect_uri_sent  BOOLEAN NOT NULL DEFAULT FALSE,
    nonce              TEXT    NOT NULL DEFAULT '',
    claims             TEXT    NOT NULL DEFAULT '',
    auth_time          BIGINT  NOT NULL DEFAULT 0,
    acr                TEXT    NOT NULL DEFAULT '',
    amr                TEXT    NOT NULL DEFAULT '',   -- space-separated
    sid                TEXT    NOT NULL DEFAULT '',
    client_epoch       BIGINT  NOT NULL,
    user_epoch         BIGINT  NOT NULL,
    server_epoch       BIGINT  NOT NULL,
    redeemed_at        BIGINT,                        -- NULL until the one redemption
    redeemed_by        TEXT    NOT NULL DEFAULT '',   -- request id, to settle an ambiguous commit
    generation         BIGINT  NOT NULL DEFAULT 0,    -- counts refreshes
    rotated_at         BIGINT  NOT NULL DEFAULT 0,    -- last use of a refresh token
    revoked_at         BIGINT,
    revoke_reason      TEXT    NOT NULL DEFAULT '',
    created_at         BIGINT  NOT NULL,
    expires_at         BIGINT  NOT NULL,              -- after this nothing of it can be used
    keep_until         BIGINT  NOT NULL               -- the row must be remembered for as long
);
CREATE INDEX oauth_grant_keep_until_idx ON oauth_grant (keep_until);
CREATE INDEX oauth_grant_user_id_idx ON oauth_grant (user_id, client_id);
CREATE INDEX oauth_grant_session_id_idx ON oauth_grant (session_id) WHERE session_id <> '';

-- Access tokens that were revoked one by one, until they would have expired.
CREATE TABLE revoked_token (
    jti         TEXT   NOT NULL PRIMARY KEY,
    expires_at  BIGINT NOT NULL
);
CREATE INDEX revoked_token_expires_at_idx ON revoked_token (expires_at);

UPDATE server SET oldest_schema = 4;

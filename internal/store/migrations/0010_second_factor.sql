-- +goose Up
-- The app that makes a user's one-time codes (RFC 6238), one at most. The secret is
-- sealed: who reads the database makes no code. last_step is the time step of the last
-- code that was taken; the statement that takes one moves it forward, so that none is
-- taken twice by however many replicas.
CREATE TABLE authenticator_app (
    user_id     TEXT   NOT NULL PRIMARY KEY,
    id          TEXT   NOT NULL,            -- of this app: another one is another factor
    sealed      TEXT   NOT NULL,
    last_step   BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    used_at     BIGINT                      -- NULL until it is used at a sign-in
);

-- The codes for somebody who has lost the second factor. A row is one code; using it
-- deletes the row.
CREATE TABLE recovery_code (
    user_id     TEXT   NOT NULL,
    hash        TEXT   NOT NULL,            -- HMAC-SHA-256 under a sealed key
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (user_id, hash)
);

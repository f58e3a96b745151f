-- +goose Up
-- A person who signs in. id is the subject: random, never reused.
CREATE TABLE end_user (
    id              TEXT    NOT NULL PRIMARY KEY,
    username        TEXT    NOT NULL,
    username_key    TEXT    UNIQUE,             -- what all spellings of one name share; NULL once deleted
    email           TEXT    NOT NULL DEFAULT '',
    email_verified  BOOLEAN NOT NULL DEFAULT FALSE,
    password        TEXT    NOT NULL DEFAULT '',-- Argon2id in PHC form; '' means none, and nothing matches it
    claims          TEXT    NOT NULL DEFAULT '{}',
    epoch           BIGINT  NOT NULL,           -- raised by disabling and by a new password
    created_at      BIGINT  NOT NULL,
    updated_at      BIGINT  NOT NULL,
    disabled_at     BIGINT,
    deleted_at      BIGINT
);

CREATE TABLE browser_session (
    id_hash     TEXT   NOT NULL PRIMARY KEY,    -- SHA-256 of the cookie
    sid         TEXT   NOT NULL UNIQUE,         -- the public name of the session
    user_id     TEXT   NOT NULL,
    user_epoch    BIGINT NOT NULL,
    server_epoch  BIGINT NOT NULL,
    auth_time   BIGINT NOT NULL,
    acr         TEXT   NOT NULL,
    amr         TEXT   NOT NULL,                -- space-separated
    address     TEXT   NOT NULL,
    user_agent  TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    seen_at     BIGINT NOT NULL,                -- touched once a minute at most
    expires_at  BIGINT NOT NULL                 -- absolute
);
CREATE INDEX browser_session_user_id_idx ON browser_session (user_id);
CREATE INDEX browser_session_expires_at_idx ON browser_session (expires_at);

CREATE TABLE consent (
    user_id     TEXT   NOT NULL,
    client_id   TEXT   NOT NULL,
    client_epoch BIGINT NOT NULL,             -- a client that was disabled or deleted is asked about anew
    scope       TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    PRIMARY KEY (user_id, client_id)
);

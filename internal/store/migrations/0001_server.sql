-- +goose Up
-- One row about the server as a whole.
CREATE TABLE server (
    id             BIGINT  NOT NULL PRIMARY KEY,
    epoch          BIGINT  NOT NULL,            -- raised by revoke-all; a token that carries another one is dead
    demo           BOOLEAN NOT NULL,            -- holds well-known passwords: serve refuses it without --demo
    key_check      TEXT    NOT NULL,            -- proves the master key; '' until one was made
    oldest_schema  BIGINT  NOT NULL             -- a release that knows at least this migration may use the schema
);
INSERT INTO server (id, epoch, demo, key_check, oldest_schema) VALUES (1, 1, FALSE, '', 1);

-- Every key this server signs, seals or makes codes with, sealed with the master key.
CREATE TABLE key_ring (
    id          TEXT   NOT NULL PRIMARY KEY,    -- kid of a signing key, else random
    purpose     TEXT   NOT NULL,                -- what it is for, and for nothing else
    sealed      TEXT   NOT NULL,                -- base64url; the purpose is associated data
    created_at  BIGINT NOT NULL,                -- Unix seconds, as every time in this schema
    active_at   BIGINT NOT NULL,                -- not used before: verifiers must have seen it
    retired_at  BIGINT,                         -- a newer one took over
    expires_at  BIGINT                          -- the last thing made with it has expired
);
-- One key of a purpose is the newest: two replicas that rotate at once make one.
CREATE UNIQUE INDEX key_ring_newest_idx ON key_ring (purpose) WHERE retired_at IS NULL;

-- Append only: who did what to whom, in the transaction that did it.
CREATE TABLE event (
    id          TEXT   NOT NULL PRIMARY KEY,    -- UUIDv7: sorts by time
    at          BIGINT NOT NULL,
    kind        TEXT   NOT NULL,
    actor       TEXT   NOT NULL,                -- user id, client id, or the command line
    user_id     TEXT   NOT NULL DEFAULT '',
    client_id   TEXT   NOT NULL DEFAULT '',
    grant_id    TEXT   NOT NULL DEFAULT '',
    address     TEXT   NOT NULL DEFAULT '',
    request_id  TEXT   NOT NULL DEFAULT '',
    detail      TEXT   NOT NULL DEFAULT ''      -- never a secret
);
CREATE INDEX event_user_idx ON event (user_id, id) WHERE user_id <> '';

-- Counters of limiters. A bucket is full until the time it holds.
CREATE TABLE attempt (
    bucket   TEXT   NOT NULL PRIMARY KEY,       -- a hash: names of strangers are not kept
    full_at  BIGINT NOT NULL                    -- Unix milliseconds, the one exception
);
CREATE INDEX attempt_full_at_idx ON attempt (full_at);

-- +goose Up
-- A registered client. What the protocol knows about it is one JSON text in the
-- words of RFC 7591, because only its grant types are ever asked for by a statement.
CREATE TABLE client (
    id           TEXT   NOT NULL PRIMARY KEY,
    metadata     TEXT   NOT NULL,
    grant_types  TEXT   NOT NULL,               -- those of the metadata, each between spaces: server metadata lists what is in use
    epoch        BIGINT NOT NULL,               -- raised by disabling and revoking
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL,
    disabled_at  BIGINT,
    deleted_at   BIGINT                         -- the row stays, so that its epoch goes on if the id comes back
);

-- Two can be live at once while a secret is rotated.
CREATE TABLE client_secret (
    id          TEXT   NOT NULL PRIMARY KEY,
    client_id   TEXT   NOT NULL,
    hash        TEXT   NOT NULL,                -- HMAC-SHA-256 under a sealed key
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT
);
CREATE INDEX client_secret_client_id_idx ON client_secret (client_id);

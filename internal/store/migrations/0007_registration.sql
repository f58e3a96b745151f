-- +goose Up
-- A client that registered itself: the hash of the token by which it looks after its
-- registration, and until when it goes by itself unless it is used. Once it was, that is
-- NULL, as for every client that an operator made. In a row that was deleted it is when
-- the row may go: nothing was ever issued under its epoch.
ALTER TABLE client ADD COLUMN registration_token TEXT NOT NULL DEFAULT '';
ALTER TABLE client ADD COLUMN unused_until BIGINT;
-- What grants are in use is asked after every change to a client, and clients register
-- themselves now: the answer stands in the index alone.
CREATE INDEX client_grant_types_idx ON client (grant_types, disabled_at, deleted_at);
CREATE INDEX client_unused_until_idx ON client (unused_until) WHERE unused_until IS NOT NULL;

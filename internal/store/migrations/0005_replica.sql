-- +goose Up
-- What servers keep copies of says when it has changed: every change to a client,
-- a key or the epoch of the server takes the next number, in the transaction that
-- makes it, and a server asks for what is newer than it has seen.
ALTER TABLE server ADD COLUMN revision BIGINT NOT NULL DEFAULT 1;
ALTER TABLE client ADD COLUMN revision BIGINT NOT NULL DEFAULT 1;
CREATE INDEX client_revision_idx ON client (revision);

-- A job that runs by itself runs on one server at a time.
CREATE TABLE job (
    name    TEXT   NOT NULL PRIMARY KEY,
    holder  TEXT   NOT NULL,                -- the process that may run it
    until   BIGINT NOT NULL                 -- Unix milliseconds
);

-- An older release would not count its changes.
UPDATE server SET oldest_schema = 5;

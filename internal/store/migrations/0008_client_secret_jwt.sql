-- +goose Up
-- A client that proves itself by an HMAC (client_secret_jwt, OpenID Connect Core
-- Section 9) has its secret sealed beside the hash: to check an HMAC takes the key
-- itself. '' for all others.
ALTER TABLE client_secret ADD COLUMN sealed TEXT NOT NULL DEFAULT '';

-- +goose Up
-- A passkey of a person: the credential record of WebAuthn. The key is the public half,
-- which opens nothing. That a challenge was answered stands among the tokens that are not
-- honoured any more, until it would have expired.
CREATE TABLE passkey (
    id            TEXT   NOT NULL PRIMARY KEY,    -- credential id, base64url
    user_id       TEXT   NOT NULL,
    public_key    TEXT   NOT NULL,                -- COSE_Key, base64url
    sign_count    BIGINT NOT NULL,                -- the highest that was seen; 0 where it does not count
    flags         BIGINT NOT NULL,                -- all eight of the authenticator data, as they were last
    attachment    TEXT   NOT NULL DEFAULT '',     -- platform, cross-platform, or '' when the browser did not say
    transports    TEXT   NOT NULL DEFAULT '',     -- space-separated, as the browser gave them
    aaguid        TEXT   NOT NULL DEFAULT '',     -- the make of the authenticator; zeros tell nothing
    name          TEXT   NOT NULL,                -- what the person calls it
    created_at    BIGINT NOT NULL,
    last_used_at  BIGINT                          -- NULL until its first use
);
CREATE INDEX passkey_user_id_idx ON passkey (user_id);

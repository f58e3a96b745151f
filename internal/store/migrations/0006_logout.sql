-- +goose Up
-- The clients that took part in a session and want to be told when it ends. One row
-- for its whole life: the session lives, it has ended and the client is to be told,
-- gone. So nothing is lost between a list of clients and a list of things to tell.
CREATE TABLE session_client (
    sid         TEXT   NOT NULL,
    client_id   TEXT   NOT NULL,
    user_id     TEXT   NOT NULL,
    expires_at  BIGINT NOT NULL,            -- with the session, or when it is too late to tell
    ended_at    BIGINT,                     -- NULL while the session lives
    due_at      BIGINT NOT NULL DEFAULT 0,  -- Unix milliseconds: not told before
    attempts    BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (sid, client_id)
);
CREATE INDEX session_client_user_id_idx ON session_client (user_id) WHERE ended_at IS NULL;
CREATE INDEX session_client_due_at_idx ON session_client (due_at) WHERE ended_at IS NOT NULL;
CREATE INDEX session_client_expires_at_idx ON session_client (expires_at);

-- +goose Up
-- A one-time link that is out. What stands in it is not kept, only its SHA-256. It is
-- good as long as the user is as when it was made: under another password, with another
-- address, disabled or deleted, nobody can use it. A user has one of each purpose; the
-- next one takes its place.
CREATE TABLE ticket (
    hash        TEXT   NOT NULL PRIMARY KEY,
    purpose     TEXT   NOT NULL,
    user_id     TEXT   NOT NULL,             -- '' of the set-up of the server, which nobody has done yet
    user_epoch  BIGINT NOT NULL,
    user_email  TEXT   NOT NULL,             -- the address of the user when it was made
    new_email   TEXT   NOT NULL,             -- the address it was sent to, which is the user's once it is used; '' when it was handed over
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL
);
CREATE UNIQUE INDEX ticket_user_id_idx ON ticket (user_id, purpose) WHERE user_id <> '';
CREATE INDEX ticket_expires_at_idx ON ticket (expires_at);

-- Mail that is to be sent. A row is written with what it tells of, and goes when a mail
-- server has taken it, or it is too late.
CREATE TABLE mail (
    id          TEXT   NOT NULL PRIMARY KEY, -- of the event it tells of
    kind        TEXT   NOT NULL,
    user_id     TEXT   NOT NULL,
    recipient   TEXT   NOT NULL,
    username    TEXT   NOT NULL,
    language    TEXT   NOT NULL,             -- '' means the server's own
    sealed      TEXT   NOT NULL DEFAULT '',  -- what stands in a one-time link
    at          BIGINT NOT NULL,
    address     TEXT   NOT NULL DEFAULT '',
    user_agent  TEXT   NOT NULL DEFAULT '',
    due_at      BIGINT NOT NULL,             -- Unix milliseconds: not sent before
    attempts    BIGINT NOT NULL DEFAULT 0,
    expires_at  BIGINT NOT NULL
);
CREATE INDEX mail_due_at_idx ON mail (due_at);
CREATE INDEX mail_user_id_idx ON mail (user_id);
CREATE INDEX mail_expires_at_idx ON mail (expires_at);

-- Whether the servers of this database send mail, and when the first administrator was
-- made: there is no second first one.
ALTER TABLE server ADD COLUMN sends_mail BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE server ADD COLUMN set_up_at BIGINT;

-- People sign in with their address too.
CREATE INDEX end_user_email_idx ON end_user (lower(email)) WHERE email_verified;

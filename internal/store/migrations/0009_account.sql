-- +goose Up
-- What a person chose for themselves, and whether they look after the server: locale is
-- the language of their mail, 'en' or 'zh', '' until known; admin lets them into the
-- administration.
ALTER TABLE end_user ADD COLUMN locale TEXT NOT NULL DEFAULT '';
ALTER TABLE end_user ADD COLUMN admin BOOLEAN NOT NULL DEFAULT FALSE;

-- A person who was deleted leaves rows behind, which go a few at a time: forget says that
-- there may be some still.
ALTER TABLE end_user ADD COLUMN forget BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX end_user_forget_idx ON end_user (id) WHERE forget;
UPDATE end_user SET forget = TRUE WHERE deleted_at IS NOT NULL;

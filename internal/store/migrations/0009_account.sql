-- +goose Up
-- What a person chose for themselves, and whether they look after the server: locale is
-- the language of their mail, 'en' or 'zh', '' until known; admin lets them into the
-- administration.
ALTER TABLE end_user ADD COLUMN locale TEXT NOT NULL DEFAULT '';
ALTER TABLE end_user ADD COLUMN admin BOOLEAN NOT NULL DEFAULT FALSE;

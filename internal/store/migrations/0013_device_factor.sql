-- +goose Up
-- Browsers that stood in for the app before this moment do so no more: their user has
-- signed them out. NULL means that none was.
ALTER TABLE authenticator_app ADD COLUMN stands_in_after BIGINT;

-- Which of all secrets that a key of this id has had: in a list of a later state it tells that a restored key has another one.
-- Databases that were migrated on the day on which this was made may have the column already, under another migration.

alter table access_keys add column if not exists secret_version int8 not null default 1;

-- How many secrets an access key has had. In a list of a later state it tells that a restored key has an earlier one.

alter table access_keys add column secret_version int8 not null default 1;

-- SAML assertions that were taken as logins, until they have expired: none is taken twice by one operation.
-- No foreign key: a row is written at each such login, and must not lock the tenant's.

create table saml_assertions (
  account_id text        not null,
  provider   text        not null,
  assertion  bytea       not null,
  operation  text        not null,
  call       uuid        not null,
  expires_at timestamptz not null,
  constraint saml_assertions_pkey primary key (account_id, provider, assertion, operation),
  constraint saml_assertions_assertion_check check (octet_length(assertion) = 32)
);

create index saml_assertions_expires_at_idx on saml_assertions (expires_at);

-- SAML providers of tenants, as IAM has them: the metadata as it was given, and what of it counts when a login comes.

create table saml_providers (
  account_id   text        not null,
  name         text        not null,
  document     text        not null,
  entity_id    text        not null,
  certificates jsonb       not null,
  valid_until  timestamptz,
  tags         jsonb       not null default '{}',
  created_at   timestamptz not null default now(),
  constraint saml_providers_pkey primary key (account_id, name),
  constraint saml_providers_account_id_fkey foreign key (account_id) references tenants (account_id)
);

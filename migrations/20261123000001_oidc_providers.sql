-- OpenID Connect providers of tenants, as IAM has them: whose tokens may be logins, and for which clients.

create table oidc_providers (
  account_id  text        not null,
  url         text        not null,
  client_ids  jsonb       not null default '[]',
  thumbprints jsonb       not null default '[]',
  tags        jsonb       not null default '{}',
  created_at  timestamptz not null default now(),
  constraint oidc_providers_pkey primary key (account_id, url),
  constraint oidc_providers_account_id_fkey foreign key (account_id) references tenants (account_id)
);

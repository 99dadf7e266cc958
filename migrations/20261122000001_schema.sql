-- The first schema: installation, seal keys, tenants, access keys, signing keys, pools, identities, logins.
-- Later migrations hold one statement each when they touch identities or logins (distributed engines demand it).

create table installation (
  id         int2        not null,
  kind       text        not null,
  issuer     text        not null,
  epoch      int8        not null default 1,
  created_at timestamptz not null default now(),
  constraint installation_pkey primary key (id),
  constraint installation_single_check check (id = 1),
  constraint installation_kind_check check (kind in ('dev', 'serve'))
);

create table seal_keys (
  key_id     text        not null,
  canary     bytea       not null,
  created_at timestamptz not null default now(),
  constraint seal_keys_pkey primary key (key_id)
);

create table tenants (
  account_id text        not null,
  name       text        not null,
  status     int2        not null default 1,
  created_at timestamptz not null default now(),
  constraint tenants_pkey primary key (account_id),
  constraint tenants_account_id_check check (length(account_id) = 12)
);

create table access_keys (
  access_key_id text        not null,
  account_id    text        not null,
  secret_sealed bytea       not null,
  policy        jsonb,
  status        int2        not null default 1,
  created_at    timestamptz not null default now(),
  last_used_at  timestamptz,
  constraint access_keys_pkey primary key (access_key_id),
  constraint access_keys_account_id_fkey foreign key (account_id) references tenants (account_id)
);

create index access_keys_account_id_idx on access_keys (account_id);

create table keyrings (
  issuer  text not null,
  version int8 not null default 0,
  constraint keyrings_pkey primary key (issuer)
);

create table signing_keys (
  kid            text        not null,
  issuer         text        not null,
  alg            text        not null,
  public_jwk     jsonb       not null,
  private_sealed bytea,
  created_at     timestamptz not null,
  publish_at     timestamptz not null,
  sign_from      timestamptz,
  sign_until     timestamptz,
  unpublish_at   timestamptz,
  revoked_at     timestamptz,
  version        int8        not null,
  constraint signing_keys_pkey primary key (kid),
  constraint signing_keys_issuer_fkey foreign key (issuer) references keyrings (issuer)
);

create table identity_pools (
  pool_no               int4        not null,
  pool_id               uuid        not null,
  account_id            text        not null,
  region                text        not null,
  name                  text        not null,
  spread                int2        not null default 1,
  allow_unauthenticated boolean     not null,
  allow_classic         boolean,
  developer_provider    text,
  providers             jsonb       not null default '{}',
  roles                 jsonb,
  role_mappings         jsonb,
  tags                  jsonb       not null default '{}',
  next_provider_no      int2        not null default 2,
  created_at            timestamptz not null default now(),
  modified_at           timestamptz not null default now(),
  deleted_at            timestamptz,
  swept_at              timestamptz,
  constraint identity_pools_pkey primary key (pool_no),
  constraint identity_pools_pool_id_key unique (pool_id),
  constraint identity_pools_pool_no_check check (pool_no between 1 and 2097151),
  constraint identity_pools_spread_check check (spread in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)),
  constraint identity_pools_account_id_fkey foreign key (account_id) references tenants (account_id)
);

create index identity_pools_account_id_idx on identity_pools (account_id, region, pool_id);

create table pool_providers (
  pool_no     int4 not null,
  provider_no int2 not null,
  login_key   text not null,
  tag_map     jsonb,
  constraint pool_providers_pkey primary key (pool_no, provider_no),
  constraint pool_providers_login_key_key unique (pool_no, login_key),
  constraint pool_providers_pool_no_fkey foreign key (pool_no) references identity_pools (pool_no)
);

create table identities (
  route       int4        not null,
  state       int2        not null default 1,
  identity_id uuid        not null,
  created_at  timestamptz not null default now(),
  modified_at timestamptz not null default now(),
  constraint identities_pkey primary key (route, identity_id),
  constraint identities_state_check check (state in (1, 2))
);

-- logins_pkey stands behind DeveloperUserAlreadyRegisteredException, logins_one_public_user_key behind
-- ResourceConflictException.
create table logins (
  route       int4  not null,
  provider_no int2  not null,
  identity_id uuid  not null,
  subject_key bytea not null,
  subject     text,
  constraint logins_pkey primary key (route, provider_no, subject_key),
  constraint logins_subject_key_check check (octet_length(subject_key) between 2 and 65)
);

create index logins_identity_idx on logins (route, identity_id);

create unique index logins_one_public_user_key on logins (route, identity_id, provider_no) where provider_no > 1;

create table identity_routes (
  identity_id uuid not null,
  route       int4 not null,
  constraint identity_routes_pkey primary key (identity_id)
);

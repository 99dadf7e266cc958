-- Roles of tenants, as IAM has them: who may take on each is in its trust policy.

create table iam_roles (
  account_id           text        not null,
  -- The name in lower case: IAM's names are the same whatever their case.
  name_key             text        not null,
  name                 text        not null,
  path                 text        not null,
  role_id              text        not null,
  description          text,
  max_session_duration int4        not null,
  trust_policy         text        not null,
  tags                 jsonb       not null default '{}',
  created_at           timestamptz not null default now(),
  constraint iam_roles_pkey primary key (account_id, name_key),
  constraint iam_roles_account_id_fkey foreign key (account_id) references tenants (account_id)
);

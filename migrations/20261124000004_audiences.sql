-- Further audiences of a pool's tokens, beside the pool's id: for consumers that want a name of their own in `aud`.

alter table identity_pools add column audiences jsonb not null default '[]';

-- Citus: makes the small tables reference tables, and distributes the big ones by route.
--
--   psql -v ON_ERROR_STOP=1 -d symbolon -f distribute.sql
--
-- Run it on the coordinator, as the tables' owner, after every `symbolon migrate`; run again, it changes nothing. Before
-- the first time: `create extension citus` on every node, citus_set_coordinator_host, citus_add_node. Citus 13.2 or newer.
--
-- It is not run by this project's tests, which have plain PostgreSQL only.

-- A table added by a later migration must be added here. Parents come before children.
do $$
declare
  small text;
begin
  foreach small in array array[
    'schema_compat', 'migration_lock', 'installation', 'seal_keys', 'tenants', 'keyrings', 'access_keys', 'signing_keys',
    'identity_pools', 'pool_providers', 'oidc_providers', 'saml_providers', 'saml_assertions',
    'iam_roles'
  ] loop
    if not exists (select from pg_dist_partition where logicalrelid = small::regclass) then
      perform create_reference_table(small);
    end if;
  end loop;
end
$$;

select create_distributed_table('identities', 'route', shard_count => 64, colocate_with => 'none')
where not exists (select from pg_dist_partition where logicalrelid = 'identities'::regclass);

select create_distributed_table('logins', 'route', colocate_with => 'identities')
where not exists (select from pg_dist_partition where logicalrelid = 'logins'::regclass);

select create_distributed_table('identity_routes', 'identity_id', shard_count => 64, colocate_with => 'none')
where not exists (select from pg_dist_partition where logicalrelid = 'identity_routes'::regclass);

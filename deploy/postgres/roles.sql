-- Two database roles: symbolon_owner owns the tables and migrates; symbolon_app reads and writes rows, and serves.
--
--   export SYMBOLON_OWNER_PASSWORD=… SYMBOLON_APP_PASSWORD=…
--   psql -v ON_ERROR_STOP=1 -d symbolon -f roles.sql
--
-- Run it as a superuser, connected to Symbolon's own database, before the first `symbolon migrate`. Run again, it sets the
-- passwords and the grants anew. It needs psql 15 or newer (\getenv).

\getenv owner_password SYMBOLON_OWNER_PASSWORD
\getenv app_password SYMBOLON_APP_PASSWORD
\if :{?owner_password}
\else
  do $$ begin raise exception 'set SYMBOLON_OWNER_PASSWORD and SYMBOLON_APP_PASSWORD first'; end $$;
\endif
\if :{?app_password}
\else
  do $$ begin raise exception 'set SYMBOLON_OWNER_PASSWORD and SYMBOLON_APP_PASSWORD first'; end $$;
\endif

select format('create role %I', name)
from (values ('symbolon_owner'), ('symbolon_app')) as wanted (name)
where not exists (select from pg_roles where rolname = name)
\gexec
alter role symbolon_owner login password :'owner_password';
alter role symbolon_app login password :'app_password';

select format('revoke all on database %I from public', current_database())
\gexec
select format('grant connect on database %I to symbolon_owner, symbolon_app', current_database())
\gexec
revoke all on schema public from public;
grant usage, create on schema public to symbolon_owner;
grant usage on schema public to symbolon_app;

-- What the owner makes, now or in a later migration, the app may use: rows only, no truncate, no references, no trigger.
grant select, insert, update, delete on all tables in schema public to symbolon_app;
alter default privileges for role symbolon_owner in schema public
  grant select, insert, update, delete on tables to symbolon_app;

-- The sweep of deleted pools must see when the transactions of other roles began.
grant pg_read_all_stats to symbolon_app;

-- Once there are tables: the migrator's own are read by the app, not written.
select format('revoke insert, update, delete on %I from symbolon_app', relname)
from pg_class
where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
  and relname in ('_sqlx_migrations', 'migration_lock', 'schema_compat')
\gexec

-- The two roles that high availability needs: symbolon_replication for standbys, symbolon_check for HAProxy.
--
--   export SYMBOLON_REPLICATION_PASSWORD=…
--   psql -v ON_ERROR_STOP=1 -d postgres -f high-availability.sql
--
-- Run it as a superuser on the first primary. Run again, it sets the password anew. It needs psql 15 or newer (\getenv).

-- While no standby can log in yet, nobody can confirm a commit.
set synchronous_commit = local;

\getenv replication_password SYMBOLON_REPLICATION_PASSWORD
\if :{?replication_password}
\else
  do $$ begin raise exception 'set SYMBOLON_REPLICATION_PASSWORD first'; end $$;
\endif

select format('create role %I', name)
from (values ('symbolon_replication'), ('symbolon_check')) as wanted (name)
where not exists (select from pg_roles where rolname = name)
\gexec
alter role symbolon_replication login replication password :'replication_password';
-- It logs in, which tells HAProxy all that it asks, and may nothing else. It has no password, since HAProxy can send none.
alter role symbolon_check login connection limit 10;
revoke temporary on database postgres from public;

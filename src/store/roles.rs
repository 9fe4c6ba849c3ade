//! The rights of roles: the owner of the tables migrates, the program's own role reads and inserts.
//!
//! Grants are the guard: the program's role is neither owner nor superuser, and may only SELECT and
//! INSERT where facts are kept. Never: a password.

use super::connect::Store;
use super::error::StoreError;

/// Tables whose rows are facts: inserted, and never changed by the program.
const FACTS: &str = "events, task_events, audit_log, workflow_versions, _sqlx_migrations";

/// The statements that give `role` the rights of the program's own role, for the owner of the tables.
/// They may be run again at any time, and must be after a migration. None if the name is not made of
/// lower-case letters, digits and `_`.
pub fn role_statements(role: &str) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let is_name = role.len() < 64
        && role.starts_with(|c: char| c.is_ascii_lowercase())
        && role.chars().all(is_plain);
    is_name.then(|| ROLE.replace("APP", role).replace("FACTS", FACTS))
}

/// Default privileges are what later tables of the owner get before this is run again: enough to read
/// and to add, nothing that could alter a month that was made meanwhile.
const ROLE: &str = r"-- The program's own role. Run this as the owner of the tables, and again after each migration.
-- Give it a way to log in (a password, a certificate); DATABASE_URL is then its address.
do $$ begin
    if not exists (select from pg_roles where rolname = 'APP') then
        create role APP login;
    end if;
    execute format('grant APP to %I', current_user);
    execute format('grant connect, create, temporary on database %I to APP', current_database());
    execute format('grant usage on schema %I to APP', current_schema());
    execute format('revoke create on schema %I from public, APP', current_schema());
    execute format('grant select, insert, update, delete on all tables in schema %I to APP', current_schema());
    execute format('grant usage, select on all sequences in schema %I to APP', current_schema());
    execute format('alter default privileges in schema %I grant select, insert on tables to APP', current_schema());
    execute format('alter default privileges in schema %I grant usage, select on sequences to APP', current_schema());
end $$;
-- Facts are added and never changed.
revoke update, delete, truncate, references, trigger on FACTS from APP;
-- What lies in the parts of a table is reached through the table.
do $$
declare part regclass;
begin
    for part in select inhrelid::regclass from pg_inherits
                 where inhparent in ('events'::regclass, 'stage_logs'::regclass) loop
        execute format('revoke insert, update, delete, truncate, references, trigger on %s from APP', part);
    end loop;
end $$;
-- Read models are the program's to make anew.
do $$
declare thing record;
begin
    for thing in select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
                  where n.nspname ~ '^(projections|projector|projection_.*)$' and c.relkind in ('r', 'p', 'v', 'm')
    loop
        execute format('alter table %I.%I owner to APP', thing.nspname, thing.relname);
    end loop;
    for thing in select nspname from pg_namespace
                  where nspname ~ '^(projections|projector|projection_.*)$' loop
        execute format('alter schema %I owner to APP', thing.nspname);
    end loop;
end $$;
";

const MAY_ALTER: &str = r"/* may alter events */
select has_table_privilege('events', 'update') or has_table_privilege('events', 'delete')
    or has_table_privilege('events', 'truncate')
    or (select pg_has_role(relowner, 'usage') from pg_class where oid = 'events'::regclass)";

impl Store {
    /// Gives a role the rights of the program's own role; as `role_statements`.
    pub async fn grant_role(&self, role: &str) -> Result<(), StoreError> {
        let statements = role_statements(role).ok_or_else(|| {
            StoreError::Refused(format!("`{role}` is no name for a role; write a-z, 0-9 and _"))
        })?;
        let mut transaction = self.pool.begin().await?;
        transaction.run(&statements).await?;
        Ok(transaction.commit().await?)
    }

    /// Whether the role that we are connected as could alter or remove events.
    pub async fn may_alter_events(&self) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar(MAY_ALTER).fetch_one(&self.pool).await?)
    }
}

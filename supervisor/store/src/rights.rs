//! What the user of a database on a server may not do there although a start needs it.

use sea_orm::sqlx::Error;
use sea_orm::{DbBackend, Statement};

use super::connection::Connection;

/// Whether the schema is there, and what may be done with it or, where it is not, in the database.
const LOOK: &str = "SELECT s.oid IS NOT NULL, \
     CASE WHEN s.oid IS NULL THEN has_database_privilege(current_database(), 'CREATE') \
     ELSE has_schema_privilege(s.oid, 'USAGE') AND has_schema_privilege(s.oid, 'CREATE') END, \
     current_database(), current_user::text \
     FROM (SELECT 1) AS one LEFT JOIN pg_namespace AS s ON s.nspname = $1";

/// What is missing, with the statement that grants it; `None` if nothing is.
///
/// # Errors
/// If the server does not tell.
pub async fn missing(connection: &mut Connection, schema: &str) -> Result<Option<String>, Error> {
    let look = Statement::from_sql_and_values(DbBackend::Postgres, LOOK, [schema.into()]);
    let Some(row) = connection.query_one(look).await? else { return Ok(None) };
    let text = |index| row.try_get_by_index::<String>(index).unwrap_or_default();
    let holds = |index| row.try_get_by_index::<bool>(index).unwrap_or(true);
    let (is_there, may, database, user) = (holds(0), holds(1), text(2), text(3));
    Ok((!may).then(|| match is_there {
        true => format!(
            "`{user}` may make no tables in the schema `{schema}`: GRANT USAGE, CREATE ON SCHEMA \"{schema}\" TO \"{user}\""
        ),
        false => format!(
            "`{user}` may not make the schema `{schema}`: GRANT CREATE ON DATABASE \"{database}\" TO \"{user}\", or CREATE SCHEMA \
             \"{schema}\" AUTHORIZATION \"{user}\""
        ),
    }))
}

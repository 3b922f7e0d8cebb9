//! How many connections a server has for its users, as `essaim check` adds up what a topology may take.

use std::time::Duration;

use essaim_config::Settings;
use sea_orm::sqlx::Error;
use sea_orm::{DbBackend, Statement};
use tokio::time::timeout;

use super::connection::Connector;
use super::location::DatabaseLocation;
use super::postgres;

/// What nobody but administrators may have is not for nodes. PostgreSQL has `reserved_connections` since 16.
const ROOM: &str = "SELECT current_setting('max_connections')::int8 \
                    - current_setting('superuser_reserved_connections')::int8 \
                    - coalesce(nullif(current_setting('reserved_connections', true), ''), '0')::int8";

/// The server at which the settings have this capability keep its data, as `host:port` or the path of its socket; `None` for
/// a file.
pub fn server_of(capability: &str, settings: &Settings) -> Option<String> {
    match DatabaseLocation::of(capability, settings).ok()? {
        DatabaseLocation::Postgres { options, .. } => Some(options.server()),
        DatabaseLocation::Sqlite(_) => None,
    }
}

/// How many connections that server has for its users; `None` for a file, and for a server that does not say: why is in the
/// report of the database.
pub async fn server_room(capability: &str, settings: &Settings) -> Option<usize> {
    let DatabaseLocation::Postgres { options, schema } = DatabaseLocation::of(capability, settings).ok()? else {
        return None;
    };
    let connector = Connector::Postgres(postgres::worker(&options, &schema, "essaim/check", settings));
    let limit = Duration::from_millis(settings.store.acquire_timeout_ms);
    timeout(limit, ask(&connector)).await.ok()?.ok()
}

async fn ask(connector: &Connector) -> Result<usize, Error> {
    let mut connection = connector.connect().await?;
    let answer = connection.query_one(Statement::from_string(DbBackend::Postgres, ROOM)).await?;
    connection.close().await?;
    let room: Option<i64> = answer.and_then(|row| row.try_get_by_index(0).ok());
    room.and_then(|room| room.try_into().ok()).ok_or_else(|| Error::Protocol("it does not say".into()))
}

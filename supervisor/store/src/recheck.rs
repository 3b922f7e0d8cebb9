//! The end of an outage: a database that did not work is checked, with backoff, until it takes a transaction of some size. So no
//! request has to fail to find that it works again, and a disk with room for a few rows still counts as full. A file in which damage
//! was met has to be whole as well.

use std::sync::Weak;

use essaim_base::Env;
use essaim_base::backoff::Backoff;
use sea_orm::{DbBackend, Statement};
use tokio::time::{sleep, timeout};

use super::clock_hold::ClockHold;
use super::connection::Connector;
use super::database::DatabaseInner;

/// The table that is written to, which is empty again afterwards.
pub const TABLE: &str = "CREATE TABLE essaim_recheck (id BIGINT PRIMARY KEY, filler TEXT NOT NULL)";

/// Some 64 KiB that do not compress.
const FILL_SQLITE: &str = "INSERT INTO essaim_recheck (id, filler) VALUES (1, hex(randomblob(32768))) \
                           ON CONFLICT (id) DO UPDATE SET filler = excluded.filler";
const FILL_POSTGRES: &str = "INSERT INTO essaim_recheck (id, filler) SELECT 1, string_agg(md5(random()::text), '') \
                             FROM generate_series(1, 2048) ON CONFLICT (id) DO UPDATE SET filler = excluded.filler";
const EMPTY: &str = "UPDATE essaim_recheck SET filler = '' WHERE id = 1";

/// Checks a database whenever it is reported not to work, until it does; ends with the database.
pub(super) async fn recheck(database: Weak<DatabaseInner>, backoff: Backoff, env: Env) {
    loop {
        let Some(health) = database.upgrade().map(|database| database.health.clone()) else { return };
        health.look.notified().await;
        let mut looks = 0;
        loop {
            looks += 1;
            sleep(backoff.delay(looks, &env)).await;
            let Some(database) = database.upgrade() else { return };
            match database.write_and_empty().await {
                Ok(()) => break health.works(),
                Err(cause) => health.fails(cause),
            }
        }
    }
}

impl DatabaseInner {
    /// Writes on a connection of its own: those in use may have been made before the outage.
    ///
    /// # Errors
    /// The cause of the outage as people are told it; nothing decides by it.
    async fn write_and_empty(&self) -> Result<(), String> {
        // Another file at its path is not the open one.
        if let Some(why) = self.file.as_ref().and_then(|file| file.refusal()) {
            return Err(why);
        }
        let (connector, limit) = (self.writes.connector(), self.writes.limits.acquire);
        if self.health.is_damaged() {
            check_whole(&connector.looking(limit)).await?;
        }
        let _spare = match self.writes.share() {
            Some(share) => share.spare().await,
            None => None,
        };
        let _hold = ClockHold::of(&self.writes.env);
        match timeout(limit, write_and_empty(&connector.looking(limit))).await {
            Err(_) => Err(connector.silent()),
            Ok(Err(error)) if !self.writes.is_short(&error, 0) => Err(connector.explain(&error)),
            Ok(_) => Ok(()),
        }
    }
}

async fn write_and_empty(connector: &Connector) -> Result<(), sea_orm::sqlx::Error> {
    let mut connection = connector.connect().await?;
    let fill = match connector.backend() {
        DbBackend::Postgres => FILL_POSTGRES,
        _ => FILL_SQLITE,
    };
    for sql in [fill, EMPTY] {
        connection.begin().await?;
        connection.execute_unprepared(sql.into()).await?;
        connection.commit().await?;
    }
    connection.close().await
}

/// Has SQLite read all of a file, however long that takes, which keeps nobody waiting.
async fn check_whole(connector: &Connector) -> Result<(), String> {
    let look = async {
        let mut connection = connector.connect().await?;
        let all = Statement::from_string(DbBackend::Sqlite, "PRAGMA quick_check(1)");
        let found = connection.query_one(all).await?.and_then(|row| row.try_get_by_index::<String>(0).ok());
        connection.close().await.map(|()| found)
    };
    match look.await {
        Ok(Some(found)) if found == "ok" => Ok(()),
        Ok(found) => Err(connector.damaged(&found.unwrap_or_default())),
        Err(error) => Err(connector.explain(&error)),
    }
}

//! Who holds what others wait for in a database, for operators: the transaction that has the one connection that writes to a file,
//! and the sessions that hold locks of a server.

use std::fmt;
use std::time::Duration;

use essaim_base::activity::{CurrentMessage, current};
use essaim_base::lock::Mutex;
use sea_orm::{DbBackend, DbErr, QueryResult, Statement};
use tokio::time::timeout;

use super::Database;
use super::connection::{Connection, Connector};

/// The sessions that block those of the same name as the one that asks. Those of other users may have no name for it.
const BLOCKING: &str = "SELECT DISTINCT h.pid, coalesce(h.application_name, '') AS application, \
     coalesce(h.state, 'unknown') AS state, \
     coalesce(extract(epoch FROM clock_timestamp() - h.xact_start) * 1000, 0)::int8 AS open_ms \
     FROM pg_stat_activity w CROSS JOIN LATERAL unnest(pg_blocking_pids(w.pid)) AS blocking(pid) \
     JOIN pg_stat_activity h ON h.pid = blocking.pid \
     WHERE w.wait_event_type = 'Lock' AND w.application_name = current_setting('application_name') \
     AND w.datname = current_database() ORDER BY open_ms DESC LIMIT 8";

/// A session of a server that holds a lock for which statements of a capability wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockHolder {
    /// Its process on the server.
    pub backend: i32,
    /// Its name: `essaim/NODE/CAPABILITY` if it is a node's; empty if it has none.
    pub application: String,
    /// What it does, in the server's words.
    pub state: String,
    /// How long ago its transaction began.
    pub open: Duration,
}

impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { backend, application, state, open } = self;
        let application = if application.is_empty() { "a session without a name" } else { application };
        write!(f, "`{application}` (backend {backend}, {state}, its transaction began {} ms ago)", open.as_millis())
    }
}

impl Database {
    /// The sessions that hold locks for which statements of this capability in this node wait; none in a file. Asks on a
    /// connection of its own, since those of the pool may all be waiting, for at most `limit`.
    ///
    /// # Errors
    /// If the server does not answer in time.
    pub async fn lock_holders(&self, limit: Duration) -> Result<Vec<LockHolder>, DbErr> {
        let connector = self.connector();
        if connector.backend() != DbBackend::Postgres {
            return Ok(Vec::new());
        }
        let asked = timeout(limit, blocking(connector)).await;
        let rows = asked.map_err(|_| DbErr::Custom("the server does not answer in time".into()))?;
        rows.map_err(|error| DbErr::Custom(connector.explain(&error)))?.iter().map(holder).collect()
    }

    /// The message whose handler has the one connection that writes; none if nobody has it, or no handler, or if there are several.
    pub fn writer(&self) -> Option<CurrentMessage> {
        self.write_holder().message()
    }
}

async fn blocking(connector: &Connector) -> Result<Vec<QueryResult>, sea_orm::sqlx::Error> {
    let mut connection: Connection = connector.connect().await?;
    let rows = connection.query_all(Statement::from_string(DbBackend::Postgres, BLOCKING)).await?;
    connection.close().await?;
    Ok(rows)
}

fn holder(row: &QueryResult) -> Result<LockHolder, DbErr> {
    let open_ms: i64 = row.try_get("", "open_ms")?;
    Ok(LockHolder {
        backend: row.try_get("", "pid")?,
        application: row.try_get("", "application")?,
        state: row.try_get("", "state")?,
        open: Duration::from_millis(open_ms.max(0) as u64),
    })
}

/// The message whose transaction has the one connection of a pool.
#[derive(Debug, Default)]
pub struct WriteHolder(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    /// The number of the transaction that has begun last.
    number: u64,
    message: Option<CurrentMessage>,
}

impl WriteHolder {
    /// The message whose handler this thread runs has begun a transaction; its number.
    pub fn begin(&self) -> u64 {
        let message = current();
        let mut held = self.0.lock();
        held.number += 1;
        held.message = message;
        held.number
    }

    /// A transaction has ended. The next one may have begun already.
    pub fn end(&self, number: u64) {
        let mut held = self.0.lock();
        if held.number == number {
            held.message = None;
        }
    }

    fn message(&self) -> Option<CurrentMessage> {
        self.0.lock().message.clone()
    }
}

//! The connections of one capability to its database, of which each is lent to one user at a time.
//!
//! It takes the place of a general pool so that a connection comes back without a round trip, and so that one whose
//! state is in doubt never comes back: whatever uses it takes it out of its [`Lease`] and puts it back only when it
//! has heard the end. A connection that a dropped handler or a time limit leaves behind is closed, which interrupts
//! its statement and rolls its transaction back.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sea_orm::sqlx::Error;
use sea_orm::{DbErr, RuntimeErr};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::clock_hold::ClockHold;
use super::connection::{Connection, Connector};
use super::outcome;
use crate::Env;

/// Tries to find a connection that the server still knows.
pub(crate) const TRIES: u32 = 3;

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// One transaction, or one statement outside of one.
    pub transaction: Duration,
    /// Waiting for a connection.
    pub acquire: Duration,
}

/// A bounded number of connections of one kind of use.
pub(crate) struct Lanes {
    connector: Connector,
    free: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
    size: usize,
    pub limits: Limits,
    pub env: Env,
}

/// The use of a connection; it goes back when this is dropped.
pub(crate) struct Lease {
    /// Absent while it works, and for good once its state is in doubt.
    connection: Option<Connection>,
    reused: bool,
    lanes: Arc<Lanes>,
    _permit: OwnedSemaphorePermit,
}

/// Why something asked of a connection has no result.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The driver's error.
    Database(Error),
    /// The time limit passed before the database answered.
    TimedOut,
    /// The connection was given up before.
    Gone,
    /// It was not tried.
    Refused(DbErr),
}

impl Lanes {
    pub fn new(connector: Connector, size: u32, limits: Limits, env: Env) -> Arc<Self> {
        let size = size.max(1) as usize;
        let (free, permits) = (Mutex::new(Vec::with_capacity(size)), Arc::new(Semaphore::new(size)));
        Arc::new(Self { connector, free, permits, size, limits, env })
    }

    pub fn connector(&self) -> &Connector {
        &self.connector
    }

    /// Connections in use now.
    pub fn in_use(&self) -> usize {
        self.size - self.permits.available_permits()
    }

    /// Lends a connection; waits for one until `patience` ends.
    pub async fn lease(self: &Arc<Self>, patience: Instant) -> Result<Lease, DbErr> {
        let waiting = timeout_at(patience, self.permits.clone().acquire_owned()).await;
        let Ok(Ok(_permit)) = waiting else { return Err(self.none_free()) };
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let reused = free.is_some();
        let connection = match free {
            Some(connection) => connection,
            None => self.connect(patience).await?,
        };
        Ok(Lease { connection: Some(connection), reused, lanes: self.clone(), _permit })
    }

    /// Lends a connection on which a transaction has begun.
    pub async fn begin(self: &Arc<Self>, patience: Instant) -> Result<Lease, DbErr> {
        for _ in 0..TRIES {
            let mut lease = self.lease(patience).await?;
            let limit = self.env.now() + self.limits.transaction;
            match lease.work(limit, |mut c| async { (c.begin().await, c) }).await {
                Ok(()) => return Ok(lease),
                Err(trouble) if lease.is_stale(&trouble) => {}
                Err(trouble) => {
                    lease.discard();
                    return Err(trouble.into_query_error());
                }
            }
        }
        Err(connection_error("the database keeps closing its connections".into()))
    }

    async fn connect(&self, patience: Instant) -> Result<Connection, DbErr> {
        let _hold = ClockHold::of(&self.env);
        match timeout_at(patience, self.connector.connect()).await {
            Ok(connected) => connected.map_err(|e| connection_error(self.connector.explain(&e))),
            Err(_) => Err(connection_error(self.connector.silent())),
        }
    }

    fn none_free(&self) -> DbErr {
        let size = self.size;
        connection_error(format!("none of its {size} connections to the database was free in time"))
    }

    /// Forgets the connections that wait for use: the server that they lead to is gone.
    fn forget_free(&self) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Lease {
    /// Lets the connection work until `limit`. If it is not done by then, or this future is dropped, the connection is
    /// closed.
    pub async fn work<T, F>(&mut self, limit: Instant, work: impl FnOnce(Connection) -> F) -> Result<T, Trouble>
    where
        F: Future<Output = (Result<T, Error>, Connection)>,
    {
        let connection = self.connection.take().ok_or(Trouble::Gone)?;
        let _hold = ClockHold::of(&self.lanes.env);
        let (result, connection) = timeout_at(limit, work(connection)).await.map_err(|_| Trouble::TimedOut)?;
        if !matches!(&result, Err(e) if outcome::connection_lost(e)) {
            self.connection = Some(connection);
        }
        result.map_err(Trouble::Database)
    }

    /// Closes the connection instead of giving it back.
    pub fn discard(&mut self) {
        self.connection = None;
    }

    /// Whether the trouble came from a connection that the server had closed while nobody used it, so that a fresh one
    /// may do better.
    pub fn is_stale(&self, trouble: &Trouble) -> bool {
        let stale = self.reused && matches!(trouble, Trouble::Database(e) if outcome::connection_lost(e));
        if stale {
            self.lanes.forget_free();
        }
        stale
    }

    /// Rolls the transaction back and gives the connection back afterwards, without anybody waiting.
    pub fn roll_back_later(self) {
        let mut lease = self;
        // Outside a runtime nobody could wait for the answer, and closing the connection rolls back as well.
        let (Some(mut connection), Ok(runtime)) = (lease.connection.take(), Handle::try_current()) else { return };
        runtime.spawn(async move {
            let _hold = ClockHold::of(&lease.lanes.env);
            let limit = lease.lanes.env.now() + lease.lanes.limits.transaction;
            if let Ok(Ok(())) = timeout_at(limit, connection.rollback()).await {
                lease.connection = Some(connection);
            }
            drop(lease);
        });
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            // The permit is a field and falls after this, so whoever gets it finds the connection.
            self.lanes.free.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(e) => e.fmt(f),
            Self::TimedOut => f.write_str("it took longer than store.transaction_limit_ms"),
            Self::Gone => f.write_str("its connection was given up"),
            Self::Refused(e) => e.fmt(f),
        }
    }
}

impl Trouble {
    pub fn into_query_error(self) -> DbErr {
        match self {
            Self::Database(e) => DbErr::Query(RuntimeErr::SqlxError(Arc::new(e))),
            other => other.into_other(),
        }
    }

    pub fn into_exec_error(self) -> DbErr {
        match self {
            Self::Database(e) => DbErr::Exec(RuntimeErr::SqlxError(Arc::new(e))),
            other => other.into_other(),
        }
    }

    fn into_other(self) -> DbErr {
        match self {
            Self::Database(e) => DbErr::Conn(RuntimeErr::SqlxError(Arc::new(e))),
            Self::Refused(e) => e,
            Self::TimedOut | Self::Gone => refusal(self.to_string()),
        }
    }
}

pub(crate) fn connection_error(text: String) -> DbErr {
    DbErr::Conn(RuntimeErr::Internal(text))
}

/// The error of a statement that the runtime itself ends or refuses.
pub(crate) fn refusal(why: impl Into<String>) -> DbErr {
    DbErr::Exec(RuntimeErr::Internal(why.into()))
}

//! The use of one connection.
//!
//! Whatever uses it takes it out of its [`ConnectionLease`] and has not done with it before it has heard the end. A connection that
//! a dropped handler or a time limit leaves behind is closed, which interrupts its statement and rolls its transaction
//! back; unless others share it (`group`) and the handler was dropped, who keep it while that transaction alone is undone.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};

use sea_orm::sqlx::Error;
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::classify;
use super::clock_hold::ClockHold;
use super::connection::Connection;
use super::error::StoreError;
use super::group::{GroupStage, OpenGroup};
use super::pool::{ConnectionLifetime, Pool, lock};

/// The use of a connection; it goes back when this is dropped.
pub(crate) struct ConnectionLease {
    /// Empty while it works, and for good once its state is in doubt.
    slot: IdleSlot,
    /// What it was told to do was not seen to its end.
    busy: bool,
    /// The transactions that share the connection's outer transaction, if others came before.
    pub group: Option<OpenGroup>,
    reused: bool,
    lifetime: ConnectionLifetime,
    pool: Arc<Pool>,
    permit: Option<OwnedSemaphorePermit>,
}

/// Where a lease's connection is while nobody works with it.
#[derive(Clone, Default)]
struct IdleSlot(Arc<Mutex<Option<Connection>>>);

/// A connection at work. However the work ends, the connection goes home.
pub(crate) struct BusyConnection {
    connection: Option<Connection>,
    slot: IdleSlot,
}

impl ConnectionLease {
    /// The use of a connection that was just made.
    pub fn of_new(pool: &Arc<Pool>, connection: Connection, permit: OwnedSemaphorePermit) -> Self {
        let mut lease = Self::of(pool, connection, pool.lifetime(), permit);
        lease.reused = false;
        lease
    }

    /// The use of a connection that was used before.
    pub fn of(
        pool: &Arc<Pool>,
        connection: Connection,
        lifetime: ConnectionLifetime,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let slot = IdleSlot(Arc::new(Mutex::new(Some(connection))));
        Self { slot, busy: false, group: None, reused: true, lifetime, pool: pool.clone(), permit: Some(permit) }
    }

    /// When the connection was made.
    pub fn lifetime(&self) -> ConnectionLifetime {
        self.lifetime
    }

    /// Takes a connection that was just made in place of its own; or its own for another life.
    pub fn renew(&mut self, younger: Option<Connection>) {
        self.lifetime = self.pool.lifetime();
        if let Some(younger) = younger {
            self.reused = false;
            let old = lock(&self.slot.0).replace(younger);
            drop(old);
        }
    }

    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Whether the connection is there and does nothing.
    pub fn is_ready(&self) -> bool {
        !self.busy && lock(&self.slot.0).is_some()
    }

    /// Whether the transaction is gone, with all that shared it.
    pub fn is_undone(&self) -> bool {
        lock(&self.slot.0).as_ref().is_some_and(Connection::is_undone)
    }

    /// Lets the connection work until `limit`. If it is not done by then, or this future is dropped, nobody works with the
    /// connection any more.
    pub async fn work<T, F>(&mut self, limit: Instant, work: impl FnOnce(BusyConnection) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        if self.busy {
            return Err(StoreError::Gone);
        }
        let connection = self.slot.take().ok_or(StoreError::Gone)?;
        self.busy = true;
        let _hold = ClockHold::of(&self.pool.env);
        let working = work(BusyConnection { connection: Some(connection), slot: self.slot.clone() });
        let Ok(result) = timeout_at(limit, working).await else {
            self.discard();
            return Err(StoreError::TimedOut);
        };
        if let Err(error) = &result {
            self.pool.note(error);
            if classify::connection_lost(error) {
                self.discard();
            }
            if classify::takes_no_writes(error) {
                self.pool.forget_idle();
            }
        }
        self.busy = false;
        result.map_err(StoreError::Database)
    }

    /// Begins a transaction within the outer one, behind those that ended well.
    pub fn join(&mut self) {
        if let Some(connection) = lock(&self.slot.0).as_mut() {
            connection.join();
        }
    }

    /// Closes the connection instead of giving it back; those who share it hear of it.
    pub fn discard(&mut self) {
        drop(self.slot.take());
        self.group = None;
    }

    /// Whether the trouble came from a connection that the server had closed while nobody used it, so that a fresh one
    /// may do better.
    pub fn is_stale(&self, trouble: &StoreError) -> bool {
        let stale = self.reused && matches!(trouble, StoreError::Database(e) if classify::connection_lost(e));
        if stale {
            self.pool.forget_idle();
        }
        stale
    }

    /// Undoes the transaction, and leaves those that share the connection as they are; unless the database has undone them
    /// as well, of which they hear.
    pub async fn roll_back(&mut self, limit: Instant) -> Result<(), StoreError> {
        let result = match self.group {
            Some(_) => self.work(limit, |mut c| async move { c.leave().await }).await,
            None => self.work(limit, |mut c| async move { c.rollback().await }).await,
        };
        if result.is_err() {
            self.discard();
        }
        result
    }

    /// Rolls the transaction back and gives the connection back afterwards, without anybody waiting.
    pub fn roll_back_later(mut self) {
        if self.busy {
            // A statement was under way: what is left to do is done as the lease falls.
            return;
        }
        // Outside a runtime nobody could wait for the answer, and closing the connection rolls back as well.
        let Ok(runtime) = Handle::try_current() else { return self.discard() };
        // One statement: were it to panic, the connection would be closed, which rolls back as well.
        #[allow(clippy::disallowed_methods)]
        runtime.spawn(async move {
            let limit = self.pool.env.now() + self.pool.limits.transaction;
            let _ = self.roll_back(limit).await;
        });
    }

    /// Undoes a transaction whose last statement nobody waits for any more. SQLite's thread does one thing after the
    /// other, so what is asked now comes after that statement, and ends with it at the latest when the time is over.
    fn rescue(mut self) {
        let Ok(runtime) = Handle::try_current() else { return self.discard() };
        #[allow(clippy::disallowed_methods)] // As above.
        runtime.spawn(async move {
            let limit = self.pool.env.now() + self.pool.limits.transaction;
            let _ = self.roll_back(limit).await;
        });
    }
}

impl Drop for ConnectionLease {
    fn drop(&mut self) {
        let Some(connection) = self.slot.take() else { return };
        let group = self.group.take();
        let joinable = group.as_ref().is_none_or(|group| group.stage == GroupStage::Open);
        match (self.busy, group) {
            // The permit falls after this, so whoever gets it finds the connection.
            (false, group) if joinable => self.pool.give_back(connection, group, self.lifetime),
            (true, Some(group)) if joinable => {
                if let Some(permit) = self.permit.take() {
                    let mut lease = Self::of(&self.pool, connection, self.lifetime, permit);
                    lease.group = Some(group);
                    lease.rescue();
                }
            }
            // Closing it interrupts the statement and rolls the transaction back.
            (_, group) => {
                drop(connection);
                drop(group);
            }
        }
    }
}

impl IdleSlot {
    fn take(&self) -> Option<Connection> {
        lock(&self.0).take()
    }
}

impl Deref for BusyConnection {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("it is there until it goes home")
    }
}

impl DerefMut for BusyConnection {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("it is there until it goes home")
    }
}

impl Drop for BusyConnection {
    fn drop(&mut self) {
        *lock(&self.slot.0) = self.connection.take();
    }
}

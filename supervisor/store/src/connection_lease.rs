//! The use of one connection.
//!
//! A statement takes the connection out of its [`ConnectionLease`] and gives it back when it has heard the end. A connection
//! that a dropped handler or a time limit leaves at work is closed, which interrupts its statement and rolls its transaction
//! back; unless others share the transaction (`group`) and the handler was dropped: then they keep the connection while the
//! handler's own part is undone. The connection that writes to SQLite works in place, and is left only while it waits for
//! another thread.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use essaim_base::lock::Mutex;
use sea_orm::sqlx::Error;
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::classify;
use super::clock_hold::ClockHold;
use super::connection::Connection;
use super::connection_budget::Place;
use super::error::StoreError;
use super::group::{GroupStage, OpenGroup};
use super::pool::{ConnectionLifetime, Pool};

/// The use of a connection, which goes back to the pool when this is dropped.
pub struct ConnectionLease {
    /// Empty while the connection works, and for good once its state is in doubt.
    slot: IdleSlot,
    /// The end of what the connection was told to do was not heard.
    busy: bool,
    /// The transactions that share the connection's outer transaction, if others came before.
    pub group: Option<OpenGroup>,
    reused: bool,
    lifetime: ConnectionLifetime,
    /// Of the connection in the node's budget; absent for a file.
    place: Option<Place>,
    pool: Arc<Pool>,
    permit: Option<OwnedSemaphorePermit>,
}

/// Where a lease's connection is while it does nothing.
#[derive(Clone, Default)]
struct IdleSlot(Arc<Mutex<Option<Connection>>>);

/// A connection at work. However the work ends, the connection goes back to its slot.
pub struct BusyConnection {
    connection: Option<Connection>,
    slot: IdleSlot,
}

impl ConnectionLease {
    /// The use of a connection that was just made.
    pub fn of_new(
        pool: &Arc<Pool>,
        connection: Connection,
        place: Option<Place>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let mut lease = Self::of(pool, connection, pool.lifetime(), place, permit);
        lease.reused = false;
        lease
    }

    /// The use of a connection that was used before.
    pub fn of(
        pool: &Arc<Pool>,
        connection: Connection,
        lifetime: ConnectionLifetime,
        place: Option<Place>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let slot = IdleSlot(Arc::new(Mutex::new(Some(connection))));
        Self { slot, busy: false, group: None, reused: true, lifetime, place, pool: pool.clone(), permit: Some(permit) }
    }

    pub fn lifetime(&self) -> ConnectionLifetime {
        self.lifetime
    }

    /// Takes a connection that was just made in place of its own, or keeps its own for another life.
    pub fn renew(&mut self, younger: Option<Connection>) {
        debug_assert!(self.is_ready() && self.group.is_none(), "a connection is renewed before it is used");
        self.lifetime = self.pool.lifetime();
        if let Some(younger) = younger {
            self.reused = false;
            let old = self.slot.0.lock().replace(younger);
            drop(old);
        }
    }

    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Whether the connection is idle and usable.
    pub fn is_ready(&self) -> bool {
        !self.busy && self.slot.0.lock().is_some()
    }

    /// Whether the transaction was undone, with all that shared it.
    pub fn is_undone(&self) -> bool {
        self.slot.0.lock().as_ref().is_some_and(Connection::is_undone)
    }

    /// Lets the connection work until `limit`. If it is not done by then, or this future is dropped, the connection is used
    /// no more.
    pub async fn work<T, F>(&mut self, limit: Instant, work: impl FnOnce(BusyConnection) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        debug_assert!(self.permit.is_some(), "a connection works for the holder of a permit");
        if self.busy {
            return Err(StoreError::ConnectionGone);
        }
        let mut connection = self.slot.take().ok_or(StoreError::ConnectionGone)?;
        connection.interrupt_at(limit);
        self.busy = true;
        let _hold = ClockHold::of(&self.pool.env);
        let working = work(BusyConnection { connection: Some(connection), slot: self.slot.clone() });
        let Ok(result) = timeout_at(limit, working).await else {
            self.discard();
            return Err(StoreError::TimedOut);
        };
        if let Err(error) = &result {
            if classify::is_interrupted(error) {
                // A read leaves nothing behind.
                match self.pool.reads_only() {
                    true => self.busy = false,
                    false => self.discard(),
                }
                return Err(StoreError::TimedOut);
            }
            self.pool.note(error);
            if classify::connection_lost(error) {
                self.discard();
            }
            if classify::takes_no_writes(error) {
                self.pool.forget_idle();
            }
        }
        self.busy = false;
        result.map_err(StoreError::from)
    }

    /// Begins a transaction within the outer one, behind those that ended well.
    pub fn join(&mut self) {
        debug_assert!(self.group.as_ref().is_some_and(OpenGroup::is_open), "a transaction joins an open group");
        if let Some(connection) = self.slot.0.lock().as_mut() {
            connection.join();
        }
    }

    /// Closes the connection instead of giving it back; the members of its group are told.
    pub fn discard(&mut self) {
        drop(self.slot.take());
        self.group = None;
    }

    /// Whether the error came from a connection that the server had closed while it was idle, so that a new one may do better.
    pub fn is_stale(&self, error: &StoreError) -> bool {
        let stale = self.reused && matches!(error, StoreError::Driver(e) if classify::connection_lost(e));
        if stale {
            self.pool.forget_idle();
        }
        stale
    }

    /// Undoes the transaction, and leaves those that share the connection as they are; unless the database has undone them
    /// as well, of which they are told.
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

    /// Rolls the transaction back and gives the connection back afterwards, in a task of its own.
    pub fn roll_back_later(mut self) {
        if self.busy {
            // A statement was under way: dropping the lease undoes the transaction after it.
            return;
        }
        // Outside a runtime nothing could wait for the answer, and closing the connection rolls back as well.
        let Ok(runtime) = Handle::try_current() else { return self.discard() };
        // One statement: were it to panic, the connection would be closed, which rolls back as well.
        #[allow(clippy::disallowed_methods)]
        runtime.spawn(async move {
            let limit = self.pool.env.now() + self.pool.limits.transaction;
            let _ = self.roll_back(limit).await;
        });
    }

    /// Undoes a transaction whose handler was dropped while it waited for the rows of its last statement, which has ended.
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
            // The permit is freed after this, so its next holder finds the connection.
            (false, group) if joinable => {
                self.pool.give_back(connection, group, self.lifetime, self.place.take());
            }
            (true, Some(group)) if joinable => {
                if let Some(permit) = self.permit.take() {
                    let mut lease = Self::of(&self.pool, connection, self.lifetime, self.place.take(), permit);
                    lease.group = Some(group);
                    lease.rescue();
                }
            }
            // Closing the connection interrupts the statement and rolls the transaction back.
            (_, group) => {
                drop(connection);
                drop(group);
            }
        }
    }
}

impl IdleSlot {
    fn take(&self) -> Option<Connection> {
        self.0.lock().take()
    }
}

impl Deref for BusyConnection {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("a busy connection is back in its slot only once this is dropped")
    }
}

impl DerefMut for BusyConnection {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("a busy connection is back in its slot only once this is dropped")
    }
}

impl Drop for BusyConnection {
    fn drop(&mut self) {
        let mut slot = self.slot.0.lock();
        debug_assert!(slot.is_none(), "the slot of a busy connection is empty");
        *slot = self.connection.take();
    }
}

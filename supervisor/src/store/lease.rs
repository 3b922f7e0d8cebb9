//! The use of one connection.
//!
//! Whatever uses it takes it out of its [`Lease`] and has not done with it before it has heard the end. A connection that
//! a dropped handler or a time limit leaves behind is closed, which interrupts its statement and rolls its transaction
//! back; unless others share it (`group`) and the handler was dropped, who keep it while that transaction alone is undone.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};

use sea_orm::sqlx::Error;
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::clock_hold::ClockHold;
use super::connection::Connection;
use super::group::{Open, Stage};
use super::lanes::{Lanes, Made, lock};
use super::outcome;
use super::trouble::Trouble;

/// The use of a connection; it goes back when this is dropped.
pub(crate) struct Lease {
    /// Empty while it works, and for good once its state is in doubt.
    home: Home,
    /// What it was told to do was not seen to its end.
    busy: bool,
    /// The transactions that share the connection's outer transaction, if others came before.
    pub open: Option<Open>,
    reused: bool,
    made: Made,
    lanes: Arc<Lanes>,
    permit: Option<OwnedSemaphorePermit>,
}

/// Where a lease's connection is while nobody works with it.
#[derive(Clone, Default)]
struct Home(Arc<Mutex<Option<Connection>>>);

/// A connection at work. However the work ends, the connection goes home.
pub(crate) struct AtWork {
    connection: Option<Connection>,
    home: Home,
}

impl Lease {
    /// The use of a connection that was just made.
    pub fn of_new(lanes: &Arc<Lanes>, connection: Connection, permit: OwnedSemaphorePermit) -> Self {
        let mut lease = Self::of(lanes, connection, lanes.made(), permit);
        lease.reused = false;
        lease
    }

    /// The use of a connection that was used before.
    pub fn of(lanes: &Arc<Lanes>, connection: Connection, made: Made, permit: OwnedSemaphorePermit) -> Self {
        let home = Home(Arc::new(Mutex::new(Some(connection))));
        Self { home, busy: false, open: None, reused: true, made, lanes: lanes.clone(), permit: Some(permit) }
    }

    /// When the connection was made.
    pub fn made(&self) -> Made {
        self.made
    }

    /// Takes a connection that was just made in place of its own; or its own for another life.
    pub fn renew(&mut self, younger: Option<Connection>) {
        self.made = self.lanes.made();
        if let Some(younger) = younger {
            self.reused = false;
            let old = lock(&self.home.0).replace(younger);
            drop(old);
        }
    }

    pub fn lanes(&self) -> &Arc<Lanes> {
        &self.lanes
    }

    /// Whether the connection is there and does nothing.
    pub fn is_ready(&self) -> bool {
        !self.busy && lock(&self.home.0).is_some()
    }

    /// Whether the transaction is gone, with all that shared it.
    pub fn is_undone(&self) -> bool {
        lock(&self.home.0).as_ref().is_some_and(Connection::is_undone)
    }

    /// Lets the connection work until `limit`. If it is not done by then, or this future is dropped, nobody works with the
    /// connection any more.
    pub async fn work<T, F>(&mut self, limit: Instant, work: impl FnOnce(AtWork) -> F) -> Result<T, Trouble>
    where
        F: Future<Output = Result<T, Error>>,
    {
        if self.busy {
            return Err(Trouble::Gone);
        }
        let connection = self.home.take().ok_or(Trouble::Gone)?;
        self.busy = true;
        let _hold = ClockHold::of(&self.lanes.env);
        let working = work(AtWork { connection: Some(connection), home: self.home.clone() });
        let Ok(result) = timeout_at(limit, working).await else {
            self.discard();
            return Err(Trouble::TimedOut);
        };
        if let Err(error) = &result {
            self.lanes.note(error);
            if outcome::connection_lost(error) {
                self.discard();
            }
            if outcome::takes_no_writes(error) {
                self.lanes.forget_free();
            }
        }
        self.busy = false;
        result.map_err(Trouble::Database)
    }

    /// Begins a transaction within the outer one, behind those that ended well.
    pub fn join(&mut self) {
        if let Some(connection) = lock(&self.home.0).as_mut() {
            connection.join();
        }
    }

    /// Closes the connection instead of giving it back; those who share it hear of it.
    pub fn discard(&mut self) {
        drop(self.home.take());
        self.open = None;
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

    /// Undoes the transaction, and leaves those that share the connection as they are; unless the database has undone them
    /// as well, of which they hear.
    pub async fn roll_back(&mut self, limit: Instant) -> Result<(), Trouble> {
        let result = match self.open {
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
            let limit = self.lanes.env.now() + self.lanes.limits.transaction;
            let _ = self.roll_back(limit).await;
        });
    }

    /// Undoes a transaction whose last statement nobody waits for any more. SQLite's thread does one thing after the
    /// other, so what is asked now comes after that statement, and ends with it at the latest when the time is over.
    fn rescue(mut self) {
        let Ok(runtime) = Handle::try_current() else { return self.discard() };
        #[allow(clippy::disallowed_methods)] // As above.
        runtime.spawn(async move {
            let limit = self.lanes.env.now() + self.lanes.limits.transaction;
            let _ = self.roll_back(limit).await;
        });
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(connection) = self.home.take() else { return };
        let open = self.open.take();
        let joinable = open.as_ref().is_none_or(|open| open.stage == Stage::Open);
        match (self.busy, open) {
            // The permit falls after this, so whoever gets it finds the connection.
            (false, open) if joinable => self.lanes.give_back(connection, open, self.made),
            (true, Some(open)) if joinable => {
                if let Some(permit) = self.permit.take() {
                    let mut lease = Self::of(&self.lanes, connection, self.made, permit);
                    lease.open = Some(open);
                    lease.rescue();
                }
            }
            // Closing it interrupts the statement and rolls the transaction back.
            (_, open) => {
                drop(connection);
                drop(open);
            }
        }
    }
}

impl Home {
    fn take(&self) -> Option<Connection> {
        lock(&self.0).take()
    }
}

impl Deref for AtWork {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("it is there until it goes home")
    }
}

impl DerefMut for AtWork {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("it is there until it goes home")
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        *lock(&self.home.0) = self.connection.take();
    }
}

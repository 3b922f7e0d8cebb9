//! The connections of one capability to its database, of which each is lent to one user at a time.
//!
//! It takes the place of a general pool so that a connection comes back without a round trip, and so that one whose
//! state is in doubt never comes back (`lease`).

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sea_orm::sqlx::Error;
use sea_orm::{DbBackend, DbErr};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::clock_hold::ClockHold;
use super::connection::{Connection, Connector};
use super::group::{GroupLimits, Open};
use super::lease::Lease;
use super::open_file::OpenFile;
use super::outage::{self, Health};
use super::outcome;
use super::outdated::InDoubt;
use super::trouble::{Trouble, connection_error};
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
    /// The life of a connection to a server.
    pub life: Duration,
}

/// When a connection was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Made {
    /// How often all connections had been given up before.
    generation: u64,
    /// When its life ends; never for a file.
    until: Option<Instant>,
}

/// A bounded number of connections of one kind of use.
pub(crate) struct Lanes {
    connector: Connector,
    free: Mutex<Vec<Free>>,
    /// How often all connections were given up, since their server was gone or not the one that is wanted.
    generation: AtomicU64,
    permits: Arc<Semaphore>,
    size: usize,
    /// How many wait for a connection to begin with.
    waiting: AtomicUsize,
    /// Absent where each transaction commits by itself.
    group: Option<GroupLimits>,
    /// A database said at an outer COMMIT that some constraint of some member is broken.
    refused_group: AtomicBool,
    /// The file that is written to, if it is one.
    file: Option<Arc<OpenFile>>,
    pub limits: Limits,
    pub env: Env,
    pub in_doubt: InDoubt,
    /// Whether its connections are refused to write.
    reads_only: bool,
    pub health: Arc<Health>,
}

/// A connection that nobody uses, and the outer transaction that is open on it.
struct Free {
    connection: Connection,
    open: Option<Open>,
    made: Made,
}

impl Lanes {
    pub fn new(connector: Connector, size: u32, limits: Limits, env: Env, health: Arc<Health>) -> Self {
        let size = size.max(1) as usize;
        Self {
            connector,
            free: Mutex::new(Vec::with_capacity(size)),
            generation: AtomicU64::new(0),
            permits: Arc::new(Semaphore::new(size)),
            size,
            waiting: AtomicUsize::new(0),
            group: None,
            refused_group: AtomicBool::new(false),
            file: None,
            limits,
            env,
            in_doubt: InDoubt::default(),
            reads_only: false,
            health,
        }
    }

    /// These lanes, whose connections are refused to write.
    pub fn reading(self) -> Self {
        Self { reads_only: true, ..self }
    }

    /// Whether a connection refuses to write, as it is to.
    pub fn is_refusal(&self, error: &Error) -> bool {
        self.reads_only && outage::is_read_only(error)
    }

    /// Notes what an error says of the whole database.
    pub fn note(&self, error: &Error) {
        if (outage::is_outage(error) && !self.is_refusal(error)) || outcome::takes_no_writes(error) {
            self.health.fails(self.connector.explain(error));
        }
    }

    /// These lanes, whose transactions share commits; only for a single connection.
    pub fn grouping_by(self, group: GroupLimits) -> Self {
        Self { group: (self.size == 1 && group.members > 1).then_some(group), ..self }
    }

    /// These lanes, on which no transaction begins once the file is not at its place any more.
    pub fn writing_to(self, file: Arc<OpenFile>) -> Self {
        Self { file: Some(file), ..self }
    }

    /// How transactions share commits, if they do.
    pub fn grouping(&self) -> Option<GroupLimits> {
        self.group.filter(|_| !self.refused_group.load(Ordering::Relaxed))
    }

    /// How long the end of a commit can take. Whoever joins a group does so before it is too old, and is then as bounded as
    /// the commit itself.
    pub fn longest_doubt(&self) -> Duration {
        self.group.map_or(Duration::ZERO, |group| group.age) + 2 * self.limits.transaction
    }

    /// Takes note of how an outer COMMIT failed: a constraint that is checked at the commit alone (a deferred foreign key)
    /// does not tell whose it is, so from then on each transaction answers for itself.
    pub fn note_refusal(&self, trouble: &Trouble) {
        let refused = matches!(trouble, Trouble::Database(e) if outcome::constraint_broken(e));
        if refused && !self.refused_group.swap(true, Ordering::Relaxed) {
            tracing::warn!(%trouble, "transactions share commits no more: a deferred constraint failed for all of them");
        }
    }

    /// Whether somebody waits to begin.
    pub fn is_awaited(&self) -> bool {
        self.awaiting() > 0
    }

    /// How many wait to begin.
    pub fn awaiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
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
        let permit = match self.permits.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let _waiting = Waiting::among(&self.waiting);
                let waited = timeout_at(patience, self.permits.clone().acquire_owned()).await;
                let Ok(Ok(permit)) = waited else { return Err(self.none_free()) };
                permit
            }
        };
        match self.take_free(permit) {
            Ok(mut lease) => {
                if lease.made().until.is_some_and(|until| until <= self.env.now()) {
                    self.renew(&mut lease, patience).await;
                }
                Ok(lease)
            }
            Err(permit) => Ok(Lease::of_new(self, self.connect(patience).await?, permit)),
        }
    }

    /// Ends the life of a connection. One that works is not given up before there is another.
    async fn renew(&self, lease: &mut Lease, patience: Instant) {
        let younger = self.connect(patience).await.inspect_err(|error| {
            tracing::warn!(%error, "a connection to a database stays in use beyond its life: no new one can be made");
        });
        lease.renew(younger.ok());
    }

    /// What is noted of a connection that is made now.
    pub fn made(&self) -> Made {
        let is_server = self.connector.backend() == DbBackend::Postgres;
        // Not all at once, what was made at once.
        let until = is_server.then(|| self.env.now() + self.limits.life.mul_f64(1.0 - self.env.fraction() / 4.0));
        Made { generation: self.generation.load(Ordering::Acquire), until }
    }

    /// The connection that is free when its turn comes, if there is one, however long that takes.
    pub async fn turn(self: &Arc<Self>) -> Option<Lease> {
        let permit = self.permits.clone().acquire_owned().await.ok()?;
        self.take_free(permit).ok()
    }

    fn take_free(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Result<Lease, OwnedSemaphorePermit> {
        let free = lock(&self.free).pop();
        let Some(Free { connection, open, made }) = free else { return Err(permit) };
        let mut lease = Lease::of(self, connection, made, permit);
        lease.open = open;
        Ok(lease)
    }

    /// Lends a connection on which a transaction has begun.
    pub async fn begin(self: &Arc<Self>, patience: Instant) -> Result<Lease, DbErr> {
        if let Some(why) = self.file.as_ref().and_then(|file| file.refusal()) {
            return Err(connection_error(why));
        }
        for _ in 0..TRIES {
            let mut lease = self.lease(patience).await?;
            if lease.open.is_some() {
                lease.join();
                return Ok(lease);
            }
            match self.begin_on(&mut lease, patience).await {
                Ok(()) => {
                    self.in_doubt.resolve();
                    return Ok(lease);
                }
                Err(trouble) if lease.is_stale(&trouble) => {}
                Err(Trouble::TimedOut) => return Err(self.fails(self.connector.silent())),
                Err(trouble) => {
                    lease.discard();
                    return Err(trouble.into_query_error());
                }
            }
        }
        Err(connection_error("the database keeps closing its connections".into()))
    }

    /// Begins a transaction; waits until `patience` ends for whoever has locked a file.
    async fn begin_on(&self, lease: &mut Lease, patience: Instant) -> Result<(), Trouble> {
        let mut locked = None;
        loop {
            match (lease.work(patience, |mut c| async move { c.begin().await }).await, locked.take()) {
                (Err(Trouble::Database(error)), _) if outage::is_locked(&error) && self.env.now() < patience => {
                    locked = Some(error);
                }
                (Err(Trouble::TimedOut), Some(error)) => return Err(Trouble::Database(error)),
                (begun, _) => return begun,
            }
        }
    }

    async fn connect(&self, patience: Instant) -> Result<Connection, DbErr> {
        let _hold = ClockHold::of(&self.env);
        match timeout_at(patience, self.connector.connect()).await {
            Ok(connected) => connected.map_err(|error| match self.is_short(&error, 1) {
                true => connection_error(self.connector.explain(&error)),
                false => self.fails(self.connector.explain(&error)),
            }),
            Err(_) => Err(self.fails(self.connector.silent())),
        }
    }

    /// Whether a server has no further connection for these lanes, which have some, beside those that so many ask for: there is less
    /// room than was configured, and no outage.
    pub fn is_short(&self, error: &Error, asking: usize) -> bool {
        outage::is_short_of_connections(error) && (self.in_use() > asking || !lock(&self.free).is_empty())
    }

    /// The error of whoever needs the database while it does not work.
    fn fails(&self, cause: String) -> DbErr {
        self.health.fails(cause.clone());
        connection_error(cause)
    }

    fn none_free(&self) -> DbErr {
        let size = self.size;
        connection_error(format!("none of its {size} connections to the database was free in time"))
    }

    /// Gives a connection back, with the outer transaction that is open on it.
    pub fn give_back(&self, connection: Connection, open: Option<Open>, made: Made) {
        let mut free = lock(&self.free);
        if made.generation == self.generation.load(Ordering::Acquire) {
            free.push(Free { connection, open, made });
        }
    }

    /// Forgets the connections that wait for use, and has no other come back that was made before: the server that they lead
    /// to is gone, or not the one that is wanted.
    pub fn forget_free(&self) {
        let mut free = lock(&self.free);
        self.generation.fetch_add(1, Ordering::AcqRel);
        free.clear();
    }
}

/// One who waits to begin.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn among(all: &'a AtomicUsize) -> Self {
        all.fetch_add(1, Ordering::Relaxed);
        Self(all)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The pool of a capability's connections to its database; each is lent to one user at a time.
//!
//! It is used instead of sqlx's pool so that a connection comes back without a round trip, and so that one whose state is in
//! doubt never comes back (`lease`).

mod begin;
mod surplus;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use essaim_base::Env;
use essaim_base::lock::Mutex;
use sea_orm::DbBackend;
use sea_orm::sqlx::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::classify;
use super::clock_hold::ClockHold;
use super::connection::{Connection, Connector};
use super::connection_budget::{Place, PoolShare};
use super::connection_lease::ConnectionLease;
use super::error::StoreError;
use super::group::{GroupLimits, OpenGroup};
use super::holders::WriteHolder;
use super::open_file::OpenFile;
use super::outage::{self, DatabaseHealth};
use super::outcome_guards::UnresolvedGuards;
use super::tables::tx_effects::{SentMessages, TxEffects};
use super::waiting::WaitingGuard;

/// Attempts to find a connection that the server has not closed.
pub const TRIES: u32 = 3;

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct PoolLimits {
    /// One transaction, or one statement outside of one.
    pub transaction: Duration,
    /// Waiting for a connection.
    pub acquire: Duration,
    /// The life of a connection to a server.
    pub life: Duration,
    /// How long a connection to a server may be idle before it is closed, unless it is the last one.
    pub idle: Duration,
}

/// What is counted of a pool, for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolFigures {
    /// Connections at work.
    pub in_use: usize,
    /// Connections that it has at most.
    pub size: usize,
    /// Users that wait for one.
    pub waiting: usize,
    /// Transactions that have begun.
    pub transactions: u64,
    /// COMMITs that succeeded; transactions may share one.
    pub commits: u64,
}

/// Which generation a connection is of, and when its life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLifetime {
    /// How often all connections had been given up before it was made.
    generation: u64,
    /// Absent for a file: such a connection lives as long as the pool.
    until: Option<Instant>,
}

/// A bounded number of connections of one kind of use.
pub struct Pool {
    connector: Connector,
    /// Bounded by `size`.
    idle: Mutex<Vec<IdleConnection>>,
    /// How often all connections were given up, since their server was gone or not the one that is wanted.
    generation: AtomicU64,
    permits: Arc<Semaphore>,
    size: usize,
    /// Of the node's budget of connections to servers; absent for a file.
    share: Option<Arc<PoolShare>>,
    /// How many wait for a connection to begin with.
    waiting: AtomicUsize,
    /// Transactions that have begun.
    begun: AtomicU64,
    /// COMMITs that succeeded; transactions may share one.
    committed: AtomicU64,
    /// Absent where each transaction commits by itself.
    group_limits: Option<GroupLimits>,
    /// An outer COMMIT failed by a constraint of one of its members.
    refused_group: AtomicBool,
    /// The file that is written to, if it is one.
    file: Option<Arc<OpenFile>>,
    pub limits: PoolLimits,
    pub env: Env,
    pub unresolved: UnresolvedGuards,
    /// Its connections must refuse to write.
    reads_only: bool,
    /// Whose transaction has its connection, where it has only one.
    pub holder: WriteHolder,
    pub health: Arc<DatabaseHealth>,
    /// Is given what handlers have sent, as soon as it is committed.
    pub(super) outgoing: Mutex<Option<Outgoing>>,
    /// What the next commit takes along, whosever it is.
    pub(super) riding: Arc<Mutex<TxEffects>>,
}

/// Takes what handlers have sent, after its commit and in the order of commits.
pub type Outgoing = Arc<dyn Fn(SentMessages) + Send + Sync>;

/// An idle connection, and the outer transaction that is open on it.
pub struct IdleConnection {
    connection: Connection,
    group: Option<OpenGroup>,
    lifetime: ConnectionLifetime,
    /// Absent for a file. It is free once the connection is closed.
    place: Option<Place>,
    /// Absent for a file.
    since: Option<Instant>,
}

impl Pool {
    pub fn new(connector: Connector, size: u32, limits: PoolLimits, env: Env, health: Arc<DatabaseHealth>) -> Self {
        let size = size.max(1) as usize;
        Self {
            connector,
            idle: Mutex::new(Vec::with_capacity(size)),
            generation: AtomicU64::new(0),
            permits: Arc::new(Semaphore::new(size)),
            size,
            share: None,
            waiting: AtomicUsize::new(0),
            begun: AtomicU64::new(0),
            committed: AtomicU64::new(0),
            group_limits: None,
            refused_group: AtomicBool::new(false),
            file: None,
            limits,
            env,
            unresolved: UnresolvedGuards::default(),
            reads_only: false,
            holder: WriteHolder::default(),
            health,
            outgoing: Mutex::default(),
            riding: Arc::default(),
        }
    }

    /// This pool, for connections that must refuse to write.
    pub fn reading(self) -> Self {
        Self { reads_only: true, ..self }
    }

    /// Whether its connections must refuse to write.
    pub fn reads_only(&self) -> bool {
        self.reads_only
    }

    /// Whether the error is the refusal to write of a connection that must refuse it.
    pub fn is_refusal(&self, error: &Error) -> bool {
        self.reads_only && outage::is_read_only(error)
    }

    /// Records what an error says of the whole database. Whoever begins to write waits for the lock of another program, and says so
    /// if that lasts.
    pub fn note(&self, error: &Error) {
        if self.file.is_some() && outage::is_locked(error) {
            return;
        }
        if outage::is_damage(error) {
            self.health.found_damaged();
        }
        if (outage::is_outage(error) && !self.is_refusal(error)) || classify::takes_no_writes(error) {
            self.health.fails(self.connector.explain(error));
        }
    }

    /// This pool, whose connections are within that share of the node's budget.
    pub fn within(self, share: Arc<PoolShare>) -> Self {
        Self { share: Some(share), ..self }
    }

    /// Its share of the node's budget, if its connections lead to a server.
    pub fn share(&self) -> Option<&Arc<PoolShare>> {
        self.share.as_ref()
    }

    /// This pool, whose transactions share commits; only for a single connection.
    pub fn grouping_by(self, limits: GroupLimits) -> Self {
        Self { group_limits: (self.size == 1 && limits.members > 1).then_some(limits), ..self }
    }

    /// This pool, where no transaction begins once the file is not at its place any more.
    pub fn writing_to(self, file: Arc<OpenFile>) -> Self {
        Self { file: Some(file), ..self }
    }

    /// This pool, with a connection that is made already.
    pub fn with(self, connection: Connection) -> Self {
        self.give_back(connection, None, self.lifetime(), None);
        self
    }

    /// How transactions share commits, if they do.
    pub fn grouping(&self) -> Option<GroupLimits> {
        self.group_limits.filter(|_| !self.refused_group.load(Ordering::Relaxed))
    }

    /// How long the end of a commit can take. A member joins a group before the group is too old, and is then as bounded as
    /// the commit itself.
    pub fn longest_doubt(&self) -> Duration {
        self.group_limits.map_or(Duration::ZERO, |limits| limits.age) + 2 * self.limits.transaction
    }

    /// Ends the sharing of commits if an outer COMMIT failed by a constraint. A constraint that is checked at the commit alone
    /// (a deferred foreign key) does not tell whose it is, so from then on each transaction commits by itself.
    pub fn note_refusal(&self, error: &StoreError) {
        let refused = matches!(error, StoreError::Driver(e) if classify::constraint_broken(e));
        if refused && !self.refused_group.swap(true, Ordering::Relaxed) {
            tracing::warn!(trouble = %error, "transactions share commits no more: a deferred constraint failed for all of them");
        }
    }

    /// Whether all transactions share one connection, one after the other.
    pub fn has_one_writer(&self) -> bool {
        self.size == 1
    }

    /// How many transactions wait to begin.
    pub fn awaiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub fn connector(&self) -> &Connector {
        &self.connector
    }

    /// Connections in use now.
    pub fn in_use(&self) -> usize {
        let available = self.permits.available_permits();
        debug_assert!(available <= self.size, "a permit is returned once");
        // Who waits for a place within the node's budget has a permit, and no connection.
        let without = self.share.as_ref().map_or(0, |share| share.waiting());
        (self.size - available).saturating_sub(without)
    }

    /// Records a COMMIT that succeeded.
    pub fn record_commit(&self) {
        self.committed.fetch_add(1, Ordering::Relaxed);
    }

    /// What is counted of it.
    pub fn figures(&self) -> PoolFigures {
        PoolFigures {
            in_use: self.in_use(),
            size: self.size,
            waiting: self.awaiting(),
            transactions: self.begun.load(Ordering::Relaxed),
            commits: self.committed.load(Ordering::Relaxed),
        }
    }

    /// Lends a connection; waits for one until `patience` ends.
    pub async fn lease(self: &Arc<Self>, patience: Instant) -> Result<ConnectionLease, StoreError> {
        let permit = match self.permits.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let _waiting = WaitingGuard::among(&self.waiting);
                let waited = timeout_at(patience, self.permits.clone().acquire_owned()).await;
                let Ok(Ok(permit)) = waited else { return Err(self.none_idle()) };
                permit
            }
        };
        let mut lease = match self.take_idle(permit) {
            Ok(lease) => lease,
            Err(permit) => self.lease_new(permit, patience).await?,
        };
        if lease.lifetime().until.is_some_and(|until| until <= self.env.now()) {
            self.renew(&mut lease, patience).await;
        }
        Ok(lease)
    }

    /// Lends a connection if one is free, or could be made.
    pub async fn lease_free(self: &Arc<Self>, patience: Instant) -> Option<ConnectionLease> {
        match self.take_idle(self.permits.clone().try_acquire_owned().ok()?) {
            Ok(lease) => Some(lease),
            Err(permit) => self.lease_new(permit, patience).await.ok(),
        }
    }

    /// The lifetime of a connection that is made now.
    pub fn lifetime(&self) -> ConnectionLifetime {
        let is_server = self.connector.backend() == DbBackend::Postgres;
        // Connections that were made at once do not all end at once.
        let until = is_server.then(|| self.env.now() + self.limits.life.mul_f64(1.0 - self.env.fraction() / 4.0));
        ConnectionLifetime { generation: self.generation.load(Ordering::Acquire), until }
    }

    /// The connection that is idle when the caller's turn comes, if there is one, however long that takes.
    pub async fn turn(self: &Arc<Self>) -> Option<ConnectionLease> {
        let permit = self.permits.clone().acquire_owned().await.ok()?;
        self.take_idle(permit).ok()
    }

    fn take_idle(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Result<ConnectionLease, OwnedSemaphorePermit> {
        let idle = self.idle.lock().pop();
        let Some(IdleConnection { connection, group, lifetime, place, .. }) = idle else { return Err(permit) };
        let mut lease = ConnectionLease::of(self, connection, lifetime, place, permit);
        lease.group = group;
        Ok(lease)
    }

    async fn connect(&self, patience: Instant) -> Result<Connection, StoreError> {
        let _hold = ClockHold::of(&self.env);
        match timeout_at(patience, self.connector.connect()).await {
            Ok(connected) => connected.map_err(|error| match self.is_short(&error, 1) {
                true => StoreError::Unavailable(self.connector.explain(&error)),
                false => self.fails(self.connector.explain(&error)),
            }),
            Err(_) => Err(self.fails(self.connector.silent())),
        }
    }

    /// Whether the server has no further connection although this pool has some beside those that `asking` users are waiting
    /// for: there is less room than was configured, and no outage.
    pub fn is_short(&self, error: &Error, asking: usize) -> bool {
        outage::is_short_of_connections(error) && (self.in_use() > asking || !self.idle.lock().is_empty())
    }

    /// Records an outage; the error of the user who met it.
    fn fails(&self, cause: String) -> StoreError {
        self.health.fails(cause.clone());
        StoreError::Unavailable(cause)
    }

    fn none_idle(&self) -> StoreError {
        let size = self.size;
        StoreError::Unavailable(format!("none of its {size} connections to the database was free in time"))
    }

    /// Gives a connection back, with the outer transaction that is open on it.
    pub fn give_back(
        &self,
        connection: Connection,
        group: Option<OpenGroup>,
        lifetime: ConnectionLifetime,
        place: Option<Place>,
    ) {
        debug_assert!(group.is_none() || self.size == 1, "transactions share the one connection of a pool");
        let since = self.share.is_some().then(|| self.env.now());
        let mut idle = self.idle.lock();
        debug_assert!(idle.len() < self.size, "as many connections come back as were lent");
        if lifetime.generation == self.generation.load(Ordering::Acquire) {
            idle.push(IdleConnection { connection, group, lifetime, place, since });
        }
        drop(idle);
        if let Some(share) = &self.share {
            share.returned();
            if share.is_wanted() {
                self.give_up_idle();
            }
        }
    }

    /// Closes the idle connections, and those in use as they come back: the server that they lead to is gone, or not the one
    /// that is wanted.
    pub fn forget_idle(&self) {
        let mut idle = self.idle.lock();
        self.generation.fetch_add(1, Ordering::AcqRel);
        idle.clear();
    }
}

//! A capability's database in this node.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use essaim_base::Env;
use essaim_base::backoff::Backoff;
use essaim_base::outages::Dependency;
use essaim_base::task::{TaskName, Tasks};
use essaim_config::{Settings, StoreConfig};
use tokio::time::{Instant, timeout};

use super::clock_hold::ClockHold;
use super::connection::{Connection, Connector};
use super::connection_budget::ConnectionBudget;
use super::group::GroupLimits;
use super::holders::WriteHolder;
use super::host_lock::HostLock;
use super::location::DatabaseLocation;
use super::open_file::OpenFile;
use super::outage::DatabaseHealth;
use super::pool::{Pool, PoolLimits};
use super::recheck::recheck;
use super::shrink::shrink;
use super::tx_tracker::TxTracker;
use super::{
    DatabaseError, DatabaseKind, DatabaseReport, PoolFigures, Reads, Schema, Transaction, TxError, migrate, postgres,
    restore, sqlite,
};

/// The share of a handler's time that it may wait for a connection, in percent, so that its asker hears that nothing was done
/// instead of nothing at all.
const PATIENCE_PERCENT: u32 = 75;

/// Connections to a file that read in place. Who finds none free has threads to read on.
const READERS_IN_PLACE: u32 = 4;

/// The database of one capability in this node. Cheap to clone.
///
/// SQLite has one writer at a time, so its writes go through one connection and its reads through others; on
/// PostgreSQL both share the connections.
#[derive(Clone)]
pub struct Database {
    pub(super) inner: Arc<DatabaseInner>,
}

pub(super) struct DatabaseInner {
    pub(super) capability: String,
    location: DatabaseLocation,
    reads: Reads,
    own_reads: Reads,
    pub(super) writes: Arc<Pool>,
    pub(super) health: Arc<DatabaseHealth>,
    version: u32,
    binary: u32,
    pub(super) file: Option<Arc<OpenFile>>,
    /// Last, so that it is freed when no connection can write any more.
    _lock: Option<HostLock>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({})", self.inner.location)
    }
}

impl Database {
    /// Opens the database that the settings name for this capability, making what is missing: the directory and file,
    /// or the schema on the server, and the tables. Once it is open, its outages are reported to the node of these tasks, and
    /// its connections to a server are within the node's budget.
    ///
    /// # Errors
    /// What is wrong, and what to do about it.
    pub async fn open(
        capability: &str,
        settings: &Settings,
        schema: &Schema,
        env: &Env,
        tasks: &Tasks,
        budget: &Arc<ConnectionBudget>,
    ) -> Result<Self, DatabaseError> {
        let location = DatabaseLocation::of(capability, settings)?;
        let _hold = ClockHold::of(env);
        let reports = OutageReports {
            tasks,
            recheck: TaskName::of("recheck", &capability.into()),
            dependency: Dependency::database(capability, !location.kind().has_one_host()),
        };
        let beside = Some(super::tables::migrations::schema());
        let opener = DatabaseOpener { capability, settings, schema, env, beside, reports };
        match &location {
            DatabaseLocation::Sqlite(path) => opener.sqlite(path, &location).await,
            DatabaseLocation::Postgres { options, schema } => {
                opener.postgres((options, schema), &location, budget).await
            }
        }
    }

    /// Opens a file that belongs to no capability, under the same lock and with the same promises; `name` is what the
    /// logs call it.
    ///
    /// # Errors
    /// What is wrong, and what to do about it.
    pub async fn open_file(
        name: &str,
        path: &Path,
        settings: &Settings,
        schema: &Schema,
        env: &Env,
        reports: OutageReports<'_>,
    ) -> Result<Self, DatabaseError> {
        let _hold = ClockHold::of(env);
        DatabaseOpener { capability: name, settings, schema, env, beside: None, reports }
            .sqlite(path, &DatabaseLocation::Sqlite(path.to_path_buf()))
            .await
    }

    /// Whether an outage of it is known.
    pub fn is_out(&self) -> bool {
        self.inner.health.is_out()
    }

    /// The capability whose database it is.
    pub fn capability(&self) -> &str {
        &self.inner.capability
    }

    /// The kind of database; of a file there is one live host in the whole cluster.
    pub fn kind(&self) -> DatabaseKind {
        self.inner.location.kind()
    }

    /// The connections for reads outside a transaction.
    pub fn reads(&self) -> &Reads {
        &self.inner.reads
    }

    /// The connection for the runtime's own reads, which are short: on SQLite it is called in place.
    pub fn own_reads(&self) -> &Reads {
        &self.inner.own_reads
    }

    /// Begins a transaction of the runtime's own.
    ///
    /// # Errors
    /// As [`Database::begin_for`].
    pub async fn begin(&self) -> Result<Transaction, TxError> {
        self.begin_for(None, TxTracker::default()).await
    }

    /// Begins a transaction for a handler whose answer is due at `due`; `tracker` follows how far it comes.
    ///
    /// # Errors
    /// If the database cannot be reached, or no connection is free in time.
    pub async fn begin_for(&self, due: Option<Instant>, tracker: TxTracker) -> Result<Transaction, TxError> {
        let writes = &self.inner.writes;
        let now = writes.env.now();
        let wait = match due {
            Some(due) => writes.limits.acquire.min(due.saturating_duration_since(now) * PATIENCE_PERCENT / 100),
            None => writes.limits.acquire,
        };
        let begun = Transaction::begin(writes, now + wait, due, tracker).await;
        begun.map_err(|error| TxError::Database(error.into_query_error()))
    }

    /// For how long after a commit was given up its outcome can be in doubt: by then it is committed, or never will be.
    pub fn longest_doubt(&self) -> Duration {
        self.inner.writes.longest_doubt()
    }

    pub(super) fn connector(&self) -> &Connector {
        self.inner.writes.connector()
    }

    pub(super) fn write_holder(&self) -> &WriteHolder {
        &self.inner.writes.holder
    }

    /// How many transactions wait to begin.
    #[cfg(any(test, feature = "testing"))]
    pub fn awaiting(&self) -> usize {
        self.inner.writes.awaiting()
    }

    /// What is counted of its connections: of those that write, and of those that only read, where these are others.
    pub fn pools(&self) -> (PoolFigures, Option<PoolFigures>) {
        let (writes, reads) = (&self.inner.writes, self.inner.reads.pool());
        (writes.figures(), (!Arc::ptr_eq(writes, reads)).then(|| reads.figures()))
    }

    /// The state of the database now; asks it one question, and changes nothing.
    pub async fn report(&self, limit: Duration) -> DatabaseReport {
        let inner = &self.inner;
        let asked = sea_orm::ConnectionTrait::execute_unprepared(&inner.reads, "SELECT 1");
        let problem = match timeout(limit, asked).await {
            Ok(answer) => answer.err().map(|e| e.to_string()),
            Err(_) => Some(format!("it has not answered within {} ms", limit.as_millis())),
        };
        DatabaseReport {
            capability: inner.capability.clone(),
            kind: self.kind(),
            location: inner.location.to_string(),
            schema_version: Some(inner.version),
            binary_version: inner.binary,
            connections_in_use: inner.writes.in_use() + inner.own_readers_in_use(),
            note: None,
            problem,
        }
    }
}

impl Drop for DatabaseInner {
    fn drop(&mut self) {
        self.health.look.notify_one();
    }
}

impl DatabaseInner {
    fn own_readers_in_use(&self) -> usize {
        if Arc::ptr_eq(&self.writes, self.reads.pool()) { 0 } else { self.reads.pool().in_use() }
    }
}

/// Opens a database.
struct DatabaseOpener<'a> {
    capability: &'a str,
    settings: &'a Settings,
    schema: &'a Schema,
    env: &'a Env,
    /// The runtime's own tables; absent in a file that belongs to no capability.
    beside: Option<Schema>,
    reports: OutageReports<'a>,
}

/// How a node hears of the outages of a database.
pub struct OutageReports<'a> {
    pub tasks: &'a Tasks,
    /// The task that checks when an outage has ended.
    pub recheck: TaskName,
    pub dependency: Dependency,
}

impl DatabaseOpener<'_> {
    async fn sqlite(&self, path: &Path, location: &DatabaseLocation) -> Result<Database, DatabaseError> {
        sqlite::prepare(path)?;
        let lock = restore::lock_whole(path)?;
        let config = self.config();
        let version = self.migrate(Connector::sqlite(sqlite::migrator(path, config)), location).await?;
        let group =
            GroupLimits { members: config.group_commit_max, age: Duration::from_millis(config.group_commit_ms) };
        let unreadable = |e: std::io::Error| DatabaseError::Unreadable { path: path.into(), why: e.to_string() };
        let writer = sqlite::writer(path, config);
        // From here on it is open, even if the file is deleted. What goes wrong before is no outage of it.
        let first = match timeout(self.limits().acquire, writer.connect()).await {
            Ok(connected) => connected.map_err(|error| DatabaseError::Unusable(writer.explain(&error)))?,
            Err(_) => return Err(DatabaseError::Unusable(writer.silent())),
        };
        let file = Arc::new(OpenFile::at(path).map_err(unreadable)?);
        let health = self.health();
        let writes = self.pool(writer, 1, &health).grouping_by(group).writing_to(file.clone()).with(first);
        let reads =
            self.pool(Connector::sqlite(sqlite::reader(path, config)), config.sqlite_readers, &health).reading();
        let in_place = |size| Arc::new(self.pool(sqlite::reader_in_place(path, config), size, &health).reading());
        let reads = Reads::of(Arc::new(reads)).and_in_place(in_place(READERS_IN_PLACE));
        let own_reads = Reads::of(in_place(1));
        Ok(self.database(location, (reads, own_reads, Arc::new(writes)), version, Some((file, lock))))
    }

    async fn postgres(
        &self,
        (options, schema): (&postgres::Options, &str),
        location: &DatabaseLocation,
        budget: &Arc<ConnectionBudget>,
    ) -> Result<Database, DatabaseError> {
        let config = self.config();
        let application = format!("essaim/{}/{}", self.settings.node.name, self.capability);
        let migrator = Connector::Postgres(postgres::migrator(options, schema, &application, config));
        self.refuse_shared_sessions(options).await?;
        self.warn_of_weak_durability(&migrator, location).await?;
        let version = self.migrate(migrator, location).await?;
        let worker = Connector::Postgres(postgres::worker(options, schema, &application, self.settings));
        let pool = self.pool(worker, config.postgres_connections, &self.health()).within(budget.share());
        let pool = Arc::new(pool);
        budget.register(&pool);
        let (tasks, unused) = (self.reports.tasks, Arc::downgrade(&pool));
        tasks.restarted_anywhere(TaskName::of("shrink", &self.capability.into()), move || shrink(unused.clone()));
        let reads = Reads::of(pool.clone());
        Ok(self.database(location, (reads.clone(), reads, pool), version, None))
    }

    /// It finds what is wrong with the server's settings.
    async fn warn_of_weak_durability(
        &self,
        connector: &Connector,
        location: &DatabaseLocation,
    ) -> Result<(), DatabaseError> {
        let durability = self.config().durability;
        let look = async {
            let Connection::Postgres(mut connection) = connector.connect().await? else { return Ok(None) };
            let weak = postgres::weaker_than(durability, &mut connection).await?;
            connection.close().await?;
            Ok(weak)
        };
        match timeout(self.limits().acquire, look).await {
            Ok(Ok(None)) => Ok(()),
            Ok(Ok(Some(weak))) => {
                let capability = self.capability;
                let server = format!("{location} has {weak}");
                tracing::warn!(capability, server, ?durability, "a commit survives less than store.durability says");
                Ok(())
            }
            Ok(Err(error)) => Err(DatabaseError::Unusable(connector.explain(&error))),
            Err(_) => Err(DatabaseError::Unusable(connector.silent())),
        }
    }

    /// The first connections to a server: they find what is wrong with the way there. A pooler that gives one session to several
    /// connections is refused before anything is written or prepared through it.
    async fn refuse_shared_sessions(&self, options: &postgres::Options) -> Result<(), DatabaseError> {
        let limit = self.limits().acquire;
        let why = match timeout(limit, postgres::shares_sessions(options, limit / 2)).await {
            Ok(Ok(false)) => return Ok(()),
            Ok(Ok(true)) => postgres::shared_sessions(options),
            Ok(Err(error)) => postgres::explain(options, &error),
            Err(_) => postgres::silent(options),
        };
        Err(DatabaseError::Unusable(why))
    }

    async fn migrate(&self, connector: Connector, location: &DatabaseLocation) -> Result<u32, DatabaseError> {
        let limit = Duration::from_millis(self.config().migration_limit_ms);
        migrate::migrate(&connector, location, self.capability, self.schema, self.beside.as_ref(), limit, self.env)
            .await
    }

    fn database(
        &self,
        location: &DatabaseLocation,
        (reads, own_reads, writes): (Reads, Reads, Arc<Pool>),
        version: u32,
        file: Option<(Arc<OpenFile>, HostLock)>,
    ) -> Database {
        let (file, lock) = file.unzip();
        let (capability, location, binary) = (self.capability.into(), location.clone(), self.schema.version());
        let (health, config) = (writes.health.clone(), self.config());
        let backoff = Backoff {
            first: Duration::from_millis(config.recheck_first_ms),
            most: Duration::from_millis(config.recheck_most_ms),
        };
        let inner = DatabaseInner {
            capability,
            location,
            reads,
            own_reads,
            writes,
            health,
            version,
            binary,
            file,
            _lock: lock,
        };
        let inner = Arc::new(inner);
        let (weak, env) = (Arc::downgrade(&inner), self.env.clone());
        self.reports
            .tasks
            .restarted_anywhere(self.reports.recheck.clone(), move || recheck(weak.clone(), backoff, env.clone()));
        Database { inner }
    }

    fn health(&self) -> Arc<DatabaseHealth> {
        Arc::new(DatabaseHealth::new(self.reports.tasks.outages().clone(), self.reports.dependency.clone()))
    }

    fn pool(&self, connector: Connector, size: u32, health: &Arc<DatabaseHealth>) -> Pool {
        Pool::new(connector, size, self.limits(), self.env.clone(), health.clone())
    }

    fn limits(&self) -> PoolLimits {
        let config = self.config();
        PoolLimits {
            transaction: Duration::from_millis(config.transaction_limit_ms),
            acquire: Duration::from_millis(config.acquire_timeout_ms),
            life: Duration::from_millis(config.connection_life_ms),
            idle: Duration::from_millis(config.idle_connection_ms),
        }
    }

    fn config(&self) -> &StoreConfig {
        &self.settings.store
    }
}

//! PostgreSQL: connections and the settings of their sessions, and errors in words. No other file names its driver: where the
//! feature `postgres` is off, `no_postgres` takes the place of this one.

mod pooler;
mod session;

use std::io;
use std::path::Path;

use sea_orm::sqlx::error::DatabaseError;
use sea_orm::sqlx::pool::PoolOptions;
use sea_orm::sqlx::postgres::{PgConnectOptions, PgDatabaseError, PgSeverity};
use sea_orm::sqlx::query::Query;
use sea_orm::sqlx::{
    AssertSqlSafe, ConnectOptions, Connection as _, Error, Executor, PgConnection, Postgres, query_with,
};
use sea_orm::{
    DatabaseConnection, DbBackend, ExecResult, QueryResult, SqlxPostgresConnector, Statement, sea_query::Values,
};
use sea_query_sqlx::SqlxValues;

use essaim_config::{Durability, Settings, StoreConfig};

use essaim_base::certificates::CertificateMistake;

pub use pooler::shares_sessions;
use session::{NOT_KEPT, Session, TAKES_NO_WRITES};

use super::LocationMistake;

/// PostgreSQL truncates longer names.
const LONGEST_APPLICATION_NAME: usize = 63;

/// How to connect to a server, and what the session is told then.
#[derive(Debug, Clone)]
pub struct Options {
    connect: Box<PgConnectOptions>,
    session: Session,
}

/// A connection to a server.
pub struct Connection(Box<PgConnection>);

impl Options {
    /// Reads a URL.
    ///
    /// # Errors
    /// Why it is no usable one; without the URL, which may hold a password.
    pub fn parse(url: &str) -> Result<Self, LocationMistake> {
        match url.parse() {
            Ok(options) => Ok(Self::of(options)),
            Err(why) => Err(LocationMistake::PostgresUrl(why.to_string())),
        }
    }

    /// These options, for a session that is told nothing.
    pub fn of(connect: PgConnectOptions) -> Self {
        // Poolers know it as little as `options`; since PostgreSQL 12 its default is as exact.
        Self { connect: Box::new(connect.extra_float_digits(None)), session: Session::default() }
    }

    /// The database of these options for people, without the password.
    pub fn location(&self) -> String {
        let user = self.connect.get_username();
        let database = self.connect.get_database().unwrap_or(user);
        format!("postgres://{user}@{}/{database}", self.server())
    }

    /// The server of these options: `host:port`, or the path of its socket.
    pub fn server(&self) -> String {
        match self.connect.get_socket() {
            Some(socket) => Path::display(socket).to_string(),
            None => format!("{}:{}", self.connect.get_host(), self.connect.get_port()),
        }
    }
}

impl Connection {
    pub async fn execute(&mut self, statement: Statement) -> Result<ExecResult, Error> {
        prepared(statement).execute(&mut *self.0).await.map(Into::into)
    }

    pub async fn execute_unprepared(&mut self, sql: String) -> Result<ExecResult, Error> {
        Executor::execute(&mut *self.0, AssertSqlSafe(sql)).await.map(Into::into)
    }

    pub async fn query_one(&mut self, statement: Statement) -> Result<Option<QueryResult>, Error> {
        Ok(prepared(statement).fetch_optional(&mut *self.0).await?.map(Into::into))
    }

    pub async fn query_all(&mut self, statement: Statement) -> Result<Vec<QueryResult>, Error> {
        Ok(prepared(statement).fetch_all(&mut *self.0).await?.into_iter().map(Into::into).collect())
    }

    /// Begins or ends a transaction; unprepared, in one round trip.
    pub async fn control(&mut self, sql: &'static str) -> Result<(), Error> {
        Executor::execute(&mut *self.0, sql).await.map(drop)
    }

    /// Closes the connection and waits for the end.
    pub async fn close(self) -> Result<(), Error> {
        self.0.close().await
    }
}

fn prepared(statement: Statement) -> Query<'static, Postgres, SqlxValues> {
    let values = statement.values.unwrap_or_else(|| Values(Vec::new()));
    query_with(AssertSqlSafe(statement.sql), SqlxValues(values))
}

/// What PostgreSQL says of an error.
pub struct ServerError<'a>(&'a PgDatabaseError);

impl<'a> ServerError<'a> {
    /// `None` if the error is not PostgreSQL's.
    pub fn of(error: &'a dyn DatabaseError) -> Option<Self> {
        error.try_downcast_ref().map(Self)
    }

    pub fn code(&self) -> &str {
        self.0.code()
    }

    /// Whether it ended the transaction and not the session.
    pub fn is_of_transaction(&self) -> bool {
        matches!(self.0.severity(), PgSeverity::Error)
    }

    /// Whether it ended the session.
    pub fn is_of_session(&self) -> bool {
        matches!(self.0.severity(), PgSeverity::Fatal | PgSeverity::Panic)
    }
}

/// How to connect for work: every session sees the capability's schema alone, and the server itself ends statements
/// and transactions that outlive their limit, even if this process has died.
///
/// An idle transaction ends with the lease of the host that began it, if not before: the locks of a paused process must not
/// keep the next owner of its partitions waiting.
pub fn worker(options: &Options, schema: &str, application: &str, settings: &Settings) -> Options {
    let limit_ms = settings.store.transaction_limit_ms;
    let idle_ms = limit_ms.min(settings.durable.lease_ms);
    let limits = [("statement_timeout", limit_ms), ("idle_in_transaction_session_timeout", idle_ms)];
    let Options { connect, session } = migrator(options, schema, application, &settings.store);
    Options { connect, session: Session { limits_ms: limits.into(), ..session } }
}

/// How to connect for migrations, whose statements may take long.
pub fn migrator(options: &Options, schema: &str, application: &str, config: &StoreConfig) -> Options {
    let end = application.floor_char_boundary(LONGEST_APPLICATION_NAME);
    let connect = (*options.connect)
        .clone()
        .application_name(&application[..end])
        .statement_cache_capacity(config.statement_cache)
        .disable_statement_logging();
    let session = Session { schema: Some(schema.into()), ..Session::default() };
    Options { connect: Box::new(connect), session }
}

/// Resolves the address and connects to its server, if that takes writes: a name may lead to a standby for a while, and a
/// connection would stay there.
///
/// # Errors
/// If no server answers, it takes no writes, or the session does not keep to what it was told.
pub async fn connect(options: &Options) -> Result<Connection, Error> {
    let mut connection = options.connect.connect().await?;
    options.session.begin(&mut connection).await?;
    Ok(Connection(Box::new(connection)))
}

/// A pool of one connection, against which migrations are written.
pub async fn migration_pool(options: &Options) -> Result<DatabaseConnection, Error> {
    // The pool waits in silence for a server that refuses; one try outside of it says why.
    connect(options).await?.close().await?;
    let pool = PoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None).test_before_acquire(false);
    let session = options.session.clone();
    let pool = pool.after_connect(move |connection, _| {
        let session = session.clone();
        Box::pin(async move { session.begin(connection).await })
    });
    Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool.connect_with((*options.connect).clone()).await?))
}

/// What a commit of this server does not survive although the configuration says so; `None` if all is well.
///
/// # Errors
/// If the server does not tell.
pub async fn weaker_than(durability: Durability, connection: &mut Connection) -> Result<Option<String>, Error> {
    let mut weak = Vec::new();
    for (setting, matters) in [
        // Without it a crash of the server alone loses the last commits.
        ("synchronous_commit", true),
        ("fsync", durability >= Durability::Machine),
        ("full_page_writes", durability >= Durability::Machine),
    ] {
        let question = Statement::from_string(DbBackend::Postgres, format!("SELECT current_setting('{setting}')"));
        let answer = connection.query_one(question).await?;
        let value: Option<String> = answer.and_then(|row| row.try_get_by_index(0).ok());
        if matters && value.as_deref() == Some("off") {
            weak.push(format!("{setting} = off"));
        }
    }
    Ok((!weak.is_empty()).then(|| weak.join(", ")))
}

/// What keeps a server from being used, and what to do about it.
pub fn explain(options: &Options, error: &Error) -> String {
    let (server, user) = (options.server(), options.connect.get_username());
    let database = options.connect.get_database().unwrap_or(user);
    if let Some(mistake) = CertificateMistake::of(&error.to_string()) {
        return format!("PostgreSQL at {server} cannot be trusted: {mistake}: {} ({error})", trust(mistake));
    }
    if let Error::Protocol(why) = error
        && let Some(what) = why.strip_prefix(NOT_KEPT)
    {
        return format!(
            "PostgreSQL at {server} does not keep to what a session was told ({what}): a pooler before it must work in session \
             mode, and no setting of the user or the database may forbid it"
        );
    }
    if let Error::Io(e) = error {
        return match e.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
                format!("PostgreSQL at {server} refuses connections: start it, or correct capabilities.NAME.database")
            }
            _ => format!("PostgreSQL at {server} cannot be reached ({e}): correct capabilities.NAME.database"),
        };
    }
    if matches!(error, Error::Protocol(why) if why == TAKES_NO_WRITES) {
        return format!(
            "PostgreSQL at {server} takes no writes: it is a standby, or its default_transaction_read_only is on; \
             capabilities.NAME.database must lead to the primary"
        );
    }
    match error.as_database_error().and_then(|e| e.code()).as_deref() {
        Some("28P01" | "28000") => {
            format!("PostgreSQL at {server} does not let `{user}` in: correct the user or the password in its URL")
        }
        Some("3D000") => format!(
            "PostgreSQL at {server} has no database `{database}`: create it (CREATE DATABASE \"{database}\"), or \
             correct capabilities.NAME.database"
        ),
        Some("42501") => format!("PostgreSQL at {server} forbids it to `{user}`: {error}; grant it the right"),
        Some("53300") => format!(
            "PostgreSQL at {server} has no connection left: lower store.node_connections of its nodes, or raise \
             its max_connections (`essaim check` adds up what they may take)"
        ),
        Some("53100") => format!("the disk of PostgreSQL at {server} is full: free some space"),
        Some("08P01") if error.to_string().contains("unsupported startup parameter") => format!(
            "a pooler at {server} refuses the options of capabilities.NAME.database or PGOPTIONS: remove them, or name them in \
             its ignore_startup_parameters ({error})"
        ),
        Some("57P03") => format!("PostgreSQL at {server} is starting up or shutting down"),
        _ => format!("PostgreSQL at {server} cannot be used: {error}"),
    }
}

/// What to do about a certificate.
fn trust(mistake: CertificateMistake) -> &'static str {
    match mistake {
        CertificateMistake::UnknownAuthority => "name the authority that signed it in the URL, as ?sslrootcert=PATH",
        CertificateMistake::Expired | CertificateMistake::NotYetValid => "renew it, or correct the clocks",
        CertificateMistake::OtherName => "give the server in the URL the name that its certificate has",
        CertificateMistake::ClientUnknown => {
            "name a certificate that it trusts, and its key, in the URL: ?sslcert=PATH&sslkey=PATH"
        }
        CertificateMistake::NoTls => "name its port for TLS, or set sslmode=disable in the URL",
    }
}

/// What is said of a pooler that has several connections share sessions.
pub fn shared_sessions(options: &Options) -> String {
    format!(
        "a pooler at {} gives one session of PostgreSQL to several connections (transaction or statement mode), which lose \
         their schema, their time limits and their prepared statements by that: let it work in session mode \
         (pool_mode = session), or lead capabilities.NAME.database past it",
        options.server()
    )
}

/// What is said when a server does not answer at all.
pub fn silent(options: &Options) -> String {
    format!(
        "PostgreSQL at {} does not answer within store.acquire_timeout_ms: check the address in \
         capabilities.NAME.database and the network",
        options.server()
    )
}

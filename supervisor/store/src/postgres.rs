//! PostgreSQL: settings of its sessions, and errors in words.

use std::io;

use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::{ConnectOptions, Error, Executor, PgConnection, Row};
use sea_orm::{DbBackend, Statement};

use super::connection::Connection;
use super::location::server;
use essaim_config::{Durability, Settings, StoreConfig};

/// PostgreSQL truncates longer names.
const LONGEST_APPLICATION_NAME: usize = 63;

/// How to connect for work: every session sees the capability's schema alone, and the server itself ends statements
/// and transactions that outlive their limit, even if this process has died.
///
/// An idle transaction ends with the lease of the host that began it, if not before: the locks of a paused process must not
/// keep the next owner of its partitions waiting.
pub fn worker(options: &PgConnectOptions, schema: &str, application: &str, settings: &Settings) -> PgConnectOptions {
    let limit_ms = settings.store.transaction_limit_ms;
    let idle_ms = limit_ms.min(settings.durable.lease_ms);
    let limits = [("statement_timeout", limit_ms), ("idle_in_transaction_session_timeout", idle_ms)];
    migrator(options, schema, application, &settings.store).options(limits)
}

/// How to connect for migrations, whose statements may take long.
pub fn migrator(options: &PgConnectOptions, schema: &str, application: &str, config: &StoreConfig) -> PgConnectOptions {
    let end = application.floor_char_boundary(LONGEST_APPLICATION_NAME);
    options
        .clone()
        .application_name(&application[..end])
        .statement_cache_capacity(config.statement_cache)
        .options([("search_path", format!("\"{schema}\""))])
        .disable_statement_logging()
}

/// The error of [`connect`] for a server that takes no writes.
const TAKES_NO_WRITES: &str = "the server takes no writes";

/// Resolves the address and connects to its server, if that takes writes: a name may lead to a standby for a while, and a
/// connection would stay there.
///
/// # Errors
/// If no server answers, or it takes no writes.
pub async fn connect(options: &PgConnectOptions) -> Result<PgConnection, Error> {
    let mut connection = options.connect().await?;
    // On a standby it is on in any case.
    let row = connection.fetch_one("SHOW transaction_read_only").await?;
    match row.try_get::<&str, _>(0)? {
        "off" => Ok(connection),
        _ => Err(Error::Protocol(TAKES_NO_WRITES.into())),
    }
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
pub fn explain(options: &PgConnectOptions, error: &Error) -> String {
    let (server, user) = (server(options), options.get_username());
    let database = options.get_database().unwrap_or(user);
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
            "PostgreSQL at {server} has no connection left: lower store.postgres_connections, or raise its \
             max_connections"
        ),
        Some("53100") => format!("the disk of PostgreSQL at {server} is full: free some space"),
        Some("57P03") => format!("PostgreSQL at {server} is starting up or shutting down"),
        _ => format!("PostgreSQL at {server} cannot be used: {error}"),
    }
}

/// What is said when a server does not answer at all.
pub fn silent(options: &PgConnectOptions) -> String {
    format!(
        "PostgreSQL at {} does not answer within store.acquire_timeout_ms: check the address in \
         capabilities.NAME.database and the network",
        server(options)
    )
}

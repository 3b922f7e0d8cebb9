//! In the place of `postgres` where that feature is off: a URL of PostgreSQL is refused, so nothing else ever runs.

use std::convert::Infallible;
use std::time::Duration;

use essaim_config::{Durability, Settings, StoreConfig};
use sea_orm::sqlx::Error;
use sea_orm::sqlx::error::DatabaseError;
use sea_orm::{DatabaseConnection, ExecResult, QueryResult, Statement};

use super::LocationMistake;

/// There are none.
#[derive(Debug, Clone)]
pub struct Options(Infallible);

/// There are none.
pub struct Connection(Infallible);

/// There are none.
pub struct ServerError(Infallible);

impl Options {
    /// # Errors
    /// Always.
    pub fn parse(_: &str) -> Result<Self, LocationMistake> {
        Err(LocationMistake::WithoutPostgres)
    }

    pub fn location(&self) -> String {
        match self.0 {}
    }

    pub fn server(&self) -> String {
        match self.0 {}
    }
}

impl Connection {
    pub async fn execute(&mut self, _: Statement) -> Result<ExecResult, Error> {
        match self.0 {}
    }

    pub async fn execute_unprepared(&mut self, _: String) -> Result<ExecResult, Error> {
        match self.0 {}
    }

    pub async fn query_one(&mut self, _: Statement) -> Result<Option<QueryResult>, Error> {
        match self.0 {}
    }

    pub async fn query_all(&mut self, _: Statement) -> Result<Vec<QueryResult>, Error> {
        match self.0 {}
    }

    pub async fn control(&mut self, _: &'static str) -> Result<(), Error> {
        match self.0 {}
    }

    pub async fn close(self) -> Result<(), Error> {
        match self.0 {}
    }
}

impl ServerError {
    /// Always `None`.
    pub fn of(_: &dyn DatabaseError) -> Option<Self> {
        None
    }

    pub fn code(&self) -> &str {
        match self.0 {}
    }

    pub fn is_of_transaction(&self) -> bool {
        match self.0 {}
    }

    pub fn is_of_session(&self) -> bool {
        match self.0 {}
    }
}

pub fn worker(options: &Options, _: &str, _: &str, _: &Settings) -> Options {
    match options.0 {}
}

pub fn migrator(options: &Options, _: &str, _: &str, _: &StoreConfig) -> Options {
    match options.0 {}
}

pub async fn connect(options: &Options) -> Result<Connection, Error> {
    match options.0 {}
}

pub async fn migration_pool(options: &Options) -> Result<DatabaseConnection, Error> {
    match options.0 {}
}

pub async fn weaker_than(_: Durability, connection: &mut Connection) -> Result<Option<String>, Error> {
    match connection.0 {}
}

pub async fn shares_sessions(options: &Options, _: Duration) -> Result<bool, Error> {
    match options.0 {}
}

pub fn shared_sessions(options: &Options) -> String {
    match options.0 {}
}

pub fn explain(options: &Options, _: &Error) -> String {
    match options.0 {}
}

pub fn silent(options: &Options) -> String {
    match options.0 {}
}

//! Rows, values and errors of a connection that is called in place, as sqlx has them.
//!
//! sea-orm decodes rows of sqlx, and nobody but sqlx makes them. So a small database of sqlx in memory is told what was read, and
//! reads it: its rows have the same values, names and declared types, and each type of Rust decodes them as it decodes those of a file.
//! That is a way to sqlx's thread and back, which who takes [`InPlaceRows`] as they are does not need.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use sea_orm::sqlx::sqlite::{SqliteArguments, SqliteConnectOptions};
use sea_orm::sqlx::{
    Arguments, AssertSqlSafe, ConnectOptions, Error, Executor, IntoArguments, Row, Sqlite, SqliteConnection, TypeInfo,
    ValueRef, query_with, raw_sql,
};
use sea_orm::{QueryResult, Value, sea_query::Values};
use sea_query_sqlx::SqlxValues;

use super::in_place_statement::{InPlaceRows, RowColumn, SqlValue};
use super::sqlite_failure::SqliteFailure;

/// Shapes of rows that are known at a time; then all are forgotten.
const SHAPES_MOST: usize = 256;
/// Values in one statement, at most.
const VALUES_MOST: usize = 8_192;

/// Makes rows of sqlx.
#[derive(Default)]
pub struct SqlxRows(Option<Memory>);

/// The database in memory.
struct Memory {
    connection: SqliteConnection,
    /// The numbers of the tables that have rows of a shape; bounded by `SHAPES_MOST`.
    shapes: HashMap<Arc<[RowColumn]>, usize>,
}

impl SqlxRows {
    /// These rows, for sea-orm.
    ///
    /// # Errors
    /// If there is no memory for them.
    pub async fn rows(&mut self, found: InPlaceRows) -> Result<Vec<QueryResult>, Error> {
        if found.rows.is_empty() {
            return Ok(Vec::new());
        }
        let memory = self.memory().await?;
        let (shape, columns) = (memory.shape(&found.columns).await?, found.columns.len());
        let names: Vec<String> =
            found.columns.iter().enumerate().map(|(n, column)| format!("c{n} AS {}", quoted(&column.name))).collect();
        let mut rows = Vec::with_capacity(found.rows.len());
        let mut rest = found.rows.into_iter();
        loop {
            let some: Vec<_> = rest.by_ref().take((VALUES_MOST / columns.max(1)).max(1)).collect();
            if some.is_empty() {
                return Ok(rows);
            }
            let tuple = format!("({})", vec!["?"; columns].join(", "));
            let tuples = vec![tuple; some.len()].join(", ");
            let sql = format!(
                "INSERT INTO r{shape} VALUES {tuples}; SELECT {} FROM r{shape} ORDER BY rowid; DELETE FROM r{shape}",
                names.join(", ")
            );
            let mut arguments = SqliteArguments::default();
            some.into_iter().flatten().try_for_each(|value| add(&mut arguments, value))?;
            let read = query_with::<Sqlite, _>(AssertSqlSafe(sql), arguments).fetch_all(&mut memory.connection).await?;
            rows.extend(read.into_iter().map(QueryResult::from));
        }
    }

    /// A value that sqlx alone knows how to bind, as SQLite has it.
    ///
    /// # Errors
    /// If it is one that SQLite has no room for.
    pub async fn value(&mut self, value: Value) -> Result<SqlValue, Error> {
        let memory = self.memory().await?;
        let arguments = IntoArguments::<Sqlite>::into_arguments(SqlxValues(Values(vec![value])));
        let row = query_with::<Sqlite, _>("SELECT ?", arguments).fetch_one(&mut memory.connection).await?;
        let bound = row.try_get_raw(0)?;
        Ok(match bound.type_info().name() {
            _ if bound.is_null() => SqlValue::Null,
            "INTEGER" => SqlValue::Integer(row.try_get(0)?),
            "REAL" => SqlValue::Real(row.try_get(0)?),
            "BLOB" => SqlValue::Blob(row.try_get(0)?),
            _ => SqlValue::Text(row.try_get(0)?),
        })
    }

    /// The error, which `DbErr::sql_err` knows if it is about a key: for that it must be one of sqlx's own.
    pub async fn error(&mut self, failure: SqliteFailure) -> Error {
        let Some(sql) = failing_so(&failure) else { return failure.into() };
        let Ok(memory) = self.memory().await else { return failure.into() };
        let failed = raw_sql(AssertSqlSafe(sql)).execute(&mut memory.connection).await;
        let _ = Executor::execute(&mut memory.connection, "ROLLBACK").await;
        match failed {
            Err(Error::Database(error)) if error.message() == failure.message => Error::Database(error),
            _ => failure.into(),
        }
    }

    async fn memory(&mut self) -> Result<&mut Memory, Error> {
        if self.0.as_ref().is_none_or(|memory| memory.shapes.len() >= SHAPES_MOST) {
            let options = SqliteConnectOptions::new().in_memory(true).foreign_keys(true).disable_statement_logging();
            let connection = options.thread_name(|id| format!("sqlite-{id}-rows")).connect().await?;
            self.0 = Some(Memory { connection, shapes: HashMap::new() });
        }
        self.0.as_mut().ok_or(Error::WorkerCrashed)
    }
}

impl Memory {
    /// The number of the table for rows of this shape.
    async fn shape(&mut self, columns: &[RowColumn]) -> Result<usize, Error> {
        if let Some(number) = self.shapes.get(columns) {
            return Ok(*number);
        }
        let number = self.shapes.len();
        let mut sql = format!("CREATE TABLE r{number} (");
        for (n, column) in columns.iter().enumerate() {
            let (comma, declared) = (if n == 0 { "" } else { ", " }, column.declared.as_deref().unwrap_or(""));
            let _ = write!(sql, "{comma}c{n} {declared}");
        }
        sql.push(')');
        Executor::execute(&mut self.connection, AssertSqlSafe(sql)).await?;
        self.shapes.insert(columns.into(), number);
        Ok(number)
    }
}

fn add(arguments: &mut SqliteArguments, value: SqlValue) -> Result<(), Error> {
    let added = match value {
        SqlValue::Null => arguments.add(None::<i64>),
        SqlValue::Integer(value) => arguments.add(value),
        SqlValue::Real(value) => arguments.add(value),
        SqlValue::Text(value) => arguments.add(value),
        SqlValue::Blob(value) => arguments.add(value),
    };
    added.map_err(Error::Encode)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Statements within a transaction that fail by the same key; none for an error that is about no key.
fn failing_so(failure: &SqliteFailure) -> Option<String> {
    let told = failure.message.strip_prefix("UNIQUE constraint failed: ");
    let table = match (failure.code, told) {
        (787, _) => {
            return Some(
                "BEGIN; CREATE TABLE a (id PRIMARY KEY); CREATE TABLE b (id REFERENCES a); INSERT INTO b VALUES (1)"
                    .into(),
            );
        }
        (2067, Some(told)) if told.starts_with("index '") => {
            let index = told.trim_start_matches("index '").trim_end_matches('\'');
            format!("a (b); CREATE UNIQUE INDEX {} ON a (b + 0); INSERT INTO a VALUES (1), (1)", quoted(index))
        }
        (1555 | 2067, Some(told)) => {
            let columns: Vec<(&str, &str)> = told.split(", ").filter_map(|column| column.rsplit_once('.')).collect();
            let (table, _) = columns.first()?;
            let names = columns.iter().map(|(_, name)| quoted(name)).collect::<Vec<_>>().join(", ");
            let key = if failure.code == 1555 { "PRIMARY KEY" } else { "UNIQUE" };
            let row = format!("({})", vec!["1"; columns.len()].join(", "));
            let table = quoted(table);
            format!("{table} ({names}, {key} ({names})); INSERT INTO {table} VALUES {row}, {row}")
        }
        _ => return None,
    };
    Some(format!("BEGIN; CREATE TABLE {table}"))
}

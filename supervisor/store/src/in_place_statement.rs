//! A statement of sea-orm on a connection that is called in place.

use fallible_iterator::FallibleIterator;
use rusqlite::types::{Value as Owned, ValueRef};
use rusqlite::{Batch, Connection, Error as Rusqlite, Statement as Prepared};
use sea_orm::sqlx::Error;
use sea_orm::{DbBackend, ExecResult, MockDatabase, MockDatabaseTrait, MockExecResult, Statement, Value};

use super::sqlite_failure::SqliteFailure;

/// A value as SQLite has it.
pub type SqlValue = Owned;

/// Rows as SQLite has them.
#[derive(Debug)]
pub struct InPlaceRows {
    pub columns: Vec<RowColumn>,
    pub rows: Vec<Vec<SqlValue>>,
}

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RowColumn {
    pub name: String,
    /// As it was declared, if it is a column of a table.
    pub declared: Option<String>,
}

/// Runs a statement, or a text of several that share their values.
pub fn run(connection: &Connection, sql: &str, values: &[SqlValue]) -> Result<ExecResult, SqliteFailure> {
    match connection.prepare_cached(sql) {
        Ok(mut statement) => {
            step(&mut statement, values)?;
            Ok(exec_result(connection.changes(), connection.last_insert_rowid()))
        }
        Err(Rusqlite::MultipleStatement) => run_all(connection, sql, values),
        Err(error) => Err(error.into()),
    }
}

/// Runs a text of several statements, and adds up what they change.
pub fn run_all(connection: &Connection, sql: &str, values: &[SqlValue]) -> Result<ExecResult, SqliteFailure> {
    let (mut all, mut changes) = (Batch::new(connection, sql), 0);
    while let Some(mut statement) = all.next()? {
        step(&mut statement, values)?;
        changes += connection.changes();
    }
    Ok(exec_result(changes, connection.last_insert_rowid()))
}

/// The rows that a statement finds, at most so many.
pub fn fetch(
    connection: &Connection,
    sql: &str,
    values: &[SqlValue],
    most: usize,
) -> Result<InPlaceRows, SqliteFailure> {
    let mut statement = connection.prepare_cached(sql)?;
    bind(&mut statement, values)?;
    let columns: Vec<RowColumn> = statement
        .columns()
        .iter()
        .map(|column| RowColumn { name: column.name().into(), declared: column.decl_type().map(String::from) })
        .collect();
    let (mut found, mut rows) = (statement.raw_query(), Vec::new());
    // To its end, as who takes one row does with sqlx: RETURNING has written all rows by the first one.
    while rows.len() < most
        && let Some(row) = found.next()?
    {
        let values = (0..columns.len()).map(|column| owned(row.get_ref(column)?));
        rows.push(values.collect::<Result<Vec<_>, SqliteFailure>>()?);
    }
    drop(found);
    Ok(InPlaceRows { columns, rows })
}

fn step(statement: &mut Prepared<'_>, values: &[SqlValue]) -> Result<(), SqliteFailure> {
    bind(statement, values)?;
    let mut rows = statement.raw_query();
    while rows.next()?.is_some() {}
    Ok(())
}

/// Binds as sqlx does: `$2` and `?2` are the second value wherever they stand, and one without a value is NULL.
fn bind(statement: &mut Prepared<'_>, values: &[SqlValue]) -> Result<(), SqliteFailure> {
    let mut next = 0;
    for parameter in 1..=statement.parameter_count() {
        let number = match statement.parameter_name(parameter) {
            Some(name) => name[1..].parse::<usize>().map_err(|_| {
                let message = format!("parameters with names such as {name} are not supported: number them, as $1");
                SqliteFailure { code: rusqlite::ffi::SQLITE_ERROR, message }
            })?,
            None => {
                next += 1;
                next
            }
        };
        if let Some(value) = number.checked_sub(1).and_then(|index| values.get(index)) {
            statement.raw_bind_parameter(parameter, value)?;
        }
    }
    Ok(())
}

fn owned(value: ValueRef<'_>) -> Result<SqlValue, SqliteFailure> {
    value.try_into().map_err(|error: rusqlite::types::FromSqlError| Rusqlite::from(error).into())
}

/// The value as SQLite has it, bound as sqlx binds it; `None` if that is left to sqlx.
pub fn value_in_place(value: &Value) -> Option<Result<SqlValue, Error>> {
    let integer = |number: Option<i64>| number.map_or(Owned::Null, Owned::Integer);
    let text = |text: Option<String>| text.map_or(Owned::Null, Owned::Text);
    let real = |number: Option<f64>| number.map_or(Owned::Null, Owned::Real);
    Some(Ok(match value {
        Value::Bool(value) => integer(value.map(i64::from)),
        Value::TinyInt(value) => integer(value.map(i64::from)),
        Value::SmallInt(value) => integer(value.map(i64::from)),
        Value::Int(value) => integer(value.map(i64::from)),
        Value::BigInt(value) => integer(*value),
        Value::TinyUnsigned(value) => integer(value.map(i64::from)),
        Value::SmallUnsigned(value) => integer(value.map(i64::from)),
        Value::Unsigned(value) => integer(value.map(i64::from)),
        Value::BigUnsigned(value) => match value.map(i64::try_from).transpose() {
            Ok(value) => integer(value),
            Err(_) => return Some(Err(Error::Encode("SQLite has no integer as large as that".into()))),
        },
        Value::Float(value) => real(value.map(f64::from)),
        Value::Double(value) => real(*value),
        Value::String(value) => text(value.clone()),
        Value::Char(value) => text(value.map(String::from)),
        Value::Bytes(value) => value.clone().map_or(Owned::Null, Owned::Blob),
        _ => return None,
    }))
}

/// What a statement has done, for sea-orm. Of its constructors that of its scripted database is the only one that is public.
pub fn exec_result(rows_affected: u64, last_insert_id: i64) -> ExecResult {
    let last_insert_id = last_insert_id.unsigned_abs();
    let scripted = MockExecResult { last_insert_id, rows_affected };
    let mut scripted = MockDatabase::new(DbBackend::Sqlite).append_exec_results([scripted]);
    let done = scripted.execute(0, Statement::from_string(DbBackend::Sqlite, String::new()));
    done.expect("what was scripted is the answer")
}

//! Rows of the runtime's own statements. They are decoded here, where they were read: what sea-orm decodes for capabilities is a way
//! to sqlx's thread and back on a connection that is called in place.

use sea_orm::{ConnectionTrait, DbErr, QueryResult, Statement, TryGetable};

use super::in_place_statement::SqlValue;

/// What the runtime's own statements run on.
#[allow(async_fn_in_trait)] // Awaited where it is called.
pub trait OwnQueries: ConnectionTrait {
    /// The rows that a statement of the runtime's own finds.
    async fn own_rows(&self, statement: Statement) -> Result<Vec<OwnRow>, DbErr> {
        Ok(self.query_all_raw(statement).await?.into_iter().map(OwnRow::Sqlx).collect())
    }
}

/// A row that a statement of the runtime's own has found.
#[derive(Debug)]
pub enum OwnRow {
    InPlace(Vec<SqlValue>),
    Sqlx(QueryResult),
}

/// A type that columns of the runtime's own tables are read as.
pub trait OwnColumn: TryGetable {
    /// Reads it; none if the value is another one than the runtime writes.
    fn of(value: &SqlValue) -> Option<Self>;
}

impl OwnRow {
    /// The value of a column.
    ///
    /// # Errors
    /// [`DbErr::Type`] if it is none of this type.
    pub fn try_get_by_index<T: OwnColumn>(&self, column: usize) -> Result<T, DbErr> {
        match self {
            Self::Sqlx(row) => row.try_get_by_index(column),
            Self::InPlace(values) => values.get(column).and_then(T::of).ok_or_else(|| {
                let (wanted, found) = (std::any::type_name::<T>(), values.get(column));
                DbErr::Type(format!("column {column} is no {wanted}: {:?}", found.map(SqlValue::data_type)))
            }),
        }
    }
}

impl OwnColumn for i64 {
    fn of(value: &SqlValue) -> Option<Self> {
        if let SqlValue::Integer(number) = value { Some(*number) } else { None }
    }
}

impl OwnColumn for bool {
    fn of(value: &SqlValue) -> Option<Self> {
        i64::of(value).map(|number| number != 0)
    }
}

impl OwnColumn for String {
    fn of(value: &SqlValue) -> Option<Self> {
        if let SqlValue::Text(text) = value { Some(text.clone()) } else { None }
    }
}

impl OwnColumn for Vec<u8> {
    fn of(value: &SqlValue) -> Option<Self> {
        match value {
            SqlValue::Blob(bytes) => Some(bytes.clone()),
            SqlValue::Text(text) => Some(text.clone().into_bytes()),
            _ => None,
        }
    }
}

impl<T: OwnColumn> OwnColumn for Option<T> {
    fn of(value: &SqlValue) -> Option<Self> {
        if *value == SqlValue::Null { Some(None) } else { T::of(value).map(Some) }
    }
}

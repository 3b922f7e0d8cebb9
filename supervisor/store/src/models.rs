//! Rows as the models of an entity, decoded where they were read.
//!
//! On the connection that writes to SQLite, which is called in place, what sea-orm decodes is a way to sqlx's thread and back, for
//! which others wait. A model says what its columns are, so its rows need not take it. A value that is another than the entity says
//! is left to sea-orm, as is a type that is not known here: so a model is always what sea-orm would have made of it.

use sea_orm::sea_query::ColumnType;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, IdenStatic, Iterable,
    QueryResult, StatementBuilder, TryIntoModel, Value,
};

use super::in_place_statement::{InPlaceRows, SqlValue};

/// Statements that find rows of one entity.
#[allow(async_fn_in_trait)] // Awaited where it is called.
pub trait ModelQueries: ConnectionTrait {
    /// The rows that a statement finds: a query, or a change that returns all columns.
    ///
    /// # Errors
    /// The database's, or that a row is none of the entity's.
    async fn models<E>(&self, statement: &impl StatementBuilder) -> Result<Vec<E::Model>, DbErr>
    where
        E: EntityTrait,
        E::ActiveModel: TryIntoModel<E::Model>,
    {
        of_rows::<E>(&self.query_all(statement).await?)
    }

    /// The first of them.
    ///
    /// # Errors
    /// As [`ModelQueries::models`].
    async fn model<E>(&self, statement: &impl StatementBuilder) -> Result<Option<E::Model>, DbErr>
    where
        E: EntityTrait,
        E::ActiveModel: TryIntoModel<E::Model>,
    {
        Ok(self.models::<E>(statement).await?.into_iter().next())
    }
}

// For tests of what is read, such as of migrations.
impl ModelQueries for sea_orm::DatabaseConnection {}

/// The models that sea-orm makes of rows.
pub fn of_rows<E: EntityTrait>(rows: &[QueryResult]) -> Result<Vec<E::Model>, DbErr> {
    rows.iter().map(|row| E::Model::from_query_result(row, "")).collect()
}

/// The models that these rows are, if that can be told here.
pub fn decode<E>(found: &InPlaceRows) -> Option<Vec<E::Model>>
where
    E: EntityTrait,
    E::ActiveModel: TryIntoModel<E::Model>,
{
    let place = |column: E::Column| {
        let at = found.columns.iter().position(|found| found.name == column.as_str())?;
        Some((column, at, column.def().get_column_type().clone()))
    };
    let columns: Vec<_> = E::Column::iter().map(place).collect::<Option<_>>()?;
    let model = |row: &Vec<SqlValue>| {
        let mut model = <E::ActiveModel as ActiveModelTrait>::default();
        for (column, at, declared) in &columns {
            model.try_set(*column, value(declared, &row[*at])?).ok()?;
        }
        model.try_into_model().ok()
    };
    found.rows.iter().map(model).collect()
}

/// The value that a column of this type has, if it is one of its values.
fn value(declared: &ColumnType, found: &SqlValue) -> Option<Value> {
    use ColumnType as Type;
    let integer = match found {
        SqlValue::Null => Some(None),
        SqlValue::Integer(number) => Some(Some(*number)),
        _ => None,
    };
    let text = match found {
        SqlValue::Null => Some(None),
        SqlValue::Text(text) => Some(Some(text.clone())),
        _ => None,
    };
    match declared {
        Type::BigInteger => integer.map(Value::BigInt),
        Type::Integer => integer.and_then(within).map(Value::Int),
        Type::SmallInteger => integer.and_then(within).map(Value::SmallInt),
        Type::TinyInteger => integer.and_then(within).map(Value::TinyInt),
        Type::Boolean => integer.map(|number| Value::Bool(number.map(|number| number != 0))),
        Type::String(_) | Type::Text => text.map(Value::String),
        _ => None,
    }
}

/// The same number, if the type has it.
#[allow(clippy::option_option)] // The outer one says whether it is known here.
fn within<T: TryFrom<i64>>(number: Option<i64>) -> Option<Option<T>> {
    number.map(T::try_from).transpose().ok()
}

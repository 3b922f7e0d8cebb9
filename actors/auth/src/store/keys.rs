//! Signing keys.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;
use sea_orm::{IntoActiveModel, QueryOrder};

pub(crate) use Model as Row;

#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "signing_keys")]
pub(crate) struct Model {
    /// Counts the keys, from 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub generation: i64,
    pub kid: String,
    /// The private key: 32 bytes.
    #[sea_orm(column_type = "Blob")]
    pub seed: Vec<u8>,
    /// The public key in base64url.
    pub x: String,
    pub created_at: i64,
    /// From when it signs.
    pub activates_at: i64,
}

// Private keys do not show in logs.
impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("generation", &self.generation).field("kid", &self.kid).finish_non_exhaustive()
    }
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// All keys, newest first.
pub(crate) async fn all(db: &impl ConnectionTrait) -> Result<Vec<Row>, DbErr> {
    Entity::find().order_by_desc(Column::Generation).all(db).await
}

/// Adds a key, unless another node has added one with its number.
pub(crate) async fn insert(db: &impl ConnectionTrait, row: Row) -> Result<(), DbErr> {
    let first = OnConflict::column(Column::Generation).do_nothing().to_owned();
    Entity::insert(row.into_active_model()).on_conflict(first).exec_without_returning(db).await.map(drop)
}

/// Deletes keys.
pub(crate) async fn delete(db: &impl ConnectionTrait, generations: &[i64]) -> Result<(), DbErr> {
    let these = Column::Generation.is_in(generations.iter().copied());
    Entity::delete_many().filter(these).exec(db).await.map(drop)
}

//! Who changed what.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;
use sea_orm::{QueryOrder, QuerySelect, Set};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "console_audit")]
pub(crate) struct Model {
    /// Ids are in the order of their moments.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub at_ms: i64,
    pub operator: String,
    pub act: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Keeps one.
pub(crate) async fn add(db: &impl ConnectionTrait, row: Model) -> Result<(), DbErr> {
    let Model { id, at_ms, operator, act } = row;
    let row = ActiveModel { id: Set(id), at_ms: Set(at_ms), operator: Set(operator), act: Set(act) };
    let once = OnConflict::column(Column::Id).do_nothing().to_owned();
    Entity::insert(row).on_conflict(once).exec_without_returning(db).await.map(drop)
}

/// The latest ones before an id, the latest first.
pub(crate) async fn page(db: &impl ConnectionTrait, before: Option<&str>, most: u64) -> Result<Vec<Model>, DbErr> {
    let mut rows = Entity::find();
    if let Some(id) = before {
        rows = rows.filter(Column::Id.lt(id));
    }
    rows.order_by_desc(Column::Id).limit(most).all(db).await
}

/// Forgets those before a moment.
pub(crate) async fn forget(db: &impl ConnectionTrait, before_ms: i64) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::AtMs.lt(before_ms)).exec(db).await.map(drop)
}

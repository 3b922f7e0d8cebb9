//! How far the making of the first admin has come: one row.

use sea_orm::Set;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;

const THE_ROW: i32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "first_admin")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i32,
    /// The id that the admin has or will have.
    pub user_id: String,
    /// When it was done.
    pub done_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// How far it has come; `None`: not begun.
pub(crate) async fn read(db: &impl ConnectionTrait) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(THE_ROW).one(db).await
}

/// Begins, if nobody has.
pub(crate) async fn begin(db: &impl ConnectionTrait, user_id: &str, done_at: Option<i64>) -> Result<(), DbErr> {
    let row = ActiveModel { id: Set(THE_ROW), user_id: Set(user_id.to_owned()), done_at: Set(done_at) };
    let first = OnConflict::column(Column::Id).do_nothing().to_owned();
    Entity::insert(row).on_conflict(first).exec_without_returning(db).await.map(drop)
}

/// Marks it as done; false if another node has.
pub(crate) async fn finish(db: &impl ConnectionTrait, now: i64) -> Result<bool, DbErr> {
    let pending = Entity::update_many().filter(Column::Id.eq(THE_ROW)).filter(Column::DoneAt.is_null());
    Ok(pending.col_expr(Column::DoneAt, Expr::value(now)).exec(db).await?.rows_affected == 1)
}
